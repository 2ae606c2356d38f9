/* What lies under and between the bars: day breaks, the noon break, the hatch over what is missing, the band
   under what was backfilled, and the continuity strip on the time axis. Primitives for lightweight-charts over one shared `Marks`. */

import { token, wash } from "./display.js";

const HATCH_STEP = 7, STRIP = 4, BAR = 3, AXIS_INDENT = 10;

export const NO_MARKS = { days: [], noons: [], holes: [], late: [], strip: [] };

/** What the primitives draw, in slot numbers. `holes`: [{hole, from, to, label, short}], both ends inside;
    `days` and `noons`: slots a break stands before; `late`: [{from, to}] what was backfilled; `strip`: [{from, to, kind}] with kind received,
    backfilled, part or missing. */
export class Marks {
  constructor() { this.shown = NO_MARKS; this.recolor(); }

  /** Draw these from now on; the caller may put more behind them. */
  show(marks) { this.shown = marks; }

  recolor() {
    this.colors = {
      rule: token("line-2"), gap: token("gap"), hatch: wash("gap", 0.3), wash: token("gap-wash"), panel: token("panel"),
      back: token("nila"), backWash: wash("nila", 0.12), font: `500 11px ${token("font-ui")}`,
    };
  }
}

function hatch(g, x, y, w, h, { wash: ground, hatch: stroke }) {
  g.save();
  g.beginPath();
  g.rect(x, y, w, h);
  g.clip();
  g.fillStyle = ground;
  g.fillRect(x, y, w, h);
  g.strokeStyle = stroke;
  g.lineWidth = 1.25;
  g.beginPath();
  for (let i = Math.floor((x - h) / HATCH_STEP) * HATCH_STEP; i < x + w; i += HATCH_STEP) { g.moveTo(i, y + h); g.lineTo(i + h, y); }
  g.stroke();
  g.restore();
}

/* Left edge of a slot: the library answers whole slots only, with the middle of each. */
const edges = (chart) => {
  const scale = chart.timeScale(), half = scale.options().barSpacing / 2;
  return { left: (slot) => scale.logicalToCoordinate(slot) - half, right: (slot) => scale.logicalToCoordinate(slot) + half };
};

function upright(g, x, height, color, dash) {
  g.strokeStyle = color;
  g.lineWidth = 1;
  g.setLineDash(dash);
  g.beginPath();
  g.moveTo(Math.round(x) + 0.5, 0);
  g.lineTo(Math.round(x) + 0.5, height);
  g.stroke();
  g.setLineDash([]);
}

/* Answers where it ends; one that would begin before `free` is left out. */
function label(g, text, x, width, { y, free }, colors) {
  g.font = colors.font;
  const w = g.measureText(text).width + 14;
  const at = Math.round(Math.max(4, Math.min(x - w / 2, width - w - 4)));
  if (at < free) return free;
  g.fillStyle = colors.panel;
  g.fillRect(at, y, w, 20);
  g.strokeStyle = colors.gap;
  g.lineWidth = 1;
  g.strokeRect(at + 0.5, y + 0.5, w, 19);
  g.fillStyle = colors.gap;
  g.textBaseline = "middle";
  g.fillText(text, at + 7, y + 10.5);
  return at + w + 4;
}

class Drawn {
  constructor(order, draw) { this.order = order; this.drawing = { draw }; }
  zOrder() { return this.order; }
  renderer() { return this.drawing; }
}

/** Breaks and hatch of one pane. */
export class PaneMarks {
  constructor(marks) {
    this.marks = marks;
    this.chart = null;
    this.views = [new Drawn("bottom", (target) => this.ground(target))];
  }

  attached({ chart }) { this.chart = chart; }
  detached() { this.chart = null; }
  paneViews() { return this.views; }

  ground(target) {
    target.useMediaCoordinateSpace(({ context: g, mediaSize: { width, height } }) => {
      const { left, right } = edges(this.chart), { colors } = this.marks;
      const seen = (x) => x > -1 && x < width + 1;
      for (const slot of this.marks.shown.noons) if (seen(left(slot))) upright(g, left(slot), height, colors.rule, [2, 4]);
      for (const slot of this.marks.shown.days) if (seen(left(slot))) upright(g, left(slot), height, colors.rule, []);
      for (const { from, to } of this.marks.shown.late) {
        const a = Math.max(left(from), -20), b = Math.min(right(to), width + 20);
        if (b <= a) continue;
        g.fillStyle = colors.backWash;
        g.fillRect(a, 0, b - a, height);
        /* Who does not see the tint sees the bar under it. */
        g.fillStyle = colors.back;
        g.fillRect(a, height - BAR, b - a, BAR);
      }
      for (const { from, to } of this.marks.shown.holes) {
        const a = left(from), b = right(to);
        if (b > 0 && a < width) hatch(g, Math.max(a, -20), 0, Math.min(b, width + 20) - Math.max(a, -20), height, colors);
      }
    });
  }

}

/** The names of the holes, over the bars. Attach to the series of the pane. */
export class HoleNames {
  constructor(marks) {
    this.marks = marks;
    this.chart = null;
    this.views = [new Drawn("top", (target) => this.labels(target))];
  }

  attached({ chart }) { this.chart = chart; }
  detached() { this.chart = null; }
  paneViews() { return this.views; }

  labels(target) {
    target.useMediaCoordinateSpace(({ context: g, mediaSize: { width, height } }) => {
      const { left, right } = edges(this.chart);
      let free = 0;
      for (const hole of this.marks.shown.holes) {
        const a = Math.max(0, left(hole.from)), b = Math.min(width, right(hole.to));
        if (b - a > 8 || (hole.hole.pending && b > a)) free = label(g, width < 620 ? hole.short : hole.label, (a + b) / 2, width, { y: height - 30, free }, this.marks.colors);
      }
    });
  }
}

/** The strip of what was received, on the time axis. Attach to a series. */
export class Strip {
  constructor(marks) {
    this.marks = marks;
    this.chart = null;
    this.views = [new Drawn("bottom", (target) => this.draw(target))];
  }

  attached({ chart }) { this.chart = chart; }
  detached() { this.chart = null; }
  timeAxisPaneViews() { return this.views; }

  draw(target) {
    target.useMediaCoordinateSpace(({ context: g, mediaSize: { width } }) => {
      const { left, right } = edges(this.chart), { colors } = this.marks;
      for (const { from, to, kind } of this.marks.shown.strip) {
        const a = Math.max(0, left(from)), b = Math.min(width, right(to));
        if (b <= a) continue;
        if (kind === "missing" || kind === "part") hatch(g, a, 2, b - a, STRIP, { ...colors, hatch: colors.gap });
        else { g.fillStyle = kind === "backfilled" ? colors.back : colors.rule; g.fillRect(a, 2, b - a, STRIP); }
      }
    });
  }
}

/** Names of fixed prices on the axis of a series, in the colour of its own ticks. Attach to the series. */
export class AxisNames {
  constructor(prices, write) {
    Object.assign(this, { prices, write, series: null });
    this.views = [new Drawn("top", (target) => this.draw(target))];
    this.recolor();
  }

  attached({ series, requestUpdate }) { this.series = series; this.requestUpdate = requestUpdate; }
  detached() { this.series = null; }
  priceAxisPaneViews() { return this.views; }
  recolor() { this.color = token("faint"); this.font = `400 11px ${token("font-ui")}`; this.requestUpdate?.(); }

  draw(target) {
    target.useMediaCoordinateSpace(({ context: g }) => {
      g.font = this.font;
      g.fillStyle = this.color;
      g.textBaseline = "middle";
      for (const price of this.prices) {
        const y = this.series.priceToCoordinate(price);
        if (y !== null) g.fillText(this.write(price), AXIS_INDENT, y + 0.5);
      }
    });
  }
}
