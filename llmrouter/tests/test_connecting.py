"""A host with several addresses: one that is dead, in whatever way, does not hide one that answers."""

import select
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest

from llmrouter.errors import Unsent
from llmrouter.providers import connecting
from llmrouter.providers.http import post
from llmrouter.providers.registry import Patience
from tests.standins.scripted import Scripted

from .test_wire import OK, PATIENCE, server
from .test_wire_tls import Tls, tls

__all__ = ["server", "tls"]

Address = tuple[str, int]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def silent(stack: ExitStack) -> Address:
    """An address that swallows packets: the queue of a listening socket is full, so the kernel drops each SYN."""
    listening = stack.enter_context(socket.socket())
    listening.bind(("127.0.0.1", 0))
    listening.listen(0)
    address: Address = listening.getsockname()
    looking = select.poll()
    while True:
        line = stack.enter_context(socket.socket())
        line.setblocking(False)
        line.connect_ex(address)
        looking.register(line, select.POLLOUT)
        # Until one of them does not get through: whether it does is known in microseconds on the loopback.
        if not looking.poll(200):
            return address
        looking.unregister(line)


def refusing(stack: ExitStack) -> Address:
    """Bound and not listening: nothing else takes the port, and each SYN is answered by a reset."""
    line = stack.enter_context(socket.socket())
    line.bind(("127.0.0.1", 0))
    address: Address = line.getsockname()
    return address


def accepting_and_mute(stack: ExitStack) -> Address:
    """Accepts, and says nothing ever after: as a middlebox does for a server that is gone."""
    listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    address: Address = listening.getsockname()
    return address


def resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: Address) -> None:
    """The resolver names these, in this order, whatever is asked for."""
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: found)


def address_of(netloc: str) -> Address:
    host, _, port = netloc.rpartition(":")
    return ("127.0.0.1" if host == "localhost" else host, int(port))


@pytest.mark.parametrize("dead", [silent, refusing])
@pytest.mark.parametrize("times", [1, 3])
def test_dead_first_addresses_do_not_hide_a_good_one(
    dead: Any, times: int, server: Scripted, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_to(monkeypatch, *[dead(stack) for _ in range(times)], address_of(server.netloc))
    server.says(OK)
    assert post(f"http://{server.netloc}/", {}, b"{}", PATIENCE).status == 200


def test_a_silent_address_behind_a_good_one_is_not_even_tried(
    server: Scripted, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_to(monkeypatch, address_of(server.netloc), silent(stack))
    server.says(OK)
    assert post(f"http://{server.netloc}/", {}, b"{}", PATIENCE).status == 200
    assert server.connections == 1


def test_where_all_are_silent_the_call_was_never_sent(
    server: Scripted, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_to(monkeypatch, *[silent(stack) for _ in range(3)])
    quick = Patience(connect=0.6, first_byte=2, idle=1, whole=60, stream=60)
    with pytest.raises(Unsent, match="no_connection"):
        post(f"http://{server.netloc}/", {}, b"{}", quick)


def test_where_all_refuse_the_call_was_never_sent(
    server: Scripted, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_to(monkeypatch, refusing(stack), refusing(stack))
    patient = Patience(connect=3600, first_byte=2, idle=1, whole=3600, stream=60)
    with pytest.raises(Unsent, match="no_connection"):
        post(f"http://{server.netloc}/", {}, b"{}", patient)


@pytest.mark.parametrize("dead", [silent, refusing, accepting_and_mute])
def test_tls_by_the_second_address(dead: Any, tls: Tls, stack: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    tls.be_trusted()
    resolve_to(monkeypatch, dead(stack), address_of(tls.url.split("/")[2]))
    assert post(tls.url, {}, b"{}", PATIENCE).body == b"{}"


def test_a_certificate_of_another_at_every_address_is_told_as_such(tls: Tls, monkeypatch: pytest.MonkeyPatch) -> None:
    address = address_of(tls.url.split("/")[2])
    resolve_to(monkeypatch, address, address)
    with pytest.raises(Unsent, match="tls"):
        post(tls.url, {}, b"{}", PATIENCE)
    assert tls.heard == []


def test_no_socket_of_a_loser_stays_open(server: Scripted, stack: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    dead = silent(stack)
    opened: list[socket.socket] = []
    real, mine = socket.socket, threading.get_ident()

    class Noted(real):  # type: ignore[misc, valid-type]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            # Not those of the server, which accepts in a thread.
            if threading.get_ident() == mine:
                opened.append(self)

    resolve_to(monkeypatch, dead, address_of(server.netloc))
    found = connecting.addresses_of("any", 1)
    monkeypatch.setattr(socket, "socket", Noted)
    line, _left = connecting.connect_first(found, 5)
    with closing(line):
        assert [each is line for each in opened if each.fileno() >= 0] == [True]
    assert len(opened) == 2


def test_the_families_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    six, four = socket.AF_INET6, socket.AF_INET
    found = [(six, 1, 6, "", ("::1", 1)), (six, 1, 6, "", ("::2", 1)), (four, 1, 6, "", ("127.0.0.1", 1))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: found)
    assert [each.at[0] for each in connecting.addresses_of("any", 1)] == ["::1", "127.0.0.1", "::2"]


UNDER_GEVENT = """
from gevent import monkey
monkey.patch_all()
import sys
import gevent
from llmrouter.providers import connecting
from socket import AF_INET
turns = []
other = gevent.spawn(lambda: [(turns.append(1), gevent.sleep(0)) for _ in range(1000)])
addresses = [connecting.Address(AF_INET, ("127.0.0.1", int(port))) for port in sys.argv[1:]]
line, _left = connecting.connect_first(addresses, 5)
print(line.getpeername()[1], len(turns) > 1)
"""


def test_in_a_worker_the_others_run_meanwhile(server: Scripted, stack: ExitStack) -> None:
    """Under gevent, as in production: no wait holds the one thread of the worker."""
    ports = [str(silent(stack)[1]), server.netloc.split(":")[1]]
    ran = subprocess.run([sys.executable, "-c", UNDER_GEVENT, *ports], capture_output=True, text=True, check=False)
    assert ran.stdout.split() == [ports[1], "True"], ran.stderr
