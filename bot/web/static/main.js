// The page as a whole: who asks, what is on show, and which keys mean what.

import { askJson, bytes, identify, identifyByLink } from "./api.js";
import { AnimateDesk, ImagineDesk, SketchDesk } from "./desk.js";
import { announce, find, isTyping, make } from "./dom.js";
import { Gallery } from "./gallery.js";
import { keep, kept, keptDrawing } from "./keep.js";
import { pictureIn } from "./pictures.js";
import { Whiteboard } from "./whiteboard.js";
import { learn, say, tag } from "./words.js";

const TABS = ["draw", "imagine", "animate", "gallery"];
const DESKS = { sketch: SketchDesk, imagine: ImagineDesk, animate: AnimateDesk };
const PANELS = { sketch: "draw", imagine: "imagine", animate: "animate" };

class Studio {
  constructor() {
    this.token = location.pathname.match(/^\/draw\/([^/]+)$/)?.[1] ?? null;
    this.link = null;
    this.options = {};
    this.desks = {};
  }

  async open() {
    await learn();
    this.whiteboard = new Whiteboard(this.token ? "link" : "studio");
    this._wire();
    await this.whiteboard.restore();
    if (this.token) identifyByLink(this.token);
    else this.show(location.hash.slice(1));
    try {
      this._furnish(await askJson("/v1/options"));
    } catch (problem) {
      await this._refused(problem);
    }
    document.documentElement.dataset.ready = "";
  }

  /** Set up what the studio can do. */
  _furnish(options) {
    this.options = options;
    this.link = options.link ?? null;
    for (const [kind, kinds] of Object.entries(DESKS)) {
      const isOffered = kind in options && (kind === "sketch" || !this.link);
      find(`#tab-${PANELS[kind]}`).hidden = !isOffered;
      if (!isOffered) continue;
      this.desks[kind] = new kinds(kind, this);
      this.desks[kind].offer(options[kind]);
      if (!this.link) this.desks[kind].resume();
    }
    if (this.link) return this._furnishLink();
    this.gallery = new Gallery(this);
    this.show(this.tab);
  }

  // --- a link from Discord -------------------------------------------------------------------

  _furnishLink() {
    const { channel, expires, job, request } = this.link;
    const time = new Date(expires * 1000).toLocaleTimeString(tag, { timeStyle: "short" });
    const said = say(
      "You draw for #{channel}: the picture is posted there, in your name. The link works once, until {time}.",
      { channel, time },
    );
    this._banner(said);
    find("#form-sketch .go span").textContent = say("Paint for #{channel}", { channel });
    if (request && kept("link") !== expires) this.desks.sketch.put(request); // as the command said
    keep("link", expires);
    if (!job) return;
    this._sent();
    this.desks.sketch.resume(job);
  }

  _banner(sentence) {
    find("#link-banner").hidden = false;
    find("#link-banner").textContent = sentence;
  }

  /** The link was used: what is left is to watch. */
  _sent() {
    const { channel } = this.link;
    document.documentElement.dataset.sent = "";
    this._banner(
      say("Sent. The picture is posted in #{channel}; you can close this page. For another, type /sketch there.", {
        channel,
      }),
    );
  }

  /** The link is not good any more, or never was. The drawing is still there. */
  async _turnAway(problem) {
    document.documentElement.dataset.away = "";
    const notice = find("#notice");
    notice.hidden = false;
    find("h1", notice).textContent = say("This link does not work");
    find("p", notice).textContent = problem.message;
    if (!(await keptDrawing("link")) || this.whiteboard.isEmpty) return;
    const address = URL.createObjectURL(await this.whiteboard.picture());
    find("img", notice).src = find("a", notice).href = address;
    find("figure", notice).hidden = find("a", notice).hidden = false;
  }

  // --- refusals ------------------------------------------------------------------------------

  /** A desk's request was refused. */
  refused(problem) {
    if (problem.status === 401) this._refused(problem);
  }

  async _refused(problem) {
    if (this.token) return this._turnAway(problem);
    if (problem.status === 401) return this._askForToken();
    const notice = find("#notice");
    notice.hidden = false;
    find("h1", notice).textContent = say("The studio is closed");
    find("p", notice).textContent = problem.message;
  }

  _askForToken() {
    const [dialog, form] = [find("#token"), find("#token-form")];
    dialog.addEventListener("cancel", (event) => event.preventDefault());
    form.onsubmit = async (event) => {
      event.preventDefault();
      identify(form.token.value.trim(), form.keep.checked);
      try {
        const options = await askJson("/v1/options");
        dialog.close();
        if (!this.gallery) this._furnish(options);
      } catch (problem) {
        find(".problem", form).hidden = false;
        find(".problem", form).textContent = problem.message;
      }
    };
    if (!dialog.open) dialog.showModal();
  }

  // --- what a job's end, and its result's buttons, lead to -----------------------------------

  ended(job, kind) {
    if (this.link) {
      if (job.results.length) this.whiteboard.forget();
      else this._banner(say("Nothing was posted. Your drawing is kept: type /sketch again for a new link."));
      return;
    }
    if (this.tab === "gallery") this.gallery?.refresh();
  }

  started() {
    if (this.link) this._sent();
  }

  async drawOn(job, index) {
    find("#viewer").close();
    const blob = await bytes(job.results[index].url);
    this.show("draw");
    await this.whiteboard.take(blob);
    find("#paper").focus();
    announce(say("The picture is on the paper"));
  }

  async animate(job, index) {
    find("#viewer").close();
    this.show("animate");
    await this.desks.animate.take({ job: job.id, index }, job.results[index].url);
    find("#form-animate .go").focus();
  }

  reuse(job) {
    find("#viewer").close();
    this.show(PANELS[job.kind]);
    this.desks[job.kind].put(job.request);
    find("textarea", this.desks[job.kind].form).focus();
  }

  async upscale(job, index, scale) {
    find("#viewer").close();
    const desk = this.desks.imagine ?? this.desks.sketch;
    const larger = await desk.post("upscale", { image: { job: job.id, index }, scale });
    this.show(PANELS[desk.kind]);
    await desk.follow(larger);
  }

  deleted() {
    this.gallery?.refresh();
  }

  // --- what is on show -----------------------------------------------------------------------

  show(tab) {
    const isOffered = TABS.includes(tab) && !find(`#tab-${tab}`).hidden;
    this.tab = isOffered ? tab : TABS.find((each) => !find(`#tab-${each}`).hidden);
    for (const each of TABS) {
      const isShown = each === this.tab;
      find(`#${each}`).hidden = !isShown;
      find(`#tab-${each}`).setAttribute("aria-selected", isShown);
      find(`#tab-${each}`).tabIndex = isShown ? 0 : -1;
    }
    history.replaceState(null, "", `#${this.tab}`);
    if (this.tab === "gallery") this.gallery?.refresh();
  }

  _wire() {
    for (const tab of TABS) find(`#tab-${tab}`).addEventListener("click", () => this.show(tab));
    find(".tabs").addEventListener("keydown", (event) => this._moveTab(event));
    find("#theme").addEventListener("click", turnTheme);
    find("#keys").addEventListener("click", showShortcuts);
    document.addEventListener("keydown", (event) => this._key(event));
    document.addEventListener("paste", (event) => this._paste(event));
    document.addEventListener("dragover", (event) => event.preventDefault());
    document.addEventListener("drop", (event) => event.preventDefault()); // beside the paper
  }

  _moveTab(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const tabs = TABS.filter((tab) => !find(`#tab-${tab}`).hidden);
    const next = tabs[(tabs.indexOf(this.tab) + step + tabs.length) % tabs.length];
    this.show(next);
    find(`#tab-${next}`).focus();
  }

  _key(event) {
    if (event.defaultPrevented || find("dialog[open]")) return;
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      find(`#${this.tab ?? "draw"} form`)?.requestSubmit();
    } else if (event.key === "?" && !isTyping(event.target)) {
      showShortcuts();
    } else if ((this.tab ?? "draw") === "draw" && this.whiteboard.press(event)) {
      event.preventDefault();
    }
  }

  _paste(event) {
    const picture = pictureIn(event.clipboardData);
    if (!picture) return;
    event.preventDefault();
    if ((this.tab ?? "draw") === "draw") this.whiteboard.lay(picture);
    else if (this.tab === "animate") this.desks.animate?.take(picture);
  }
}

/** Dark where it is light, and light where it is dark; the system's own is not written down. */
function turnTheme() {
  const { dataset } = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  const next = (dataset.theme ?? system) === "dark" ? "light" : "dark";
  if (next === system) {
    delete dataset.theme;
    localStorage.removeItem("atelier.theme");
  } else {
    dataset.theme = next;
    localStorage.setItem("atelier.theme", next);
  }
}

function showShortcuts() {
  const keys = [
    ["Ctrl Enter", say("Paint")],
    ["B · E", say("Brush, eraser")],
    ["[ · ]", say("Smaller, larger brush")],
    ["1 – 9", say("Colours")],
    ["Ctrl Z · Ctrl Y", say("Undo, redo")],
    ["Ctrl V", say("Put a copied picture on the paper")],
    ["← ↑ → ↓", say("On the paper: move the pen; with Shift further, with Alt less")],
    [say("Space"), say("On the paper: put the pen down, lift it")],
    ["?", say("This list")],
  ];
  const row = ([key, what]) => [
    make("dt", {}, ...key.split(" · ").flatMap((part, at) => [at ? " " : "", make("kbd", {}, part)])),
    make("dd", {}, what),
  ];
  find("#shortcuts dl").replaceChildren(...keys.flatMap(row));
  find("#shortcuts").showModal();
}

new Studio().open();
