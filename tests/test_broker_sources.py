"""Brokers as configured sources: their tables, their feeds, what is said of them."""

import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bursa import sources
from bursa.config import load, rows
from bursa.model.errors import Refuse
from bursa.verbs import doctor
from bursa.verbs.capture import Wanted, run_capture

AMQP = {"type": "amqp", "venue": "idx", "endpoint": "127.0.0.1:5672"}
KAFKA = {"type": "kafka", "venue": "idx", "endpoints": "127.0.0.1:9092, localhost:9093"}
SOUP = {"venue": "xnas", "itch": "127.0.0.1:5001"}


def said(table: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {f"feeds.main.{key}": value for key, value in (table | more).items()}


@pytest.mark.parametrize(
    ("table", "path", "what"),
    [
        (AMQP | {"endpoint": "nowhere"}, "feeds.main.endpoint", "matching regex"),
        (AMQP | {"endpoint": "a:70000"}, "feeds.main.endpoint", "1 to 65535"),
        (AMQP | {"venue": "xnas"}, "feeds.main.venue", "idx"),
        (AMQP | {"prefetch": 0}, "feeds.main.prefetch", ">= 1"),
        (AMQP | {"idxdata_topic": "a"}, "feeds.main.idxdata_topic", "no such setting"),
        (KAFKA | {"endpoints": "a:1, b"}, "feeds.main.endpoints", "matching regex"),
        (KAFKA | {"endpoints": "a:1, b:0"}, "feeds.main.endpoints", "1 to 65535"),
        (KAFKA | {"sasl": "GSSAPI"}, "feeds.main.sasl", "SCRAM-SHA-512"),
        (KAFKA | {"sasl": "PLAIN", "user": "a"}, "feeds.main.sasl", "a user and a password"),
        (KAFKA | {"user": "a", "password": "b"}, "feeds.main.user", "without sasl"),
        (SOUP | {"user": "müller"}, "feeds.main.user", "not ASCII"),
        (SOUP | {"password": "geheimß"}, "feeds.main.password", "not ASCII"),
    ],
)
def test_a_wrong_table_is_refused_by_its_key(table: dict[str, Any], path: str, what: str) -> None:
    with pytest.raises(Refuse) as refusal:
        load(said(table), {})
    assert refusal.value.parameter == path
    assert what in str(refusal.value) and "geheim" not in str(refusal.value)


def test_passwords_are_masked_and_come_by_their_variable() -> None:
    loaded = load(
        said(KAFKA, user="abc", sasl="PLAIN"), {"BURSA_FEEDS_MAIN_PASSWORD": "secret-word"}
    )
    told = {path: value for path, value, _ in rows(loaded)}
    assert told["feeds.main.password"] == "********"
    assert told["feeds.main.user"] == "abc"
    feed = sources.feeds(loaded.config)["idx"][0]
    assert "secret-word" not in repr(vars(feed))


@pytest.mark.parametrize(
    ("table", "module", "extra"), [(AMQP, "aio_pika", "amqp"), (KAFKA, "aiokafka", "kafka")]
)
def test_a_driver_that_is_not_installed_is_named(
    table: dict[str, Any], module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load(said(table), {}).config
    assert [feed.name for feed in sources.feeds(config)["idx"]] == ["main"]
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules, f"bursa.feeds.{extra}")
    with pytest.raises(Refuse, match=rf"{module} is not installed: pip install 'bursa\[{extra}\]'"):
        sources.feeds(config)


def test_authorities_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    for file, what in ((tmp_path / "none.pem", "No such file"), (tmp_path / "odd.pem", "")):
        if not what:
            file.write_text("no certificate")
        config = load(said(AMQP, tls=True, ca_file=str(file)), {}).config
        with pytest.raises(Refuse, match=rf"feeds.main.ca_file: {file}: {what}"):
            sources.feeds(config)


def test_the_doctor_looks_at_library_and_brokers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as there, socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # nobody listens
        ports = there.getsockname()[1], held.getsockname()[1]
        text = ", ".join(f"127.0.0.1:{port}" for port in ports)
        findings = list(doctor.sources(load(said(KAFKA, endpoints=text), {}).config))
    assert [(one.name, one.state) for one in findings] == [
        ("feeds.main.type", "ok"),
        ("feeds.main.endpoints", "ok"),
        ("feeds.main.endpoints", "bad"),
    ]
    assert "aiokafka is installed" in findings[0].fact


def test_a_capture_takes_nothing_out_of_a_brokers_queue(tmp_path: Path) -> None:
    config = load(said(AMQP), {}).config
    wanted = Wanted(tmp_path / "a.bin", feed="main")
    console = Console()
    with pytest.raises(Refuse, match="allowed types: soupbin") as refusal:
        run_capture(config, wanted, say=console, warn=console)
    assert refusal.value.code == "no_capture"
    assert not list(tmp_path.iterdir())
