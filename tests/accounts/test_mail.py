"""Letters reach a real mail server, encrypted as configured; one that is away is waited for."""

import ssl
import threading
import time
from random import Random
from typing import Any

import pytest

from bursa.accounts import messages, outgoing
from bursa.accounts.mail import ConsoleMail, Security, Server, SmtpMail
from bursa.accounts.outgoing import Outgoing
from bursa.app import SystemClock
from bursa.model.errors import Refuse, Retry
from bursa.ops.back_off import BackOff
from bursa.ops.telemetry import Telemetry
from tests.servers.broker import free_port
from tests.servers.certificates import Certificates
from tests.servers.smtp import LOGIN, MailServer


def mail(server: MailServer, security: Security = "none", login: bool = False) -> SmtpMail:
    user, password = LOGIN if login else ("", "")
    about = Server("127.0.0.1", server.port, security, user, password, "Bursa <no-reply@bursa.id>")
    known = server.certificates
    trust = None if known is None else ssl.create_default_context(cafile=known.authority)
    return SmtpMail(about, SystemClock(), timeout_s=30, trust=trust)


@pytest.mark.parametrize("security", ["none", "starttls", "tls"])
def test_a_letter_arrives_as_it_was_written(security: Security, certificates: Certificates) -> None:
    text = messages.reset("https://bursa.example", "a+b/c", 60)
    with MailServer(certificates, security, login=True) as server:
        mail(server, security, login=True).send("sari@contoh.id", text.subject, text.text)
        (found,) = server.wait(1)
    assert found.encrypted is (security != "none") and found.user == LOGIN[0]
    assert found.sender == "no-reply@bursa.id" and found.to == ["sari@contoh.id"]
    assert found.message["subject"] == text.subject and found.message["date"]
    assert found.message["auto-submitted"] == "auto-generated"
    # Whole, in a line of its own: a link that is folded cannot be opened.
    assert "    https://bursa.example/reset?token=a%2Bb%2Fc" in found.text.splitlines()


def test_what_a_server_says_is_named_by_who_must_act(certificates: Certificates) -> None:
    with MailServer() as server:
        sends = mail(server)
        for verb, reply, kind in [
            ("RCPT", "550 no such user", Refuse),
            ("RCPT", "450 come back later", Retry),
            ("MAIL", "421 too busy", Retry),
            ("DATA", "554 looks like spam", Refuse),
        ]:
            server.refuses = {verb: reply}
            with pytest.raises(kind):
                sends.send("sari@contoh.id", "subject", "text")
        server.refuses = {}
        # What was asked for is not offered, or nobody is let in: nothing goes out in clear.
        with pytest.raises(Refuse, match="STARTTLS"):
            mail(server, "starttls").send("sari@contoh.id", "subject", "text")
        with pytest.raises(Refuse, match="two lines"):
            sends.send("sari@contoh.id\r\nBcc: all@contoh.id", "subject", "text")
        assert not server.received
    with pytest.raises(Retry):
        sends.send("sari@contoh.id", "subject", "text")
    with MailServer(login=True, refuses={"AUTH": "535 wrong"}) as server, pytest.raises(Retry):
        mail(server, login=True).send("sari@contoh.id", "subject", "text")
    with MailServer(certificates, "tls") as strange:
        about = Server("127.0.0.1", strange.port, "tls", "", "", "a@b")
        with pytest.raises(Retry, match=r"(?i)certificate"):
            SmtpMail(about, SystemClock(), timeout_s=30).send("sari@contoh.id", "subject", "text")


def test_a_server_that_is_away_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BackOff, "next_s", lambda self: 0.05)
    telemetry = Telemetry()
    server = MailServer(port=free_port())
    sends = Outgoing(mail(server), telemetry, Random(1))
    sends.start()
    sends.send("sari@contoh.id", "first", "text")
    sends.send("budi@contoh.id", "second", "text")
    until = time.monotonic() + 60
    while not telemetry.mail.labels("tried")._value.get():
        assert time.monotonic() < until
        time.sleep(0.005)
    with server:
        assert {one.message["subject"] for one in server.wait(2)} == {"first", "second"}
        server.refuses = {"RCPT": "550 no such user"}
        sends.send("nobody@contoh.id", "third", "text")
        sends.stop()
    count = telemetry.mail.labels
    assert (count("sent")._value.get(), count("refused")._value.get()) == (2, 1)
    assert count("lost")._value.get() == telemetry.mail_waiting._value.get() == 0
    with pytest.raises(Retry):
        sends.send("sari@contoh.id", "after the stop", "text")
    assert count("lost")._value.get() == 1


def test_nothing_is_lost_uncounted_at_a_stop_or_when_too_much_waits() -> None:
    telemetry = Telemetry()
    sends = Outgoing(Away(), telemetry, Random(1), waiting_max=2)
    for name in "ab":
        sends.send(f"{name}@contoh.id", "subject", "text")
    with pytest.raises(Retry, match="2 messages wait"):
        sends.send("c@contoh.id", "subject", "text")
    sends.start()
    sends.stop()
    assert telemetry.mail.labels("lost")._value.get() == 3


def test_a_server_that_does_not_answer_holds_up_no_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outgoing, "STOP_S", 0.05)
    telemetry, slow = Telemetry(), Slow()
    sends = Outgoing(slow, telemetry, Random(1))
    sends.start()
    for name in "ab":
        sends.send(f"{name}@contoh.id", "subject", "text")
    assert slow.began.wait(60)
    sends.stop()
    # The one under way is none that is known to have arrived; what comes of it counts no more.
    assert telemetry.mail.labels("lost")._value.get() == 2
    slow.go_on.set()
    sends._thread.join(60)
    assert telemetry.mail.labels("sent")._value.get() == 0


class Slow:
    """A mail server that answers when it is told to."""

    def __init__(self) -> None:
        self.began, self.go_on = threading.Event(), threading.Event()

    def send(self, to: str, subject: str, text: str) -> None:
        self.began.set()
        self.go_on.wait(60)


class Away:
    """A mail server that never is there."""

    def send(self, to: str, subject: str, text: str) -> None:
        raise Retry("away")


def test_without_a_server_letters_are_shown(capsys: Any) -> None:
    said: list[str] = []
    ConsoleMail(said.append).send("sari@contoh.id", "Confirm", "a link")
    assert "To: sari@contoh.id\nSubject: Confirm\n\na link" in said[0]
    for text in (messages.verify("u", "t", 24), messages.known("u"), messages.changed("u")):
        assert text.subject and "u" in text.text
