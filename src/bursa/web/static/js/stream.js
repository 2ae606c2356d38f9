/* The live stream of one instrument over /v1/stream: connects, resumes by cursor after a cut, notices
   silence, tells its state. Does not know what frames mean; hands them on in order. */

import { leave } from "./api.js";

const BACKOFF_S = [0.5, 1, 2, 4, 8, 16];
const PING_S = 15, SILENT_S = 40;

/* The server's word for: whoever opened this may not any more. */
const REVOKED = 4401;

export class Stream {
  /** handlers: frame(frame), state("open" | "cut" | "connecting"), lost() when frames could not be had
      again after a cut and the caller must fetch. */
  constructor(handlers) {
    this.handlers = handlers;
    this.wanted = null;
    this.cursor = null;
    this.socket = null;
    this.tries = 0;
    this.heard = 0;
    this.timer = 0;
    setInterval(() => this.watch(), 5000);
    addEventListener("online", () => this.retryNow());
    document.addEventListener("visibilitychange", () => { if (!document.hidden) this.retryNow(); });
  }

  /** Follow {venue, ticker, freq, channels}; what was followed before is left. */
  follow(wanted) {
    const same = this.socket?.readyState === WebSocket.OPEN && this.wanted?.venue === wanted.venue;
    if (same) this.send({ action: "unsubscribe", venue: wanted.venue, tickers: [this.wanted.ticker], freq: this.wanted.freq, channels: this.wanted.channels });
    this.wanted = wanted;
    this.cursor = null;
    if (same) this.subscribe();
    else this.connect();
  }

  stop() {
    this.wanted = null;
    clearTimeout(this.timer);
    this.drop();
  }

  connect() {
    clearTimeout(this.timer);
    this.drop();
    this.handlers.state("connecting");
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/v1/stream`);
    this.socket = socket;
    this.heard = performance.now();
    socket.addEventListener("open", () => { this.subscribe(); });
    socket.addEventListener("message", ({ data }) => this.take(JSON.parse(data)));
    socket.addEventListener("close", ({ code }) => {
      if (code === REVOKED && this.wanted) leave();
      else if (this.socket === socket) this.again();
    });
  }

  subscribe() {
    const { venue, ticker, freq, channels } = this.wanted;
    this.send({ action: "subscribe", venue, tickers: [ticker], freq, channels, ...(this.cursor ? { resume: this.cursor } : {}) });
  }

  send(message) { this.socket.send(JSON.stringify(message)); }

  take(frame) {
    this.heard = performance.now();
    if (frame.cursor) this.cursor = frame.cursor;
    if (frame.type === "subscribed") {
      this.tries = 0;
      this.handlers.state("open");
      if (frame.recovered === false) this.handlers.lost();
    }
    this.handlers.frame(frame);
  }

  again() {
    this.socket = null;
    if (!this.wanted) return;
    this.handlers.state("cut");
    const wait = BACKOFF_S[Math.min(this.tries, BACKOFF_S.length - 1)] * (0.75 + Math.random() / 2);
    this.tries += 1;
    this.timer = setTimeout(() => this.connect(), wait * 1000);
  }

  retryNow() { if (this.wanted && !this.socket) this.connect(); }

  /* A connection that died without a word: ask, and give it up when nothing comes back. */
  watch() {
    if (this.socket?.readyState !== WebSocket.OPEN) return;
    const silent = (performance.now() - this.heard) / 1000;
    if (silent > SILENT_S) { const { socket } = this; this.socket = null; socket.close(); this.again(); }
    else if (silent > PING_S) this.send({ action: "ping" });
  }

  drop() { const { socket } = this; this.socket = null; socket?.close(); }
}
