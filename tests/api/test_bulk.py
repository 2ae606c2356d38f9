"""Closed days as files over HTTP: the bytes, their SHA-256, parts of them, and what has none."""

import base64
import hashlib
import io
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import ClassVar

import duckdb
import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bursa.api.bulk import PIECE_BYTES
from bursa.metrics.catalog import STANDARD
from bursa.model.schema import Column
from bursa.model.venue import BINANCE, IDX
from bursa.pipeline.line import kinds
from bursa.ports import DayFile
from bursa.store import cold_bulk, cold_file
from bursa.store.cold_bulk import Bulk
from bursa.store.parquet import ColdStore
from tests.api.floor import DAYS, Floor, at, serve

DAY = DAYS[0]
HIDDEN = [c.name for m in STANDARD.metrics.values() if m.name == "hd" for c in m.columns]


class Others(Bulk):
    """With files of other kinds beside those that are sealed."""

    others: ClassVar[dict[str, DayFile]] = {}

    def find(self, venue: str, kind: str, day: date) -> DayFile | None:
        return self.others.get(kind) or super().find(venue, kind, day)


class Cold:
    """A floor's first day, sealed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.floor = Floor(folder)
        self.floor.day(DAY)
        self.floor.commit()
        self.floor.clock.ns = at(DAYS[1], 10, 0)
        self.store = ColdStore(folder / "cold", [IDX, BINANCE], kinds())
        for kind in ("ticks", "ohlcv", "metrics"):
            self.seal(kind, DAY)
        self.bulk = self.floor.bulk = Others(self.store, folder / "bulk", HIDDEN)

    def seal(self, kind: str, day: date) -> None:
        file = self.store.begin("idx", kind, day)
        # The hot store of a floor may write nowhere: its rows go by way of memory.
        start = IDX.calendar.midnight_ns(day)
        with self.floor.store._engine.reading() as cursor:
            text = f'select * from idx_{kind} where ts >= {start} order by "ticker", ts'
            rows = cursor.sql(text).to_arrow_table()
        cold_file.put(iter([rows]), self.store.kind(kind), file)
        self.store.adopt("idx", kind, day, file)


@pytest.fixture(scope="module")
def cold(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cold]:
    cold = Cold(tmp_path_factory.mktemp("bulk"))
    yield cold
    cold.store.close()
    cold.floor.close()


@pytest.fixture(scope="module")
def client(cold: Cold) -> Iterator[httpx.Client]:
    with serve(cold.floor) as served, httpx.Client(base_url=served.url, timeout=90) as client:
        yield client


PATH = f"/v1/bulk/ticks/{DAY}.parquet"


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def test_a_day_comes_as_the_file_it_is(cold: Cold, client: httpx.Client) -> None:
    sealed = cold.store.sealed("idx", "ticks", DAY)
    assert sealed is not None
    answer = client.get(PATH)
    assert answer.status_code == 200
    assert answer.content == sealed.path.read_bytes()
    summed = hashlib.sha256(answer.content).hexdigest()
    assert answer.headers["etag"] == f'"{summed}"'
    assert answer.headers["content-type"] == "application/vnd.apache.parquet"
    assert (
        answer.headers["content-disposition"] == f'attachment; filename="idx_ticks-{DAY}.parquet"'
    )
    assert "x-request-id" in answer.headers
    assert pq.read_table(io.BytesIO(answer.content)).num_rows == sealed.rows
    line = client.get(f"{PATH}.sha256")
    assert line.text == f"{summed}  idx_ticks-{DAY}.parquet\n"
    assert line.headers["content-type"].startswith("text/plain")


def test_the_digest_is_told_as_the_standard_has_it(client: httpx.Client) -> None:
    answer = client.get(PATH)
    summed = base64.b64encode(hashlib.sha256(answer.content).digest()).decode()
    assert answer.headers["repr-digest"] == f"sha-256=:{summed}:"


def test_large_files_come_whole(cold: Cold, client: httpx.Client) -> None:
    answer = client.get(f"/v1/bulk/ohlcv/{DAY}.parquet", params={"venue": "idx"})
    sealed = cold.store.sealed("idx", "ohlcv", DAY)
    assert sealed is not None
    assert answer.content == sealed.path.read_bytes()
    big = cold.folder / "big"
    data = bytes(range(256)) * (3 * PIECE_BYTES // 256) + b"end"
    big.write_bytes(data)
    cold.bulk.others["quotes"] = DayFile(big, len(data), 1, hashlib.sha256(data).hexdigest())
    path = f"/v1/bulk/quotes/{DAY}.parquet"
    assert client.get(path).content == data
    tail = client.get(path, headers={"range": f"bytes={PIECE_BYTES - 1}-"})
    assert tail.content == data[PIECE_BYTES - 1 :]


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ("bytes=0-0", slice(0, 1)),
        ("bytes=10-19", slice(10, 20)),
        ("bytes=100-", slice(100, None)),
        ("bytes=-7", slice(-7, None)),
        ("bytes=5-999999999999", slice(5, None)),
        ("bytes=-999999999999", slice(0, None)),
    ],
)
def test_a_range_is_a_part_of_it(client: httpx.Client, asked: str, part: slice) -> None:
    whole = client.get(PATH).content
    answer = client.get(PATH, headers={"range": asked})
    assert answer.status_code == 206
    assert answer.content == whole[part]
    start, end, _ = part.indices(len(whole))
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{len(whole)}"


@pytest.mark.parametrize(
    "asked",
    ["bytes=a-b", "bytes=3-2", "bytes=-", "lines=1-2", "bytes=0-1,4-5", "bytes=" + "9" * 40],
)
def test_a_range_that_is_none_is_the_whole(client: httpx.Client, asked: str) -> None:
    answer = client.get(PATH, headers={"range": asked})
    assert answer.status_code == 200
    assert answer.content == client.get(PATH).content


def test_a_range_past_the_end_is_refused(client: httpx.Client) -> None:
    size = len(client.get(PATH).content)
    for asked in (f"bytes={size}-", f"bytes={size + 5}-{size + 9}", "bytes=-0"):
        answer = client.get(PATH, headers={"range": asked})
        assert (answer.status_code, answer.content) == (416, b"")
        assert answer.headers["content-range"] == f"bytes */{size}"


def test_conditions_go_by_the_etag(client: httpx.Client) -> None:
    tag = client.get(PATH).headers["etag"]
    for given in (tag, f'"other", {tag}', f"W/{tag}", "*"):
        answer = client.get(PATH, headers={"if-none-match": given})
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == tag
    assert client.get(PATH, headers={"if-none-match": '"other"'}).status_code == 200
    kept = client.get(PATH, headers={"range": "bytes=1-2", "if-range": tag})
    changed = client.get(PATH, headers={"range": "bytes=1-2", "if-range": '"other"'})
    assert (kept.status_code, changed.status_code) == (206, 200)


def test_head_tells_the_size_and_sends_nothing(client: httpx.Client) -> None:
    answer = client.head(PATH)
    assert answer.status_code == 200
    assert answer.content == b""
    assert int(answer.headers["content-length"]) == len(client.get(PATH).content)


def test_metric_rows_come_without_hd(cold: Cold, client: httpx.Client) -> None:
    assert HIDDEN
    path = f"/v1/bulk/metrics/{DAY}.parquet"
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.headers["etag"] == f'"{hashlib.sha256(answer.content).hexdigest()}"'
    sealed = cold.store.sealed("idx", "metrics", DAY)
    assert sealed is not None
    whole = pq.read_table(sealed.path, partitioning=None)
    found = pq.read_table(io.BytesIO(answer.content))
    assert set(whole.column_names) - set(found.column_names) == set(HIDDEN)
    assert found.equals(whole.select(found.column_names))
    assert not any(word in name for name in found.column_names for word in ("hd", "mapo"))
    assert client.get(path).content == answer.content
    made = [p for p in (cold.folder / "bulk").rglob("*") if p.is_file()]
    assert len(made) == 1
    assert duckdb.sql(f"select count(*) from read_parquet('{made[0]}')").fetchall() == [
        (sealed.rows,)
    ]


def test_columns_that_the_catalogue_had_once_are_left_out(tmp_path: Path) -> None:
    was = Column("hd_once", "float", "of a family that tells hd", True)
    of = {kind.name: kind for kind in kinds()}
    now, before = of["metrics"], replace(of["metrics"], columns=(*of["metrics"].columns, was))
    file = tmp_path / "cold" / "idx_metrics" / f"date={DAY}" / "one.tmp"
    file.parent.mkdir(parents=True)
    row = {"ticker": "BBCA", "freq": "1m", "ts": at(DAY, 9, 0), "rev": 0, "known_at": 1,
           "ts_recv": 1, "position": 1, "hd_once": 1.25}  # fmt: skip
    rows = pa.Table.from_pylist([row], cold_file.schema(before))
    cold_file.put(iter([rows]), before, file)
    store = ColdStore(tmp_path / "cold", [IDX], [now])
    store.adopt("idx", "metrics", DAY, file)
    found = Bulk(store, tmp_path / "bulk", HIDDEN).find("idx", "metrics", DAY)
    assert found is not None
    shown = [column.name for column in now.columns if column.name not in HIDDEN]
    assert pq.read_table(found.path, partitioning=None).column_names == shown
    assert hashlib.sha256(found.path.read_bytes()).hexdigest() == found.sha256
    store.close()


def test_copies_are_few_and_follow_their_day(
    cold: Cold, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cold_bulk, "COPIES_MAX", 2)
    bulk = Bulk(cold.store, tmp_path, HIDDEN)
    first = bulk.find("idx", "metrics", DAY)
    again = Bulk(cold.store, tmp_path, HIDDEN[:1]).find("idx", "metrics", DAY)
    third = Bulk(cold.store, tmp_path, HIDDEN[1:2]).find("idx", "metrics", DAY)
    assert first is not None and again is not None and third is not None
    assert len({first.sha256, again.sha256, third.sha256}) == 3
    left = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {again.path, third.path}
    assert bulk.find("idx", "metrics", DAY) == first
    assert Bulk(cold.store, tmp_path, HIDDEN).find("idx", "metrics", DAY) == first


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/v1/bulk/status/2026-11-18.parquet", (404, "unknown_kind")),
        ("/v1/bulk/nope/2026-11-18.parquet", (404, "unknown_kind")),
        ("/v1/bulk/ticks/2026-11-31.parquet", (400, "bad_day")),
        ("/v1/bulk/ticks/2026-11-18", (400, "bad_day")),
        ("/v1/bulk/ticks/2026-11-18.csv", (400, "bad_day")),
        ("/v1/bulk/ticks/..%5Clock", (400, "bad_day")),
        ("/v1/bulk/ticks/2026-11-18.parquet?venue=nope", (404, "unknown_venue")),
        ("/v1/bulk/ticks/2026-11-18.parquet?x=1", (400, "unknown_parameter")),
        ("/v1/bulk/ticks/2026-11-21.parquet", (404, "no_file")),  # a Saturday
        ("/v1/bulk/ticks/2026-11-17.parquet", (404, "no_file")),
        ("/v1/bulk/ticks/2026-11-19.parquet", (404, "not_yet")),
        ("/v1/bulk/ticks/2026-11-19.parquet.sha256", (404, "not_yet")),
        ("/v1/bulk/ticks/2026-11-18.parquet?venue=binance", (404, "no_file")),
    ],
)
def test_what_has_no_file_says_why(
    client: httpx.Client, path: str, answer: tuple[int, str]
) -> None:
    found = client.get(path)
    assert (code(found)[0], code(found)[1]) == answer, found.text
    if answer[1] == "not_yet":
        assert "16:30" in found.json()["error"]


def test_a_program_without_cold_days_has_none(tmp_path: Path) -> None:
    floor = Floor(tmp_path)
    with serve(floor) as served:
        assert code(httpx.get(served.url + PATH))[0] == 404
    floor.close()
