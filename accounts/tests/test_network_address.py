"""Whose network address limits count, whatever proxies and callers write into X-Forwarded-For."""

from typing import Any

import pytest
from django.test import Client

from accounts.models import SignUp, User
from accounts.throttle import client_address

PROXY = "127.0.0.1"


@pytest.fixture(autouse=True)
def behind_a_proxy(settings: Any) -> None:
    settings.TRUSTED_PROXIES = (PROXY, "10.0.0.0/8", "2001:db8:ffff::/48")


@pytest.mark.parametrize(
    ("header", "address"),
    [
        ("105.1.2.3", "105.1.2.3"),
        (" 105.1.2.3 ,10.0.0.9", "105.1.2.3"),
        ("105.1.2.3:4711", "105.1.2.3"),
        ("105.1.2.3:4711, 10.0.0.9:80", "105.1.2.3"),
        ("[2001:db8:1:2::7]:4711", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::7]", "2001:db8:1:2::/64"),
        ('"[2001:db8:1:2::7]:4711"', "2001:db8:1:2::/64"),
        ("2001:db8:1:2:aaaa:bbbb:cccc:dddd", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::7%eth0", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::7, [2001:db8:ffff::1]:443", "2001:db8:1:2::/64"),
        ("::ffff:105.1.2.3", "105.1.2.3"),
        ("[::ffff:105.1.2.3]:4711", "105.1.2.3"),
        ("::ffff:6901:203", "105.1.2.3"),
        ("105.1.2.3, ::ffff:10.0.0.9", "105.1.2.3"),
    ],
)
def test_every_form_of_an_address_is_read(rf: Any, header: str, address: str) -> None:
    assert client_address(rf.get("/", HTTP_X_FORWARDED_FOR=header, REMOTE_ADDR=PROXY)) == address


@pytest.mark.parametrize(
    "invented",
    [
        "6.6.6.6",
        "unknown",
        "_hidden",
        "garbage",
        "6.6.6.6:1",
        "[::6]",
        "999.1.1.1",
        "127.0.0.1",
        "\x00",
        "6.6.6.6/8",
        "",
    ],
)
def test_what_a_caller_writes_before_the_proxy_does_not_count(rf: Any, invented: str) -> None:
    header = f"{invented}, 105.1.2.3"
    assert client_address(rf.get("/", HTTP_X_FORWARDED_FOR=header, REMOTE_ADDR=PROXY)) == "105.1.2.3"


@pytest.mark.parametrize(
    "garbage",
    ["unknown", "_hidden", "nonsense", "6.6.6.6:port", "[::1", "1.2.3", "6.6.6.6, unknown", "[]:80", "x" * 8000],
)
def test_behind_an_unreadable_address_the_proxy_counts(rf: Any, garbage: str) -> None:
    """What stands left of it may be invented, so it opens no new limit."""
    assert client_address(rf.get("/", HTTP_X_FORWARDED_FOR=garbage, REMOTE_ADDR=PROXY)) == PROXY


@pytest.mark.parametrize("header", ["6.6.6.6", "unknown", "[::1]:80", "105.1.2.3, 10.0.0.9"])
def test_a_stranger_s_header_is_not_read(rf: Any, header: str) -> None:
    assert client_address(rf.get("/", HTTP_X_FORWARDED_FOR=header, REMOTE_ADDR="105.9.9.9")) == "105.9.9.9"


@pytest.mark.parametrize("remote", ["", "unix:", "@"])
def test_a_socket_without_an_address_is_unknown(rf: Any, remote: str) -> None:
    assert client_address(rf.get("/", HTTP_X_FORWARDED_FOR="6.6.6.6", REMOTE_ADDR=remote)) == "unknown"


def register(number: int, address: str) -> int:
    body = {"email": f"user{number}@example.dz", "password": "correct horse battery"}
    headers = {"X-Forwarded-For": address}
    return Client().post("/api/auth/register", body, content_type="application/json", headers=headers).status_code


def test_sign_ups_of_one_ipv6_subscriber_share_a_limit(db: None, settings: Any) -> None:
    settings.SIGNUP_LIMIT = "2/h"
    places = ["2001:db8:1:2::1", "[2001:db8:1:2:ffff::2]:4711", "2001:db8:1:2:3:4:5:6"]
    assert [register(number, place) for number, place in enumerate(places)] == [201, 201, 429]
    # The neighbour has a limit of their own.
    assert register(9, "2001:db8:1:3::1") == 201


def test_logins_of_one_ipv6_subscriber_share_a_limit(db: None, settings: Any) -> None:
    settings.LOGIN_LIMIT = "2/h"

    def log_in(number: int, address: str) -> int:
        body = {"email": f"user{number}@example.dz", "password": "x"}
        headers = {"X-Forwarded-For": address}
        return Client().post("/api/auth/login", body, content_type="application/json", headers=headers).status_code

    assert [log_in(number, f"2001:db8:1:2::{number}") for number in range(3)] == [401, 401, 429]


def test_free_accounts_of_one_ipv6_subscriber_are_counted_together(db: None, settings: Any) -> None:
    settings.FREE_ACCOUNTS_PER_ADDRESS = 2
    assert [register(number, f"2001:db8:1:2::{number}") for number in range(3)] == [201, 201, 429]


def test_farming_scores_know_one_ipv6_subscriber_by_one_address(db: None) -> None:
    for number in range(3):
        register(number, f"2001:db8:1:2::{number}")
    register(3, "2001:db8:1:3::1")
    assert User.objects.count() == 4
    assert len(set(SignUp.objects.values_list("address_digest", flat=True))) == 2
