"""The scripts' own logic, run where it lives: in a browser, module by module."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from litestar import Litestar

from bursa.api.continuity import DAYS_MAX
from bursa.api.udf.routes import COUNTBACK_MAX
from bursa.web.pages import Pages

pytestmark = pytest.mark.browser

Run = Callable[[str, str], Any]


@pytest.fixture
def run(browser: Any, serve: Callable[[Any], str], facts: Any) -> Iterator[Run]:
    """run(module, body): the value of `body`, a function of the module's exports `m`."""
    url = serve(Litestar(Pages(facts).routes(), openapi_config=None, logging_config=None))
    page = browser.new_page()
    page.goto(f"{url}/static/x/vendor/VENDORED.txt")

    def evaluate(module: str, body: str) -> Any:
        return page.evaluate(
            f"async () => {{ const m = await import('/static/x/js/{module}.js'); {body} }}"
        )

    yield evaluate
    page.close()


def test_a_place_is_found_among_slots(run: Run) -> None:
    body = """
      const { Bars } = await import("/static/x/js/bars.js");
      const { Sessions, VenueTime } = await import("/static/x/js/clock.js");
      const time = new VenueTime("UTC"), sessions = new Sessions("0900-1000:23456");
      const day = (n, hour = 0, minute = 0) => Date.UTC(2025, 10, n, hour, minute) / 1000;
      const slots = (interval, keys) => {
        const bars = new Bars(time, sessions, interval);
        bars.merge(keys.map((t) => ({ t, o: 1, h: 1, l: 1, c: 1, v: 1 })));
        return [bars.slots(), bars];
      };
      const asked = (made, from, to = from) => {
        const found = m.find(made[0], { from, to }, made[1]);
        return found.first === undefined ? found : [found.first, found.last];
      };
      const opened = [13, 14, 17].flatMap((n) => [day(n, 9), day(n, 9, 5), day(n, 9, 20)]);
      const five = slots("5", opened), days = slots("D", [13, 14, 17].map((n) => day(n)));
      const weeks = slots("W", [3, 10].map((n) => day(n)));
      return [
        asked(five, day(14), day(15)), asked(five, day(14, 9, 7)), asked(five, day(14, 9, 12)),
        asked(five, day(15), day(16)), asked(five, day(12), day(13)), asked(five, day(18), day(19)),
        asked(five, day(13, 9)), asked(five, day(17, 9, 24)), asked(five, day(17, 9, 25)),
        asked(days, day(14), day(15)), asked(days, day(14, 9, 30)), asked(days, day(18), day(19)),
        asked(weeks, day(5), day(6)), asked(weeks, day(14, 12)), asked(weeks, day(1), day(2)),
        m.placeOf({}), m.placeOf({ from: "0", until: "86400" })];
    """
    assert run("place", body) == [
        [3, 5], [4, 4], [5, 5],
        [6, 6], "before", "after",
        [0, 0], [8, 8], "after",
        [1, 1], [1, 1], "after",
        [0, 0], [1, 1], "before",
        None, {"from": 0, "to": 86400},
    ]  # fmt: skip


def test_an_answer_changes_no_bar_that_was_heard_of_since_it_was_asked_for(run: Run) -> None:
    """Nor its details; other bars and their metrics are taken, and the next answer is whole."""
    body = """
      const { Bars } = await import("/static/x/js/bars.js");
      const { Sessions, VenueTime } = await import("/static/x/js/clock.js");
      const at = 1763424000, asked = [], answered = [];
      let close = 5;
      globalThis.fetch = (url) => new Promise((resolve) => {
        const { pathname } = new URL(url, location.href), t = [at - 60, at];
        const row = { date: new Date(at * 1000).toISOString(), rev: 1, rsi_14: close };
        const body = pathname === "/udf/history"
          ? { s: "ok", t, o: t, h: t, l: t, c: [7, close], v: t } : { data: [row], meta: {} };
        asked.push(pathname);
        answered.push(() => resolve(new Response(JSON.stringify(body))));
      });
      const bars = new Bars(new VenueTime("UTC"), new Sessions("24x7"), "1");
      const fail = (error) => { throw error; };
      const metric = { name: "rsi_14", outputs: [{ column: "rsi_14" }] };
      const what = { venue: "v", exchange: "V", ticker: "T", interval: "1",
        metrics: () => [metric] };
      const feed = new m.ChartFeed(what, bars, { change: () => {}, fail });
      const seen = () => [bars.list.map(({ c, rev }) => [c, rev ?? null]), bars.last["m:rsi_14"]];
      const frame = (c, rev) => bars.hear({ t: at, o: 1, h: 1, l: 1, c, v: 1, rev });
      bars.merge([at - 60, at].map((t) => ({ t, o: 1, h: 1, l: 1, c: 1, v: 1 })));
      frame(4, 0);
      const turn = async (heard) => {
        const done = feed.refresh();
        while (!answered.length) await new Promise(setTimeout);
        if (heard) frame(8, 2);
        answered.shift()();
        while (answered.length < 2) await new Promise(setTimeout);
        const between = bars.last.c;
        if (heard) frame(9, 3);
        for (const answer of answered.splice(0)) answer();
        await done;
        return [between, ...seen()];
      };
      const first = await turn(true);
      close = 10;
      return [first, await turn(false), asked.length];
    """
    assert run("feed", body) == [
        [8, [[7, None], [9, 3]], 5],
        [10, [[7, None], [10, 1]], 10],
        6,
    ]


def test_a_chart_of_the_past_is_read_back_to_its_place(run: Run) -> None:
    """By as many answers as that takes; where those were too many, that place is read alone."""
    body = """
      const { Bars, BARS_MAX } = await import("/static/x/js/bars.js");
      const { Sessions, VenueTime } = await import("/static/x/js/clock.js");
      const { HISTORY_MAX } = await import("/static/x/js/api.js");
      const end = 1763424000 - 1763424000 % 60, oldest = end - 60 * 60000, asked = [];
      globalThis.fetch = async (url) => {
        const { pathname, searchParams: query } = new URL(url, location.href);
        let answer = { data: pathname.startsWith("/v1/continuity")
          ? { totals: {}, ranges: [], gaps: [] } : [], meta: {} };
        if (pathname === "/udf/history") {
          const to = Math.min(Number(query.get("to")), end), t = [];
          const range = (to - Number(query.get("from"))) / 60;
          const count = Math.min(Number(query.get("countback")) || range, HISTORY_MAX);
          for (let n = count; n > 0; n--) t.push(to - 60 * n);
          const kept = t.filter((at) => at >= oldest), flat = kept.map(() => 1);
          asked.push(kept.length);
          answer = { s: "ok", t: kept, o: flat, h: flat, l: flat, c: flat, v: flat };
        }
        return new Response(JSON.stringify(answer));
      };
      const read = async (since) => {
        const bars = new Bars(new VenueTime("UTC"), new Sessions("24x7"), "1");
        const what = { venue: "v", exchange: "V", ticker: "T", interval: "1", hd: false,
          metrics: () => [], since: () => since };
        const told = [];
        const feed = new m.ChartFeed(what, bars, { change: () => told.push("change"),
          ledger: () => told.push("ledger"), fail: (error) => told.push(error.message) });
        asked.length = 0;
        await feed.load();
        const first = bars.first.t;
        feed.stop();
        return [asked.slice(), first <= since, bars.list.length < BARS_MAX, told.slice(0, 2),
          bars.newer];
      };
      return [await read(null), await read(end - 60 * 300), await read(end - 60 * 12000),
        await read(end - 60 * 50000), HISTORY_MAX];
    """
    newest, near, far, beyond, most = run("feed", body)
    assert most == COUNTBACK_MAX
    assert newest[0] == [600] and newest[3][0] == "change"
    assert near == [[600], True, True, ["ledger", "change"], False]
    assert far == [[600, 5000, 5000, 5000], True, True, ["ledger", "change"], False]
    assert beyond == [[600, 1000, 5000], True, True, ["ledger", "change"], True]


def test_a_chart_lets_newer_bars_go_and_gets_them_back(run: Run) -> None:
    """It goes as far back as there are bars, holding no more than it may at once."""
    body = """
      const { Bars, BARS_MAX } = await import("/static/x/js/bars.js");
      const { Sessions, VenueTime } = await import("/static/x/js/clock.js");
      const bar = (t) => ({ t, o: 1, h: 1, l: 1, c: 1, v: 1 }), minute = (n) => 60 * n;
      const all = 90_000, weekend = [70_000, 85_000], out = [];
      const there = (n) => n < weekend[0] || n >= weekend[1];
      globalThis.fetch = async (url) => {
        const { pathname, searchParams: query } = new URL(url, location.href);
        let answer = { data: pathname.startsWith("/v1/continuity")
          ? { totals: {}, ranges: [], gaps: [] } : [], meta: {} };
        if (pathname === "/udf/history") {
          const count = Number(query.get("countback")) || 5000, t = [];
          const from = query.get("countback") ? 0 : Math.ceil(Number(query.get("from")) / 60);
          for (let n = Math.min(all, Math.ceil(Number(query.get("to")) / 60)) - 1;
            n >= from && t.length < count; n--) if (there(n)) t.unshift(minute(n));
          const flat = t.map(() => 1);
          answer = t.length ? { s: "ok", t, o: flat, h: flat, l: flat, c: flat, v: flat }
            : { s: "no_data" };
        }
        return new Response(JSON.stringify(answer));
      };
      const bars = new Bars(new VenueTime("UTC"), new Sessions("24x7"), "1");
      const what = { venue: "v", exchange: "V", ticker: "T", interval: "1", hd: false,
        metrics: () => [] };
      const feed = new m.ChartFeed(what, bars, { change() {}, ledger() {},
        fail(error) { throw error; } });
      const held = () => [bars.first.t / 60, bars.last.t / 60, bars.newer, bars.complete];
      await feed.load();
      let most = 0;
      const until = async (step, done) => {
        for (let n = 0; n < 200 && !done(); n++) {
          await step();
          most = Math.max(most, bars.list.length);
        }
        out.push(held());
      };
      await until(() => feed.older(), () => bars.complete);
      /* What is live has no place behind bars of the past. */
      out.push(bars.merge([bar(minute(all))]), bars.enrich([{ t: minute(all), hd: 1 }]));
      out.push(held(), bars.setPending({ since: null, now: minute(all + 9) }));
      await feed.tail();
      await until(() => feed.newer(), () => bars.last.t >= minute(all - 1));
      out.push(bars.byKey.size === bars.list.length, most <= BARS_MAX,
        bars.list.every(({ t }, i, list) => !i || t - list[i - 1].t === 60
          || t === minute(weekend[1])));
      await feed.newer();
      out.push(bars.newer, bars.merge([bar(minute(all))]), bars.last.t / 60);
      feed.stop();
      /* Many put behind those in view would move what is in view, were it not said. */
      bars.clear();
      bars.moved = false;
      bars.merge([bar(minute(1)), bar(minute(9))]);
      out.push(bars.moved);
      bars.merge([bar(minute(10)), bar(minute(11))], "newer");
      out.push(bars.moved);
      return out;
    """
    back, *live, again, whole, few, steady, newer, change, last, live_moves, page_moves = run(
        "feed", body
    )
    assert back[0] == 0 and back[1] < 40_000 and back[2:] == [True, True]
    assert live == ["none", "none", back, False]
    assert again[0] > 30_000 and again[1:] == [89_999, True, False]
    assert (whole, few, steady) == (True, True, True)
    assert (newer, change, last) == (False, "tail", 90_000)
    assert (live_moves, page_moves) == (False, True)


def test_the_ledger_of_a_chart_of_the_past_is_no_longer_than_the_server_tells(run: Run) -> None:
    body = """
      const { Bars } = await import("/static/x/js/bars.js");
      const { Sessions, VenueTime } = await import("/static/x/js/clock.js");
      const end = 1763424000, spans = [];
      globalThis.fetch = async (url) => {
        const { searchParams: query } = new URL(url, location.href);
        spans.push((Date.parse(query.get("to")) - Date.parse(query.get("from"))) / 86400e3);
        return new Response(JSON.stringify(
          { data: { totals: {}, ranges: [], gaps: [] }, meta: {} }));
      };
      const bars = new Bars(new VenueTime("UTC"), new Sessions("24x7"), "D");
      bars.merge([6000, 1000, 0].map((days) => ({ t: end - 86400 * days, o: 1, h: 1, l: 1, c: 1,
        v: 1 })));
      for (const days of [6000, 1000, null]) {
        const since = days && end - 86400 * days;
        const what = { venue: "v", exchange: "V", ticker: "T", interval: "D", since: () => since };
        await new m.ChartFeed(what, bars, { ledger() {}, fail(error) { throw error; } }).ledger();
      }
      return spans;
    """
    longest, whole, newest = run("feed", body)
    assert 3_600 < longest <= DAYS_MAX and (whole, newest) == (1_001, 92)


def test_numbers_line_up_in_both_languages(run: Run) -> None:
    body = """
      const all = () => [
        m.fixed(8850, 0), m.fixed(91284.5, 1), m.fixed(-0.83, 2), m.percent(1.4327),
        m.percent(-0.83), m.compact(742318), m.compact(1.18e6), m.compact(654e9),
        m.compact(1e12), m.money(654e9, "IDR")];
      document.documentElement.dataset.numbers = "en-US";
      const english = all();
      document.documentElement.dataset.numbers = "id-ID";
      return [english, all()];
    """
    english, indonesian = run("format", body)
    assert english == [
        "8,850", "91,284.5", "\u22120.83", "+1.43%", "\u22120.83%",
        "742K", "1.18M", "654B", "1.00T", "Rp\u00a0654B",
    ]  # fmt: skip
    assert indonesian == [
        "8.850", "91.284,5", "\u22120,83", "+1,43%", "\u22120,83%",
        "742\u00a0rb", "1,18\u00a0jt", "654\u00a0mlr", "1,00\u00a0tln", "Rp\u00a0654\u00a0mlr",
    ]  # fmt: skip


def test_what_prints_as_zero_has_no_sign_and_no_direction(run: Run) -> None:
    body = """return [
      m.percent(-0.004), m.percent(0.004), m.signed(0, 0), m.direction(-0.004, 2),
      m.direction(-0.006, 2), m.fixed(-0.004, 2), m.fixed(null, 2), m.compact(undefined),
      m.percent(NaN)];"""
    assert run("format", body) == [
        "0.00%", "0.00%", "0", "b-flat", "b-down", "0.00", "\u2013", "\u2013", "\u2013",
    ]  # fmt: skip


def test_a_rounded_number_takes_the_unit_it_rounds_into(run: Run) -> None:
    body = "return [999, 1000, 9994, 99950, 999499, 999500, 999999999].map((v) => m.compact(v))"
    assert run("format", body) == ["999", "1.00K", "9.99K", "100K", "999K", "1.00M", "1.00B"]


def test_volumes_print_in_the_venues_unit(run: Run) -> None:
    body = """
      const lots = { unit: 100, volumeDecimals: 0 }, coins = { unit: 1, volumeDecimals: 8 };
      return [m.volume(74231800, lots), m.volume(400, lots), m.volume(0, lots),
        ...[32.419, 0.17214, 1.5, 300.25, 45210].map((v) => m.volume(v, coins))];
    """
    assert run("format", body) == [
        "742K", "4", "0", "32.4", "0.1721", "1.50", "300", "45.2K",
    ]  # fmt: skip


def test_ages_spans_and_shares(run: Run) -> None:
    body = """return [
      [38, 7400, 240e3, 3 * 3600e3, 50 * 3600e3].map(m.age),
      [40, 2100, 7500, 7200, 4500000].map(m.span),
      [1, 0.9999, 0.946, 0.0001, 0].map(m.share)];"""
    ages, spans, shares = run("format", body)
    assert ages == ["38 ms", "7 s", "4 min", "3 h", "2 d"]
    assert spans == ["40 s", "35 min", "2 h 5 min", "2 h", "1,250 h"]
    assert shares == ["100.0%", "99.9%", "94.6%", "0.1%", "0.0%"]


def test_venue_time_follows_its_zone(run: Run) -> None:
    body = """
      const jakarta = new m.VenueTime("Asia/Jakarta");
      const york = new m.VenueTime("America/New_York");
      const t = Date.UTC(2025, 10, 18, 7, 32) / 1000, spring = Date.UTC(2025, 2, 9) / 1000;
      return [jakarta.local(t) - t, york.offset(spring + 6 * 3600), york.offset(spring + 8 * 3600)];
    """
    assert run("clock", body) == [25200, -18000, -14400]


IDX = "0900-1200,1330-1616:2345|0900-1130,1400-1616:6"


def test_missing_slots_lie_in_trading_hours_on_the_sessions_grid(run: Run) -> None:
    body = f"""
      const s = new m.Sessions("{IDX}"), at = (d, h, min) => Date.UTC(2025, 10, d, h, min) / 1000;
      const hm = (list) => list.map((t) => new Date(t * 1000).toISOString().slice(8, 16));
      return [
        hm(s.slots(at(18, 11, 50), at(18, 13, 40), 300)),
        hm(s.slots(at(21, 11, 0), at(21, 15, 0), 3600)),
        s.slots(at(22, 0, 0), at(24, 0, 0), 60).length,
        s.index(at(18, 8, 59)), s.index(at(18, 12, 30)), s.index(at(18, 13, 30))];
    """
    tuesday, friday, weekend, *index = run("clock", body)
    assert tuesday == ["18T11:50", "18T11:55", "18T13:30", "18T13:35"]
    assert friday == ["21T11:00", "21T14:00"]
    assert weekend == 0
    assert index == [-1, 0, 1]


def test_no_slots_are_missing_on_holidays_and_after_an_early_close(run: Run) -> None:
    body = """
      const short = "0930-1300:20261127,20261224";
      const s = new m.Sessions("0930-1600:23456", "20261126,20261225", short);
      const at = (d, h) => Date.UTC(2026, 10, d, h) / 1000;
      const hm = (list) => list.map((t) => new Date(t * 1000).toISOString().slice(8, 16));
      return [
        hm(s.slots(at(25, 15), at(30, 10), 3600)), s.index(at(26, 12)), s.index(at(27, 12)),
        new m.Sessions("24x7").slots(at(26, 0), at(27, 0), 3600).length];
    """
    slots, holiday, short, always = run("clock", body)
    assert slots == ["25T15:30", "27T09:30", "27T10:30", "27T11:30", "27T12:30", "30T09:30"]
    assert (holiday, short, always) == (-1, 0, 24)


BARS = f"""
  const c = await import("/static/x/js/clock.js");
  const time = new c.VenueTime("Asia/Jakarta"), sessions = new c.Sessions("{IDX}");
  const at = (d, h, min) => Date.UTC(2025, 10, d, h - 7, min) / 1000;
  const bar = (t, more = {{}}) => ({{ t, o: 1, h: 2, l: 1, c: 2, v: 100, ...more }});
  const minutes = (d, h, from, to) =>
    Array.from({{ length: to - from }}, (_, i) => bar(at(d, h, from + i)));
"""


def test_a_hole_keeps_its_width_and_an_empty_minute_has_no_slot(run: Run) -> None:
    body = (
        BARS
        + """
      const bars = new m.Bars(time, sessions, "1");
      bars.merge([...minutes(18, 10, 10, 15), ...minutes(18, 10, 50, 52), bar(at(18, 10, 55))]);
      bars.setHoles([{ from: at(18, 10, 15), to: at(18, 10, 50) }]);
      const slots = bars.slots(), marks = m.marksOf(slots, () => ({}));
      return [
        slots.length, slots.filter((s) => !s.bar).length,
        marks.holes.map((h) => [h.from, h.to]),
        marks.strip.map((s) => [s.kind, s.to - s.from + 1])];
    """
    )
    count, empty, holes, strip = run("bars", body)
    assert (count, empty) == (8 + 35, 35)
    assert holes == [[5, 39]]
    assert strip == [["received", 5], ["missing", 35], ["received", 3]]


def test_what_is_not_received_yet_lies_between_the_cut_and_the_clock(run: Run) -> None:
    body = f"""{BARS}
      const hm = (x) => new Date(x * 1000).toISOString().slice(11, 16), out = [];
      const look = (list, interval, since, now) => {{
        const bars = new m.Bars(time, sessions, interval);
        bars.merge(list);
        const told = bars.setPending({{ since, now }}), again = bars.setPending({{ since, now }});
        const shaded = bars.slots().filter((slot) => slot.hole?.pending);
        out.push([told, again, shaded.map(({{ x, bar }}) => hm(x) + (bar ? "+" : ""))]);
        return bars;
      }};
      look(minutes(18, 10, 0, 5), "1", at(18, 10, 4) + 7, at(18, 10, 4) + 20);
      const bars = look(minutes(18, 10, 0, 5), "1", at(18, 10, 4) + 7, at(18, 10, 6) + 20);
      look(minutes(18, 10, 0, 2), "1", at(18, 10, 4) + 7, at(18, 10, 6) + 20);
      look([bar(at(18, 11, 55))], "5", at(18, 11, 57), at(18, 13, 31));
      look([bar(at(18, 11, 59))], "1", at(18, 12, 10), at(18, 13, 20));
      look([bar(Date.UTC(2025, 10, 18) / 1000)], "D", at(18, 11, 57), at(18, 13, 31));
      bars.merge([bar(at(18, 10, 5))]);
      out.push(bars.slots().filter((slot) => !slot.bar).map(({{ x }}) => hm(x)));
      out.push([bars.setPending(null), bars.slots().some((slot) => slot.hole)]);
      return out;
    """
    open_minute, later, quiet, noon, lunch, day, healing, healed = run("bars", body)
    assert open_minute == [True, False, ["10:04+"]]
    assert later == [True, False, ["10:04+", "10:05", "10:06"]]
    assert quiet == [True, False, ["10:04", "10:05", "10:06"]]
    assert noon == [True, False, ["11:55+", "13:30"]]
    assert lunch == [False, False, []]
    assert day == [True, False, ["00:00+"]]
    assert healing == ["10:06"]
    assert healed == [True, False]


def test_what_was_backfilled_is_banded_and_holes_come_first(run: Run) -> None:
    body = (
        BARS
        + """
      const bars = new m.Bars(time, sessions, "1"), longer = new m.Bars(time, sessions, "5");
      const holes = [{ from: at(18, 10, 4), to: at(18, 10, 5), part: true }];
      const late = [{ from: at(18, 10, 1), to: at(18, 10, 3) }];
      late.push({ from: at(18, 10, 4), to: at(18, 10, 6) });
      const told = [];
      for (const one of [bars, longer]) {
        one.merge(minutes(18, 10, 0, 8).filter(({ t }) => one === bars || t % 300 === 0));
        one.setHoles(holes, late);
        const marks = m.marksOf(one.slots(), () => ({}));
        const runs = marks.strip.map((s) => [s.kind, s.to - s.from + 1]);
        told.push([marks.late.map(({ from, to }) => [from, to]), runs]);
      }
      return told;
    """
    )
    minutes, longer = run("bars", body)
    assert minutes[0] == [[1, 2], [5, 5]]
    assert minutes[1] == [
        ["received", 1], ["backfilled", 2], ["received", 1], ["part", 1], ["backfilled", 1],
        ["received", 2],
    ]  # fmt: skip
    assert longer == [[[1, 1]], [["part", 1], ["backfilled", 1]]]


def test_a_gap_inside_minutes_that_have_bars_is_told_too(run: Run) -> None:
    body = """
      const iso = (s) => new Date(Date.UTC(2025, 10, 18, 3, 0, s)).toISOString();
      const gap = (from, to, n) =>
        ({ channel: "idxdata", from: iso(from), to: iso(to), seq_from: n, seq_to: n + 4 });
      const data = {
        totals: { received: 58, backfilled: 0, confirmed_empty: 0, missing: 2 },
        ranges: [{ from: iso(600), to: iso(720), state: "missing", minutes: 2 }],
        gaps: [gap(95, 110, 7), gap(595, 725, 40)] };
      globalThis.fetch = async () => new Response(JSON.stringify({ ok: true, data, meta: {} }));
      const { holes } = await m.continuity({ venue: "idx", ticker: "X", from: 0, to: 9 });
      return holes.map((h) => [h.to - h.from, h.channel, h.seqFrom, h.seqTo, Boolean(h.part)]);
    """
    assert run("api", body) == [
        [15, "idxdata", 7, 11, True],
        [120, "idxdata", 40, 44, False],
    ]


def test_breaks_stand_where_days_and_noons_are(run: Run) -> None:
    body = (
        BARS
        + """
      const bars = new m.Bars(time, sessions, "1");
      const times = [at(17, 16, 0), at(18, 9, 0), at(18, 11, 59), at(18, 13, 30), at(18, 16, 0)];
      bars.merge(times.map((t) => bar(t)));
      const { days, noons } = m.marksOf(bars.slots(), () => ({}));
      return [days, noons];
    """
    )
    assert run("bars", body) == [[1], [3]]


def test_lines_break_at_each_day_where_a_day_has_many_bars(run: Run) -> None:
    body = (
        BARS
        + """
      const cuts = (interval) => {
        const bars = new m.Bars(time, sessions, interval);
        bars.merge([at(17, 9, 0), at(17, 13, 30), at(18, 9, 0)].map((t) => bar(t)));
        return bars.slots().map(({ first, cut }) => [Boolean(first), Boolean(cut)]);
      };
      return ["1", "60", "240"].map(cuts);
    """
    )
    within, day = [False, False], [True, True]
    assert run("bars", body) == [[within, within, day]] * 2 + [[within, within, [True, False]]]


def test_merging_says_what_changed(run: Run) -> None:
    body = (
        BARS
        + """
      const bars = new m.Bars(time, sessions, "1"), t = at(18, 9, 0);
      return [
        bars.merge([bar(t), bar(t + 60)]), bars.merge([bar(t + 60)]),
        bars.merge([bar(t + 60, { c: 1.5 })]), bars.merge([bar(t + 120)]),
        bars.merge([bar(t, { rev: 1 })]), bars.merge([bar(t - 60)]),
        bars.enrich([{ t: t + 600, rsi: 5 }]), bars.enrich([{ t: t + 120, rsi: 5 }]),
        bars.list.map((b) => b.t - t)];
    """
    )
    assert run("bars", body) == [
        "all", "none", "tail", "tail", "all", "all", "none", "tail", [-60, 0, 60, 120],
    ]  # fmt: skip


def test_metrics_that_overtake_their_bar_wait_for_it(run: Run) -> None:
    body = (
        BARS
        + """
      const bars = new m.Bars(time, sessions, "1"), t = at(18, 9, 0);
      bars.merge([bar(t)]);
      const early = bars.enrich([{ t: t + 60, rsi: 60 }, { t: t - 60, rsi: 50 }]);
      bars.merge([bar(t + 60)]);
      return [early, bars.list.map((b) => b.rsi ?? null), bars.early.size];
    """
    )
    assert run("bars", body) == ["none", [None, 60], 0]


def test_long_bars_are_keyed_by_their_first_day(run: Run) -> None:
    body = (
        BARS
        + """
      const [days, weeks, months] = ["D", "W", "M"].map((i) => new m.Bars(time, sessions, i));
      const monday = Date.UTC(2025, 10, 17) / 1000, first = Date.UTC(2025, 10, 3) / 1000;
      return [
        days.key(at(18, 9, 0)) === Date.UTC(2025, 10, 18) / 1000,
        weeks.within(at(21, 15, 0), monday), weeks.within(at(24, 9, 0), monday),
        months.within(at(28, 9, 0), first), months.within(at(31, 9, 0), first)];
    """
    )
    assert run("bars", body) == [True, True, False, True, False]


def test_the_opening_auction_counts_to_the_first_bar(run: Run) -> None:
    body = (
        BARS
        + """
      const bars = new m.Bars(time, sessions, "1"), longer = new m.Bars(time, sessions, "5");
      const nine = at(18, 9, 0), auction = at(18, 8, 59), later = at(18, 9, 1);
      return [
        bars.countsTo(auction) === nine, bars.countsTo(nine) === nine,
        bars.countsTo(later) === later, longer.countsTo(auction) === auction,
        bars.beginning(nine) <= auction, bars.beginning(nine) > at(17, 16, 0),
        bars.beginning(later) === later, longer.beginning(nine) === nine];
    """
    )
    assert run("bars", body) == [True] * 8


def test_the_tape_draws_the_day_to_scale_and_says_it(run: Run) -> None:
    body = """
      const d = await (await fetch("/web/tape")).json();
      const drawn = m.drawTape(d);
      const of = (name) => drawn.filter((e) => e.getAttribute("class") === name);
      const holes = [[0, 2000], [1000, 3000], [9000, 9500]].map(([from, to]) => ({ from, to }));
      return [
        of("tp-on").length, of("tp-gap").map((e) => [e.getAttribute("x"), e.getAttribute("width")]),
        of("tp-now")[0].getAttribute("x1"), m.describeTape(d), m.missingSeconds(holes)];
    """
    trading, gap, now, words, missing = run("tape", body)
    assert trading == 3
    assert gap == [["19.96%", "7.76%"]]
    assert now == "64.30%"
    assert words == "Trading day 08:45 to 16:16 WIB. Now 13:35, session 2. Missing 10:15 to 10:50."
    assert missing == 3.5


def test_a_crowded_gap_is_explained_by_what_was_lost(run: Run) -> None:
    body = """
      const at = (time) => `2025-11-18T${time}Z`;
      const range = (from, to, state) => ({ from: at(from), to: at(to), state, minutes: 1 });
      const gap = (from, to, seq_from, seq_to) =>
        ({ channel: "idxdata", from: at(from), to: at(to), seq_from, seq_to, cause: "jump" });
      window.fetch = async () => new Response(JSON.stringify({ ok: true, meta: {}, data: {
        totals: { expected: 102, received: 60, backfilled: 2, confirmed_empty: 5, missing: 35 },
        ranges: [range("03:15:00", "03:50:00", "missing"),
                 range("03:50:00", "04:00:00", "received"),
                 range("04:00:00", "04:02:00", "backfilled"),
                 range("05:00:00", "05:01:00", "missing")],
        gaps: [gap("03:15:03.5", "03:40:00", 5, 9), gap("03:45:00", "03:49:59", 20, 21)] } }));
      const { total, holes, backfilled } = await m.continuity(
        { venue: "idx", ticker: "BBCA", from: 0, to: 1 });
      const late = backfilled.map((r) => (r.to - r.from) / 60);
      return [total, late, holes.map((h) => [(h.to - h.from) / 60, h.channel, h.seqFrom, h.seqTo])];
    """
    total, backfilled, holes = run("api", body)
    assert total == {"received": 60, "backfilled": 2, "empty": 5, "missing": 35}
    assert backfilled == [2]
    assert holes == [[35, "idxdata", 5, 21], [1, "", None, None]]


def test_a_new_order_leaves_alone_what_is_in_order(run: Run) -> None:
    body = """
      const of = (a, b) => [...m.staying([...a], [...b])].sort().join("");
      return [of("abcde", "abcde"), of("abcde", "eabcd"), of("abcde", "bcdea"),
              of("edcba", "abcde").length, of("abc", "xaybzc"), of("", "abc"),
              of("abcdef", "badcfe").length];
    """
    assert run("ranks", body) == ["abcde", "abcd", "bcde", 1, "abc", "", 3]


def test_a_spark_breaks_where_messages_are_missing_and_rests_where_none_traded(run: Run) -> None:
    body = """
      const quiet = m.sparkShape([1, null, 2, null, 4], 1, []);
      const torn = m.sparkShape([1, 2, null, null, 3, null], 1, [2, 3]);
      return [quiet, torn.path.split("M").length - 1, torn.lost, torn.path.includes("L80.0"),
              m.sparkShape([null, null], null, [1]), m.sparkShape([5], 5, []).path,
              m.sparkShape([], 5, []).path];
    """
    quiet, starts, lost, carried, nothing, one, none = run("spark", body)
    assert quiet["path"] == "M0.0 17.0L20.0 17.0L40.0 11.7L60.0 11.7L80.0 1.0"
    assert (quiet["base"], quiet["lost"]) == ("17.0", [])
    assert (starts, lost, carried) == (2, [{"x": "26.7", "width": "26.7"}], True)
    assert nothing["path"] == ""
    assert (one, none) == ("M0 9.0H80", "")


DAY = """
  const H = 3600000, from = Date.UTC(2025, 10, 18, 2);
  const stretches = [[0, 3], [4.5, 6], [6, 7]];
  const trading = stretches.map((ends) => ends.map((h) => from + h * H));
"""


def test_the_days_course_lies_on_trading_time(run: Run) -> None:
    body = (
        DAY
        + """
      const at = [0, 3, 4, 4.5, 7, 9, -1].map((h) => m.position(trading, from + h * H));
      const always = [[from, from + 24 * H]];
      const named = (list, share) => m.hours(list, share).map((ms) => (ms - from) / H);
      return [at.map((x) => Math.round(x * 5.5 * 100) / 100), named(trading, 0.1),
              named(trading, 0.2), named(always, 0.1)];
    """
    )
    at, hours, fewer, always = run("dayplot", body)
    assert at == [0, 3, 3, 3, 5.5, 5.5, 0]
    assert hours == [0, 1, 2, 4.5, 5.5]  # the closing auction's opening lies too near
    assert fewer == [0, 2, 5.5]
    assert always == [0, 3, 6, 9, 12, 15, 18, 21]


def test_the_days_course_breaks_at_holes_and_not_at_noon(run: Run) -> None:
    body = (
        DAY
        + """
      const course = (minutes) => m.pieces({ from, minutes, values: minutes }, trading);
      return [course([178, 179, 270, 271]), course([0, 1, 3]), course([])].map((list) =>
        list.map((piece) => piece.map(({ v }) => v)));
    """
    )
    assert run("dayplot", body) == [[[178, 179, 270, 271]], [[0, 1], [3]], []]


def test_rungs_are_round_and_inside(run: Run) -> None:
    body = """return [m.rungs(7338, 7419, 4), m.rungs(0.1, 0.17, 4), m.rungs(5, 5, 4)].map(
      (list) => list.map((v) => Number(v.toFixed(6))));"""
    assert run("dayplot", body) == [[7350, 7375, 7400], [0.1, 0.12, 0.14, 0.16], []]


def test_rungs_are_written_with_the_decimals_that_they_need(run: Run) -> None:
    body = "return [50, 25, 2.5, 1, 0.5, 0.25, 0.02, 0.1 + 0.2 - 0.05].map(m.places);"
    assert run("dayplot", body) == [0, 0, 1, 0, 1, 2, 2, 2]
