"""Connect to a host that has several addresses ("happy eyeballs", RFC 8305).

An address that swallows packets (a broken IPv6 route, a machine that is gone) must not use up the time of the others:
the next address is tried after a quarter of a second, or at once when one refuses; the first that connects wins.
"""

import os
import select
import socket
import time
from itertools import chain, zip_longest
from typing import Any, NamedTuple

# RFC 8305, section 5: the recommended delay between two attempts.
NEXT_AFTER_SECONDS = 0.25


class Address(NamedTuple):
    family: int
    at: Any


def addresses_of(host: str, port: int) -> list[Address]:
    """In the order of the resolver, its families in turn: a family that is broken as a whole costs one delay."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    families: dict[int, list[Address]] = {}
    for family, _kind, _protocol, _name, at in found:
        families.setdefault(family, []).append(Address(family, at))
    return [each for each in chain.from_iterable(zip_longest(*families.values())) if each is not None]


def connect_first(addresses: list[Address], seconds: float) -> tuple[socket.socket, list[Address]]:
    """The first connection that stands, and the addresses that are left if it turns out to be of no use. Raises
    `OSError`; no socket of a loser stays open."""
    race = Race(addresses, seconds)
    try:
        return race.run()
    finally:
        race.close()


class Race:
    """Attempts under way, by the descriptors of their sockets."""

    def __init__(self, addresses: list[Address], seconds: float) -> None:
        self._waiting = list(addresses)
        self._running: dict[int, tuple[socket.socket, Address]] = {}
        self._until = time.monotonic() + seconds
        self._next_at = 0.0
        self._error: OSError = TimeoutError("timed out")

    def run(self) -> tuple[socket.socket, list[Address]]:
        while self._waiting or self._running:
            now = time.monotonic()
            if now >= self._until:
                raise TimeoutError("timed out")
            if self._waiting and (now >= self._next_at or not self._running):
                self._next_at = now + NEXT_AFTER_SECONDS
                self._start(self._waiting.pop(0))
            if (winner := self._winner()) is not None:
                # Those that were slower may still do, for whoever finds this one of no use.
                return winner, [each for _line, each in self._running.values()] + self._waiting
        raise self._error

    def _start(self, address: Address) -> None:
        try:
            line = socket.socket(address.family, socket.SOCK_STREAM)
        except OSError as error:
            # This machine has no such family.
            self._error, self._next_at = error, 0.0
            return
        line.setblocking(False)
        self._running[line.fileno()] = (line, address)
        try:
            line.connect(address.at)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(line.fileno(), error)

    def _winner(self) -> socket.socket | None:
        """Wait for news, at most until the next attempt is due."""
        if not self._running:
            return None
        until = min(self._until, self._next_at) if self._waiting else self._until
        looking = select.poll()
        for number in self._running:
            looking.register(number, select.POLLOUT)
        for number, _event in looking.poll(max(0.0, until - time.monotonic()) * 1000):
            line, _address = self._running[number]
            if trouble := line.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                self._lose(number, OSError(trouble, os.strerror(trouble)))
            else:
                del self._running[number]
                return line
        return None

    def _lose(self, number: int, error: OSError) -> None:
        # The delay is for an address that says nothing; after a refusal the next one is tried at once.
        self._error, self._next_at = error, 0.0
        self._running.pop(number)[0].close()

    def close(self) -> None:
        for line, _address in self._running.values():
            line.close()
        self._running.clear()
