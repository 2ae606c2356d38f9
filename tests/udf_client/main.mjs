// Runs the adapter against a server as a chart with a few subscriptions would, and judges what comes.
//
//   node main.mjs --url http://127.0.0.1:18090/udf --symbols IDX:BBCA,IDX:TLKM --resolutions 1,5,60,1D
//
//   --key idx_live_...  the API key that is shown
//   --find bank        typed into the search; must find the first symbol
//   --page 200         bars asked for at once
//   --poll-ms 10000 --beats 30   poll by our own clock; or
//   --lockstep         poll whenever standard input says "beat SECONDS", once the server's clock is there
//   --late 1,2,...     seconds in which trades come late
//   --groups NYSE,...  groups asked for when /config fails
//   --expect-groups    /config must have failed
//
// Prints "subscribed", "done SECONDS" after each beat and a summary in JSON. Exit code 1 and a line on
// standard error for the first finding.

import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { Adapter, Pulse, spanSeconds } from "./adapter.mjs";
import { Finding, Hours, Series, checkMarks, checkQuotes, fail, iso } from "./checks.mjs";

const text = (value) => ({ type: "string", default: value }), flag = { type: "boolean", default: false };
const { values: options } = parseArgs({ options: {
  url: text(""), key: text(""), symbols: text(""), resolutions: text("1"), find: text(""), page: text("200"), "poll-ms": text("10000"), beats: text("3"),
  lockstep: flag, late: text(""), groups: text("NYSE,FOREX,AMEX"), "expect-groups": flag,
} });
const list = (value) => value.split(",").filter(Boolean);
const RESOLUTIONS = { D: "1D", W: "1W", M: "1M" };
const usual = (resolution) => RESOLUTIONS[resolution] ?? resolution;
const PAGES_MOST = 400, MARKS_EVERY = 12, CLOCK_WAIT_MS = 5, CLOCK_TRIES = 2000;
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

function checkInfo(info, name, resolutions) {
  for (const key of ["name", "ticker", "exchange", "listed_exchange", "session", "timezone", "type"]) if (typeof info[key] !== "string" || !info[key]) fail(`${name}: ${key} is ${JSON.stringify(info[key])}`);
  for (const key of ["minmov", "pricescale"]) if (!(Number.isInteger(info[key]) && info[key] > 0)) fail(`${name}: ${key} is ${JSON.stringify(info[key])}`);
  if (!Array.isArray(info.supported_resolutions)) fail(`${name}: supported_resolutions is ${JSON.stringify(info.supported_resolutions)}`);
  const known = info.supported_resolutions.map(usual);
  for (const resolution of resolutions) if (!known.includes(usual(resolution))) fail(`${name}: resolution ${resolution} is none of ${known}`);
}

async function checkSymbols(adapter, names, resolutions) {
  const found = [];
  for (const name of names) {
    const info = await adapter.resolve(name);
    if (!info) fail(`${name} is not known`);
    checkInfo(info, name, resolutions);
    found.push(info);
  }
  if (await adapter.resolve("NOSUCH.X")) fail("NOSUCH.X is a symbol");
  const { name, ticker } = found[0];
  for (const typed of list(`${name.toLowerCase()},${options.find}`)) {
    const hits = await adapter.search(typed);
    if (!hits.some((hit) => hit.symbol === name || hit.name === name)) fail(`a search for ${typed} does not find ${ticker}`);
  }
  if ((await adapter.search("zzzz")).length) fail("a search for zzzz finds something");
  return found;
}

/* Page from `to` back to the beginning; each page goes to `take`. */
async function pages(adapter, info, resolution, to, take) {
  const countBack = Number(options.page);
  for (let n = 0; n < PAGES_MOST; n++) {
    const from = to - spanSeconds(resolution, countBack);
    const { bars, noData, nextTime } = await adapter.history(info, resolution, { from, to, countBack, first: n === 0 });
    if (noData && nextTime === undefined) return;
    if (noData && nextTime >= to) fail(`${info.ticker} ${resolution}: nextTime ${iso(nextTime)} is not before ${iso(to)}`);
    if (bars.length > countBack) fail(`${info.ticker} ${resolution}: ${bars.length} bars where ${countBack} were asked for`);
    if (bars.length && bars.at(-1).time >= to) fail(`${info.ticker} ${resolution}: ${iso(bars.at(-1).time)} is not before ${iso(to)}`);
    take(bars);
    to = noData ? nextTime + 1 : bars[0].time;
  }
  fail(`${info.ticker} ${resolution}: no end after ${PAGES_MOST} pages`);
}

/* Without countback a range in which nothing traded is no_data, and names the bar before it. */
async function checkGap(adapter, info, series) {
  const { bars, resolution } = series, i = bars.findIndex((bar, k) => k > 0 && bar.time - bars[k - 1].time > 3600 * 5);
  if (i < 1 || Number.isNaN(Number(resolution))) return;
  const from = bars[i - 1].time + 1, to = bars[i].time;
  const { noData, nextTime } = await adapter.history(info, resolution, { from, to });
  if (!noData || nextTime !== bars[i - 1].time) fail(`${series.where}: ${iso(from)} to ${iso(to)} is ${noData ? `no_data, next ${nextTime}` : "data"}, the bar before is ${iso(bars[i - 1].time)}`);
}

class Chart {
  constructor(adapter) { Object.assign(this, { adapter, subscriptions: [], names: [], beats: 0, marks: 0 }); }

  async open(names, resolutions) {
    const { adapter } = this, infos = await checkSymbols(adapter, names, resolutions);
    this.names = infos.map((info) => info.ticker);
    for (const info of infos) for (const resolution of resolutions) {
      const series = new Series(resolution, new Hours(info.session, info.timezone), `${info.ticker} ${resolution}`, !options.lockstep);
      series.late = list(options.late).map(Number);
      const now = await this.clock();
      await pages(adapter, info, resolution, now + 1, (bars) => series.page(bars));
      if (!series.bars.length) fail(`${series.where}: no bars`);
      await checkGap(adapter, info, series);
      const pulse = new Pulse(adapter, info, resolution, (bar) => series.live(bar));
      const last = series.bars.at(-1).time;
      /* Up to where the page was: a bar that opens in this very second is on it. */
      await pulse.beat(now + 1);
      /* A bar that ended between the page and the first beat is left as the page had it. */
      if (pulse.lastTime > last) series.late.push(last);
      series.polls.push(now);
      this.subscriptions.push({ info, series, pulse });
    }
  }

  async clock() {
    const now = await this.adapter.time();
    if (!Number.isInteger(now) || now < 1e9) fail(`time is ${now}`);
    return now;
  }

  /* All that a chart asks for at one beat; `now`: the market's seconds. */
  async beat(now) {
    await Promise.all(this.subscriptions.map(async ({ pulse, series }) => { await pulse.beat(now); series.polls.push(now); }));
    if (!this.adapter.storage) checkQuotes(await this.adapter.quotes(this.names), this.names);
    if (this.beats++ % MARKS_EVERY === 0) await this.look(now);
  }

  async look(now) {
    const { config } = this.adapter;
    for (const { info, series } of this.subscriptions) {
      const times = new Set(series.bars.map((bar) => bar.time)), from = series.bars[0].time;
      for (const [kind, supported] of [["marks", config.supports_marks], ["timescale_marks", config.supports_timescale_marks]]) {
        if (!supported) continue;
        const marks = await this.adapter.marks(kind, info, series.resolution, from, now);
        checkMarks(marks, times, `${kind} of ${series.where}`);
        this.marks = Math.max(this.marks, marks.length);
      }
    }
  }

  /* At the end each chart must be what a chart opened now would be. */
  async compare() {
    const out = {};
    for (const { info, series } of this.subscriptions) {
      const fresh = [], to = (await this.clock()) + 1;
      await pages(this.adapter, info, series.resolution, to, (bars) => fresh.unshift(...bars));
      const differing = series.same(fresh);
      out[series.where] = { bars: fresh.length, added: series.added, updates: series.updates, differing, first: fresh[0].time, last: fresh.at(-1).time };
    }
    return out;
  }
}

/* The server hears of the market before it is polled. */
async function reached(chart, seconds) {
  for (let n = 0; n < CLOCK_TRIES; n++) {
    const now = await chart.clock();
    if (now >= seconds) return;
    await sleep(CLOCK_WAIT_MS);
  }
  fail(`the server's clock does not reach ${iso(seconds)}`);
}

async function follow(chart) {
  console.log("subscribed");
  if (!options.lockstep) {
    for (let n = 0; n < Number(options.beats); n++) {
      await sleep(Number(options["poll-ms"]));
      await chart.beat(await chart.clock());
    }
    return;
  }
  for await (const line of createInterface({ input: process.stdin })) {
    const [word, seconds] = line.split(" ");
    if (word !== "beat") return;
    await reached(chart, Number(seconds));
    await chart.beat(Number(seconds));
    console.log(`done ${seconds}`);
  }
}

try {
  const adapter = new Adapter(options.url, list(options.groups), options.key), chart = new Chart(adapter);
  await adapter.ready();
  if (options["expect-groups"] && !adapter.storage) fail("symbols do not come by group although /config failed");
  await chart.open(list(options.symbols), list(options.resolutions));
  await follow(chart);
  await chart.look(await chart.clock());
  const series = await chart.compare();
  console.log(JSON.stringify({ requests: adapter.requests, beats: chart.beats, marks: chart.marks, grouped: Boolean(adapter.storage), series }));
  process.exit(0);
} catch (error) {
  console.error(error instanceof Finding ? `finding: ${error.message}` : error.stack);
  process.exit(1);
}
