"""What holds the house together: migrations, translations, settings."""

import stat
from pathlib import Path
from typing import Any

import pytest
from babel.messages.pofile import read_po
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command

from iafactory import checks
from iafactory.env import Env, generated_secret, read_environment
from iafactory.run import BASE


@pytest.mark.django_db
def test_no_migration_is_missing() -> None:
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)


@pytest.mark.parametrize("language", ["fr", "ar"])
def test_every_sentence_is_translated(language: str) -> None:
    path = BASE / "locale" / language / "LC_MESSAGES" / "django.po"
    with path.open("rb") as file:
        catalogue = read_po(file, locale=language)
    assert [message.id for message in catalogue if message.id and (not message.string or message.fuzzy)] == []


def test_the_process_wins_over_the_file_and_empty_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / ".env.local"
    file.write_text("A=file\nB=  spaced  \nC=\nD='quoted $HOME'\n")
    monkeypatch.setenv("A", " process ")
    monkeypatch.setenv("E", "   ")
    found = read_environment(file)
    assert (found["A"], found["B"], found["D"]) == ("process", "spaced", "quoted $HOME")
    assert "C" not in found
    assert "E" not in found


@pytest.mark.parametrize("value", ["fifty", "-1", "NaN", "Infinity"])
def test_a_bad_amount_is_named_and_not_shown(value: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="DAILY_BUDGET_USD") as error:
        Env({"DAILY_BUDGET_USD": value}).amount("DAILY_BUDGET_USD", "50")
    assert value not in str(error.value)


@pytest.mark.parametrize(
    ("url", "host", "port", "user", "password", "ssl", "tls"),
    [
        ("smtp://mail.example.dz", "mail.example.dz", 25, "", "", False, False),
        ("smtp://me%40x.dz:p%2Fa%25b@mail.example.dz:587", "mail.example.dz", 587, "me@x.dz", "p/a%b", False, True),
        ("smtp://me:pw@mail.example.dz:465", "mail.example.dz", 465, "me", "pw", True, False),
        ("smtps://me:pw@mail.example.dz", "mail.example.dz", 465, "me", "pw", True, False),
        ("smtps://me:pw@mail.example.dz:587", "mail.example.dz", 587, "me", "pw", False, True),
        ("smtp+tls://mail.example.dz:2525", "mail.example.dz", 2525, "", "", False, True),
    ],
)
def test_where_mail_leaves(url: str, host: str, port: int, user: str, password: str, ssl: bool, tls: bool) -> None:
    assert Env({"EMAIL_URL": url}).mail("EMAIL_URL") == {
        "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
        "EMAIL_HOST": host,
        "EMAIL_PORT": port,
        "EMAIL_HOST_USER": user,
        "EMAIL_HOST_PASSWORD": password,
        "EMAIL_USE_SSL": ssl,
        "EMAIL_USE_TLS": tls,
    }


def test_mail_that_leaves_nowhere(tmp_path: Path) -> None:
    assert Env({}).mail("EMAIL_URL") == {"EMAIL_BACKEND": "django.core.mail.backends.console.EmailBackend"}
    assert Env({"EMAIL_URL": f"file://{tmp_path}"}).mail("EMAIL_URL")["EMAIL_FILE_PATH"] == str(tmp_path)


@pytest.mark.parametrize("url", ["hunter2", "smtp://me:hunter2@", "smtp://me:hunter2@host:five", "imap://hunter2"])
def test_a_bad_mail_address_is_named_and_not_shown(url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="EMAIL_URL") as error:
        Env({"EMAIL_URL": url}).mail("EMAIL_URL")
    assert "hunter2" not in str(error.value)
    assert error.value.__cause__ is None


def test_a_mail_password_in_the_clear_is_warned_of(settings: Any) -> None:
    settings.EMAIL_HOST, settings.EMAIL_HOST_PASSWORD, settings.EMAIL_USE_TLS = "mail.example.dz", "pw", False
    assert [message.id for message in checks.mail_password_is_not_sent_in_the_clear()] == ["iafactory.W002"]
    settings.EMAIL_USE_TLS = True
    assert checks.mail_password_is_not_sent_in_the_clear() == []


def test_half_a_channel_and_an_unsigned_webhook_are_told(settings: Any) -> None:
    settings.TELEGRAM_BOT_TOKEN, settings.TELEGRAM_CHAT_ID = "123:abc", ""
    (warning,) = checks.channels_are_whole()
    assert (warning.id, "TELEGRAM_CHAT_ID" in warning.msg, "123:abc" in str(warning)) == ("iafactory.W003", True, False)
    settings.DEVELOPMENT, settings.ALERT_WEBHOOK_URL = False, "https://hooks.example.dz/x"
    settings.ALERT_WEBHOOK_SECRET = "missing-ALERT_WEBHOOK_SECRET"
    assert [message.id for message in checks.alerts_are_signed()] == ["iafactory.E030"]
    settings.ALERT_WEBHOOK_SECRET = "w" * 32
    assert checks.alerts_are_signed() == []


def test_a_generated_secret_is_made_once_and_private(tmp_path: Path) -> None:
    first = generated_secret("API_SECRET_KEY", tmp_path)
    assert generated_secret("API_SECRET_KEY", tmp_path) == first
    assert len(first) > 40
    assert stat.S_IMODE((tmp_path / "secrets" / "api_secret_key").stat().st_mode) == 0o600


def test_production_refuses_missing_secrets(settings: Any) -> None:
    settings.DEVELOPMENT = False
    settings.API_SECRET_KEY = "missing-API_SECRET_KEY"
    settings.API_KEY_PEPPER = "short"
    assert [message.id for message in checks.secrets_are_set()] == ["iafactory.E001", "iafactory.E002"]


def test_a_readable_env_file_is_told(settings: Any, tmp_path: Path) -> None:
    settings.ENV_FILE = tmp_path / ".env.local"
    assert checks.env_file_is_private() == []
    settings.ENV_FILE.write_text("A=1")
    settings.ENV_FILE.chmod(0o644)
    assert [message.id for message in checks.env_file_is_private()] == ["iafactory.W001"]
    settings.ENV_FILE.chmod(0o600)
    assert checks.env_file_is_private() == []


def test_every_name_of_the_environment_is_in_the_example() -> None:
    from llmrouter.providers.registry import PROVIDERS

    example = (BASE / ".env.example").read_text()
    source = (BASE / "iafactory" / "settings.py").read_text() + (BASE / "iafactory" / "gunicorn.py").read_text()
    import re

    names = set(re.findall(r'env\.\w+\(\s*"([A-Z_0-9]+)"', source)) | set(re.findall(r'secret\("([A-Z_]+)"', source))
    names |= {provider.variable for provider in PROVIDERS.values() if not provider.keyless}
    assert sorted(name for name in names if f"{name}=" not in example) == []
