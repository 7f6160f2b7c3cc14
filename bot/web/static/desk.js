// A form with its settings, and the stage on which its jobs are followed.

import { Problem, askJson, shown } from "./api.js";
import { complain, find, findAll, icon, make, reveal } from "./dom.js";
import { keep, kept } from "./keep.js";
import { dataUrl, decoded, onChoice, onDrop } from "./pictures.js";
import { Stage } from "./stage.js";
import { say } from "./words.js";

export class Desk {
  constructor(kind, studio) {
    Object.assign(this, { kind, studio });
    this.form = find(`#form-${kind}`);
    this.form.noValidate = true; // the studio says what is wrong, in whole sentences
    this.stage = new Stage(kind, studio);
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
    this.form.addEventListener("input", () => this._remember());
    this.form.addEventListener("keydown", (event) => {
      const isComposed = event.isComposing || event.keyCode === 229; // the end of it, in Safari
      const isMeant = event.target.matches("textarea") && !event.shiftKey && !isComposed;
      if (event.key !== "Enter" || !isMeant) return;
      event.preventDefault(); // a prompt has one line
      this.submit();
    });
    this.stage.sheet.addEventListener("state", () => (find(".go", this.form).disabled = this.stage.isBusy));
    findAll(".seed", this.form).forEach(rollable);
  }

  /** Offer what can be chosen, and set what was chosen before. */
  offer(options) {
    for (const box of findAll("[data-needs]", this.form)) {
      box.hidden = !options[box.dataset.needs]?.length;
    }
    const loras = (options.loras ?? []).map((name) => make("option", { value: name }, name));
    find("[name=lora]", this.form)?.append(...loras);
    for (const input of findAll("[type=range]", this.form)) {
      const { least = input.min, most = input.max, default: usual = input.value } = options[input.name] ?? {};
      Object.assign(input, { min: least, max: most, value: usual });
    }
    this._recall(kept(this._name) ?? {});
    findAll(".range", this.form).forEach(metered);
  }

  /** Show again what was under way, or made, when the page was left. */
  async resume(id = kept(`job.${this.kind}`)) {
    if (!id) return;
    const forget = ({ status }) => status === 404 && !this.studio.page && keep(`job.${this.kind}`, null);
    const job = await askJson(`/v1/jobs/${encodeURIComponent(id)}`).catch(forget);
    if (job) await this.stage.watch(job, job.kind === this.kind ? () => this.submit() : null);
  }

  /** Send what the form says. */
  async submit() {
    if (!this.stage.isBusy) await this.send(this.kind, () => this.request());
  }

  /** Send what `request` makes, and follow what comes of it. If it fails, it can be sent again. */
  async send(kind, request) {
    if (this.stage.isSending) return;
    this.complain("");
    this.stage.send();
    let job;
    try {
      job = await this._post(kind, await request());
    } catch (problem) {
      this.stage.reset();
      this.complain(problem.message);
      this.studio.refused(problem);
      return;
    }
    this.studio.sent(job);
    if (!this.studio.page) keep(`job.${this.kind}`, job.id);
    this._reveal();
    await this.stage.watch(job, () => this.send(kind, request));
    this._reveal();
  }

  /** Where the stage is below the form, bring it into view. */
  _reveal() {
    if (!matchMedia("(max-width: 60rem)").matches) return;
    reveal(this.stage.place);
  }

  /** Post a request: as a form where it has files, else as JSON. */
  _post(kind, fields) {
    const path = `/v1/${kind}`;
    if (Object.values(fields).some((value) => value instanceof Blob)) {
      const body = new FormData();
      for (const [name, value] of Object.entries(fields)) {
        if (value instanceof Blob) body.append(name, value, value.name ?? `${name}.png`);
        else body.append(name, value);
      }
      return askJson(path, { method: "POST", body });
    }
    const headers = { "Content-Type": "application/json" };
    return askJson(path, { method: "POST", headers, body: JSON.stringify(fields) });
  }

  /** What the form says, less what it leaves open. */
  async request() {
    const said = [...new FormData(this.form)].filter(([, value]) => value !== "");
    return Object.fromEntries(said.map(([name, value]) => [name, numbered(name, value)]));
  }

  /** Put what a request says into the form. */
  put(request) {
    const fields = findAll("[name]", this.form).map((field) => field.name);
    this._recall(Object.fromEntries(fields.map((name) => [name, String(request[name] ?? "")])));
    findAll(".range", this.form).forEach((box) => find("input", box).dispatchEvent(new Event("input")));
    this._remember();
  }

  /** What the form is kept under. */
  get _name() {
    return this.studio.page ? "form.link" : `form.${this.kind}`;
  }

  complain(sentence) {
    complain(this.form, sentence);
  }

  _remember() {
    keep(this._name, Object.fromEntries(new FormData(this.form)));
  }

  _recall(values) {
    for (const [name, value] of Object.entries(values)) {
      for (const field of findAll(`[name="${name}"]`, this.form)) {
        if (field.type === "radio") field.checked = field.value === value || field.checked;
        else if (field.type !== "file") field.value = value;
      }
    }
  }
}

export class SketchDesk extends Desk {
  async request() {
    const { whiteboard } = this.studio;
    if (whiteboard.isEmpty) throw new Problem(say("The paper is empty. Please draw something first."));
    const said = { ...(await super.request()), drawing: await whiteboard.picture() };
    if (!this.studio.page) return said;
    // What is left out would be as the command said it; so nothing is, and a form drops no empty field.
    return { prompt: "", style: "", lora: "", seed: null, ...said, drawing: await dataUrl(said.drawing) };
  }

  offer(options) {
    const chips = [{ name: "", label: say("No style") }, ...(options.styles ?? [])];
    find("[data-styles]", this.form).append(...chips.map((style) => this._chip(style)));
    super.offer(options);
  }

  _chip({ name, label, description, preview }) {
    const input = make("input", { type: "radio", name: "style", value: name });
    input.checked = name === "";
    const picture = preview ? make("img", { alt: "", width: 40, height: 40 }) : null;
    if (picture) shown(preview).then((address) => (picture.src = address), () => picture.remove());
    return make("label", { class: "chip", title: description ?? "" }, input, picture, make("span", {}, label ?? name));
  }
}

export class ImagineDesk extends Desk {
  async request() {
    return { prompt: "", ...(await super.request()) }; // which is refused in better words than none
  }

  offer(options) {
    const names = {
      "1:1": say("Square"),
      "3:2": say("Photo"),
      "2:3": say("Portrait"),
      "16:9": say("Wide"),
      "9:16": say("Tall"),
    };
    const shape = (aspect, at) => {
      const [width, height] = aspect.split(":").map(Number);
      const frame = make("i", { class: "frame" });
      frame.style.aspectRatio = width / height;
      frame.classList.toggle("upright", height > width);
      return chip("aspect", aspect, at === 0, frame, names[aspect] ?? aspect);
    };
    find("[data-aspects]", this.form).append(...options.aspects.map(shape));
    const counts = Array.from({ length: options.max_count }, (_, at) => String(at + 1));
    const count = (n, at) => chip("count", n, at === 0, null, n);
    find("[data-counts]", this.form).append(...counts.map(count));
    super.offer(options);
  }
}

export class AnimateDesk extends Desk {
  constructor(kind, studio) {
    super(kind, studio);
    this.slot = find("#slot");
    onChoice(find("#slot-choose"), find("#slot-file"), (file) => this.take(file));
    onDrop(this.slot, (file) => this.take(file));
    find("#slot-remove").addEventListener("click", () => {
      this.take(null);
      find("#slot-choose").focus();
    });
    find("#slot-drawing").addEventListener("click", () => this._takeDrawing());
  }

  /** Take a picture to animate: a file, a result as `{ job, index }`, or none. Says so if a file is none. */
  async take(image, url = null) {
    this.complain("");
    try {
      if (image && !url) (await decoded(image)).close();
    } catch (problem) {
      return this.complain(problem.message);
    }
    this.image = image;
    find("#slot-choose").hidden = find("#slot-drawing").hidden = Boolean(image);
    find(".chosen", this.slot).hidden = !image;
    find("#animate-words").hidden = Boolean(image); // it is either a picture or words
    if (!image) return;
    const address = url ? await shown(url) : URL.createObjectURL(image);
    find("img", this.slot).src = address;
  }

  async request() {
    const said = await super.request();
    if (!this.image) return said;
    delete said.prompt;
    return { ...said, image: this.image };
  }

  async _takeDrawing() {
    const { whiteboard } = this.studio;
    if (whiteboard.isEmpty) return this.complain(say("The paper is empty. Please draw something first."));
    await this.take(await whiteboard.picture());
  }
}

const NUMBERS = new Set(["strength", "seed", "motion", "count"]);

/** A number as one, where it is one; what else was typed is for the studio to refuse. */
function numbered(name, value) {
  return NUMBERS.has(name) && /^\d+$/.test(value) ? Number(value) : value;
}

function chip(name, value, checked, before, label) {
  const input = make("input", { type: "radio", name, value });
  input.checked = checked;
  return make("label", { class: "chip" }, input, before, make("span", {}, label));
}

/** A slider that says its value. */
function metered(box) {
  const [input, output] = [find("input", box), find("output", box)];
  const show = () => {
    output.textContent = input.value;
    input.style.setProperty("--part", `${((input.value - input.min) / (input.max - input.min)) * 100}%`);
  };
  input.addEventListener("input", show);
  show();
}

/** A seed that can be drawn by lot, to be kept. */
function rollable(box) {
  const input = find("input", box);
  const label = say("Draw a seed by lot");
  const button = make("button", { type: "button", class: "icon", "aria-label": label, title: label }, icon("dice"));
  button.addEventListener("click", () => {
    input.value = crypto.getRandomValues(new Uint32Array(1))[0];
    input.dispatchEvent(new Event("input", { bubbles: true }));
  });
  input.after(button);
}
