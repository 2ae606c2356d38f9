"""Gaps, revisions and session changes as UDF's marks, each at a bar that exists."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from bursa.api.udf import marks as udf_marks
from bursa.api.udf.marks import LINES_MAX
from tests.api.floor import DAYS, Floor, Served, at, serve

WED, THU, _ = DAYS
FAR = 1_995_000_000
RESOLUTIONS = ["1", "5", "15", "30", "60", "240", "D", "W", "M"]


def s(*when: Any) -> int:
    return at(*when) // 10**9


@pytest.fixture(scope="module")
def eventful(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A whole day, then one that loses messages at 09:10 and has late trades in 09:02 and 09:03."""
    floor = Floor(tmp_path_factory.mktemp("marks"))
    floor.day(WED)
    floor.commit()
    floor.day(THU, minutes=6)
    floor.trade(at(THU, 9, 2, 40), 9_999, 50)
    floor.trade(at(THU, 9, 3, 40), 9_999, 50)
    floor.trade(at(THU, 9, 9, 30), 9_100)
    floor.seq[0] += 7
    floor.trade(at(THU, 9, 14, 5), 9_200)
    floor.trade(at(THU, 9, 15, 5), 9_200)
    floor.heartbeat(at(THU, 9, 20))
    with serve(floor) as found:
        yield found
    floor.close()


@pytest.fixture(scope="module")
def client(eventful: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=eventful.url, timeout=90) as found:
        yield found


def bars(client: httpx.Client, resolution: str, start: int, end: int) -> set[int]:
    query: dict[str, str | int] = {
        "symbol": "BBCA",
        "resolution": resolution,
        "from": start,
        "to": end + 1,
    }
    return set(client.get("/udf/history", params=query).json().get("t", []))


def asked(client: httpx.Client, path: str, resolution: str, start: int, end: int) -> Any:
    query: dict[str, str | int] = {
        "symbol": "IDX:BBCA",
        "resolution": resolution,
        "from": start,
        "to": end,
    }
    answer = client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def marks(
    client: httpx.Client, resolution: str = "1", start: int = 0, end: int = FAR
) -> list[dict[str, Any]]:
    """As the adapter takes them: columns become rows."""
    body = asked(client, "/udf/marks", resolution, start, end)
    assert set(body) == {"id", "time", "color", "text", "label", "labelFontColor", "minSize"}
    return [dict(zip(body, row, strict=True)) for row in zip(*body.values(), strict=True)]


def scale_marks(
    client: httpx.Client, resolution: str = "1", start: int = 0, end: int = FAR
) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = asked(client, "/udf/timescale_marks", resolution, start, end)
    return found


def of(found: list[dict[str, Any]], label: str) -> list[dict[str, Any]]:
    return [mark for mark in found if mark["label"] == label]


def test_a_gap_stands_where_messages_stopped(client: httpx.Client) -> None:
    (gap,) = of(marks(client), "G")
    assert gap["time"] == s(THU, 9, 9)
    assert gap["color"] == "red"
    assert gap["text"] == "7 messages missing on idxdata, 09:09:30 to 09:14:05 WIB"


def test_revised_minutes_are_marked(client: httpx.Client) -> None:
    found = of(marks(client), "R")
    assert [mark["time"] for mark in found] == [s(THU, 9, 2), s(THU, 9, 3)]
    assert found[0]["text"] == "09:02 was revised, revision 1"


def test_sessions_are_marked_as_they_changed(client: httpx.Client) -> None:
    found = of(marks(client), "S")
    assert [mark["time"] for mark in found] == [s(WED, 9, 0), s(WED, 15, 59), s(THU, 9, 0)]
    assert found[0]["text"] == "pre-open from 08:45; session 1 from 09:00"
    assert found[1]["text"] == "post-close from 16:01; end of day from 16:16"


@pytest.mark.parametrize("resolution", RESOLUTIONS)
def test_every_mark_stands_at_a_bar_and_once(client: httpx.Client, resolution: str) -> None:
    there = bars(client, resolution, 0, FAR)
    for found in (marks(client, resolution), scale_marks(client, resolution)):
        assert found and {mark["time"] for mark in found} <= there
        ids = [mark["id"] for mark in found]
        assert len(ids) == len(set(ids))
        times = [mark["time"] for mark in found]
        assert times == sorted(times)
        assert max(times.count(time) for time in times) <= 4  # the library draws ten


@pytest.mark.parametrize("resolution", ["5", "60", "D", "M"])
def test_longer_bars_gather_what_happened_in_them(client: httpx.Client, resolution: str) -> None:
    (revised,) = of(marks(client, resolution), "R")
    lines = revised["text"].split("; ")
    assert lines == [f"09:0{n} was revised, revision 1" for n in (2, 3)]
    (gap,) = of(marks(client, resolution), "G")
    assert "7 messages" in gap["text"]
    assert bool(of(marks(client, resolution), "S")) == (resolution in ("5", "60"))


def test_many_lines_are_shortened(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    assert LINES_MAX > 2
    monkeypatch.setattr(udf_marks, "LINES_MAX", 2)
    (session, *_) = of(marks(client, "240", s(THU, 0, 0)), "R")
    assert session["text"] == "09:02 was revised, revision 1; 09:03 was revised, revision 1"
    monkeypatch.setattr(udf_marks, "LINES_MAX", 1)
    (session, *_) = of(marks(client, "240", s(THU, 0, 0)), "R")
    assert session["text"] == "and 2 more"


def test_a_part_of_the_range_has_its_part_of_the_marks(client: httpx.Client) -> None:
    whole = marks(client)
    cuts = [0, s(WED, 12, 0), s(THU, 9, 2), s(THU, 9, 3), s(THU, 9, 9), s(THU, 9, 12), FAR]
    for start, end in zip(cuts, cuts[1:], strict=False):
        expected = [mark for mark in whole if start <= mark["time"] <= end]
        assert marks(client, start=start, end=end) == expected
    for resolution in ("5", "D"):
        whole = marks(client, resolution)
        for time in {mark["time"] for mark in whole}:
            alone = [mark for mark in whole if mark["time"] == time]
            assert marks(client, resolution, time, time) == alone


def test_the_same_mark_has_the_same_id_whenever_asked(client: httpx.Client) -> None:
    assert {m["id"] for m in marks(client, start=s(THU, 9, 2))} < {m["id"] for m in marks(client)}


def test_the_time_scale_tells_days_sessions_and_gaps(client: httpx.Client) -> None:
    found = scale_marks(client)
    assert all(set(mark) == {"id", "time", "color", "label", "tooltip"} for mark in found)
    assert [(m["time"], m["tooltip"]) for m in of(found, "D")] == [
        (s(WED, 9, 0), ["Wed 18 Nov 2026, session 1"]),
        (s(THU, 9, 0), ["Thu 19 Nov 2026, session 1"]),
    ]
    (gap,) = of(found, "G")
    assert gap["tooltip"] == ["7 messages missing on idxdata, 09:09:30 to 09:14:05 WIB"]
    assert of(found, "S")[0]["tooltip"] == ["pre-open from 08:45", "session 1 from 09:00"]
    assert not of(found, "R")


def test_a_day_begins_only_at_its_first_bar(client: httpx.Client) -> None:
    assert of(scale_marks(client, start=s(THU, 9, 1)), "D") == []
    assert [m["time"] for m in of(scale_marks(client, "5", s(THU, 9, 0)), "D")] == [s(THU, 9, 0)]
    assert of(scale_marks(client, "D"), "D") == []


def test_the_newest_marks_stay_when_they_are_too_many(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = marks(client)
    monkeypatch.setattr(udf_marks, "MARKS_MAX", 2)
    assert marks(client) == whole[-2:]


def test_no_bars_have_no_marks(client: httpx.Client) -> None:
    night = (s(WED, 20, 0), s(WED, 21, 0))
    assert marks(client, "1", *night) == []
    assert scale_marks(client, "1", *night) == []


@pytest.mark.parametrize("path", ["marks", "timescale_marks"])
@pytest.mark.parametrize(
    ("query", "status", "word"),
    [
        ("", 400, "symbol is required"),
        ("?symbol=BBCA", 400, "resolution is required"),
        ("?symbol=BBCA&resolution=1&from=0", 400, "to is required"),
        ("?symbol=BBCA&resolution=7&from=0&to=1", 400, "resolution"),
        ("?symbol=BBCA&resolution=1&from=2&to=1", 400, "from"),
        ("?symbol=NIX&resolution=1&from=0&to=1", 404, "NIX"),
    ],
)
def test_a_bad_question_is_refused(
    client: httpx.Client, path: str, query: str, status: int, word: str
) -> None:
    answer = client.get(f"/udf/{path}{query}")
    assert (answer.status_code, answer.json()["s"]) == (status, "error")
    assert word in answer.json()["errmsg"]
