/* The page of an operator's own TradingView library: makes its widget over our data and keeps address,
   search and display settings in step with it. The library's script is loaded before this one. */

import { token } from "./display.js";
import { toast } from "./say.js";
import { shell } from "./shell.js";
import { Datafeed } from "./tradingview.js";

const $ = (id) => document.getElementById(id);
const page = $("page").dataset;
const theme = () => document.documentElement.dataset.theme;
let widget = null;

/* The reader's colours of rise and fall. */
function colours() {
  const style = (name) => `mainSeriesProperties.candleStyle.${name}`;
  const [up, down] = [token("up"), token("down")];
  return { [style("upColor")]: up, [style("borderUpColor")]: up, [style("wickUpColor")]: up, [style("downColor")]: down, [style("borderDownColor")]: down, [style("wickDownColor")]: down };
}

/* The address names what is shown, so that it can be kept and sent on. */
function addressed() {
  const chart = widget.activeChart(), address = new URL(location.href);
  address.searchParams.set("symbol", chart.symbol());
  address.searchParams.set("interval", chart.resolution().replace(/^1(?=[DWM]$)/, ""));
  address.searchParams.delete("at");
  history.replaceState(history.state, "", address);
  document.title = `${chart.symbol().split(":").at(-1)} \u00b7 bursa`;
}

function start() {
  if (!window.TradingView?.widget) { $("failed").hidden = false; return; }
  widget = new window.TradingView.widget({
    container: "tv", library_path: page.library, datafeed: new Datafeed(),
    symbol: `${page.exchange}:${page.ticker}`, interval: page.interval.replace(/^(?=[DWM]$)/, "1"),
    ...(page.from ? { timeframe: { from: Number(page.from), to: Math.max(Number(page.until), Number(page.from) + 3600) } } : {}),
    autosize: true, locale: "en", timezone: page.timezone === "UTC" ? "Etc/UTC" : page.timezone,
    theme: theme(), overrides: colours(),
  });
  widget.onChartReady(() => {
    const chart = widget.activeChart();
    chart.onSymbolChanged().subscribe(null, addressed);
    chart.onIntervalChanged().subscribe(null, addressed);
    widget.applyOverrides(colours());
    $("tv").dataset.ready = "yes";
  });
}

/* While there is no chart, one is opened by a page of its own, drawn by the same library. */
shell.open = ({ exchange, symbol }) => {
  const name = `${exchange}:${symbol}`;
  if (widget) widget.activeChart().setSymbol(name);
  else location.assign(`/chart?${new URLSearchParams({ symbol: name, interval: page.interval, lib: "tradingview" })}`);
};

document.addEventListener("bursa:display", async ({ detail: { name } }) => {
  if (!widget || (name !== "theme" && name !== "updown")) return;
  if (name === "theme") await widget.changeTheme(theme());
  widget.applyOverrides(colours());
});
/* None was named and the venue had none yet: the page begins with its first one. */
document.addEventListener("bursa:tape", ({ detail }) => { if (page.state === "empty" && detail.first) location.reload(); });
addEventListener("securitypolicyviolation", ({ violatedDirective }) => toast(`The library was kept from something (${violatedDirective}).`, true));

if (page.state === "ready") start();
