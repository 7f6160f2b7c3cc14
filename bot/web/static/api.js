// The HTTP API, as the page uses it.

import { keep, kept } from "./keep.js";
import { say, tag } from "./words.js";

const ENDED = new Set(["delivered", "failed", "cancelled", "quarantined"]);

/** Whether nothing more becomes of a job; one that is rendered and has an error cannot be posted. */
export const isOver = (job) => ENDED.has(job.state) || (job.state === "rendered" && Boolean(job.error));

const PAUSES = [500, 1000, 2000, 4000, 8000]; // milliseconds before asking again after trouble
const UNSEEN = 2000; // milliseconds between two looks at a job that nobody sees
const SILENCE = 40_000; // milliseconds without a sign of life, after which a stream has been cut
const TOKEN = "token"; // what it is kept under

/** What went wrong, as a sentence to show. `code` is the API's, `status` 0 without an answer. */
export class Problem extends Error {
  constructor(sentence, { status = 0, code = "" } = {}) {
    super(sentence);
    this.status = status;
    this.code = code;
  }
}

let bearer = kept(TOKEN, true) ?? kept(TOKEN);

/** Ask as the holder of a token from now on, in this tab; `beyond` it as well. */
export function identify(token, beyond = false) {
  bearer = token;
  keep(TOKEN, token, true);
  keep(TOKEN, beyond ? token : null);
}

/** Ask as nobody: the token is no good. */
export const forget = () => identify(null);

/** Ask as the holder of a drawing link; nothing of it is kept. */
export function identifyByLink(link) {
  bearer = link;
}

/** Whether files can be shown by their address alone. */
export const isOpen = () => !bearer;

/** One request, and its answer `as` what is wanted. Raises Problem unless it succeeds. */
export async function ask(path, { headers = {}, as, ...options } = {}) {
  const identity = bearer ? { Authorization: `Bearer ${bearer}` } : {};
  let answer;
  try {
    answer = await fetch(path, {
      ...options,
      headers: { "Accept-Language": tag, ...identity, ...headers },
    });
    if (answer.ok) return as ? await answer[as]() : answer;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(say("The studio does not answer. Is it still running?"));
  }
  const told = await answer.json().catch(() => ({}));
  const sentence = told.detail || told.title;
  throw new Problem(sentence || say("The studio answered with an error: {status}.", answer), {
    status: answer.status,
    code: told.code,
  });
}

export const askJson = (path, options) => ask(path, { ...options, as: "json" });

/**
 * Follow a job from now to its end: every state of it, as it comes. Survives a lost connection.
 * Unless `isSeen`, it is only looked at now and then: a stream takes one of the browser's six
 * connections, which are for all pages.
 */
export async function* follow(id, signal, isSeen) {
  const path = `/v1/jobs/${encodeURIComponent(id)}`;
  for (let lost = 0; ; lost++) {
    try {
      for await (const job of isSeen() ? events(path, signal) : [askJson(path, { signal })]) {
        lost = 0;
        if (job) yield job;
        if (job && isOver(job)) return;
        if (!isSeen()) break;
      }
    } catch (error) {
      const passes = error instanceof Problem && (error.status === 0 || error.status >= 500);
      if (!passes && !(error instanceof TypeError)) throw error;
    }
    await pause(isSeen() ? PAUSES[Math.min(lost, PAUSES.length - 1)] : UNSEEN, signal);
  }
}

/** The jobs in one stream of server-sent events; null as a sign of life. EventSource would send no token. */
async function* events(path, signal) {
  const answer = await ask(path, { signal, headers: { Accept: "text/event-stream" } });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const cut = pause(SILENCE, signal).then(() => ({ done: true }));
      const { value, done } = await Promise.race([reader.read(), cut]);
      if (done) return;
      const parts = (rest + value).replaceAll("\r", "").split("\n\n");
      rest = parts.pop();
      for (const part of parts) {
        const data = part.split("\n").filter((line) => line.startsWith("data:"));
        yield data.length ? JSON.parse(data.map((line) => line.slice(5)).join("\n")) : null;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function pause(duration, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason);
    signal.addEventListener("abort", stop, { once: true });
    setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, duration);
  });
}

const addresses = new Map();

/** An address at which the page can show a file of the API's, token or not. */
export async function shown(path) {
  if (isOpen()) return path;
  if (!addresses.has(path)) addresses.set(path, URL.createObjectURL(await bytes(path)));
  return addresses.get(path);
}

/** Show a file of the API's that is soon replaced by the next in `image`. */
export async function glimpse(path, image) {
  const address = isOpen() ? path : URL.createObjectURL(await bytes(path));
  image.src = address;
  await image.decode();
  if (address !== path) URL.revokeObjectURL(address);
}

/** A file of the API's. */
export const bytes = (path) => ask(path, { as: "blob" });
