// Where a job is followed: its place, its progress, a preview, and what came of it.

import { ask, follow, glimpse, isOver } from "./api.js";
import { announce, find, findAll, make } from "./dom.js";
import { actions, attempt, described, media, seedOf, view } from "./results.js";
import { percent, say, seconds } from "./words.js";

const TITLE = document.title;
const TELLING = 10_000; // milliseconds between two times that a screen reader says how far it is

const IDLE = () => ({
  sketch: ["imagine", say("Your picture appears here")],
  imagine: ["imagine", say("Your pictures appear here")],
  animate: ["animate", say("Your video appears here")],
});

const PHASES = () => ({
  loading: say("Loading the models"),
  captioning: say("Looking at the picture"),
  painting: say("Painting"),
  animating: say("Animating"),
  upscaling: say("Enlarging"),
  encoding: say("Saving"),
});

export class Stage {
  constructor(kind, studio) {
    Object.assign(this, { kind, studio });
    this.place = find(`[data-stage=${kind}]`);
    this.place.append(find("#stage").content.cloneNode(true));
    const part = (selector) => find(selector, this.place);
    [this.sheet, this.box, this.status] = [part(".sheet"), part(".shown"), part(".status")];
    [this.trouble, this.told, this.actions] = [part(".trouble"), part(".told"), part(".actions")];
    const [symbol, sentence] = IDLE()[kind];
    find(".idle use", this.sheet).setAttribute("href", `#i-${symbol}`);
    find(".idle p", this.sheet).textContent = sentence;
    find(".cancel", this.status).addEventListener("click", () => this._cancel());
    find("button", this.trouble).addEventListener("click", () => this._again());
  }

  get isBusy() {
    return ["sending", "waiting", "running"].includes(this.sheet.dataset.state);
  }

  get isSending() {
    return this.sheet.dataset.state === "sending";
  }

  /** The request is on its way. What is shown stays, for as long as nothing takes its place. */
  send() {
    this._before = this.sheet.dataset.state;
    this._say(say("Sending"));
    this._bar(null);
    this._state("sending");
  }

  /** It was refused: all is as before, or as what is followed has become meanwhile. */
  reset() {
    if (this.isSending) this._state(this._before);
  }

  /** Follow a job to its end. `again` asks for it once more, where that can be done. */
  async watch(job, again) {
    this._following?.abort();
    clearInterval(this._ticking);
    this._empty();
    this._told = null;
    this._again = again;
    find("button", this.trouble).hidden = !again;
    const { signal } = (this._following = new AbortController());
    try {
      this.show(job);
      if (isOver(job)) return;
      const isSeen = () => !document.hidden && this.place.checkVisibility();
      for await (const next of follow(job.id, signal, isSeen)) this.show(next);
    } catch (problem) {
      if (signal.aborted) return;
      this._fail(problem.message);
    }
  }

  _empty() {
    this._shownJob = null;
    this.box.replaceChildren();
    delete this.box.dataset.count;
    this.actions.replaceChildren();
    this.told.textContent = "";
  }

  show(job) {
    this.job = job;
    if (job.state === "queued") this._waiting(job);
    else if (job.state === "running") this._running(job);
    else if (job.results.length) this._done(job);
    else if (job.state === "cancelled") this._cancelled();
    else if (job.error) this._fail(job.error.detail || say("That did not work."));
    else if (isOver(job)) this._clear(say("It has been deleted already."));
    if (isOver(job)) this.studio.ended(job);
  }

  // --- the states ----------------------------------------------------------------------------

  _waiting(job) {
    const place = job.place ? say("place {place}", { place: job.place }) : "";
    const begins = job.eta && [job.eta, (time) => say("begins in about {time}", { time })];
    this._say(say("Waiting"), [place, begins]);
    this._tell(say("Waiting"), place);
    this._bar(null);
    this._state("waiting");
  }

  _running(job) {
    const { phase, step, steps } = job.progress ?? {};
    const of = steps ? say("step {step} of {of}", { step, of: steps }) : "";
    const headline = PHASES()[phase] ?? say("Starting");
    this._tell(headline, step && percent(step / steps));
    const done = steps && job.eta && [job.eta, (time) => say("done in about {time}", { time })];
    this._say(headline, [of, done]);
    this._bar(steps ? step / steps : null);
    if (job.preview) this._preview(job.preview);
    this._state("running");
  }

  async _preview(path) {
    if (path === this._previewed) return;
    this._previewed = path;
    const image = make("img", { class: "preview", alt: say("What it is so far") });
    try {
      await glimpse(path, image);
    } catch {
      return; // the next one will do
    }
    if (this.sheet.dataset.state === "running") this.box.replaceChildren(image);
  }

  _done(job) {
    if (this._shownJob === job.id && this.sheet.dataset.state === "done") return;
    this._shownJob = job.id;
    clearInterval(this._ticking);
    const figures = job.results.map((_, index) => this._figure(job, index));
    this.box.replaceChildren(...figures);
    this.box.dataset.count = figures.length;
    this._choose(job, 0);
    this._state("done");
    announce(say("Done: {what}", { what: described(job) }));
  }

  /** One result: a click shows it large; of several, the first click chooses it. */
  _figure(job, index) {
    const shows = media(job, index, { controls: true });
    if (shows.matches("video")) return shows;
    const several = job.results.length > 1;
    const label = several ? say("Picture {n} of {of}", { n: index + 1, of: job.results.length }) : say("Show it large");
    const figure = make("div", { role: "button", tabindex: "0", class: "result", "aria-label": label }, shows);
    const act = () => {
      if (several && this.chosen !== index) this._choose(job, index);
      else view(job, index, this.studio);
    };
    figure.addEventListener("click", act);
    figure.addEventListener("keydown", (event) => {
      if (event.target !== figure || !["Enter", " "].includes(event.key)) return;
      event.preventDefault();
      act();
    });
    return figure;
  }

  _choose(job, index) {
    this.chosen = index;
    const figures = findAll(".result", this.box);
    if (figures.length > 1) {
      figures.forEach((figure, at) => figure.setAttribute("aria-pressed", at === index));
    }
    const seed = seedOf(job, index);
    const taken = job.caption && say("taken for: {caption}", { caption: job.caption });
    const told = [job.request.prompt, taken, seed != null && say("seed {seed}", { seed })];
    this.told.textContent = this.told.title = told.filter(Boolean).join(" · ");
    this.actions.replaceChildren(...actions(job, index, this.studio));
  }

  _cancelled() {
    this._clear(say("Cancelled"));
    announce(say("Cancelled"));
  }

  /** There is nothing to see of a job, and why. */
  _clear(sentence) {
    this._empty();
    this._state("idle");
    if (this.studio.page) find(".idle p", this.sheet).textContent = sentence; // and nothing will come
  }

  _fail(sentence) {
    clearInterval(this._ticking);
    this._empty();
    find("p", this.trouble).textContent = sentence;
    this._state("failed");
    announce(sentence);
  }

  _cancel() {
    return attempt(() => ask(`/v1/jobs/${this.job.id}`, { method: "DELETE" }));
  }

  // --- how they are shown --------------------------------------------------------------------

  _state(state) {
    this.sheet.dataset.state = state;
    this.status.hidden = !this.isBusy;
    if (!this.isBusy) document.title = TITLE;
    this.trouble.hidden = state !== "failed";
    find(".idle", this.sheet).hidden = state !== "idle";
    find(".cancel", this.status).hidden = state === "sending";
    this.sheet.setAttribute("aria-busy", this.isBusy);
    this.sheet.dispatchEvent(new Event("state"));
  }

  /** A headline and what is beside it: words, or a time to which it counts down. */
  _say(headline, beside = []) {
    find("strong", this.status).textContent = headline;
    clearInterval(this._ticking);
    const tick = () => {
      const parts = beside.filter(Boolean).map((part) => (typeof part === "string" ? part : until(...part)));
      find(".when", this.status).textContent = parts.filter(Boolean).join(" · ");
    };
    tick();
    if (beside.some(Array.isArray)) this._ticking = setInterval(tick, 1000);
  }

  /** Let a screen reader say how it goes: what is new at once, how far it is now and then. */
  _tell(headline, far) {
    const now = performance.now();
    const text = [headline, far].filter(Boolean).join(", ");
    const isDue = headline !== this._told?.headline || now - this._told.at > TELLING;
    if (!isDue || text === this._told?.text) return;
    this._told = { headline, text, at: now };
    announce(text);
  }

  _bar(part) {
    const bar = find("progress", this.status);
    if (part === null) bar.removeAttribute("value");
    else bar.value = part;
    document.title = part === null ? TITLE : `${percent(part)} · ${TITLE}`;
  }
}

/** A countdown to a time in Unix seconds; nothing once it has passed. */
function until(time, sentence) {
  const left = Math.round(time - Date.now() / 1000);
  return left > 0 ? sentence(seconds(left)) : "";
}
