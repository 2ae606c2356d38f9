/* The chart itself: lightweight-charts dressed in our tokens, four panes, hollow candles, broken lines.
   Takes slots (bars.js), tells what is visible and what the crosshair is on. Does no network. */

import { CandlestickSeries, HistogramSeries, createChart } from "../vendor/lightweight-charts/lightweight-charts.standalone.production.mjs";
import { token, wash } from "./display.js";
import { clockMinutes, day, dayShort, dayYear, fixed, month, volume, year } from "./format.js";
import { BrokenLine } from "./lines.js";
import { AxisNames, HoleNames, Marks, NO_MARKS, PaneMarks, Strip } from "./marks.js";

const SHARES = { price: 54, volume: 12, hd: 19, rsi: 15 };
const SPACING = 6, NARROW_PX = 620, NARROW_BARS = 74, FEW_BARS = 60, RIGHT_SLOTS = 7, AXIS_PX = 62, PENDING_SHARE = 0.6, STEP_BARS_LEAST = 30;
const DASHED = 2, DOTTED = 1, LARGE_DASHED = 3;
const RSI_GUIDES = [30, 70];

export class Plot {
  /** element: where it goes; facts: how numbers of this instrument print; studies: Set of what is on
      ("vwap", "ema", "hd", "rsi"). */
  constructor(element, facts, studies) {
    Object.assign(this, { element, facts, studies });
    this.slots = [];
    this.behind = 0;
    this.step = 0;
    this.long = false;
    this.marks = new Marks();
    this.series = {};
    this.painted = [];
    this.guideNames = null;
    this.layoutChanged = () => {};
    this.sizes = new ResizeObserver(() => this.layoutChanged());
    this.chart = createChart(element, { autoSize: true, ...this.look() });
    this.build();
  }

  look() {
    return {
      layout: {
        background: { type: "solid", color: token("panel") }, textColor: token("faint"), fontSize: 11, fontFamily: token("font-ui"),
        attributionLogo: false, panes: { separatorColor: token("line-2"), separatorHoverColor: wash("nila", 0.25), enableResize: true },
      },
      grid: { vertLines: { visible: false }, horzLines: { color: token("line") } },
      crosshair: {
        mode: 0,
        vertLine: { color: token("edge"), style: DASHED, labelBackgroundColor: token("line-2") },
        horzLine: { color: token("edge"), style: DASHED, labelBackgroundColor: token("line-2") },
      },
      rightPriceScale: { borderColor: token("line-2"), minimumWidth: AXIS_PX, entireTextOnly: true },
      timeScale: {
        borderVisible: false, rightOffset: RIGHT_SLOTS, barSpacing: SPACING, minBarSpacing: 0.5, timeVisible: true, tickMarkMaxCharacterLength: 10,
        tickMarkFormatter: (x, kind) => this.tick(x, kind), minimumHeight: 34,
      },
      handleScroll: { vertTouchDrag: false },
      kineticScroll: { touch: true, mouse: false },
      localization: { timeFormatter: (x) => (this.long ? dayYear(x) : `${day(x)} ${clockMinutes(x)}`) },
    };
  }

  /* kind: 0 year, 1 month, 2 day, else a time. */
  tick(x, kind) {
    if (kind > 2) return clockMinutes(x);
    if (!this.long) return day(x);
    return kind === 0 ? year(x) : kind === 1 ? month(x) : dayShort(x);
  }

  build() {
    const { chart, series } = this;
    /* Between two prices that are traded the crosshair names the nearer one. */
    const price = (v) => fixed(this.traded(v), this.facts.priceDecimals), lots = (v) => volume(v, this.facts);
    const custom = (formatter, minMove) => ({ priceFormat: { type: "custom", formatter, minMove } });
    const step = 10 ** -this.facts.priceDecimals, exact = (marks) => marks.map((v) => fixed(v, this.facts.priceDecimals));
    if (this.studies.has("vwap")) series.vwap = chart.addCustomSeries(new BrokenLine(), custom((v) => exact([v])[0], step), 0);
    if (this.studies.has("ema")) series.ema = chart.addCustomSeries(new BrokenLine(), custom((v) => exact([v])[0], step), 0);
    series.price = chart.addSeries(CandlestickSeries, { priceFormat: { type: "custom", formatter: price, tickmarksFormatter: exact, minMove: step } }, 0);
    series.volume = chart.addSeries(HistogramSeries, { ...custom(lots, 1), lastValueVisible: false, priceLineVisible: false }, 1);
    let next = 2;
    if (this.studies.has("hd")) {
      series.mapo = chart.addCustomSeries(new BrokenLine(), custom(lots, 1), next);
      series.hd = chart.addCustomSeries(new BrokenLine(), { ...custom(lots, 1), lastValueVisible: true }, next);
      series.zero = series.hd.createPriceLine({ price: 0, axisLabelVisible: false, lineWidth: 1, lineStyle: DOTTED });
      next += 1;
    }
    if (this.studies.has("rsi")) {
      series.rsi = chart.addCustomSeries(new BrokenLine(), { ...guided((v) => fixed(v, 1)), autoscaleInfoProvider: rsiRange }, next);
      series.guides = RSI_GUIDES.map((at) => series.rsi.createPriceLine({ price: at, axisLabelVisible: false, lineWidth: 1, lineStyle: LARGE_DASHED }));
      series.rsi.attachPrimitive((this.guideNames = new AxisNames(RSI_GUIDES, (v) => fixed(v, 0))));
    }
    const margins = { price: [0.14, 0.05], volume: [0.26, 0], hd: [0.22, 0.08], rsi: [0.2, 0.08] };
    this.paneNames().forEach((name, i) => {
      const pane = chart.panes()[i];
      pane.setStretchFactor(SHARES[name]);
      series[name].priceScale().applyOptions({ scaleMargins: { top: margins[name][0], bottom: margins[name][1] } });
      if (name === "rsi") series.rsi.priceScale().applyOptions({ tickMarkDensity: 40 });
      pane.attachPrimitive((this.painted[i] = new PaneMarks(this.marks)));
    });
    series.price.attachPrimitive(new Strip(this.marks));
    series.price.attachPrimitive(new HoleNames(this.marks));
    this.recolor();
    /* A pane has its element with the next frame. */
    requestAnimationFrame(() => { for (const pane of chart.panes()) if (pane.getHTMLElement()) this.sizes.observe(pane.getHTMLElement()); });
  }

  /* The nearest price on the step that all bars keep; where they are too few to tell, the price itself. */
  traded(price) {
    const scale = 10 ** this.facts.priceDecimals, { step } = this;
    return step && this.slots.length >= STEP_BARS_LEAST ? (Math.round((price * scale) / step) * step) / scale : price;
  }

  paneNames() { return ["price", "volume", ...["hd", "rsi"].filter((name) => this.studies.has(name))]; }

  /** Switch a study on or off: the panes are made anew, what is visible stays. */
  setStudies(studies) {
    const range = this.chart.timeScale().getVisibleLogicalRange();
    this.sizes.disconnect();
    this.painted.forEach((primitive, i) => this.chart.panes()[i].detachPrimitive(primitive));
    for (const name of ["vwap", "ema", "mapo", "hd", "rsi", "volume", "price"]) if (this.series[name]) this.chart.removeSeries(this.series[name]);
    this.series = {};
    this.painted = [];
    this.guideNames = null;
    this.studies = studies;
    this.build();
    this.setSlots(this.slots, this.marks.shown, this.long, this.slots.length - 1 - this.behind);
    if (range) this.chart.timeScale().setVisibleLogicalRange(range);
  }

  /** The theme or the direction colours changed. */
  recolor() {
    const { chart, series } = this;
    chart.applyOptions(this.look());
    this.marks.recolor();
    const up = token("up"), down = token("down"), panel = token("panel");
    this.volumeColors = { up: wash("up", 0.55), down: wash("down", 0.55) };
    series.price.applyOptions({ upColor: panel, downColor: down, borderUpColor: up, borderDownColor: down, wickUpColor: up, wickDownColor: down, priceLineStyle: DOTTED });
    series.vwap?.applyOptions({ color: token("nila") });
    series.ema?.applyOptions({ color: token("muted"), dash: [6, 3] });
    series.hd?.applyOptions({ color: token("sogan"), fill: wash("sogan", 0.12), width: 1.6 });
    series.mapo?.applyOptions({ color: token("muted"), width: 1, dash: [4, 3] });
    series.rsi?.applyOptions({ color: token("muted"), width: 1.4 });
    series.zero?.applyOptions({ color: token("edge") });
    for (const guide of series.guides ?? []) guide.applyOptions({ color: token("line-2") });
    this.guideNames?.recolor();
    this.paintLast();
    if (this.slots.length) series.volume.setData(this.slots.map((slot) => this.items(slot).volume));
  }

  /* The last price keeps the colour of its bar, as the label beside it does. */
  paintLast() {
    const last = this.slots.findLast((slot) => slot.bar)?.bar;
    if (last) this.series.price.applyOptions({ priceLineColor: token(last.c >= last.o ? "up" : "down") });
  }

  items({ x: time, bar, first }) {
    if (!bar) return { price: { time }, volume: { time }, vwap: { time }, ema: { time }, hd: { time }, mapo: { time }, rsi: { time } };
    const line = (value) => (value === null || value === undefined ? { time } : { time, value, first });
    return {
      price: { time, open: bar.o, high: bar.h, low: bar.l, close: bar.c },
      volume: { time, value: bar.v, color: bar.c >= bar.o ? this.volumeColors.up : this.volumeColors.down },
      vwap: line(bar.vwap), ema: line(bar.ema), hd: line(bar.hd), mapo: line(bar.mapo), rsi: line(bar.rsi),
    };
  }

  /** Show these slots. marks: {days, noons, holes, strip}; long: bars of a day and more; `last`: place of
      the last bar, what lies behind it is not received yet. */
  setSlots(slots, marks, long, last = slots.length - 1) {
    const scale = this.chart.timeScale(), range = scale.getVisibleLogicalRange(), { behind } = this;
    const wasNewest = range && range.to >= this.slots.length - 1;
    this.slots = slots;
    this.behind = slots.length - 1 - last;
    this.long = long;
    this.marks.show(marks);
    this.step = commonStep(slots, this.facts.priceDecimals, 0);
    const items = slots.map((slot) => this.items(slot));
    for (const name of this.drawn()) this.series[name].setData(items.map((item) => item[name]));
    this.paintLast();
    /* The library keeps the last bar in its place; what is not received yet would grow out of sight. */
    if (wasNewest && (behind || this.behind)) this.showEnd(range.to - range.from);
  }

  /** The last two of the slots given changed, or one was put behind them; likewise the marks given. */
  touchLast() {
    this.step = commonStep(this.slots.slice(-2), this.facts.priceDecimals, this.step);
    const [before, last] = this.slots.slice(-2).map((slot) => this.items(slot));
    for (const name of this.drawn()) {
      if (last) { this.series[name].update(before[name], true); this.series[name].update(last[name]); }
      else this.series[name].update(before[name]);
    }
    this.paintLast();
  }

  drawn() { return ["price", "volume", "vwap", "ema", "hd", "mapo", "rsi"].filter((name) => this.series[name]); }

  /** The newest bars at the usual width; fewer on a narrow screen. */
  showNewest() {
    const width = this.element.clientWidth - AXIS_PX;
    const narrow = this.element.clientWidth < NARROW_PX;
    const room = narrow ? NARROW_BARS : Math.floor(width / SPACING);
    this.showEnd(Math.min(room, Math.max(FEW_BARS, this.slots.length + RIGHT_SLOTS)));
  }

  /* `count` slots up to the end, or as many of those not received yet as leave some bars in view. */
  showEnd(count) {
    const end = this.slots.length - 1 + RIGHT_SLOTS - Math.max(0, this.behind - Math.floor(count * PENDING_SHARE));
    this.chart.timeScale().setVisibleLogicalRange({ from: end - count, to: end });
  }

  clear() { this.setSlots([], NO_MARKS, this.long); }

  /** Top edge of each pane inside the element, by name. */
  tops() {
    const origin = this.element.getBoundingClientRect().top;
    return this.paneNames().map((name, i) => [name, (this.chart.panes()[i].getHTMLElement()?.getBoundingClientRect().top ?? origin) - origin]);
  }

  /** handler() when panes took another place: the window, a separator or a study moved them. */
  onLayout(handler) { this.layoutChanged = handler; }

  /** handler({from, to}) in slot numbers whenever what is visible changes. */
  onRange(handler) { this.chart.timeScale().subscribeVisibleLogicalRangeChange((range) => range && handler(range)); }

  /** handler(slot number or null) when the crosshair moves. */
  onHover(handler) { this.chart.subscribeCrosshairMove(({ logical, point }) => handler(point && logical !== undefined && this.slots[logical] ? logical : null)); }

  /** Put the crosshair on a slot, scrolling it into view. */
  point(slot) {
    const { x, bar } = this.slots[slot], scale = this.chart.timeScale(), range = scale.getVisibleLogicalRange();
    if (range && (slot < range.from || slot > range.to)) this.scroll(slot < range.from ? slot - range.from - 2 : slot - range.to + 2);
    const near = bar ?? this.slots.slice(0, slot).findLast((s) => s.bar)?.bar;
    if (near) this.chart.setCrosshairPosition(near.c, x, this.series.price);
  }

  /** Take the crosshair away. */
  unpoint() { this.chart.clearCrosshairPosition(); }

  scroll(slots) {
    const scale = this.chart.timeScale(), range = scale.getVisibleLogicalRange();
    if (range) scale.setVisibleLogicalRange({ from: range.from + slots, to: range.to + slots });
  }

  /** Zoom about the newest visible slot: factor below 1 shows fewer bars. */
  zoom(factor) {
    const scale = this.chart.timeScale(), range = scale.getVisibleLogicalRange();
    if (range) scale.setVisibleLogicalRange({ from: range.to - (range.to - range.from) * factor, to: range.to });
  }
}

/* The widest step, in units of the last decimal, that all prices are multiples of; `step` that of others, 0 for none. */
function commonStep(slots, decimals, step) {
  const common = (a, b) => (b ? common(b, a % b) : a);
  for (const { bar } of slots) if (bar) for (const v of [bar.o, bar.h, bar.l, bar.c]) step = common(step, Math.round(v * 10 ** decimals));
  return step;
}

/* The axis of this pane names its guides only. */
const guided = (formatter) => ({ priceFormat: { type: "custom", formatter, tickmarksFormatter: (marks) => marks.map(() => ""), minMove: 0.01 } });

/* At least 20 to 80, so that the guides stand still while the line stays between them. */
function rsiRange(own) {
  const found = own()?.priceRange ?? { minValue: 50, maxValue: 50 };
  return { priceRange: { minValue: Math.min(20, found.minValue), maxValue: Math.max(80, found.maxValue) } };
}
