"""What a tree of processes used. CPU is user and system time together; children that have ended count too."""

import socket
import subprocess
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

import psutil

MEGABYTE = 1024 * 1024


@dataclass(frozen=True)
class Memory:
    """Megabytes: resident, and with what processes share divided among them."""

    resident: float
    proportional: float


def tree(pid: int) -> list[psutil.Process]:
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def cpu_seconds(pids: Iterable[int]) -> float:
    total = 0.0
    for pid in pids:
        for process in tree(pid):
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system
                if process.pid == pid:
                    total += times.children_user + times.children_system
    return total


def memory(pids: Iterable[int]) -> Memory:
    found = []
    for pid in pids:
        for process in tree(pid):
            with suppress(psutil.NoSuchProcess):
                found.append(process.memory_full_info())
    return Memory(
        round(sum(each.rss for each in found) / MEGABYTE, 1), round(sum(each.pss for each in found) / MEGABYTE, 1)
    )


def end(process: "subprocess.Popen[bytes]", seconds: float = 45) -> None:
    process.terminate()
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_for_port(port: int, process: "subprocess.Popen[bytes]", seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"nothing listens on port {port} (exit status {process.poll()})")
        time.sleep(0.1)
