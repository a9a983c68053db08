"""The settings of production, booted in a process of their own: clean where they are good, else refused."""

import os
import subprocess
import sys

import pytest
from django.conf import settings

from iafactory.run import BASE

GOOD = {
    "APP_ENV": "production",
    "API_SECRET_KEY": "x9" * 30 + "".join(chr(65 + n) for n in range(12)),
    "API_KEY_PEPPER": "y8" * 30 + "".join(chr(97 + n) for n in range(12)),
    "API_URL": "https://api.example.dz",
    "FRONTEND_URL": "https://example.dz",
    "TRUSTED_PROXIES": "127.0.0.1",
    "GROQ_API_KEY": "gsk_" + "a" * 52,
    "CHARGILY_MODE": "live",
    "CHARGILY_SECRET_KEY": "live_" + "sk_" + "a" * 40,
    **dict.fromkeys(("SELLER_ADDRESS", "SELLER_RC", "SELLER_NIF", "SELLER_NIS"), "as it stands on invoices"),
}


def check(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    base = {name: os.environ[name] for name in ("PATH", "HOME", "POSTGRES_URL", "REDIS_URL", "ENV_FILE")}
    return subprocess.run(
        [sys.executable, "manage.py", "check", *arguments],
        cwd=BASE,
        env={**base, **GOOD, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_nothing_to_complain_of_in_production() -> None:
    done = check({}, "--deploy", "--fail-level", "WARNING")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"API_SECRET_KEY": ""}, "API_SECRET_KEY"),
        ({"API_SECRET_KEY": "short"}, "API_SECRET_KEY"),
        ({"API_SECRET_KEY": "change-me-change-me-change-me-change-me-change-me-change-me"}, "API_SECRET_KEY"),
        ({"API_SECRET_KEY": "a" * 60}, "API_SECRET_KEY"),
        ({"API_KEY_PEPPER": ""}, "API_KEY_PEPPER"),
        ({"API_KEY_PEPPER": GOOD["API_SECRET_KEY"]}, "API_KEY_PEPPER"),
        ({"POSTGRES_URL": ""}, "POSTGRES_URL"),
        ({"REDIS_URL": ""}, "REDIS_URL"),
        ({"CLOCK_SHIFT_SECONDS": "60"}, "CLOCK_SHIFT_SECONDS"),
        ({"USAGE_TICK_SECONDS": "0"}, "USAGE_TICK_SECONDS"),
        ({"STAFF_2FA": "sometimes"}, "STAFF_2FA"),
        ({"TRUSTED_PROXIES": "127.0.0.1, nginx"}, "TRUSTED_PROXIES"),
        ({"TRUSTED_PROXIES": "10.0.0.0/33"}, "TRUSTED_PROXIES"),
    ],
)
def test_what_production_refuses(wrong: dict[str, str], told: str) -> None:
    done = check(wrong)
    assert done.returncode != 0
    assert told in done.stderr
    value = wrong[told]
    assert len(value) < 20 or value not in done.stderr


@pytest.mark.parametrize(
    ("proxies", "told"),
    [
        ("", "TRUSTED_PROXIES is empty"),
        (" , ", "TRUSTED_PROXIES is empty"),
        ("0.0.0.0/0", "TRUSTED_PROXIES trusts every address"),
        ("127.0.0.1, ::/0", "TRUSTED_PROXIES trusts every address"),
    ],
)
def test_production_is_warned_of_proxies_that_are_not_named(proxies: str, told: str) -> None:
    done = check({"TRUSTED_PROXIES": proxies})
    assert done.returncode == 0
    assert told in done.stderr
    assert told not in check({"TRUSTED_PROXIES": proxies, "APP_ENV": "development"}).stderr


@pytest.mark.parametrize(
    ("store", "told"),
    [
        ({"POSTGRES_URL": "postgresql://iaf@db.example.dz/iaf"}, "PostgreSQL is on another machine, without TLS"),
        ({"POSTGRES_URL": "postgresql://iaf@10.0.0.7/iaf?sslmode=prefer"}, "PostgreSQL is on another machine"),
        ({"REDIS_URL": "redis://cache.example.dz/0"}, "Redis is on another machine, without TLS"),
    ],
)
def test_production_is_warned_of_stores_without_tls(store: dict[str, str], told: str) -> None:
    done = check(store)
    assert done.returncode == 0, done.stderr
    assert told in done.stderr
    assert "without TLS" not in check({**store, "APP_ENV": "development"}).stderr


def test_production_is_not_warned_of_stores_with_tls() -> None:
    stores = {
        "POSTGRES_URL": "postgresql://iaf@db.example.dz/iaf?sslmode=verify-full",
        "REDIS_URL": "rediss://cache.example.dz/0",
    }
    assert "TLS" not in check(stores).stderr


def test_development_makes_its_own_secrets() -> None:
    assert check({"APP_ENV": "development", "API_SECRET_KEY": "", "API_KEY_PEPPER": ""}).returncode == 0


def test_the_second_factor_is_required_unless_said_otherwise() -> None:
    script = "from django.conf import settings; print(settings.STAFF_2FA, settings.SESSION_COOKIE_NAME)"
    environment = {**os.environ, **GOOD, "DJANGO_SETTINGS_MODULE": "iafactory.settings"}
    told = subprocess.check_output([sys.executable, "-c", script], cwd=BASE, env=environment, text=True, timeout=60)
    assert told.split() == ["required", "__Host-sessionid"]
    assert settings.STAFF_2FA == "optional"
