"""The audit's write-ahead file while one thread puts and another reads."""

import os
import threading
from pathlib import Path

import pytest

from bursa.accounts.audit_ahead import Ahead, Part
from bursa.accounts.audit_tables import Record


def record(number: int) -> Record:
    return Record(f"id{number:06}", 1_800_000_000_000_000_000 + number, "", "user", "sign_in",
                  f"n{number}", None, None, "", "", False)  # fmt: skip


def test_a_line_that_is_being_written_is_not_taken_for_a_torn_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once it was: who read while it was written went on behind it, and it was lost."""
    ahead = Ahead(tmp_path)
    parts: list[Part] = []
    reader = threading.Thread(target=lambda: parts.append(ahead.read(0)))
    write = os.write

    def slow(file: int, line: bytes) -> int:
        if not reader.is_alive():
            reader.start()
            reader.join(0.3)  # time to read what is not there yet
        return write(file, line)

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", slow)
        ahead.put(record(1))
    reader.join()
    [part] = parts
    found = part.records + ahead.read(part.upto).records
    assert found == [record(1)] and part.torn == 0
    ahead.close()


def test_nothing_is_lost_or_told_twice_while_others_put(tmp_path: Path) -> None:
    ahead = Ahead(tmp_path)
    many, hands = 1_000, 3

    def put(hand: int) -> None:
        for number in range(many):
            ahead.put(record(hand * many + number))

    putting = [threading.Thread(target=put, args=(hand,)) for hand in range(hands)]
    for one in putting:
        one.start()
    found: list[Record] = []
    at = torn = 0
    while any(one.is_alive() for one in putting) or ahead.size:
        part = ahead.read(at)
        found += part.records
        at, torn = part.upto, torn + part.torn
        if ahead.empty(at):
            at = 0
    assert sorted(one.id for one in found) == [record(n).id for n in range(hands * many)]
    assert torn == 0
    ahead.close()
