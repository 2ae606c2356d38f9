/* A line series for lightweight-charts that breaks where data break: at missing slots and at the start
   of a day. Optionally filled to a base value, optionally dashed. Draws; holds no data of its own. */

/* bars: the library's items {x, time: slot number, originalData: {value, first}}; range: visible ones,
   the only ones whose x is kept up to date. */
function runs(bars, range) {
  const out = [];
  let run = null, before = null;
  for (let i = range.from; i < range.to; i++) {
    const bar = bars[i];
    if (!run || bar.originalData.first || bar.time - before > 1) out.push((run = []));
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
        if (options.fill) this.fill(g, points, toY(options.base));
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
}

/** The view to give to chart.addCustomSeries. Items: {time, value, first} or {time} where there is none. */
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
    return { color: "#888888", width: 1.25, dash: [], fill: "", base: 0, lastValueVisible: false, priceLineVisible: false, hitTestTolerance: 3 };
  }
}
