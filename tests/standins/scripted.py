"""A server of bare bytes: it says exactly this, cut exactly there."""

import socket
import threading
import time
from contextlib import suppress


class Scripted:
    """Says to each request what comes next in its script, in the pieces given; `None` hangs up."""

    def __init__(self) -> None:
        self.script: list[list[bytes | None]] = []
        self.requests: list[bytes] = []
        self.connections = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.netloc = f"127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                line, _address = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(line,), daemon=True).start()

    def _serve(self, line: socket.socket) -> None:
        # The other end may be gone before all is said.
        with line, suppress(ConnectionError):
            self._answer(line)

    def _answer(self, line: socket.socket) -> None:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while request := line.recv(1 << 20):
            self.requests.append(request)
            for piece in self.script.pop(0):
                if piece is None:
                    return
                line.sendall(piece)
                # Each by itself, as far as that can be had.
                time.sleep(0.01)

    def close(self) -> None:
        self._listening.close()

    def says(self, *pieces: bytes | None) -> None:
        self.script.append(list(pieces))


class Echo(Scripted):
    """Answers each request with its own body."""

    def _answer(self, line: socket.socket) -> None:
        while request := line.recv(1 << 16):
            body = request.partition(b"\r\n\r\n")[2]
            line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
