"""Files of bars, CSV and Parquet: their pieces, their lines, and what is none of them."""

import bz2
import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from bursa.feeds import bar_file
from bursa.model.errors import Refuse


def read(path: Path, columns: list[str]) -> tuple[list[Any], list[Any]]:
    """(line, values ...) of all rows, as text, and (line, fields) of ragged lines."""
    file = bar_file.opened(path)
    rows, ragged = [], []
    for piece in file.pieces(columns):
        values = [[_text(v) for v in piece.columns[name].to_pylist()] for name in columns]
        rows += list(zip(piece.lines.tolist(), *values, strict=True))
        ragged += [(one.line, one.fields) for one in file.ragged()]
    ragged += [(one.line, one.fields) for one in file.ragged()]
    assert file.done == file.total
    file.close()
    return rows, ragged


def _text(value: object) -> object:
    return value.decode() if isinstance(value, bytes) else value


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_csv_by_any_separator(tmp_path: Path, separator: str, end: str) -> None:
    lines = ["ticker,close,name", "BBCA,9000,Bank", "TLKM,3000,"]
    path = tmp_path / "bars.csv"
    path.write_text(end.join(lines).replace(",", separator) + end, newline="")
    assert bar_file.opened(path).headers == ["ticker", "close", "name"]
    assert read(path, ["close", "ticker"])[0] == [(2, "9000", "BBCA"), (3, "3000", "TLKM")]


def test_lines_are_counted_past_what_is_no_row(tmp_path: Path) -> None:
    path = tmp_path / "bars.csv"
    path.write_bytes(b'\xef\xbb\xbf"<A>",b\n1,2\n\nx\n3,4,5\n6,7\n,\n"8",9')
    rows, ragged = read(path, ["A", "b"])
    assert rows == [(2, "1", "2"), (6, "6", "7"), (8, "8", "9")]
    assert ragged == [(4, 1), (5, 3)]


@given(st.lists(st.sampled_from(["1,2", "x", "", "3,4,5", "abcdefgh,ijklmnop"]), max_size=60))
@settings(max_examples=40, deadline=None)
def test_lines_are_right_wherever_pieces_are_cut(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str]
) -> None:
    path = tmp_path_factory.getbasetemp() / "cut.csv"
    path.write_text("\n".join(["a,b", *lines]))
    before, bar_file.PIECE_BYTES = bar_file.PIECE_BYTES, 32
    try:
        rows, ragged = read(path, ["a", "b"])
    finally:
        bar_file.PIECE_BYTES = before
    expected = [(at, *line.split(",")) for at, line in enumerate(lines, 2) if line.count(",") == 1]
    assert rows == expected
    numbered = enumerate(lines, 2)
    assert ragged == [
        (at, line.count(",") + 1) for at, line in numbered if line and line.count(",") != 1
    ]


def test_a_file_can_be_looked_at_and_then_read(tmp_path: Path) -> None:
    path = tmp_path / "bars.csv"
    path.write_text("a,b\nx\n1,2\n3,4,5\n6,7\n")
    file = bar_file.opened(path)
    for _ in file.pieces(["a"]):
        break
    [piece] = file.pieces(["b"])
    assert piece.lines.tolist() == [3, 5]
    assert [one.line for one in file.ragged()] == [2, 4]
    file.close()


def test_packed_csv_whatever_it_is_called(tmp_path: Path) -> None:
    text = b"ticker,close\nBBCA,9000\n"
    for name, packed in (
        ("a.csv.gz", gzip.compress(text)),
        ("a.bz2", bz2.compress(text)),
        ("a.dat", zstandard.compress(text)),
        ("a.txt", text),
    ):
        path = tmp_path / name
        path.write_bytes(packed)
        assert read(path, ["ticker", "close"]) == ([(2, "BBCA", "9000")], [])


def test_parquet_in_pieces_counts_rows(tmp_path: Path) -> None:
    path = tmp_path / "bars.parquet"
    many = bar_file.PIECE_ROWS + 10
    table = pa.table({"close": np.arange(many), "other": np.zeros(many), "ts": np.arange(many)})
    pq.write_table(table, path, row_group_size=5_000)
    file = bar_file.opened(path)
    assert (file.counts, list(file.headers)) == ("row", ["close", "other", "ts"])
    pieces = list(file.pieces(["ts", "close"]))
    assert sum(len(piece.lines) for piece in pieces) == file.done == file.total == many
    assert pieces[-1].lines[-1] == many
    assert set(pieces[0].columns) == {"ts", "close"}
    assert max(len(piece.lines) for piece in pieces) <= bar_file.PIECE_ROWS


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "headers are needed"),
        (b"just one line of prose\n1\n", "headers are needed"),
        (b"PAR1 and then nothing", "cannot be read"),
        (b"\xff\xfeo\0p\0e\0n\0,\0", "neither Parquet nor text"),
        (b"\x1f\x8bnot gzip", "cannot be read"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, content: bytes, what: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(Refuse, match=what) as refused:
        bar_file.opened(path)
    assert refused.value.code == "bad_file"


def test_no_file_a_folder_and_a_cut_one(tmp_path: Path) -> None:
    with pytest.raises(Refuse, match="no such file"):
        bar_file.opened(tmp_path / "nothing")
    with pytest.raises(Refuse, match="it is no file"):
        bar_file.opened(tmp_path)
    path = tmp_path / "cut.csv.gz"
    rng = np.random.default_rng(1)
    text = "a,b\n" + "".join(f"{x},{x}\n" for x in rng.random(20_000).tolist())
    path.write_bytes(gzip.compress(text.encode())[:-200_000])
    with pytest.raises(Refuse, match="cannot be read"):
        read(path, ["a", "b"])


def test_a_file_of_headers_alone_has_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "bars.csv"
    for text in ("a,b", "a,b\n", "a,b\n\n"):
        path.write_text(text)
        assert read(path, ["a", "b"]) == ([], [])


def test_too_many_ragged_lines_are_no_table(tmp_path: Path) -> None:
    path = tmp_path / "bars.csv"
    path.write_text("a,b\n" + "1,2,3\n" * (bar_file.RAGGED_MAX + 1))
    with pytest.raises(Refuse, match="line 2 has 3"):
        read(path, ["a", "b"])


def test_an_open_quote_takes_no_rows_along_in_silence(tmp_path: Path) -> None:
    path = tmp_path / "bars.csv"
    path.write_text('a,b\n1,2\n"3,4\n5,6\n7,8\n')
    with pytest.raises(Refuse, match="line 3: a quote that opens there is not closed"):
        read(path, ["a", "b"])
    path.write_text('a,b\n1,2\n3,"4 and\nfive"\n')
    assert read(path, ["a", "b"])[0][1] == (3, "3", "4 and\nfive"), "one that is closed may go on"


def test_lines_behind_a_value_with_line_breaks_are_numbered_as_an_editor_does(
    tmp_path: Path,
) -> None:
    """Also where the value is of a column that nobody asks for, and of lines that are no rows."""
    path = tmp_path / "bars.csv"
    lines, rows, bad = ["a,b,note"], {}, []
    at = 2
    for n in range(60_000):
        if n % 7_001 == 5:
            lines.append(f'{n},2,"goes\non\nand on"')
            rows[at], at = str(n), at + 3
        elif n % 9_001 == 8:
            lines.append(f"{n},2")
            bad.append(at)
            at += 1
        else:
            lines.append(f"{n},2,")
            rows[at], at = str(n), at + 1
    path.write_text("\n".join(lines) + "\n")
    assert path.stat().st_size < bar_file.PIECE_BYTES
    for piece_bytes in (bar_file.PIECE_BYTES, 1 << 14):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(bar_file, "PIECE_BYTES", piece_bytes)
            found, ragged = read(path, ["b", "a"])
        assert {line: a for line, _, a in found} == rows
        assert [line for line, _ in ragged] == bad


def test_a_line_that_is_too_long_is_said_to_be(tmp_path: Path) -> None:
    path = tmp_path / "bars.csv"
    path.write_text("a,b\n1,2\n3," + "x" * (3 * bar_file.PIECE_BYTES) + "\n")
    with pytest.raises(Refuse, match=r"longer than 1,048,576 bytes"):
        read(path, ["a", "b"])
