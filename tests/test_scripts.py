"""Where a release's backports lie is found in the sources that a machine has."""

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "backports"
STANZAS = """\
# the release
Types: deb deb-src
# said by somebody
URIs: https://one.example/debian
 https://two.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mQINBA
 -----END PGP PUBLIC KEY BLOCK-----

Types: deb
URIs: https://off.example/debian
Suites: bookworm
Components: main
Enabled: no

types: deb
uris: https://low.example/debian
suites:
 bookworm
components: main

Types: deb
URIs: https://security.example/debian
Suites: bookworm-security
Components: main
"""
MADE = """\
Types: deb
Suites: bookworm-backports
URIs: https://one.example/debian
 https://two.example/debian
Components: main contrib
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mQINBA
 -----END PGP PUBLIC KEY BLOCK-----

Types: deb
Suites: bookworm-backports
uris: https://low.example/debian
components: main

"""
LINES = """\
# deb https://said.example/debian bookworm main
deb https://one.example/debian bookworm main contrib
deb [arch=amd64 signed-by=/k.gpg] https://two.example/debian bookworm main
deb [ arch=amd64 ] https://three.example/debian bookworm contrib main
deb-src https://one.example/debian bookworm main
deb https://security.example/debian bookworm-security main
deb https://other.example/debian bookworm stable
deb [broken
"""
MADE_LINES = """\
deb https://one.example/debian bookworm-backports main contrib
deb [arch=amd64 signed-by=/k.gpg] https://two.example/debian bookworm-backports main
deb [ arch=amd64 ] https://three.example/debian bookworm-backports contrib main
"""


@pytest.fixture
def apt(tmp_path: Path) -> Path:
    (tmp_path / "apt" / "sources.list.d").mkdir(parents=True)
    (tmp_path / "parts").mkdir()
    return tmp_path / "apt"


def made(apt: Path, release: str) -> dict[str, str]:
    parts = apt.parent / "parts"
    subprocess.run(["sh", SCRIPT, apt, release, parts], check=True, timeout=60)
    return {file.name: file.read_text() for file in sorted(parts.iterdir())}


def test_of_either_form_one_more_list_is_made_beside_those_there_are(apt: Path) -> None:
    folder = apt / "sources.list.d"
    (folder / "debian.sources").write_text(STANZAS)
    (folder / "other.list").write_text("deb https://four.example/debian bookworm main\n")
    (folder / "off.list.disabled").write_text("deb https://five.example/debian bookworm main\n")
    (apt / "sources.list").write_text(LINES)
    four = "deb https://four.example/debian bookworm-backports main\n"
    assert made(apt, "bookworm") == {
        "debian.sources": STANZAS,
        "other.list": "deb https://four.example/debian bookworm main\n",
        "zz-bursa-backports.list": four + MADE_LINES,
        "zz-bursa-backports.sources": MADE,
    }


@pytest.mark.parametrize("release", ["trixie", ""])
def test_of_another_release_or_none_there_is_none(apt: Path, release: str) -> None:
    assert made(apt, release) == {}
    (apt / "sources.list.d" / "debian.sources").write_text(STANZAS)
    (apt / "sources.list").write_text(LINES)
    assert made(apt, release) == {"debian.sources": STANZAS}


@pytest.mark.skipif(shutil.which("dash") is None, reason="no dash: sh may be another one")
def test_the_scripts_are_plain_sh() -> None:
    for script in SCRIPT.parent.iterdir():
        if script.is_file() and script.read_text().startswith("#!/bin/sh"):
            subprocess.run(["dash", "-n", script], check=True, timeout=60)
