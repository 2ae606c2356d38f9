"""Tokens: what an API key is exchanged for, signed, good for a quarter of an hour.

A JWT (RFC 7519) of RS256 and nothing else: the algorithm is ours, not the token's. It says who it
is for; what he may do is looked up at each request (standing.py), so a token of a revoked key is
worth nothing before it ends. One that was verified is remembered: the next request costs a lookup.
"""

import json
import secrets
from dataclasses import dataclass
from threading import Lock
from typing import Any

import jwt
from jwt.algorithms import RSAAlgorithm

from bursa.accounts.secrets import Secrets
from bursa.accounts.who import Principal
from bursa.model.errors import Refuse

ALGORITHM = "RS256"
ISSUER, AUDIENCE = "bursa", "bursa-api"
LIFE_S = 900
# A token may be exchanged for a new one so long after it was made.
REFRESH_S = 3600
# Clocks of several machines differ: a token may come from so far in the future.
AHEAD_S = 30
# Ours have some 800 characters; a longer text is not looked at.
CHARS_MAX = 4096
# Verified tokens that are remembered, each some 2 kB.
KEPT_MAX = 16_384
_NEEDED = ["sub", "iss", "aud", "tier", "key_id", "machine_id", "iat", "exp", "jti"]
# Times are judged by our clock, below.
_OPTIONS: Any = {
    "require": _NEEDED,
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
    "strict_aud": True,
}


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says. Times are seconds since 1970.

    user     id of the user
    key      id of the API key that it was made for
    machine  id of the machine, "" for none
    tier     the tier when it was made; what holds is looked up
    """

    user: str
    key: str
    machine: str
    tier: str
    issued_s: int
    expires_s: int
    jti: str


class Tokens:
    """Makes and reads tokens; any thread may use it."""

    def __init__(self, kept: Secrets) -> None:
        self._secrets = kept
        self._lock = Lock()
        self._verified: dict[str, Claims] = {}
        self._of = kept.signing

    def issue(self, principal: Principal, now_ns: int) -> str:
        """A token for a principal that showed a key, perhaps of a machine. Takes a millisecond."""
        assert principal.user and principal.key, "only keys are exchanged"
        now_s, keys = now_ns // 10**9, self._secrets.signing
        kid = next(reversed(keys))
        claims = {
            "sub": principal.user,
            "iss": ISSUER,
            "aud": AUDIENCE,
            "tier": principal.rights.tier,
            "key_id": principal.key,
            "machine_id": principal.machine,
            "iat": now_s,
            "exp": now_s + LIFE_S,
            "jti": secrets.token_hex(16),
        }
        return jwt.encode(claims, keys[kid], ALGORITHM, {"kid": kid})

    def read(self, token: str, now_ns: int, late: bool = False) -> Claims:
        """What a token says that we signed. Refuse 401 `token_expired` where it is over (`late`:
        where it is older than may be refreshed), `token_invalid` where it is none of ours."""
        if self._secrets.signing is not self._of:
            with self._lock:
                # A key that is gone has signed nothing that holds.
                self._of, self._verified = self._secrets.signing, {}
        claims = self._verified.get(token)
        if claims is None:
            claims = self._verify(token, now_ns)
        now_s = now_ns // 10**9
        if claims.issued_s > now_s + AHEAD_S:
            raise _invalid("it comes from the future")
        until_s = claims.issued_s + REFRESH_S if late else claims.expires_s
        if now_s >= until_s:
            how = "" if late else "refresh it, or "
            raise Refuse(f"the token is over: {how}exchange the key again", "token_expired", 401)
        return claims

    def rotate(self, now_ns: int) -> str:
        """Sign with a new key from now on; returns its kid."""
        return self._secrets.rotate(now_ns)

    def retire(self, now_ns: int) -> list[str]:
        """Delete signing keys whose tokens are all over and past refreshing; returns their kids."""
        return self._secrets.retire(now_ns // 10**9 - REFRESH_S - 2 * AHEAD_S)

    def jwks(self) -> dict[str, Any]:
        """The public keys (RFC 7517), newest first: what others verify tokens with."""
        keys = []
        for kid, key in reversed(list(self._secrets.signing.items())):
            found = json.loads(RSAAlgorithm.to_jwk(key.public_key()))
            keys.append(
                {
                    "kty": "RSA",
                    "use": "sig",
                    "alg": ALGORITHM,
                    "kid": kid,
                    "n": found["n"],
                    "e": found["e"],
                }
            )
        return {"keys": keys}

    def _verify(self, token: str, now_ns: int) -> Claims:
        if len(token) > CHARS_MAX:
            raise _invalid(f"it is longer than {CHARS_MAX} characters")
        try:
            kid = jwt.get_unverified_header(token).get("kid")
            key = self._secrets.signing.get(kid) if isinstance(kid, str) else None
            if key is None and self._secrets.reread(now_ns):
                key = self._secrets.signing.get(str(kid))
            if key is None:
                raise _invalid("it names no signing key of ours")
            said = jwt.decode(
                token,
                key.public_key(),
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=ISSUER,
                options=_OPTIONS,
            )
        except (jwt.PyJWTError, ValueError, UnicodeError) as error:
            raise _invalid(f"it is none that was issued here ({error})") from error
        claims = _claims(said)
        with self._lock:
            if len(self._verified) >= KEPT_MAX:
                del self._verified[next(iter(self._verified))]
            self._verified[token] = claims
        return claims


def _claims(said: dict[str, Any]) -> Claims:
    texts = [said[name] for name in ("sub", "key_id", "machine_id", "tier", "jti")]
    times = [said[name] for name in ("iat", "exp")]
    if not all(type(one) is str for one in texts) or not all(type(one) is int for one in times):
        raise _invalid("its claims are not of the form that is issued here")
    user, key, machine, tier, jti = texts
    return Claims(user, key, machine, tier, times[0], times[1], jti)


def _invalid(why: str) -> Refuse:
    return Refuse(f"the token is not valid: {why}", "token_invalid", 401)
