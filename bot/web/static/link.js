// The page of a link from Discord: good for some minutes and for one drawing.

import { askJson } from "./api.js";
import { announce, find } from "./dom.js";
import { keep, kept, keptDrawings } from "./keep.js";
import { say, tag } from "./words.js";

const WARNING = 120_000; // milliseconds before the link ends
const AGAIN = 15_000; // milliseconds before asking again what has become of it

export class LinkPage {
  constructor(studio) {
    this.studio = studio;
    this.isOver = false; // the link was used, or is not good any more
    find(".brand").removeAttribute("href"); // which leads away from the drawing
  }

  /** Set up what the link is for: `{ channel, expires, job, request }`. */
  furnish(link) {
    const { channel, expires, job, request } = link;
    const { sketch } = this.studio.desks;
    this.channel = channel;
    if (job) return this._used(job);
    const time = new Date(expires * 1000).toLocaleTimeString(tag, { timeStyle: "short" });
    const said = say(
      "You draw for #{channel}: the picture is posted there, in your name. The link works once, until {time}.",
      { channel, time },
    );
    this._banner(said);
    find(".go span", sketch.form).textContent = say("Paint for #{channel}", { channel });
    if (request && kept("link") !== expires) sketch.put(request); // as the command said
    keep("link", expires);
    this._expect(expires * 1000 - Date.now(), time);
  }

  /** The drawing was sent from here. */
  sent(job) {
    const { taken, id } = this.studio.whiteboard;
    keep("sent", { job: job.id, drawing: taken });
    this._end(this._onItsWay, taken === id);
  }

  /** Its job has ended. What was posted from this paper, and maybe deleted, makes room for the next. */
  ended(job) {
    const { whiteboard } = this.studio;
    if (job.results.length || (job.state === "delivered" && !job.error)) return this._isShown && whiteboard.forget();
    if (whiteboard.isEmpty) this._banner(say("Nothing was posted. Type /sketch again for a new link."));
    else this._banner(say("Nothing was posted. Your drawing is kept: type /sketch again for a new link."));
  }

  /** Find out what has become of the link: it may be over, or used on another page. */
  async lookAgain() {
    if (this.isOver) return;
    try {
      const { link } = await askJson("/v1/options");
      if (link.job) return this._used(link.job);
    } catch (problem) {
      if (problem.status === 401) return this.turnAway(problem);
    }
    setTimeout(() => this.lookAgain(), AGAIN);
  }

  /** The link is not good any more, or never was. The drawing is still there. */
  async turnAway(problem) {
    const { whiteboard } = this.studio;
    this.isOver = true;
    await whiteboard.save();
    document.documentElement.dataset.away = "";
    this._banner("");
    const notice = find("#notice");
    notice.hidden = false;
    const hasExpired = problem.code === "link_expired";
    find("h1", notice).textContent = hasExpired ? say("This link does not work any more") : say("This link does not work");
    find("p", notice).textContent = problem.message;
    if (whiteboard.isEmpty || !(await keptDrawings(whiteboard.name)).length) return;
    const address = URL.createObjectURL(await whiteboard.picture());
    find("img", notice).src = find("a", notice).href = address;
    find("figure", notice).hidden = find("a", notice).hidden = false;
  }

  /** Warn before the end. That it has come, the studio says: this clock may be wrong. */
  _expect(left, time) {
    const warn = () => {
      if (this.isOver) return;
      const said = say(
        "The link ends at {time}. Your drawing stays in this browser, and the next link opens with it.",
        { time },
      );
      this._banner(said, true);
      announce(said);
    };
    setTimeout(warn, Math.max(0, left - WARNING));
    setTimeout(() => this.lookAgain(), Math.max(0, left) + 1000);
  }

  /** The link was used: from this page before it was loaded anew, or elsewhere. */
  _used(job) {
    const { whiteboard, desks } = this.studio;
    const { isEmpty, id } = whiteboard;
    const { channel } = this;
    const sent = kept("sent");
    const isShown = sent?.job === job && sent.drawing === id;
    let said = this._onItsWay;
    if (!isEmpty && !isShown) {
      said = say(
        "This link was used already. Your drawing is kept: type /sketch in #{channel}, and the next link opens with it.",
        { channel },
      );
    } else if (sent?.job !== job) {
      said = say("This link was used already. For another picture, type /sketch in #{channel}.", { channel });
    }
    if (isEmpty) document.documentElement.dataset.alone = ""; // the picture, without an empty paper
    this._end(said, isShown);
    desks.sketch.resume(job);
  }

  /** What is left is to watch. `isShown`: the paper shows what was sent. */
  _end(sentence, isShown) {
    this.isOver = true;
    this._isShown = isShown;
    document.documentElement.dataset.sent = "";
    find("#paper").inert = true;
    this._banner(sentence);
  }

  get _onItsWay() {
    return say(
      "Sent. The picture is posted in #{channel}; you can close this page. For another, type /sketch there.",
      { channel: this.channel },
    );
  }

  _banner(sentence, isUrgent = false) {
    const banner = find("#link-banner");
    banner.hidden = !sentence;
    banner.textContent = sentence;
    banner.classList.toggle("urgent", isUrgent);
  }
}
