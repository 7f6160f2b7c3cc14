// What is in hand: brush or eraser, a colour, a size.

import { announce, find, findAll, make } from "./dom.js";
import { keep, kept } from "./keep.js";
import { counted, say } from "./words.js";

const SIZES = [6, 14, 28, 60]; // pixels of the paper
const LEAST = 2;
const MOST = 120;

const COLOURS = () => [
  ["#1d1d22", say("Ink")],
  ["#8b8f97", say("Grey")],
  ["#e5342f", say("Red")],
  ["#f5871f", say("Orange")],
  ["#ffd11a", say("Yellow")],
  ["#35a853", say("Green")],
  ["#18a5a7", say("Teal")],
  ["#2557e0", say("Blue")],
  ["#7b35c9", say("Purple")],
  ["#ef6fb3", say("Pink")],
  ["#8a5630", say("Brown")],
  ["#f2c79b", say("Sand")],
];

export class Toolbox {
  constructor() {
    const before = kept("tools") ?? {};
    this.tool = "brush";
    this.colour = before.colour ?? COLOURS()[0][0];
    this.size = before.size ?? SIZES[1];
    this._fillSizes();
    this._fillColours();
    for (const input of findAll("[name=tool]")) {
      input.addEventListener("change", () => this.take(input.value));
    }
    this._show();
  }

  take(tool) {
    this.tool = tool;
    this._show();
    announce(tool === "eraser" ? say("Eraser") : say("Brush"));
  }

  /** Choose the colour at a place of the palette. */
  pick(at) {
    const [colour, name] = COLOURS()[at] ?? [];
    if (!colour) return;
    this._colour(colour);
    announce(name);
  }

  /** One step larger or smaller. */
  resize(step) {
    const size = Math.round(this.size * (step > 0 ? 1.25 : 0.8) + step);
    this.size = Math.min(MOST, Math.max(LEAST, size));
    this._show();
    announce(counted("Size: {n} pixel", "Size: {n} pixels", this.size));
  }

  /** What is in hand, for the pen. */
  inHand = () => ({ tool: this.tool, colour: this.colour, size: this.size });

  _colour(colour) {
    this.colour = colour;
    this.tool = "brush"; // whoever takes a colour wants to paint
    this._show();
  }

  _fillSizes() {
    const names = [say("Fine"), say("Medium"), say("Broad"), say("Very broad")];
    SIZES.forEach((size, at) => {
      const input = make("input", { type: "radio", name: "size", value: size });
      input.addEventListener("change", () => {
        this.size = size;
        this._show();
      });
      const dot = make("i", { class: `dot dot-${at}` });
      const label = make("span", { class: "unseen" }, names[at]);
      find("#sizes").append(make("label", { class: "tool", title: names[at] }, input, dot, label));
    });
  }

  _fillColours() {
    const box = find("#colours");
    for (const [colour, name] of COLOURS()) {
      const input = make("input", { type: "radio", name: "colour", value: colour });
      input.addEventListener("change", () => this._colour(colour));
      const dab = make("i", { class: "dab" });
      dab.style.background = colour;
      const label = make("span", { class: "unseen" }, name);
      box.append(make("label", { class: "colour", title: name }, input, dab, label));
    }
    const own = make("input", { type: "color", "aria-label": say("Another colour") });
    own.addEventListener("input", () => this._colour(own.value));
    this._own = own;
    const title = say("Another colour");
    box.append(make("label", { class: "colour own", title }, own, make("i", { class: "dab" })));
  }

  /** Let the buttons say what is in hand. */
  _show() {
    for (const name of ["tool", "size", "colour"]) {
      for (const input of findAll(`[name=${name}]`)) input.checked = input.value === String(this[name]);
    }
    this._own.value = this.colour;
    this._own.parentElement.classList.toggle("chosen", !find("[name=colour]:checked"));
    this._own.parentElement.style.setProperty("--own", this.colour);
    keep("tools", { colour: this.colour, size: this.size });
  }
}
