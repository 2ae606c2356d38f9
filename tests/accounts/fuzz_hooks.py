"""Who schemathesis asks as: loaded by its own process, told of the server by a file beside.

Data, UDF and the plugin get a token; portal and admins' routes a superadmin's session with its CSRF
token; the rest nobody. What a request ended (a key revoked, a session closed) is had anew.
"""

import json
import time
from pathlib import Path
from typing import Any

import requests
import schemathesis

# A token is good for 15 minutes.
_FRESH_S = 600.0


class Asker:
    """Sessions, tokens and machines of one superadmin."""

    def __init__(self, url: str, email: str, password: str) -> None:
        self._url, self._who = url, {"email": email, "password": password}
        self._kept: dict[str, tuple[dict[str, str], float]] = {}

    def headers(self, path: str) -> tuple[str, dict[str, str]]:
        """What is shown for a path, and its name."""
        name = "nothing"
        if path.startswith(("/portal/", "/admin/")):
            name = "session"
        elif path.startswith("/v1/plugin/") and not path.endswith("/activate"):
            name = "machine"
        elif path.startswith(("/v1/", "/udf/")) and not path.startswith("/v1/auth/"):
            name = "token"
        return name, self._shown(name)

    def lost(self, name: str) -> None:
        """Something was refused: have it anew."""
        self._kept.pop(name, None)
        if name != "session":
            self._kept.pop("key", None)

    def _shown(self, name: str) -> dict[str, str]:
        headers, until = self._kept.get(name, ({}, 0.0))
        if time.monotonic() > until:
            headers = getattr(self, f"_{name}")()
            self._kept[name] = headers, time.monotonic() + _FRESH_S
        return headers

    def _nothing(self) -> dict[str, str]:
        return {}

    def _session(self) -> dict[str, str]:
        answer = requests.post(f"{self._url}/auth/login", json=self._who, timeout=60)
        cookie = f"bursa_session={answer.cookies['bursa_session']}"
        return {"Cookie": cookie, "X-CSRF-Token": answer.json()["data"]["csrf"]}

    def _key(self) -> dict[str, str]:
        """An API key; those of before are revoked, for a user has so many."""
        keys, session = f"{self._url}/portal/api/keys", self._shown("session")
        for row in requests.get(keys, headers=session, timeout=60).json()["data"]:
            if row["state"] == "active" and row["name"] == "fuzz":
                requests.delete(f"{keys}/{row['id']}", headers=session, timeout=60)
        new = {"name": "fuzz", "expires": None}
        made = requests.post(keys, json=new, headers=session, timeout=60)
        return {"api_key": made.json()["data"]["key"]}

    def _token(self) -> dict[str, str]:
        return self._exchange("auth/token", self._shown("key"))

    def _machine(self) -> dict[str, str]:
        body = {**self._shown("key"), "machine_id": "fuzz", "plugin_version": "1"}
        return self._exchange("plugin/activate", body)

    def _exchange(self, what: str, body: dict[str, str]) -> dict[str, str]:
        answer = requests.post(f"{self._url}/v1/{what}", json=body, timeout=60).json()
        return {"Authorization": f"Bearer {answer['data']['token']}"}


_asker = Asker(**json.loads(Path("asker.json").read_text()))


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Show what the path asks for."""
    try:
        _, shown = _asker.headers(case.operation.path)
    except (KeyError, ValueError):
        return  # the request of before took more than is given back: this one is refused
    for name, value in shown.items():
        case.headers[name] = value


@schemathesis.hook
def after_call(context: Any, case: Any, response: Any) -> None:
    """Notice what was lost."""
    if response.status_code == 401:
        _asker.lost(_asker.headers(case.operation.path)[0])
