"""Configuration: strength of the sources, and refusals that name path and what is allowed."""

from pathlib import Path

import pytest

from bursa import config
from bursa.config.sources import SoupBin
from bursa.model.errors import Refuse


def test_flags_beat_environment_beats_file_beats_default(tmp_path: Path) -> None:
    file = tmp_path / "bursa.toml"
    file.write_text("[http]\nport = 1\n[rings]\ndepth = 100\n[log]\nlevel = 'error'\n")
    environment = {"BURSA_HTTP_PORT": "2", "BURSA_LOG_LEVEL": "debug", "BURSA_CONFIG": str(file)}
    loaded = config.load({"http.port": 3, "data": None}, environment)
    assert loaded.config.http.port == 3
    assert loaded.config.log.level == "debug"
    assert loaded.config.rings.depth == 100
    assert loaded.config.data == "data"
    origins = {path: origin for path, _, origin in config.rows(loaded)}
    assert origins["http.port"] == "flag"
    assert origins["log.level"] == "environment BURSA_LOG_LEVEL"
    assert origins["rings.depth"] == f"file {file}"
    assert origins["data"] == "default"


@pytest.mark.parametrize(
    ("flags", "environment", "path", "words"),
    [
        ({"http.port": 65536}, {}, "http.port", "<= 65535"),
        ({}, {"BURSA_HTTP_PORT": "eighty"}, "http.port", "Expected `int`"),
        ({}, {"BURSA_ACCOUNTS_LIMITS": "memcached://h"}, "accounts.limits", "memory, or redis"),
        ({}, {"BURSA_HTTP_PROT": "80"}, "BURSA_HTTP_PROT", "did you mean BURSA_HTTP_PORT"),
        ({}, {"BURSA_IDX_ORDERBOOK_STORE": "0s"}, "idx.orderbook.store", "all, off, or Ns"),
        ({}, {"BURSA_LOG_LEVEL": "loud"}, "log.level", "debug, info, warning, error"),
        ({"http.prot": 1}, {}, "http.prot", "did you mean http.port"),
        ({}, {"BURSA_FEEDS_MAIN_VENUE": "idx"}, "feeds.main.idxdata", "is missing"),
        ({"feeds.Main.venue": "idx"}, {}, "feeds", "regex"),
        (
            {"feeds.main.venue": "x", "feeds.main.idxdata": "h:1", "feeds.main.itchdata": "h:2"},
            {},
            "feeds.main.venue",
            "allowed: idx",
        ),
    ],
)
def test_a_wrong_value_is_refused_with_its_path_and_what_is_allowed(
    flags: dict[str, object], environment: dict[str, str], path: str, words: str
) -> None:
    with pytest.raises(Refuse) as refused:
        config.load(flags, environment)
    assert refused.value.parameter == path
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("cap", "keep", "said"),
    [(0.0, 0.5, "recovery needs"), (2.0, 3.0, "retention.disk_gb"), (0.0, 1.5, ""), (3, 2.5, "")],
)
def test_limits_of_the_journal_that_cannot_be_kept_are_refused(
    cap: float, keep: float, said: str
) -> None:
    flags = {"journal.keep_gb": keep, "retention.disk_gb": cap}
    if not said:
        assert config.load(flags, {}).config.journal.keep_gb == keep
        return
    with pytest.raises(Refuse, match=said) as refused:
        config.load(flags, {})
    assert refused.value.parameter == "journal.keep_gb"


def test_the_file_is_refused_when_it_is_not_there_or_not_toml(tmp_path: Path) -> None:
    with pytest.raises(Refuse, match="cannot be read"):
        config.load({}, {}, str(tmp_path / "none.toml"))
    (tmp_path / "bad.toml").write_text("[http\n")
    with pytest.raises(Refuse, match="not TOML"):
        config.load({}, {}, str(tmp_path / "bad.toml"))
    (tmp_path / "typo.toml").write_text("[htp]\nport = 1\n")
    with pytest.raises(Refuse, match="htp: no such setting; did you mean http"):
        config.load({}, {}, str(tmp_path / "typo.toml"))


def test_variables_of_the_tests_are_ignored() -> None:
    config.load({}, {"BURSA_SHARED_DATA": "x", "BURSA_REQUIRE_SERVERS": "1", "PATH": "y"})


def test_secrets_are_masked_and_every_value_has_a_meaning() -> None:
    source = {"VENUE": "idx", "IDXDATA": "h:1", "ITCHDATA": "h:2", "PASSWORD": "hunter2"}
    loaded = config.load({}, {f"BURSA_FEEDS_MAIN_{k}": v for k, v in source.items()})
    found = loaded.config.feeds["main"]
    assert isinstance(found, SoupBin) and found.password == "hunter2"
    assert "hunter2" not in str(config.rows(loaded))
    folder = config.load({"accounts.secrets": "/srv/kept", "mail.password": "hunter2"}, {})
    shown = {path: value for path, value, _ in config.rows(folder)}
    assert shown["accounts.secrets"] == "/srv/kept", "where they lie is none"
    assert shown["mail.password"] == "********"
    assert all(meaning for _, _, meaning in config.leaves())


@pytest.mark.parametrize("password", ["p@ss", "p/ss@", "p#ss", "p?ss", "p ss"])
def test_a_password_that_would_be_read_as_another_host_is_refused(password: str) -> None:
    for path, start in (("database", "postgresql://bursa"), ("limits", "rediss://")):
        with pytest.raises(Refuse, match="%40") as refused:
            config.load({f"accounts.{path}": f"{start}:{password}@h:1/0"}, {})
        assert refused.value.parameter == f"accounts.{path}" and password not in str(refused.value)


def test_urls_of_servers_have_many_forms() -> None:
    word = "p%40ss%2F:1"
    for url in (
        f"postgresql://bursa:{word}@h:1/x?sslmode=verify-full&sslrootcert=/a/b.pem",
        "postgres://a,b:2/x",
        "postgresql:///x?host=/run/postgresql&user=bursa",
        "postgresql://[::1]:5432/x",
    ):
        shown = {path: v for path, v, _ in config.rows(config.load({"accounts.database": url}, {}))}
        assert "p%40" not in shown["accounts.database"]
    for url in ("redis://h", f"valkeys://user:{word}@h:1/0", f"redis://:{word}@[::1]:6379/1"):
        assert config.load({"accounts.limits": url}, {}).config.accounts.limits == url


def test_every_variable_names_one_value() -> None:
    names = [config.variable(path) for path, _, _ in config.leaves()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("port", ["0", "65536", "99999"])
def test_an_endpoint_without_a_port_that_can_be_is_refused_with_its_path(port: str) -> None:
    source = {"VENUE": "idx", "IDXDATA": "h:65535", "ITCHDATA": f"h:{port}"}
    with pytest.raises(Refuse, match="allowed: 1 to 65535; given by environment") as refused:
        config.load({}, {f"BURSA_FEEDS_MAIN_{k}": v for k, v in source.items()})
    assert refused.value.parameter == "feeds.main.itchdata"


def test_lists_come_from_the_environment_with_commas_or_blanks() -> None:
    for text in ("ema_9,rsi_7", "ema_9 rsi_7", " ema_9, rsi_7 "):
        loaded = config.load({}, {"BURSA_METRICS_EXTRA": text})
        assert loaded.config.metrics.extra == ("ema_9", "rsi_7")
    assert config.load({}, {"BURSA_METRICS_EXTRA": ""}).config.metrics.extra == ()
