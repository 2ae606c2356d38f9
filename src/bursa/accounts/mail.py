"""Mail to people: one message over SMTP (RFC 5321), or shown on the console where none is set up.

A message is plain text to one address. What is written stands in messages.py; who waits for a
server that is away is outgoing.py.
"""

import smtplib
import ssl
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, make_msgid
from typing import Literal, Protocol

from bursa.model.errors import Refuse, Retry
from bursa.ops.logs import logger
from bursa.ports import Clock

# starttls: begin in clear and encrypt before anything is said (RFC 3207); tls: encrypted from the
# first byte (RFC 8314); none: in clear.
Security = Literal["starttls", "tls", "none"]
TIMEOUT_S = 10.0
_NS = 1_000_000_000
# Replies from here on will be the same next time (RFC 5321, 4.2.1).
_PERMANENT = 500


class Mail(Protocol):
    """Takes messages to people."""

    def send(self, to: str, subject: str, text: str) -> None:
        """Hand over one message. May block, at most for some seconds. Raises Retry where it cannot
        be handed over now, Refuse `mail_refused` where no waiting helps."""


@dataclass(frozen=True)
class Server:
    """A mail server, and who writes. user "": it asks for no login."""

    host: str
    port: int
    security: Security
    user: str
    password: str
    sender: str


class SmtpMail:
    """Messages over SMTP, a connection each: they are few, and servers hang up on idle ones.

    The certificate of the server is checked. Where it offers no encryption that was asked for,
    nothing is sent."""

    def __init__(
        self,
        server: Server,
        clock: Clock,
        *,
        timeout_s: float = TIMEOUT_S,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self._server, self._clock, self._timeout_s = server, clock, timeout_s
        self._trust = trust or ssl.create_default_context()

    def send(self, to: str, subject: str, text: str) -> None:
        """Send one message; see Mail.send."""
        message = composed(self._server.sender, to, subject, text, self._clock.now_ns())
        with self._link() as link:
            link.send_message(message)

    def check(self) -> None:
        """See whether it could be sent by: connect, encrypt, sign in, and leave. Blocks; raises as
        `send`."""
        with self._link() as link:
            link.noop()

    @contextmanager
    def _link(self) -> Iterator[smtplib.SMTP]:
        """The server, signed in at; what goes wrong there is named by who must act."""
        where = f"mail server {self._server.host}:{self._server.port}"
        try:
            with self._open() as link:
                yield link
        except smtplib.SMTPRecipientsRefused as error:
            codes = [code for code, _ in error.recipients.values()]
            raise _named(max(codes, default=0), f"{where} refuses the address") from None
        except smtplib.SMTPAuthenticationError as error:
            # The operator's to put right: until then the message waits.
            raise Retry(f"{where} refuses the login ({error.smtp_code})") from None
        except smtplib.SMTPResponseException as error:
            said = error.smtp_error
            words = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
            raise _named(error.smtp_code, f"{where} says {error.smtp_code} {words}") from None
        except smtplib.SMTPNotSupportedError as error:
            raise Refuse(f"{where}: {error}", "mail_refused", 503) from None
        except (OSError, smtplib.SMTPException) as error:
            raise Retry(f"{where}: {error or type(error).__name__}") from None

    @contextmanager
    def _open(self) -> Iterator[smtplib.SMTP]:
        server = self._server
        if server.security == "tls":
            link: smtplib.SMTP = smtplib.SMTP_SSL(
                server.host, server.port, timeout=self._timeout_s, context=self._trust
            )
        else:
            link = smtplib.SMTP(server.host, server.port, timeout=self._timeout_s)
        with link:
            if server.security == "starttls":
                link.starttls(context=self._trust)
            if server.user:
                link.login(server.user, server.password)
            yield link


def _named(code: int, what: str) -> Exception:
    """A server's refusal by who must act."""
    return Refuse(what, "mail_refused", 503) if code >= _PERMANENT else Retry(what)


class ConsoleMail:
    """Messages written to standard error: what a developer has instead of a mail server."""

    def __init__(self, write: Callable[[str], object] | None = None) -> None:
        self._write = write or _to_standard_error
        self._log = logger("mail")

    def send(self, to: str, subject: str, text: str) -> None:
        """Show one message."""
        self._log.info("mail is shown here, for mail.host names no server", to=to)
        self._write(f"\nTo: {to}\nSubject: {subject}\n\n{text}\n")


def _to_standard_error(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


def composed(sender: str, to: str, subject: str, text: str, now_ns: int) -> EmailMessage:
    """The message as it is sent (RFC 5322). Refuse `mail_refused` where an address or the subject
    could not stand in a header."""
    message = EmailMessage(policy=SMTP)
    try:
        message["From"] = sender
        message["To"] = to
        message["Subject"] = subject
    except ValueError:
        raise Refuse("an address or a subject of two lines", "mail_refused", 503) from None
    message["Date"] = formatdate(now_ns / _NS)
    message["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2].strip("> ") or "localhost")
    # Programs that answer mail by themselves (RFC 3834) leave this one alone.
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text)
    return message
