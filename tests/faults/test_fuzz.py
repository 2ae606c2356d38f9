"""Whatever bytes come, a decoder gives rows, refusals or the project's errors, and goes on (P6).

Inputs are good ones, spoiled (fuzz.py says how and what must hold), and what Hypothesis thinks of.
All targets share BUDGET_S in CI; `--soak` feeds each 10^9 bytes. Seeds are printed.
"""

import gc
import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import numpy as np
import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bursa.model.batch import BLOCKS, LINES, SOUPBIN
from bursa.model.errors import Reject
from bursa.model.venue import IDX, VENUES
from bursa.wire.idx.decoder import IdxDecoder
from bursa.wire.itch50.decoder import ItchDecoder
from bursa.wire.transport import soupbin
from bursa.wire.transport.pcap import Capture
from tests.faults import fuzz
from tests.faults.fuzz import Target, hammered, targets
from tests.wire.idx import encoder as idx_encoder
from tests.wire.itch50 import encoder as itch_encoder

BUDGET_S = 8.0
SOAK_BYTES = 10**9
# Of a decoder's memory, between the first tenth of a long stream and its end.
GROWTH_BYTES_MAX = 24 << 20
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def hunted() -> Iterator[dict[str, Target]]:
    """The targets, compiled."""
    with targets() as found:
        for target in found.values():
            for seed in target.seeds:
                target.check(seed)
        yield found
    structlog.reset_defaults()


def test_spoiled_inputs(hunted: dict[str, Target], soak: bool) -> None:
    total = 0
    for name, target in hunted.items():
        seed = Random().randrange(2**32)
        end = time.monotonic() + BUDGET_S / len(hunted)

        def over(executions: int, fed: int, end: float = end) -> bool:
            return fed >= SOAK_BYTES if soak else executions > 20 and time.monotonic() > end

        print(f"{name}: seed {seed}", end="", flush=True)
        executions, fed = hammered(target, Random(seed), over)
        print(f", {executions:,} executions, {fed:,} bytes")
        total += executions
    print(f"{total:,} executions over {len(hunted)} targets")


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_bytes(hunted: dict[str, Target], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(hunted)))
    target = hunted[name]
    seed = data.draw(st.sampled_from([b"", *target.seeds]))
    head = data.draw(st.integers(0, len(seed)))
    tail = data.draw(st.integers(head, len(seed)))
    target.check(seed[:head] + data.draw(st.binary(max_size=64)) + seed[tail:])


def test_every_truncation_of_what_is_recorded(hunted: dict[str, Target]) -> None:
    """Each decoder's good input, cut at every byte."""
    for name in ("idx blocks", "idx soup", "idx text", "itch50 blocks", "itch50 soup", "binance"):
        target = hunted[name]
        for end in range(len(target.seeds[0])):
            target.check(target.seeds[0][:end])


def test_streams_are_fed_byte_by_byte() -> None:
    """One pass: after each byte the stream stands where it would be cut, and goes on."""
    stream = fuzz.soup_stream()
    whole = list(soupbin.Packets().feed(stream))
    packets = soupbin.Packets()
    assert [p for at in range(len(stream)) for p in packets.feed(stream[at : at + 1])] == whole
    for capture in fuzz.capture_seeds():
        reader, found = Capture(), []
        for at in range(len(capture)):
            found += list(reader.push(capture[at : at + 1]))
        assert found == list(Capture().push(capture)) and len(found) == 1 and not reader.rest


def test_the_properties_would_notice() -> None:
    """A decoder that loses a byte, and one that raises, are found."""

    def losing(data: bytes) -> None:
        decoder = IdxDecoder(IDX, idx_encoder.words())
        record = idx_encoder.Record(data[:-1], 0, BLOCKS)
        fuzz.accounted(decoder.push(idx_encoder.one_chunk(record)), data, BLOCKS, 1024)

    def raising(data: bytes) -> None:
        if b"9" in data:
            raise IndexError

    good = idx_encoder.blocks(fuzz.IDX_MESSAGES)
    for check in (losing, raising):
        with pytest.raises(AssertionError, match="after"):
            hammered(Target([good], check), Random(1), lambda executions, fed: executions > 500)


# -- memory ----------------------------------------------------------------------------------------


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def idx_stream(chunks: int) -> Iterator[idx_encoder.Record]:
    """Trades and books, their numbers and times going on; a megabyte a record."""
    pair = idx_encoder.blocks(
        [
            idx_encoder.trade(1, idx_encoder.TS),
            idx_encoder.book(1, idx_encoder.TS, "bid", [(90_000_000, 5, 1)] * 10),
        ]
    )
    count, first = (1 << 20) // len(pair), 2 + 56
    rows = np.tile(np.frombuffer(pair, np.uint8), (count, 1))
    for chunk in range(chunks):
        seq = np.arange(count, dtype=np.int64) * 2 + 1 + chunk * count * 2
        for offset, number in ((2, seq), (first + 2, seq + 1)):
            rows[:, offset + 1 : offset + 9] = number.astype(">i8").view(np.uint8).reshape(-1, 8)
            ts = (idx_encoder.TS + number).astype(">i8")
            rows[:, offset + 9 : offset + 17] = ts.view(np.uint8).reshape(-1, 8)
        yield idx_encoder.Record(rows.tobytes(), 0, BLOCKS)


def itch_stream(chunks: int) -> Iterator[itch_encoder.Record]:
    """Orders that come and go, each under a reference of its own."""
    pair = itch_encoder.blocks(
        [itch_encoder.add(1, 1, "B", 100, "AAPL", 5), itch_encoder.deleted(1, 1)]
    )
    count = (1 << 20) // len(pair)
    rows = np.tile(np.frombuffer(pair, np.uint8), (count, 1))
    yield itch_encoder.record([itch_encoder.directory(1, "AAPL")], 1)
    number = 2
    for chunk in range(chunks):
        reference = (np.arange(count, dtype=np.int64) + 1 + chunk * count).astype(">i8")
        for offset in (2 + 11, 2 + 36 + 2 + 11):
            rows[:, offset : offset + 8] = reference.view(np.uint8).reshape(-1, 8)
        yield itch_encoder.Record(rows.tobytes(), number, count=2 * count)
        number += 2 * count


@pytest.mark.parametrize("name", ["idx", "itch50"])
def test_memory_is_flat_over_a_long_stream(name: str, soak: bool) -> None:
    chunks = 2000 if soak else 100
    found = fed = rows = 0
    if name == "idx":
        idx = IdxDecoder(IDX, idx_encoder.words())
        records = (idx_encoder.one_chunk(record) for record in idx_stream(chunks))
        pushes = ((chunk, idx.push(chunk)) for chunk in records)
    else:
        itch = ItchDecoder(VENUES["xnas"], VENUES["xnas"].words())
        orders = (itch_encoder.chunk([r], itch_encoder.positions([r])) for r in itch_stream(chunks))
        pushes = ((chunk, itch.push(chunk)) for chunk in orders)
    for at, (chunk, decoded) in enumerate(pushes):
        fed += len(chunk.frames)
        rows += decoded.counts["messages"]
        assert not decoded.rejects
        if at == chunks // 10:
            gc.collect()
            found = resident()
    gc.collect()
    grown = resident() - found
    print(f"{name}: {rows:,} messages, {fed / 1e6:,.0f} MB, {grown / 1e6:+.1f} MB resident")
    assert fed > 90e6 and grown < GROWTH_BYTES_MAX


# -- other engines ---------------------------------------------------------------------------------


def run(*arguments: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | environment,
        timeout=3600,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout + done.stderr


def test_kernels_stay_within_their_arrays(tmp_path: Path, soak: bool) -> None:
    """Compiled anew with checks of every index, which takes minutes."""
    if not soak:
        pytest.skip("compiles every kernel anew with bounds checks: --soak")
    checked = {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path)}
    print(run("-m", "tests.faults.fuzz", "--seconds", "60", **checked))


@pytest.mark.parametrize("name", ["idx blocks", "pcap", "layouts"])
def test_guided_by_coverage(name: str) -> None:
    if importlib.util.find_spec("atheris") is None:
        pytest.skip("atheris is not to be had for this Python")
    script = str(Path(fuzz.__file__).with_name("fuzz_atheris.py"))
    # Memory is measured above; here it would be counted with that of the tests' own process.
    limits = ("-max_total_time=2", "-max_len=4096", "-rss_limit_mb=0")
    said = run(script, name, *limits)
    assert "Done" in said


def test_forms_of_the_journal_are_all_hunted() -> None:
    """A fourth form needs a target of its own."""
    assert {BLOCKS, SOUPBIN, LINES} == {0, 1, 2}
    with pytest.raises(Reject):
        list(Capture().push(b"neither of both" * 4))
