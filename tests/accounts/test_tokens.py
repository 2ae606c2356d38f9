"""Tokens are ours or refused; keys rotate while old ones hold; secrets are their owner's."""

import base64
import hashlib
import hmac
import json
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from bursa.accounts import tokens as made_of
from bursa.accounts.csrf import matches, token
from bursa.accounts.secrets import Secrets, has_secrets, made_s
from bursa.accounts.tokens import AUDIENCE, ISSUER, LIFE_S, REFRESH_S, Tokens
from bursa.accounts.who import EVERYTHING, Principal
from bursa.model.errors import Refuse
from tests.accounts.office import NOW_NS, S, refused

WHO = Principal("usr_1", "a@x.test", "user", "key", EVERYTHING, key="key_1", machine="mch_1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of secrets with one signing key."""
    made = tmp_path_factory.mktemp("made") / "secrets"
    Secrets(made, NOW_NS)
    return made


def payload(text: str) -> dict[str, Any]:
    part = text.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


def test_a_token_says_who_it_is_for_and_is_read_by_every_process(folder: Path) -> None:
    ours, theirs = Tokens(Secrets(folder, NOW_NS)), Tokens(Secrets(folder, NOW_NS))
    text = ours.issue(WHO, NOW_NS)
    said = payload(text)
    assert set(said) == {
        *("sub", "iss", "aud", "tier", "key_id", "machine_id", "iat", "exp", "jti"),
    }
    assert (said["iss"], said["aud"], said["exp"] - said["iat"]) == (ISSUER, AUDIENCE, 900)
    assert said["jti"] != payload(ours.issue(WHO, NOW_NS))["jti"]
    header = jwt.get_unverified_header(text)
    assert (header["alg"], header["kid"]) == ("RS256", Secrets(folder, NOW_NS).kid)
    for reader in (theirs, theirs, ours):  # remembered the second time
        claims = reader.read(text, NOW_NS)
        assert (claims.user, claims.key, claims.machine, claims.tier) == (
            *("usr_1", "key_1", "mch_1", "enterprise"),
        )


def test_it_ends_after_a_quarter_of_an_hour_and_is_refreshed_for_an_hour(folder: Path) -> None:
    ours = Tokens(Secrets(folder, NOW_NS))
    text = ours.issue(WHO, NOW_NS)
    ours.read(text, NOW_NS + LIFE_S * S - 1)
    for reader in (ours, Tokens(Secrets(folder, NOW_NS))):
        with refused("token_expired", 401):
            reader.read(text, NOW_NS + LIFE_S * S)
        reader.read(text, NOW_NS + REFRESH_S * S - 1, late=True)
        with refused("token_expired", 401):
            reader.read(text, NOW_NS + REFRESH_S * S, late=True)
    ours.read(text, NOW_NS - 30 * S)
    with refused("token_invalid", 401):
        ours.read(text, NOW_NS - 31 * S)


def test_what_we_did_not_sign_is_refused(folder: Path) -> None:
    kept = Secrets(folder, NOW_NS)
    ours, good = Tokens(kept), Tokens(kept).issue(WHO, NOW_NS)
    head, body, signature = good.split(".")
    claims = payload(good)
    private, kid = kept.signing[kept.kid], kept.kid
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    def signed(key: Any = private, alg: str = "RS256", names: str | None = kid, **said: Any) -> str:
        left = {name: value for name, value in {**claims, **said}.items() if value is not None}
        return jwt.encode(left, key, alg, {"kid": names})

    confused = f"{part({'alg': 'HS256', 'typ': 'JWT', 'kid': kid})}.{body}"
    mac = base64.urlsafe_b64encode(hmac.digest(public, confused.encode(), hashlib.sha256))
    forged = {
        "nothing": "",
        "no token": "abc",
        "too long": good + "A" * 5000,
        "not ASCII": f"{head}.{body}.é",
        "changed": f"{head}.{part({**claims, 'sub': 'usr_2'})}.{signature}",
        "unsigned": f"{part({'alg': 'none', 'kid': kid})}.{body}.",
        "HMAC by the public key": f"{confused}.{mac.rstrip(b'=').decode()}",
        "another key": signed(other),
        "another algorithm of the key": signed(alg="RS512"),
        "PSS of the key": signed(alg="PS256"),
        "unknown kid": signed(names="20261120T000000-00000000"),
        "kid that is a path": signed(names="../../etc/passwd"),
        "kid of another type": f"{part({'alg': 'RS256', 'kid': [kid]})}.{body}.{signature}",
        "another issuer": signed(iss="somebody"),
        "another audience": signed(aud="somebody"),
        "several audiences": signed(aud=[AUDIENCE, "somebody"]),
        "without user": signed(sub=None),
        "user is a number": signed(key_id=7),
        "ends as text": signed(exp="9999999999"),
        "ends as a fraction": signed(exp=9999999999.5),
        "without end": signed(exp=None),
        "critical header": jwt.encode(
            claims, private, "RS256", {"kid": kid, "crit": ["x"], "x": 1}
        ),
    }
    for what, text in forged.items():
        with pytest.raises(Refuse) as why:
            ours.read(text, NOW_NS)
        assert (why.value.code, why.value.status) == ("token_invalid", 401), what
    assert ours.read(signed(), NOW_NS).user == "usr_1"


def test_a_new_key_signs_and_the_old_one_verifies_until_its_tokens_are_over(
    tmp_path: Path,
) -> None:
    kept = Secrets(tmp_path / "secrets", NOW_NS)
    ours, theirs = Tokens(kept), Tokens(Secrets(tmp_path / "secrets", NOW_NS))
    old, first = ours.issue(WHO, NOW_NS), kept.kid
    second = ours.rotate(NOW_NS)  # within the same second: it is the newer one all the same
    assert made_s(second) == made_s(first) + 1
    new = ours.issue(WHO, NOW_NS)
    assert jwt.get_unverified_header(new)["kid"] == second == kept.kid
    assert [key["kid"] for key in ours.jwks()["keys"]] == [second, first]
    with refused("token_invalid"):
        theirs.read(new, NOW_NS)  # it looked at the folder less than a second ago
    assert theirs.read(new, NOW_NS + S).jti == payload(new)["jti"]
    assert theirs.read(old, NOW_NS + S) == ours.read(old, NOW_NS + S)
    assert ours.retire(NOW_NS + REFRESH_S * S) == []
    gone_ns = NOW_NS + (REFRESH_S + 62) * S
    assert ours.retire(gone_ns) == [first]
    assert [path.name for path in kept.folder.glob("*.pem")] == [f"signing-{second}.pem"]
    for reader in (ours, theirs):
        reader._secrets.reread(gone_ns)
        with refused("token_invalid"):
            reader.read(old, NOW_NS)
    assert ours.retire(gone_ns + 10 * REFRESH_S * S) == [], "the one that signs stays"


def test_the_public_keys_verify_for_anybody(folder: Path) -> None:
    ours = Tokens(Secrets(folder, NOW_NS))
    (key,) = ours.jwks()["keys"]
    assert set(key) == {"kty", "use", "alg", "kid", "n", "e"}, "nothing private"
    said = jwt.decode(
        ours.issue(WHO, NOW_NS),
        jwt.PyJWK.from_dict(key).key,
        algorithms=["RS256"],
        audience=AUDIENCE,
        options={"verify_exp": False, "verify_iat": False},
    )
    assert said["sub"] == "usr_1"


def test_tokens_that_are_remembered_have_a_bound(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(made_of, "KEPT_MAX", 2)
    ours = Tokens(Secrets(folder, NOW_NS))
    texts = [ours.issue(WHO, NOW_NS) for _ in range(4)]
    assert [ours.read(text, NOW_NS).user for text in texts * 2] == ["usr_1"] * 8
    assert len(ours._verified) == 2


def test_secrets_are_made_once_for_their_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "secrets"
    assert not has_secrets(folder)
    first = Secrets(folder, NOW_NS)
    assert has_secrets(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    files = sorted(folder.iterdir())
    assert [path.name for path in files] == ["hd.key", "pages.key", f"signing-{first.kid}.pem"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    again = Secrets(folder, NOW_NS + S)
    assert (again.hd, again.pages, again.kid) == (first.hd, first.pages, first.kid)
    assert first.hd != first.pages
    assert len(first.hd) == len(first.pages) == 32
    assert first.fingerprint == again.fingerprint
    assert first.hd.hex() not in first.fingerprint
    assert not again.reread(NOW_NS + S), "less than a second ago"
    assert not again.reread(NOW_NS + 2 * S)


def test_secrets_that_others_could_read_or_that_are_none_stop_the_start(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    kid = Secrets(folder, NOW_NS).kid
    pem = folder / f"signing-{kid}.pem"
    for path, good in ((folder, 0o700), (folder / "hd.key", 0o600), (pem, 0o600)):
        path.chmod(good | 0o040)
        with pytest.raises(Refuse, match="may be read by others") as why:
            Secrets(folder, NOW_NS)
        assert why.value.code == "bad_secrets"
        path.chmod(good)
    kept = Secrets(folder, NOW_NS)
    pem.write_text("no key")
    with pytest.raises(Refuse, match="is no signing key"):
        Secrets(folder, NOW_NS)
    assert not kept.reread(NOW_NS + 9 * S), "who runs goes on with what was read"
    (folder / "pages.key").write_bytes(b"short")
    with pytest.raises(Refuse, match="has 5 bytes, not 32"):
        Secrets(folder, NOW_NS)
    with pytest.raises(Refuse, match="bad|Not a directory|exists"):
        Secrets(folder / "hd.key", NOW_NS)


def test_processes_that_start_at_once_make_one_set_of_secrets(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    code = (
        "import sys; from pathlib import Path; from bursa.accounts.secrets import Secrets;"
        f"one = Secrets(Path(sys.argv[1]), {NOW_NS}); print(one.fingerprint, one.pages.hex())"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    said = {one.communicate(timeout=60)[0].splitlines()[-1] for one in both}
    assert len(said) == 1
    assert all(not path.name.startswith(".") for path in folder.iterdir())


def test_the_token_of_a_form_is_of_one_session_and_one_installation() -> None:
    key = bytes(range(32))
    one = token(key, "ses_1")
    assert matches(key, "ses_1", one)
    for other, session, given in (
        (key, "ses_2", one),
        (key[::-1], "ses_1", one),
        (key, "ses_1", ""),
        (key, "ses_1", "é" * 64),
    ):
        assert not matches(other, session, given)
