"""Where PostgreSQL and Redis are: their addresses, with every option in them, as Django's, Celery's and our own clients
want them. An option that is given and cannot be honoured is an error, never dropped."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from django.core.exceptions import ImproperlyConfigured
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

LOCAL_HOSTS = ("", "localhost", "127.", "::1", "/", "@")
# What Celery's client of Redis reads from its transport options instead of the address.
BROKER_OPTIONS = ("socket_timeout", "socket_connect_timeout", "health_check_interval")


def postgres_settings(url: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Django's settings of a database at `url`, in any form that libpq takes. `options` are the product's own; those in
    the address win over them, and its `options` (`-c name=value`) are added to ours."""
    given = _libpq(url)
    place = {django: given.pop(libpq, "") for django, libpq in DJANGO_NAMES.items()}
    merged = {**options, **given}
    if "options" in given and "options" in options:
        # PostgreSQL takes the last one of a name.
        merged["options"] = f"{options['options']} {given['options']}"
    return {
        "ENGINE": "django.db.backends.postgresql",
        **place,
        # As libpq has it.
        "NAME": place["NAME"] or place["USER"],
        "OPTIONS": merged,
    }


DJANGO_NAMES = {"NAME": "dbname", "USER": "user", "PASSWORD": "password", "HOST": "host", "PORT": "port"}


def _libpq(url: str) -> dict[str, Any]:
    try:
        return dict(conninfo_to_dict(url))
    except ProgrammingError as error:
        # libpq's sentence may hold parts of the address, and so of the password.
        found = re.search(r'invalid URI query parameter: "(\w+)"', str(error))
        why = f"PostgreSQL knows no option “{found[1]}”" if found else "it cannot be read"
        raise ImproperlyConfigured(
            f"POSTGRES_URL is wrong: {why}. It looks like postgresql://user:password@host:5432/database?sslmode=require,"
            " with special characters of the password in percent form (@ is %40)."
        ) from None


def postgres_goes_in_the_clear(settings: Mapping[str, Any], environment: Mapping[str, str]) -> bool:
    """Whether a connection to another machine may go without TLS. libpq's own default falls back to none."""
    hosts = str(settings.get("HOST", "")).split(",") + str(settings["OPTIONS"].get("hostaddr", "")).split(",")
    mode = settings["OPTIONS"].get("sslmode") or environment.get("PGSSLMODE", "")
    return any(not is_local(host) for host in hosts) and mode not in ("require", "verify-ca", "verify-full")


def redis_goes_in_the_clear(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "redis" and not is_local(parts.hostname or "")


def is_local(host: str) -> bool:
    """This machine: the loopback, or a Unix socket."""
    return host == "" or host.startswith(LOCAL_HOSTS[1:])


def redis_database(url: str, number: int) -> str:
    """The same server, `number` databases on: the money has the configured one for itself."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    is_socket = parts.scheme == "unix"
    # redis-py prefers `?db=` to the path.
    own = query.pop("db", "") or ("" if is_socket else parts.path.strip("/")) or "0"
    if not own.isdecimal():
        raise ImproperlyConfigured("REDIS_URL must end in the number of a database, such as redis://host:6379/0.")
    database = str(int(own) + number)
    if is_socket:
        query["db"] = database
        # Not by geturl(), which drops an empty host: unix:/run is no address to redis-py.
        return f"unix://{parts.netloc}{parts.path}?{urlencode(query)}"
    return parts._replace(path=f"/{database}", query=urlencode(query)).geturl()


def celery_broker(url: str) -> tuple[str, dict[str, float]]:
    """The address and the transport options for Celery, whose client spells both in its own way."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    options = {name: float(query[name]) for name in BROKER_OPTIONS if name in query}
    if parts.scheme == "unix":
        login, _, _host = parts.netloc.rpartition("@")
        login = f"{login}@" if login else ""
        return f"redis+socket://{login}{parts.path}?virtual_host={query.get('db', '0')}", options
    tls = {name: value for name, value in query.items() if name.startswith("ssl_")}
    if parts.scheme == "rediss":
        # Without a word about it Celery checks no certificate; redis-py, for everything else, does.
        tls.setdefault("ssl_cert_reqs", "required")
    return parts._replace(query=urlencode(tls)).geturl(), options
