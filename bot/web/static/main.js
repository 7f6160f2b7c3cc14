// The page as a whole: who asks, what is on show, and which keys mean what.

import { askJson, bytes, identifyByLink } from "./api.js";
import { AnimateDesk, ImagineDesk, SketchDesk } from "./desk.js";
import { announce, find, isMac, isTyping, make } from "./dom.js";
import { Gallery } from "./gallery.js";
import { keep } from "./keep.js";
import { LinkPage } from "./link.js";
import { pictureIn } from "./pictures.js";
import { TokenDialog } from "./token.js";
import { Whiteboard } from "./whiteboard.js";
import { learn, say } from "./words.js";

const TABS = ["draw", "imagine", "animate", "gallery"];
const DESKS = { sketch: SketchDesk, imagine: ImagineDesk, animate: AnimateDesk };
const PANELS = { sketch: "draw", imagine: "imagine", animate: "animate" };

class Studio {
  constructor() {
    this.token = location.pathname.match(/^\/draw\/([^/]+)$/)?.[1] ?? null;
    this.page = null;
    this.options = {};
    this.desks = {};
  }

  async open() {
    await learn();
    this.whiteboard = new Whiteboard(this.token ? "link" : "studio");
    if (this.token) this.page = new LinkPage(this);
    this.door = new TokenDialog((options) => this._enter(options), () => this._stayOut());
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
    for (const [kind, kinds] of Object.entries(DESKS)) {
      const isOffered = kind in options && (kind === "sketch" || !this.page);
      find(`#tab-${PANELS[kind]}`).hidden = !isOffered;
      if (!isOffered) continue;
      this.desks[kind] = new kinds(kind, this);
      this.desks[kind].offer(options[kind]);
      if (!this.page) this.desks[kind].resume();
    }
    if (this.page) return this.page.furnish(options.link);
    this.gallery = new Gallery(this);
    this.show(this.tab);
  }

  // --- refusals ------------------------------------------------------------------------------

  /** A desk's request was refused. */
  refused(problem) {
    if (problem.status === 401) this._refused(problem);
    else if (problem.code === "link_used") this.page.lookAgain();
  }

  async _refused(problem) {
    const isTurned = problem.status >= 400 && problem.status < 500;
    if (this.page && isTurned) return this.page.turnAway(problem);
    if (problem.status === 401) return this.door.ask(problem);
    this._notice(say("The studio is closed"), problem.message, say("Try again"), () => location.reload());
  }

  /** A token was found to be good. */
  _enter(options) {
    find("#notice").hidden = true;
    if (!this.gallery) this._furnish(options);
    for (const desk of Object.values(this.desks)) desk.complain("");
  }

  /** Somebody did without: where nothing is set up yet, there is nothing but a way back. */
  _stayOut() {
    if (this.gallery) return;
    const told = say("Whoever runs it gives you one. It starts with atl_.");
    this._notice(say("This studio asks for a token"), told, say("Enter a token"), () => this.door.ask());
  }

  _notice(title, sentence, label, act) {
    const notice = find("#notice");
    const button = find("button", notice);
    find("h1", notice).textContent = title;
    find("p", notice).textContent = sentence;
    Object.assign(button, { textContent: label, onclick: act });
    notice.hidden = button.hidden = false;
    button.focus();
  }

  // --- what a job's end, and its result's buttons, lead to -----------------------------------

  /** What was asked for in a desk is queued. */
  sent(job) {
    this.page?.sent(job);
  }

  ended(job) {
    if (this.page) this.page.ended(job);
    else if (this.tab === "gallery") this.gallery?.finish(job);
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

  upscale(job, index, scale) {
    find("#viewer").close();
    const desk = this.desks.imagine ?? this.desks.sketch;
    this.show(PANELS[desk.kind]);
    return desk.send("upscale", () => ({ image: { job: job.id, index }, scale }));
  }

  /** What a job has made was deleted. */
  deleted(job) {
    for (const { stage } of Object.values(this.desks)) {
      if (stage.job?.id === job.id) stage.show({ ...job, results: [] });
    }
    const { animate } = this.desks;
    if (animate?.image?.job === job.id) animate.take(null);
    if (this.tab === "gallery") this.gallery.drop(job);
    else find(`#${this.tab} .go`).focus();
  }

  // --- what is on show -----------------------------------------------------------------------

  show(tab) {
    const isOffered = (each) => TABS.includes(each) && !find(`#tab-${each}`).hidden;
    this.tab = [tab, this.tab, ...TABS].find(isOffered);
    for (const each of TABS) {
      const isShown = each === this.tab;
      find(`#${each}`).hidden = !isShown;
      Object.assign(find(`#tab-${each}`), { ariaSelected: isShown, tabIndex: isShown ? 0 : -1 });
    }
    history.replaceState(null, "", `#${this.tab}`);
    if (this.tab === "gallery") this.gallery?.refresh();
  }

  _wire() {
    for (const tab of TABS) find(`#tab-${tab}`).addEventListener("click", () => this.show(tab));
    find(".tabs").addEventListener("keydown", (event) => this._moveTab(event));
    addEventListener("hashchange", () => this.page ?? this.show(location.hash.slice(1)));
    find("#theme").addEventListener("click", turnTheme);
    find("#keys").addEventListener("click", showShortcuts);
    document.addEventListener("keydown", (event) => this._key(event));
    document.addEventListener("paste", (event) => this._paste(event));
    const stay = (event) => { // on the page, whatever is dropped beside the paper
      const isText = isTyping(event.target) && !event.dataTransfer.types.includes("Files");
      if (!isText) event.preventDefault();
    };
    for (const name of ["dragover", "drop"]) document.addEventListener(name, stay);
  }

  _moveTab(event) {
    const tabs = TABS.filter((tab) => !find(`#tab-${tab}`).hidden);
    const at = tabs.indexOf(this.tab);
    const places = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: -1 };
    if (!(event.key in places)) return;
    event.preventDefault(); // to scroll
    const next = tabs.at(places[event.key] % tabs.length);
    this.show(next);
    find(`#tab-${next}`).focus();
  }

  _key(event) {
    if (event.defaultPrevented || find("dialog[open]")) return;
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      if (!this.page?.isOver) find(`#${this.tab ?? "draw"} form`)?.requestSubmit();
    } else if (event.key === "?" && !isTyping(event.target)) {
      showShortcuts();
    } else if (this._isAtPaper && this.whiteboard.press(event)) {
      event.preventDefault();
    }
  }

  /** Whether the paper is there to be drawn on; what was sent through a link is only shown. */
  get _isAtPaper() {
    return (this.tab ?? "draw") === "draw" && !this.page?.isOver;
  }

  _paste(event) {
    const picture = pictureIn(event.clipboardData);
    const isText = isTyping(event.target) && event.clipboardData.types.includes("text/plain");
    if (!picture || isText || find("dialog[open]")) return;
    event.preventDefault();
    if (this._isAtPaper) this.whiteboard.lay(picture);
    else if (this.tab === "animate") this.desks.animate?.take(picture);
  }
}

/** Dark where it is light, and light where it is dark; the system's own is not written down. */
function turnTheme() {
  const { dataset } = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  const next = (dataset.theme ?? system) === "dark" ? "light" : "dark";
  const own = next === system ? null : next;
  if (own) dataset.theme = own;
  else delete dataset.theme;
  keep("theme", own);
}

function showShortcuts() {
  const [command, enter] = [isMac ? "⌘" : say("Ctrl"), say("Enter")];
  const redo = isMac ? "⇧ ⌘ Z" : `${command} Y`;
  const keys = [
    [`${command} ${enter}`, say("Paint")],
    ["B · E", say("Brush, eraser")],
    ["[ · ]", say("Smaller, larger brush")],
    ["1 – 9", say("Colours")],
    [`${command} Z · ${redo}`, say("Undo, redo")],
    [`${command} V`, say("Put a copied picture on the paper")],
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
