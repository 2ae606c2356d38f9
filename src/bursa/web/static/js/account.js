/* What the pages around accounts ask: JSON over the session, with the token that each change must bear.
   Refusals are ApiError with the parameter that was wrong and how long to wait; a session that ended leads
   to sign-in. Knows no element but <meta name="csrf">. */

import { ApiError, leave } from "./api.js";

const csrf = () => document.querySelector('meta[name="csrf"]')?.content ?? "";

/** Ask: {data, meta, headers}. body: what is sent as JSON, if anything; `here`: a 401 is an answer of this page. */
export async function ask(method, path, body, { here = false, signal } = {}) {
  let response, told;
  const headers = { Accept: "application/json", ...(body === undefined ? {} : { "Content-Type": "application/json" }), ...(method === "GET" ? {} : { "X-CSRF-Token": csrf() }) };
  try {
    response = await fetch(path, { method, signal, headers, body: body === undefined ? undefined : JSON.stringify(body) });
    told = response.status === 204 ? { ok: true } : await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("The server does not answer.", "unreachable", response?.status ?? 0);
  }
  if (response.ok && told.ok !== false) return { data: told.data, meta: told.meta ?? {}, headers: response.headers };
  if (response.status === 401 && !here) leave();
  const error = new ApiError(told.error ?? response.statusText, told.code ?? "http_error", response.status);
  throw Object.assign(error, { parameter: told.meta?.parameter ?? "", wait: Number(response.headers.get("Retry-After")) || 0, request: response.headers.get("X-Request-Id") ?? "" });
}

/** GET with parameters; those that are empty are left out. */
export function read(path, params = {}, options = {}) {
  const query = new URLSearchParams(Object.entries(params).filter(([, value]) => value !== undefined && value !== null && value !== ""));
  return ask("GET", query.size ? `${path}?${query}` : path, undefined, options);
}

/** {limit, left, resets} of this minute from an answer's headers; null where they tell none. */
export function minute(headers) {
  const policy = /q=(\d+)/.exec(headers.get("RateLimit-Policy") ?? ""), rate = /r=(\d+)(?:;t=(\d+))?/.exec(headers.get("RateLimit") ?? "");
  return policy && rate ? { limit: Number(policy[1]), left: Number(rate[1]), resets: Number(rate[2] ?? 0) } : null;
}

/** "in 40 s", "in 2 min": when to come back. */
export const comeBack = (seconds) => (seconds < 60 ? `in ${Math.ceil(seconds)} s` : `in ${Math.ceil(seconds / 60)} min`);
