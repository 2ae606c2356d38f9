"""Passwords are computed with the parameters that are promised, also where there is none."""

from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any, Literal

import pytest
from argon2 import PasswordHasher, extract_parameters

from bursa.accounts.passwords import AT_ONCE, Passwords, judged
from tests.accounts.office import PASSWORD, refused


@pytest.fixture(scope="module")
def made() -> Passwords:
    return Passwords()


def test_what_is_kept_is_argon2id_with_a_salt_of_its_own(made: Passwords) -> None:
    one, two = made.hash(PASSWORD), made.hash(PASSWORD)
    assert one != two
    kept = extract_parameters(one)
    assert (kept.type.name, kept.memory_cost, kept.time_cost, kept.parallelism) == (
        "ID",
        19_456,
        2,
        1,
    )
    assert made.verify(one, PASSWORD)
    assert not made.verify(one, PASSWORD + " ")
    assert not made.verify("nonsense", PASSWORD)
    assert not made.outdated(one)
    # The same letters, composed by another keyboard.
    assert made.verify(made.hash("caf\u00e9 au lait"), "cafe\u0301 au lait")
    assert not made.verify(made.hash("\ud800" * 12), "x")


def test_nobody_costs_as_much_as_somebody(made: Passwords, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[str] = []

    class Counting(PasswordHasher):
        def verify(self, hash: Any, password: Any) -> Literal[True]:
            compared.append(str(hash))
            return super().verify(hash, password)

    counting = Passwords()
    monkeypatch.setattr(counting, "_hasher", Counting(2, 19_456, 1))
    for given in ("nobody has this password", "", "x" * 10_000):
        assert not counting.verify("", given)
    assert not counting.verify(made.hash(PASSWORD), "x" * 10_000)
    assert len(compared) == 4, "each took a whole computation"
    assert all("m=19456,t=2,p=1" in one for one in compared)


def test_few_are_computed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    lock, under_way, most = Lock(), 0, 0

    class Slow(PasswordHasher):
        def hash(self, password: Any, *, salt: bytes | None = None) -> str:
            nonlocal under_way, most
            with lock:
                under_way += 1
                most = max(most, under_way)
            try:
                return super().hash(password, salt=salt)
            finally:
                with lock:
                    under_way -= 1

    made = Passwords()
    monkeypatch.setattr(made, "_hasher", Slow(1, 1024, 1))
    with ThreadPoolExecutor(4 * AT_ONCE) as pool:
        assert len(set(pool.map(made.hash, ["a password"] * 40))) == 40
    assert most <= AT_ONCE


@pytest.mark.parametrize(
    "given",
    ["", "short", "a" * 12, "abcabcabcabc", "x" * 257, "Ann.Long@X.test", " ann.long@x.test "],
)
def test_what_is_no_password_is_refused_by_name(given: str) -> None:
    with refused("weak_password", 400):
        judged(given, "ann.long@x.test")
    assert judged(PASSWORD, "ann.long@x.test") == PASSWORD
