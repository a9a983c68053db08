"""Sign-ups scored: what is suspect, what is only a crowded address, and what staff see and do."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import SignUp, SoftBan, User
from accounts.sign_ups import KEEP_ADDRESSES, keyed_digest, mailbox_digest, mailbox_of
from tests.concurrency import at_once
from usage.farming import SUSPECT, is_disposable, looks_random, score_sign_ups
from usage.models import UsageLog
from usage.tasks import score_sign_ups as task

pytestmark = pytest.mark.django_db


def account(email: str, address: str = "41.0.0.1", *, hours_ago: float = 0) -> SignUp:
    user = User.objects.create(email=email)
    return SignUp.objects.create(
        user=user,
        address_digest=keyed_digest("address", address),
        mailbox_digest=mailbox_digest(email),
        created_at=timezone.now() - timedelta(hours=hours_ago),
    )


def calls(sign_up: SignUp, *, after: timedelta, sizes: tuple[int, ...]) -> None:
    UsageLog.objects.bulk_create(
        UsageLog(
            user_id=sign_up.user_id,
            tier="free",
            provider="groq",
            model="gpt-oss-120b",
            tokens_input=size,
            created_at=sign_up.created_at + after,
        )
        for size in sizes
    )


def scored(sign_up: SignUp) -> tuple[int, set[str]]:
    score_sign_ups()
    sign_up.refresh_from_db()
    return sign_up.score, {str(reason) for reason, _number in sign_up.reasons}


def register(email: str) -> Any:
    body = {"email": email, "password": "correct horse battery"}
    return Client().post("/api/auth/register", body, content_type="application/json")


def test_an_ordinary_sign_up_has_no_points() -> None:
    assert scored(account("amina.benali@gmail.com")) == (0, set())


@pytest.mark.parametrize(
    ("email", "reasons"),
    [
        ("someone@mailinator.com", {"disposable"}),
        ("someone@mail.mailinator.com", {"disposable"}),
        ("amina+3@gmail.com", {"tagged"}),
        ("x7k2q9z4w@gmail.com", {"random_name"}),
        ("bcdfghjk@gmail.com", {"random_name"}),
        ("mohamed1962@gmail.com", set()),
        ("schwartz@web.de", set()),
    ],
)
def test_the_form_of_the_address(email: str, reasons: set[str]) -> None:
    assert scored(account(email))[1] == reasons


def test_one_mailbox_under_many_names() -> None:
    accounts = [account(email) for email in ("amina@gmail.com", "a.mina@gmail.com", "amina+x@googlemail.com")]
    assert [scored(sign_up)[0] >= SUSPECT for sign_up in accounts] == [True] * 3
    assert mailbox_of("a.li.ce+7@GoogleMail.com") == "alice@gmail.com"
    assert mailbox_of("a.li.ce+7@laposte.net") == "a.li.ce@laposte.net"


def test_an_old_account_of_the_same_mailbox_counts() -> None:
    account("amina@gmail.com", hours_ago=24 * 60)
    assert scored(account("amina+1@gmail.com"))[0] >= SUSPECT


def test_a_crowded_address_alone_is_not_suspect() -> None:
    crowd = [account(f"person.{name}@example.dz") for name in "abcdefghijklmnopqrstuvwxyz"]
    score, reasons = scored(crowd[0])
    assert (0 < score < SUSPECT, reasons) == (True, {"same_address"})


def test_a_family_is_not_even_noticed() -> None:
    family = [account(f"{name}@example.dz") for name in ("amina", "karim", "lina")]
    assert scored(family[0]) == (0, set())


def test_accounts_that_behave_alike() -> None:
    farm = [account(f"{name}@example.dz") for name in ("amina", "karim", "lina", "yacine", "nadia")]
    for sign_up in farm:
        calls(sign_up, after=timedelta(minutes=1), sizes=(812, 640, 911))
    score, reasons = scored(farm[0])
    assert (score >= SUSPECT, reasons) == (True, {"same_address", "emptied_at_once", "twins"})


def test_the_same_calls_from_other_addresses_are_chance() -> None:
    one, other = account("amina@example.dz", "41.0.0.1"), account("karim@example.dz", "41.0.0.2")
    for sign_up in (one, other):
        calls(sign_up, after=timedelta(hours=2), sizes=(812, 640, 911))
    assert scored(one) == (0, set())


def test_a_curious_newcomer_is_not_suspect() -> None:
    sign_up = account("amina@example.dz")
    calls(sign_up, after=timedelta(minutes=3), sizes=(10, 20, 30))
    score, reasons = scored(sign_up)
    assert (score < SUSPECT, reasons) == (True, {"emptied_at_once"})


def test_known_names() -> None:
    assert is_disposable("yopmail.com")
    assert not is_disposable("gmail.com")
    assert not looks_random("benabdelkader")


def test_the_address_is_kept_as_a_keyed_hash_and_forgotten() -> None:
    assert register("amina@example.dz").status_code == 201
    sign_up = SignUp.objects.get()
    assert sign_up.address_digest == keyed_digest("address", "127.0.0.1")
    assert "127.0.0.1" not in str(sign_up.__dict__)
    SignUp.objects.update(created_at=timezone.now() - KEEP_ADDRESSES - timedelta(days=1))
    task()
    assert SignUp.objects.get().address_digest == ""


@pytest.mark.django_db(transaction=True)
def test_the_last_free_account_of_an_address_is_one(settings: Any) -> None:
    settings.FREE_ACCOUNTS_PER_ADDRESS = 3
    turn = iter(range(10))
    answers, _raised = at_once(8, lambda: register(f"person{next(turn)}@example.dz"))
    assert sorted(answer.status_code for answer in answers) == [201] * 3 + [429] * 5
    assert User.objects.count() == 3


def test_the_next_day_there_is_room_again(settings: Any) -> None:
    settings.FREE_ACCOUNTS_PER_ADDRESS = 1
    assert register("amina@example.dz").status_code == 201
    refused = register("karim@example.dz")
    assert refused.status_code == 429
    assert 86_000 < int(refused.headers["Retry-After"]) <= 86_401
    SignUp.objects.update(created_at=timezone.now() - timedelta(hours=25))
    assert register("karim@example.dz").status_code == 201


def test_a_score_refuses_nobody(settings: Any) -> None:
    for number in range(5):
        assert register(f"amina+{number}@mailinator.com").status_code == 201
    assert score_sign_ups() == 5


def test_staff_see_the_suspects_first_and_ban_them(sara: User) -> None:
    plain, suspect = account("amina@example.dz"), account("x7k2q9z4w+1@mailinator.com")
    score_sign_ups()
    browser = Client()
    browser.force_login(sara)
    page = browser.get("/admin/accounts/signup/").content.decode()
    assert page.index(suspect.user.email) < page.index(plain.user.email)
    only = browser.get("/admin/accounts/signup/?suspicion=suspect").content.decode()
    assert plain.user.email not in only
    form = {"action": "soft_ban_selected", "_selected_action": [suspect.pk]}
    assert browser.post("/admin/accounts/signup/", form).status_code == 302
    assert [(ban.user_id, ban.banned_by_id) for ban in SoftBan.objects.all()] == [(suspect.user_id, sara.pk)]


def test_no_more_queries_for_more_accounts(sara: User, django_assert_max_num_queries: Any) -> None:
    browser = Client()
    browser.force_login(sara)
    for number in range(30):
        account(f"person{number}@example.dz")
    with django_assert_max_num_queries(12):
        assert browser.get("/admin/accounts/signup/").status_code == 200
