// What was made, newest first.

import { askJson, isOver, shown } from "./api.js";
import { find, findAll, icon, isCalm, make, toast } from "./dom.js";
import { attempt, described, media, view } from "./results.js";
import { say } from "./words.js";

export class Gallery {
  constructor(studio) {
    this.studio = studio;
    this.grid = find("#grid");
    this.more = find("#grid-more");
    this.more.addEventListener("click", () => this._loading || this._load(this.next));
  }

  /** Show the newest. */
  refresh() {
    return this._load(null);
  }

  /** Put what came of a job in the place of its card. */
  finish(job) {
    if (this._loading) return this.refresh(); // what comes may be from before its end
    find(`[data-job="${job.id}"]:has(.unfinished)`, this.grid)?.replaceWith(...this._cards(job));
    this._tell();
  }

  /** Take away the cards of a job that was deleted, and put the focus beside them. */
  drop(job) {
    const gone = findAll(`[data-job="${job.id}"]`, this.grid);
    const near = gone.at(-1)?.nextElementSibling ?? gone[0]?.previousElementSibling;
    for (const item of gone) item.remove();
    this._tell();
    (near?.querySelector("button") ?? find("#tab-gallery")).focus();
    if (!near && this.next) this._load(this.next);
  }

  /** Show the jobs after a cursor, or the newest: as many pages as it takes to see one. */
  async _load(cursor) {
    const loading = (this._loading = Symbol()); // the last counts
    try {
      let cards;
      do {
        const after = cursor ? `?cursor=${encodeURIComponent(cursor)}` : "";
        const { jobs, next } = await askJson(`/v1/jobs${after}`);
        if (loading !== this._loading) return;
        cards = jobs.flatMap((job) => this._cards(job));
        if (cursor) this.grid.append(...cards);
        else this.grid.replaceChildren(...cards);
        cursor = this.next = next;
      } while (cursor && !cards.length);
      this._tell();
    } catch (problem) {
      toast(problem.message);
      this.studio.refused(problem);
    }
    if (loading === this._loading) this._loading = null;
  }

  /** Say whether there is more, or nothing at all. */
  _tell() {
    this.more.hidden = !this.next;
    find("#grid-empty").hidden = this.grid.childElementCount > 0 || Boolean(this.next);
  }

  /** A card for each result, or one for a job that has none yet. */
  _cards(job) {
    if (job.results.length) return job.results.map((_, index) => this._card(job, index));
    return isOver(job) ? [] : [this._unfinished(job)];
  }

  _card(job, index) {
    const shows = media(job, index, { small: true });
    const badge = shows.matches("video") ? icon("animate") : null;
    const act = () => view(job, index, this.studio);
    const card = make("button", { class: "card", click: act }, shows, badge, caption(job));
    if (badge && !isCalm()) {
      const play = () => attempt(() => roll(card, shows, job.results[index]));
      for (const name of ["mouseenter", "focus"]) card.addEventListener(name, play);
      for (const name of ["mouseleave", "blur"]) card.addEventListener(name, () => shows.pause());
    }
    return make("li", { "data-job": job.id }, card);
  }

  _unfinished(job) {
    const state = job.state === "queued" ? say("Waiting") : say("Under way");
    return make("li", { "data-job": job.id }, make("div", { class: "card unfinished" }, make("em", {}, state), caption(job)));
  }
}

const caption = (job) => make("span", { class: "caption", dir: "auto" }, described(job));

/** Play the video of a card, of which only the beginning was loaded, while somebody points at it. */
async function roll(card, video, result) {
  if (!video.src) video.src = await shown(result.url);
  if (card.matches(":hover, :focus")) await video.play().catch(() => {}); // paused before it began
}
