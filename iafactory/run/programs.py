"""What runs beside what, written as supervisord's configuration.

supervisord starts programs by rising priority and stops them by falling priority, one after the other, so the numbers
below are the contract's order of stopping: web, drainer, Celery, Redis, PostgreSQL.
"""

import os
import shlex
import sys
from dataclasses import dataclass, field

from . import BASE, Workplace, chargily
from .leftovers import PROGRAM_MARK, VAR_MARK
from .postgres import EmbeddedPostgres
from .redis import EmbeddedRedis

STOPPING_ORDER = ("prepare", "web", "drainer", "beat", "worker", "chargily", "redis", "postgres")


@dataclass(frozen=True)
class Program:
    name: str
    command: list[str]
    priority: int
    stop_signal: str = "TERM"
    stop_seconds: int = 20
    user: str | None = None
    log: str | None = None
    once: bool = False
    environment: dict[str, str] = field(default_factory=dict)


def embedded_programs(servers: list[EmbeddedPostgres | EmbeddedRedis]) -> list[Program]:
    return [embedded_program(server) for server in servers]


def embedded_program(server: EmbeddedPostgres | EmbeddedRedis) -> Program:
    if isinstance(server, EmbeddedPostgres):
        # INT is PostgreSQL's fast shutdown; TERM would wait for every client to leave by itself.
        return Program("postgres", server.command, 10, "INT", user=server.system_user, log="postgres.log")
    return Program("redis", server.command, 20, log="redis.log")


def our_programs(place: Workplace) -> list[Program]:
    python = sys.executable
    manage = [python, str(BASE / "manage.py")]
    celery = [python, "-m", "celery", "--app=iafactory", "--quiet"]
    schedule = place.run / "beat-schedule"

    def when_ready(*command: str) -> list[str]:
        return [python, "-m", "iafactory.run.when_ready", str(place.ready), *command]

    standin = []
    if chargily.playing():
        command = chargily.command(manage, place, int(os.environ["CHARGILY_STANDIN_PORT"]))
        # It outlives those who ask it, so that none of them meets a closed door on the way out.
        standin = [Program(chargily.NAME, command, 29)]
    return [
        *standin,
        Program("prepare", [python, "-m", "iafactory.run.prepare"], 25, once=True),
        Program(
            "worker",
            when_ready(*celery, "worker", "--pool=threads", "--concurrency=4", "--loglevel=warning"),
            30,
            # As root it warns of pickle, which we do not accept.
            environment={"PYTHONWARNINGS": "ignore:You're running the worker with superuser"},
        ),
        Program("beat", when_ready(*celery, "beat", f"--schedule={schedule}", "--pidfile=", "--loglevel=warning"), 31),
        Program("drainer", when_ready(*manage, "drain_usage", "--skip-checks"), 40),
        # A web worker lets its calls end for 30 s (gunicorn's graceful_timeout) before it is cut off.
        Program(
            "web",
            when_ready(python, "-m", "gunicorn", "--config=iafactory/gunicorn.py", "iafactory.wsgi"),
            50,
            stop_seconds=40,
        ),
    ]


def configuration(place: Workplace, programs: list[Program]) -> str:
    root = "user=root\n" if os.geteuid() == 0 else ""
    head = (
        f"[supervisord]\nnodaemon=true\nsilent=true\nlogfile={place.log / 'supervisor.log'}\nloglevel=info\n"
        f"pidfile={place.run / 'supervisor.pid'}\ndirectory={BASE}\n{root}"
    )
    return _escaped(head) + "".join(_section(place, program) for program in programs)


def _section(place: Workplace, program: Program) -> str:
    log = place.log / program.log if program.log else "/dev/fd/1"
    marks = {VAR_MARK: str(place.var), PROGRAM_MARK: program.name, **program.environment}
    lines = {
        "command": shlex.join(program.command),
        "priority": program.priority,
        "environment": ",".join(f'{name}="{value}"' for name, value in marks.items()),
        "autorestart": "false" if program.once else "true",
        # Up for a second is up: whatever dies later is started again at once. Before that the supervisor waits
        # 1, 2, 3… seconds between tries, and never gives up.
        "startsecs": 0 if program.once else 1,
        "startretries": 1_000_000,
        "stopsignal": program.stop_signal,
        "stopwaitsecs": program.stop_seconds,
        "redirect_stderr": "true",
        "stdout_logfile": log,
        "stdout_logfile_maxbytes": 0 if not program.log else "10MB",
        "stdout_logfile_backups": 1,
    }
    if program.user:
        lines["user"] = program.user
    body = "".join(f"{name}={value}\n" for name, value in lines.items())
    return _escaped(f"[program:{program.name}]\n{body}")


def _escaped(text: str) -> str:
    # supervisord expands %(…)s in its configuration.
    return text.replace("%", "%%") + "\n"
