/* Series for lightweight-charts: a line that breaks where data break, at missing slots and where a slot says so,
   optionally dashed or filled to a base value; and marks of direction at the foot of a pane. They
   draw; they hold no data of their own. */

/* bars: the library's items {x, time: slot number, originalData: {value, cut}}; range: visible ones,
   the only ones whose x is kept up to date. */
function runs(bars, range) {
  const out = [];
  let run = null, before = null;
  for (let i = range.from; i < range.to; i++) {
    const bar = bars[i];
    if (!run || bar.originalData.cut || bar.time - before > 1) out.push((run = []));
    run.push(bar);
    before = bar.time;
  }
  return out;
}

class Renderer {
  constructor() { this.data = null; this.options = null; }

  draw(target, toY) {
    const { data, options } = this;
    if (!data?.visibleRange || !options) return;
    target.useMediaCoordinateSpace(({ context: g }) => {
      g.lineJoin = "round";
      for (const run of runs(data.bars, data.visibleRange)) {
        const points = run.map((bar) => [bar.x, toY(bar.originalData.value)]);
        if (options.tints) this.tint(g, points, run, toY(options.base));
        else if (options.fill) this.fill(g, points, toY(options.base));
        g.beginPath();
        /* A lone point between two breaks would draw nothing. */
        if (points.length === 1) { g.moveTo(points[0][0] - 1, points[0][1]); g.lineTo(points[0][0] + 1, points[0][1]); }
        else points.forEach(([x, y], i) => (i ? g.lineTo(x, y) : g.moveTo(x, y)));
        g.strokeStyle = options.color;
        g.lineWidth = options.width;
        g.setLineDash(options.dash);
        g.stroke();
        g.setLineDash([]);
      }
    });
  }

  fill(g, points, baseY) {
    g.beginPath();
    g.moveTo(points[0][0], baseY);
    for (const [x, y] of points) g.lineTo(x, y);
    g.lineTo(points.at(-1)[0], baseY);
    g.closePath();
    g.fillStyle = this.options.fill;
    g.fill();
  }

  /* The same, each bar's part in the tint of its own direction. */
  tint(g, points, run, baseY) {
    const half = points.length > 1 ? (points[1][0] - points[0][0]) / 2 : 1;
    points.forEach(([x, y], i) => {
      const [left, right] = [points[i - 1] ?? [x - half, y], points[i + 1] ?? [x + half, y]];
      g.beginPath();
      g.moveTo((left[0] + x) / 2, baseY);
      g.lineTo((left[0] + x) / 2, (left[1] + y) / 2);
      g.lineTo(x, y);
      g.lineTo((right[0] + x) / 2, (right[1] + y) / 2);
      g.lineTo((right[0] + x) / 2, baseY);
      g.closePath();
      g.fillStyle = this.options.tints[Math.sign(run[i].originalData.lean ?? 0) + 1];
      g.fill();
    });
  }
}

/** The view to give to chart.addCustomSeries. Items: {time, value, cut} or {time} where there is none. */
export class BrokenLine {
  constructor() { this.drawing = new Renderer(); this.base = null; }

  renderer() { return this.drawing; }

  update(data, options) { this.drawing.data = data; this.drawing.options = options; this.base = options.fill ? options.base : null; }

  priceValueBuilder(item) {
    const { value } = item;
    return this.base === null ? [value] : [Math.min(this.base, value), Math.max(this.base, value), value];
  }

  isWhitespace(item) { return item.value === undefined || item.value === null; }

  defaultOptions() {
    return { color: "#888888", width: 1.25, dash: [], fill: "", tints: null, base: 0, lastValueVisible: false, priceLineVisible: false, hitTestTolerance: 3 };
  }
}

/** Height of the strip that marks of direction take at the foot of their pane. */
export const MARKS_PX = 18;

/* Up stands above the middle of the strip, down below it, unchanged lies on it: the colour is the second signal. */
class MarksRenderer {
  constructor() { this.data = null; this.options = null; }

  draw(target) {
    const { data, options } = this;
    if (!data?.visibleRange || !options) return;
    target.useMediaCoordinateSpace(({ context: g, mediaSize: { height } }) => {
      const middle = height - MARKS_PX / 2, tall = MARKS_PX / 2 - 3, wide = Math.max(1, Math.min(5, data.barSpacing * 0.62));
      for (let i = data.visibleRange.from; i < data.visibleRange.to; i++) {
        const { x, originalData: { value } } = data.bars[i], way = Math.sign(value);
        g.fillStyle = options.colors[way + 1];
        g.fillRect(x - wide / 2, way > 0 ? middle - tall : way < 0 ? middle : middle - 1, wide, way ? tall : 2);
      }
    });
  }
}

/** The view of directions to give to chart.addCustomSeries. Items: {time, value: -1, 0 or 1} or {time}. */
export class DirectionMarks {
  constructor() { this.drawing = new MarksRenderer(); }

  renderer() { return this.drawing; }

  update(data, options) { this.drawing.data = data; this.drawing.options = options; }

  priceValueBuilder({ value }) { return [value]; }

  isWhitespace(item) { return item.value === undefined || item.value === null; }

  defaultOptions() { return { color: "#888888", colors: ["#888888", "#888888", "#888888"], lastValueVisible: false, priceLineVisible: false }; }
}
