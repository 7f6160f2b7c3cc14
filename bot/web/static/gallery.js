// What was made, newest first.

import { askJson, isOver, shown } from "./api.js";
import { find, icon, isCalm, make, toast } from "./dom.js";
import { attempt, described, media, view } from "./results.js";
import { say } from "./words.js";

export class Gallery {
  constructor(studio) {
    this.studio = studio;
    this.grid = find("#grid");
    this.more = find("#grid-more");
    this.more.addEventListener("click", () => this._load(this.next));
  }

  /** Show the newest. */
  async refresh() {
    await this._load(null);
  }

  async _load(cursor) {
    try {
      const after = cursor ? `?cursor=${encodeURIComponent(cursor)}` : "";
      const { jobs, next } = await askJson(`/v1/jobs${after}`);
      const cards = jobs.flatMap((job) => this._cards(job));
      if (cursor) this.grid.append(...cards);
      else this.grid.replaceChildren(...cards);
      this.next = next;
      this.more.hidden = !next;
    } catch (problem) {
      toast(problem.message);
      this.studio.refused(problem);
    }
    find("#grid-empty").hidden = this.grid.childElementCount > 0;
  }

  /** A card for each result, or one for a job that has none yet. */
  _cards(job) {
    if (job.results.length) return job.results.map((_, index) => this._card(job, index));
    return isOver(job) ? [] : [this._unfinished(job)];
  }

  _card(job, index) {
    const shows = media(job, index, { small: true });
    const caption = make("span", { class: "caption" }, described(job));
    const badge = shows.matches("video") ? icon("animate") : null;
    const act = () => view(job, index, this.studio);
    const card = make("button", { type: "button", class: "card", click: act }, shows, badge, caption);
    if (badge && !isCalm()) {
      const play = () => attempt(() => roll(card, shows, job.results[index]));
      for (const name of ["mouseenter", "focus"]) card.addEventListener(name, play);
      for (const name of ["mouseleave", "blur"]) card.addEventListener(name, () => shows.pause());
    }
    return make("li", {}, card);
  }

  _unfinished(job) {
    const state = job.state === "queued" ? say("Waiting") : say("Under way");
    const caption = make("span", { class: "caption" }, described(job));
    return make("li", {}, make("div", { class: "card unfinished" }, make("em", {}, state), caption));
  }
}

/** Play the video of a card, of which only the beginning was loaded, while somebody points at it. */
async function roll(card, video, result) {
  if (!video.src) video.src = await shown(result.url);
  if (card.matches(":hover, :focus")) await video.play().catch(() => {}); // paused before it began
}
