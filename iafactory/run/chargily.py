"""Chargily played on this machine, where development has no key of the real one: a newcomer can buy in the browser."""

import os
import secrets
from pathlib import Path

from iafactory.env import Env, read_env_file

from . import Workplace

NAME = "chargily"


def wanted(env: Env) -> bool:
    """Never in production, never beside a key or an address that somebody chose."""
    chosen = env.text("CHARGILY_SECRET_KEY") or env.text("CHARGILY_BASE_URL") or env.text("CHARGILY_MODE") == "live"
    return env.text("APP_ENV") != "production" and not chosen


def settings_of(place: Workplace, port: int) -> dict[str, str]:
    """What the product is told. The key is of this checkout, so that webhooks sent before a restart stay valid."""
    key = read_env_file(place.standin_env).get("CHARGILY_SECRET_KEY") or f"test_sk_{secrets.token_hex(20)}"
    return {"CHARGILY_SECRET_KEY": key, "CHARGILY_BASE_URL": f"http://127.0.0.1:{port}/test/api/v2"}


def command(manage: list[str], place: Workplace, port: int) -> list[str]:
    checkouts: Path = place.var / "chargily.json"
    return [*manage, "chargily_standin", f"--port={port}", f"--file={checkouts}"]


def playing() -> bool:
    return bool(os.environ.get("CHARGILY_STANDIN_PORT"))
