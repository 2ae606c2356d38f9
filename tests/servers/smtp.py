"""A mail server of a few lines (RFC 5321, STARTTLS, AUTH PLAIN), on loopback, in a thread."""

import base64
import socket
import ssl
import threading
import time
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from tests.servers.certificates import Certificates

LOGIN = ("bursa", "s3cret")


@dataclass
class Received:
    """One message as it came. `encrypted`: the line was, when it did."""

    sender: str
    to: list[str]
    message: EmailMessage
    encrypted: bool
    user: str

    @property
    def text(self) -> str:
        return str(self.message.get_content())


@dataclass
class MailServer:
    """Takes messages on a free port of loopback.

    security  starttls: offers it and insists on it; tls: from the first byte; none: in clear
    login     insists on LOGIN
    refuses   verb -> reply to give instead of taking it: {"RCPT": "550 no such user"}
    """

    certificates: Certificates | None = None
    security: str = "none"
    login: bool = False
    refuses: dict[str, str] = field(default_factory=dict)
    port: int = 0
    received: list[Received] = field(default_factory=list)

    def __enter__(self) -> "MailServer":
        self.came = threading.Condition()
        self._socket = socket.create_server(("127.0.0.1", self.port))
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        # A listener that is only closed may wait in accept for ever.
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(60)

    def wait(self, count: int, within_s: float = 60.0) -> list[Received]:
        """The messages, once there are so many."""
        until = time.monotonic() + within_s
        with self.came:
            while len(self.received) < count:
                left = until - time.monotonic()
                assert left > 0, f"{len(self.received)} of {count} messages came"
                self.came.wait(left)
            return list(self.received)

    def encrypt(self, line: socket.socket) -> socket.socket:
        assert self.certificates is not None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificates.certificate, self.certificates.key)
        return context.wrap_socket(line, server_side=True)

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self._socket.accept()
            except OSError:
                return
            with line:
                line.settimeout(60)
                try:
                    _Talk(self, line).run()
                except (OSError, ValueError):
                    continue


class _Talk:
    """One connection."""

    def __init__(self, server: MailServer, line: socket.socket) -> None:
        self._server = server
        self._encrypted = server.security == "tls"
        self._line = server.encrypt(line) if self._encrypted else line
        self._file: Any = self._line.makefile("rb")
        self._user = self._sender = ""
        self._to: list[str] = []

    def run(self) -> None:
        try:
            self._listen()
        finally:
            self._file.close()
            self._line.close()

    def _listen(self) -> None:
        self._say("220 here")
        while command := self._file.readline().decode().rstrip("\r\n"):
            verb, _, rest = command.partition(" ")
            verb = verb.upper()
            known = getattr(self, f"_{verb.lower()}", None)
            if verb in self._server.refuses:
                self._say(self._server.refuses[verb])
            elif known is None:
                self._say("502 what?")
            else:
                known(rest)
            if verb == "QUIT":
                return

    def _say(self, text: str) -> None:
        self._line.sendall(text.encode() + b"\r\n")

    def _ehlo(self, _: str) -> None:
        offers = ["STARTTLS"] if self._server.security == "starttls" and not self._encrypted else []
        offers += ["AUTH PLAIN"] if self._server.login else []
        self._say("\r\n".join(["250-here", *(f"250-{one}" for one in offers), "250 8BITMIME"]))

    def _starttls(self, _: str) -> None:
        self._say("220 go on")
        self._file.close()
        self._line = self._server.encrypt(self._line)
        self._file, self._encrypted = self._line.makefile("rb"), True

    def _auth(self, rest: str) -> None:
        _, name, password = base64.b64decode(rest.split()[1]).decode().split("\0")
        self._user = name if (name, password) == LOGIN else ""
        self._say("235 welcome" if self._user else "535 wrong")

    def _mail(self, rest: str) -> None:
        if self._server.security == "starttls" and not self._encrypted:
            self._say("530 encrypt first")
        elif self._server.login and not self._user:
            self._say("530 sign in first")
        else:
            self._sender, self._to = rest.partition("<")[2].partition(">")[0], []
            self._say("250 ok")

    def _rcpt(self, rest: str) -> None:
        self._to.append(rest.partition("<")[2].partition(">")[0])
        self._say("250 ok")

    def _rset(self, _: str) -> None:
        self._say("250 ok")

    def _data(self, _: str) -> None:
        self._say("354 go on")
        lines = []
        while (text := self._file.readline()) != b".\r\n":
            lines.append(text.removeprefix(b"."))
        message = message_from_bytes(b"".join(lines), policy=policy.default)
        assert isinstance(message, EmailMessage)
        with self._server.came:
            found = Received(self._sender, self._to, message, self._encrypted, self._user)
            self._server.received.append(found)
            self._server.came.notify_all()
        self._say("250 taken")

    def _quit(self, _: str) -> None:
        self._say("221 bye")
