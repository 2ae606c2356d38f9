"""A TCP line between a client and a server that a test can cut and mend: bytes pass unchanged."""

import socket
import threading
from contextlib import suppress
from typing import Any

from tests.servers.broker import free_port


class Line:
    """Listens on a loopback port of its own, passes everything on to another. Use as a context.

    port   the other one
    own    its own, where that must be known before (0: a free one, that nobody is given while
           the line is cut)
    """

    def __init__(self, port: int, own: int = 0) -> None:
        self._upstream = port
        self._links: list[socket.socket] = []
        self._whole = True
        self._listener = socket.create_server(("127.0.0.1", own or free_port()))
        self.port = self._listener.getsockname()[1]
        self._listen()

    def __enter__(self) -> "Line":
        return self

    def __exit__(self, *_: Any) -> None:
        if self._whole:
            self.cut()

    def cut(self) -> None:
        """Break what is connected; nobody connects from now on."""
        self._whole = False
        _end(self._listener)
        for link in self._links:
            _end(link)
        self._links.clear()

    def mend(self) -> None:
        """Take connections again, at the same port."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._whole = True
        self._listen()

    def _listen(self) -> None:
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._upstream), 10)
            except OSError:
                _end(client)  # the server is away: so is the line, for this one
                continue
            server.settimeout(None)
            self._links += [client, server]
            for pair in ((client, server), (server, client)):
                threading.Thread(target=_pass, args=pair, daemon=True).start()


def _pass(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    _end(source)
    _end(target)


def _end(link: socket.socket) -> None:
    with suppress(OSError):
        link.shutdown(socket.SHUT_RDWR)
    link.close()
