"""Processes that outlived their supervisor: a `kill -9` of it leaves its children running and holding the ports."""

import signal
from collections.abc import Iterator
from pathlib import Path

import psutil

# Every program is started with these two, and its children inherit them: that is how leftovers are known as ours.
VAR_MARK = "IAFACTORY_VAR"
PROGRAM_MARK = "IAFACTORY_PROGRAM"
SERVERS = ("postgres", "redis")


def stop_leftovers(var: Path, stopping_order: tuple[str, ...], grace: float = 20) -> list[str]:
    """Stop what an earlier run of this checkout left, program by program; the names of those found."""
    found = []
    for program in stopping_order:
        processes = list(processes_of(var, program))
        if not processes:
            continue
        found.append(program)
        # PostgreSQL's word for "end the sessions and stop" is SIGINT; SIGTERM would wait for every client.
        # Only the roots are told: a gunicorn master or a postmaster knows best how to end its own children.
        family = {process.pid for process in processes}
        for process in processes:
            if parent_of(process) not in family:
                _signal(process, signal.SIGINT if program == "postgres" else signal.SIGTERM)
        _gone, alive = psutil.wait_procs(processes, timeout=grace)
        for process in alive:
            _signal(process, signal.SIGKILL)
        psutil.wait_procs(alive, timeout=5)
    return found


def processes_of(var: Path, program: str) -> Iterator[psutil.Process]:
    """The running processes of one program of this checkout."""
    for process in psutil.process_iter():
        try:
            if program in SERVERS:
                # A database server writes its title over its environment; where its data are is on its command line.
                ours = is_server(process.cmdline(), program, var)
            else:
                environment = process.environ()
                ours = (environment.get(VAR_MARK), environment.get(PROGRAM_MARK)) == (str(var), program)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        if ours:
            yield process


def is_server(command: list[str], program: str, var: Path) -> bool:
    binary = {"postgres": "postgres", "redis": "redis-server"}[program]
    data = {"postgres": str(var / "postgres"), "redis": str(var / "redis" / "redis.conf")}[program]
    return bool(command) and Path(command[0]).name == binary and data in command


def parent_of(process: psutil.Process) -> int | None:
    try:
        return int(process.ppid())
    except psutil.NoSuchProcess:
        return None


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return
