/* The chart itself: lightweight-charts dressed in our tokens: prices with lines over them, volume, a pane
   for each further metric; hollow candles, broken lines. Takes slots (bars.js), tells what is visible and
   what the crosshair is on. Does no network. */

import { CandlestickSeries, HistogramSeries, createChart } from "../vendor/lightweight-charts/lightweight-charts.standalone.production.mjs";
import { token, wash } from "./display.js";
import { clockMinutes, day, dayShort, dayYear, fixed, month, volume, year } from "./format.js";
import { footOf, layersOf } from "./layers.js";
import { HoleNames, Marks, NO_MARKS, PaneMarks, Strip } from "./marks.js";

const SPACING = 6, NARROW_PX = 620, NARROW_BARS = 74, FEW_BARS = 60, RIGHT_SLOTS = 7, BESIDE = 4, AXIS_PX = 62, PENDING_SHARE = 0.6, STEP_BARS_LEAST = 30;
const DASHED = 2, DOTTED = 1;
/* Prices, volume, and each pane below by how many there are: parts of the height. */
const PRICE = 54, VOLUME = 12, PANE = 17, OWN = 3;
const ROW_PX = 20, TOP_PX = 30;

export class Plot {
  /** element: where it goes; facts: how numbers of this instrument print; choice: Choice, which metrics are on. */
  constructor(element, facts, choice) {
    Object.assign(this, { element, facts, choice });
    this.slots = [];
    this.behind = 0;
    this.crossed = null;
    this.newest = true;
    this.step = 0;
    this.long = false;
    this.marks = new Marks();
    this.layers = [];
    this.painted = [];
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
    const { chart } = this, series = (this.series = {});
    /* Between two prices that are traded the crosshair names the nearer one. */
    const price = (v) => fixed(this.traded(v), this.facts.priceDecimals), lots = (v) => volume(v, this.facts);
    const step = 10 ** -this.facts.priceDecimals, exact = (marks) => marks.map((v) => fixed(v, this.facts.priceDecimals));
    this.element.parentElement.style.setProperty("--panes", this.choice.panes.length);
    this.layers = this.choice.overlays.flatMap((metric, place) => layersOf(chart, metric, 0, place, this.facts));
    series.price = chart.addSeries(CandlestickSeries, { priceFormat: { type: "custom", formatter: price, tickmarksFormatter: exact, minMove: step } }, 0);
    series.volume = chart.addSeries(HistogramSeries, { priceFormat: { type: "custom", formatter: lots, minMove: 1 }, lastValueVisible: false, priceLineVisible: false }, 1);
    this.choice.panes.forEach((metric, i) => this.layers.push(...layersOf(chart, metric, 2 + i, 0, this.facts)));
    this.paneNames().forEach((name, i) => chart.panes()[i].attachPrimitive((this.painted[i] = new PaneMarks(this.marks))));
    series.price.attachPrimitive(new Strip(this.marks));
    series.price.attachPrimitive(new HoleNames(this.marks));
    this.divide();
    this.recolor();
    this.ends(this.newest);
    /* A pane has its element with the next frame. */
    requestAnimationFrame(() => { for (const pane of chart.panes()) if (pane.getHTMLElement()) this.sizes.observe(pane.getHTMLElement()); });
  }

  /* Heights of the panes, and the room that legends take at the top of each. */
  divide() {
    const { overlays, panes } = this.choice, more = Math.max(0, panes.length - 2);
    const parts = [PRICE - 2.5 * more, VOLUME - more, ...panes.map((metric) => Math.max(PANE - more, 13) + (footOf(metric) ? OWN : 0))];
    const all = parts.reduce((sum, part) => sum + part, 0), height = Math.max(this.element.clientHeight, 400);
    const px = (i) => (parts[i] / all) * height;
    const scale = (i, of, top, bottom) => {
      this.chart.panes()[i].setStretchFactor(parts[i]);
      of.priceScale().applyOptions({ scaleMargins: { top, bottom } });
    };
    scale(0, this.series.price, Math.max(0.14, Math.min(0.42, (TOP_PX + ROW_PX * overlays.length) / px(0))), 0.05);
    scale(1, this.series.volume, 0.26, 0);
    panes.forEach((metric, i) => {
      const of = this.layers.find((layer) => layer.metric === metric && layer.output.draw !== "none");
      if (!of) return;
      scale(2 + i, of.series, Math.min(0.34, 22 / px(2 + i)), Math.min(0.3, 0.08 + footOf(metric) / px(2 + i)));
      if (metric.guides.length > 1) of.series.priceScale().applyOptions({ tickMarkDensity: 40 });
    });
  }

  /* The nearest price on the step that all bars keep; where they are too few to tell, the price itself. */
  traded(price) {
    const scale = 10 ** this.facts.priceDecimals, { step } = this;
    return step && this.slots.length >= STEP_BARS_LEAST ? (Math.round((price * scale) / step) * step) / scale : price;
  }

  paneNames() { return ["price", "volume", ...this.choice.panes.map(({ name }) => name)]; }

  /** The choice, or how numbers print, is another one: the panes are made anew, what is visible stays. */
  rebuild() {
    const range = this.chart.timeScale().getVisibleLogicalRange();
    this.sizes.disconnect();
    this.painted.forEach((primitive, i) => this.chart.panes()[i].detachPrimitive(primitive));
    /* From below: a pane goes with its last series, and those under it would move up. */
    for (const { series } of this.drawn().reverse()) this.chart.removeSeries(series);
    this.painted = [];
    this.build();
    this.setSlots(this.slots, this.marks.shown, this.long, { last: this.slots.length - 1 - this.behind });
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
    for (const layer of this.layers) layer.recolor();
    this.paintLast();
    if (this.slots.length) for (const { series: one, item } of this.drawn()) one.setData(this.slots.map(item));
  }

  /* The last price keeps the colour of its bar, as the label beside it does. */
  paintLast() {
    const last = this.slots.findLast((slot) => slot.bar)?.bar;
    if (last) this.series.price.applyOptions({ priceLineColor: token(last.c >= last.o ? "up" : "down") });
  }

  /* All series: [{series, item(slot) -> what the library takes}]. Prices first: they have a value at each bar, from which
     the library takes its scale of time. */
  drawn() {
    const { series, volumeColors } = this, layers = this.layers.filter((layer) => layer.series);
    const over = layers.filter(({ metric }) => metric.overlay), below = layers.filter(({ metric }) => !metric.overlay);
    const price = ({ x: time, bar }) => (bar ? { time, open: bar.o, high: bar.h, low: bar.l, close: bar.c } : { time });
    const traded = ({ x: time, bar }) => (bar ? { time, value: bar.v, color: bar.c >= bar.o ? volumeColors.up : volumeColors.down } : { time });
    return [{ series: series.price, item: price }, { series: series.volume, item: traded }, ...over, ...below];
  }

  /** Show these slots. marks: {days, noons, holes, strip}; long: bars of a day and more; `last`: place of
      the last bar, what lies behind it is not received yet; `crossed`: slot that the crosshair was put on; `moved`: some
      went at an end, what is in view stays there by its time. */
  setSlots(slots, marks, long, { last = slots.length - 1, crossed = null, moved = false } = {}) {
    const scale = this.chart.timeScale(), range = scale.getVisibleLogicalRange(), { behind, slots: before } = this;
    const wasNewest = range && range.to >= this.slots.length - 1;
    this.slots = slots;
    this.behind = slots.length - 1 - last;
    this.long = long;
    this.marks.show(marks);
    this.step = commonStep(slots, this.facts.priceDecimals, 0);
    for (const { series, item } of this.drawn()) series.setData(slots.map(item));
    this.paintLast();
    /* The library keeps the last bar in its place; what is not received yet would grow out of sight. */
    if (wasNewest && (behind || this.behind)) this.showEnd(range.to - range.from);
    else if (moved && range) this.stay(range, before);
    if (this.crossed && crossed !== null) this.cross(crossed);
  }

  /* What was in view of other slots comes into view again. */
  stay({ from, to }, before) {
    const was = Math.max(0, Math.min(before.length - 1, Math.ceil(from))), is = this.slots.findIndex(({ x }) => x === before[was]?.x);
    if (is >= 0) this.chart.timeScale().setVisibleLogicalRange({ from: from + is - was, to: to + is - was });
  }

  /** What is in view, in numbers of slots: {from, to}, or null. */
  range() { return this.chart.timeScale().getVisibleLogicalRange(); }

  /** Is the last bar the newest there is? Else it is nobody's last price. */
  ends(newest) {
    this.newest = newest;
    this.series.price.applyOptions({ lastValueVisible: newest, priceLineVisible: newest });
    for (const { series, output } of this.layers) if (output.draw === "direction") series?.applyOptions({ lastValueVisible: newest });
  }

  /** The last two of the slots given changed, or one was put behind them; likewise the marks given. */
  touchLast() {
    this.step = commonStep(this.slots.slice(-2), this.facts.priceDecimals, this.step);
    const [before, last] = this.slots.slice(-2);
    for (const { series, item } of this.drawn()) {
      series.update(item(before), Boolean(last));
      if (last) series.update(item(last));
    }
    this.paintLast();
  }

  /** The newest bars at the usual width; fewer on a narrow screen. */
  showNewest() {
    this.showEnd(Math.min(this.room(), Math.max(FEW_BARS, this.slots.length + RIGHT_SLOTS)));
  }

  /** Slots from one number to another, with some beside them; no fewer than usual, these in the middle. The crosshair is
      on the first. */
  showSlots(first, last) {
    const usual = this.room(), beside = Math.max(BESIDE, (usual - 1 - (last - first)) / 2);
    const from = Math.min(first - beside, this.slots.length - 1 + RIGHT_SLOTS - (last - first + 2 * beside));
    this.chart.timeScale().setVisibleLogicalRange({ from, to: from + (last - first) + 2 * beside });
    this.cross(first);
  }

  /* How many slots there is usually room for. */
  room() {
    const narrow = this.element.clientWidth < NARROW_PX;
    return narrow ? NARROW_BARS : Math.floor((this.element.clientWidth - AXIS_PX) / SPACING);
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

  /** handler(slot number or null) when a hand moves the crosshair; what it was put on by program it keeps. */
  onHover(handler) {
    this.chart.subscribeCrosshairMove(({ logical, point, sourceEvent }) => {
      if (this.crossed && point && !sourceEvent) return;
      this.crossed = null;
      handler(point && logical !== undefined && this.slots[logical] ? logical : null);
    });
  }

  /** Put the crosshair on a slot, scrolling it into view. */
  point(slot) {
    const range = this.chart.timeScale().getVisibleLogicalRange();
    if (range && (slot < range.from || slot > range.to)) this.scroll(slot < range.from ? slot - range.from - 2 : slot - range.to + 2);
    this.cross(slot);
  }

  /* The library takes a new range, or new bars, with its next frame: until then places on the screen are old ones. */
  cross(slot) {
    const { x, bar } = this.slots[slot], near = bar ?? this.slots.slice(0, slot).findLast((s) => s.bar)?.bar;
    if (!near) return;
    const put = () => { if (this.crossed === put) this.chart.setCrosshairPosition(near.c, x, this.series.price); };
    this.crossed = put;
    put();
    requestAnimationFrame(put);
  }

  /** Take the crosshair away. */
  unpoint() { this.crossed = null; this.chart.clearCrosshairPosition(); }

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
