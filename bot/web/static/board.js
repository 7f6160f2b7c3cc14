// The paper: what was drawn on it, in order, on two canvases. The lower one holds what is done, the
// upper one the tip of the stroke under the pen, so that a frame costs the same however long a
// stroke and however full the paper.

import { Stroke } from "./ink.js";

export const PAPER = "#ffffff";
export const SHAPES = { square: [1024, 1024], wide: [1216, 832], tall: [832, 1216] };

const STILL_EVERY = 24; // marks: undo redraws at most as many
const STILLS = 6; // pictures of the paper that are kept for it

/** Several kept drawings as one, each on a fresh sheet: Undo leads back. */
export const joined = (drawings) =>
  drawings.reduce((before, last) => ({
    ...last,
    marks: [...before.marks.slice(0, before.done), { kind: "clear" }, ...last.marks],
    done: before.done + 1 + last.done,
  }));

/** A kept drawing whose marks can be drawn. */
export async function revived({ marks, ...rest }) {
  const revive = async ({ kind, stroke, blob, at }) => {
    if (stroke) return { kind, stroke: new Stroke(stroke) };
    if (kind === "clear") return { kind };
    const nothing = () => new OffscreenCanvas(1, 1); // a browser may lose what it kept
    return { kind, blob, at, picture: await createImageBitmap(blob).catch(nothing) };
  };
  return { ...rest, marks: await Promise.all(marks.map(revive)) };
}

/** Tells of a "stroke" that begins or is dropped, and of every "change" of what is drawn. */
export class Board extends EventTarget {
  constructor(lower, upper) {
    super();
    this._lower = lower;
    this._upper = upper;
    this._ink = lower.getContext("2d", { alpha: false });
    this._live = upper.getContext("2d");
    this._marks = []; // strokes, pictures and clearings; from `_done` on they were undone
    this._done = 0;
    this._stills = new Map();
    this.shape = "square";
    this._resize();
  }

  get width() {
    return this._lower.width;
  }

  get height() {
    return this._lower.height;
  }

  get isEmpty() {
    return this._done === 0 || this._marks[this._done - 1].kind === "clear";
  }

  /** Whether there is nothing to see: not even the stroke that is being drawn. */
  get isBlank() {
    return !this._stroke && this.isEmpty;
  }

  get canUndo() {
    return this._done > 0;
  }

  get canRedo() {
    return this._done < this._marks.length;
  }

  // --- drawing -------------------------------------------------------------------------------

  /** Begin a stroke. Call `show` once a frame while it goes on. */
  begin(options) {
    this._stroke = new Stroke(options);
    this._settled = 0;
    this.dispatchEvent(new Event("stroke"));
    return this._stroke;
  }

  /** Draw what the stroke under the pen has become since the last frame. */
  show() {
    const { _stroke: stroke, _live: live } = this;
    if (!stroke) return;
    this._settle();
    this._wipe();
    live.fillStyle = stroke.colour;
    const tip = stroke.tip();
    live.fill(tip.path);
    this._tip = tip.box;
  }

  /** The stroke is done. */
  commit() {
    const stroke = this._stroke;
    this._settle();
    this._wipe();
    this._ink.fill(stroke.tip().path);
    this._stroke = null;
    this._add({ kind: "stroke", stroke }, true);
  }

  /** The stroke was none: a second finger came down. */
  drop() {
    this._wipe();
    this._stroke = null;
    this._redraw();
    this.dispatchEvent(new Event("stroke"));
  }

  clear() {
    if (!this.isEmpty) this._add({ kind: "clear" });
  }

  /** Lay a picture on the paper, as large as it fits. `image` is one that can be drawn. */
  async lay(image) {
    const scale = Math.min(this.width / image.width, this.height / image.height);
    const [w, h] = [Math.ceil(image.width * scale), Math.ceil(image.height * scale)];
    const picture = new OffscreenCanvas(w, h);
    picture.getContext("2d").drawImage(image, 0, 0, w, h);
    const blob = await picture.convertToBlob({ type: "image/webp", quality: 0.95 });
    const at = [Math.round((this.width - w) / 2), Math.round((this.height - h) / 2)];
    this._add({ kind: "picture", picture, blob, at });
  }

  /** Ink what no further point of the stroke changes. */
  _settle() {
    const { parts, colour } = this._stroke;
    this._ink.fillStyle = colour;
    for (; this._settled < parts.length; this._settled++) this._ink.fill(parts[this._settled].path);
  }

  _wipe() {
    if (this._tip) this._live.clearRect(...this._tip);
    this._tip = null;
  }

  _add(mark, drawn = false) {
    this._marks.length = this._done; // what was undone is given up
    this._forget(this._done);
    this._marks.push(mark);
    this._done++;
    if (!drawn) this._redraw();
    if (this._done % STILL_EVERY === 0) this._still();
    this._changed();
  }

  _draw(mark) {
    const ink = this._ink;
    if (mark.kind === "stroke") mark.stroke.draw(ink);
    else if (mark.kind === "picture") ink.drawImage(mark.picture, ...mark.at);
    else this._blank();
  }

  _blank() {
    this._ink.fillStyle = PAPER;
    this._ink.fillRect(0, 0, this.width, this.height);
  }

  // --- back and forth ------------------------------------------------------------------------

  undo() {
    if (!this.canUndo || this._stroke) return false;
    this._done--;
    this._redraw();
    this._changed();
    return true;
  }

  redo() {
    if (!this.canRedo || this._stroke) return false;
    this._draw(this._marks[this._done++]);
    this._changed();
    return true;
  }

  /** Draw the paper anew, from the last still or clearing before. */
  _redraw() {
    this._settled = 0; // of a stroke that is under the pen meanwhile
    let from = 0;
    for (const at of this._stills.keys()) if (at <= this._done) from = Math.max(from, at);
    const cleared = this._marks.slice(0, this._done).findLastIndex(({ kind }) => kind === "clear");
    if (from > cleared && from > 0) this._ink.drawImage(this._stills.get(from), 0, 0);
    else this._blank();
    for (const mark of this._marks.slice(Math.max(from, cleared + 1), this._done)) this._draw(mark);
  }

  _still() {
    const still = new OffscreenCanvas(this.width, this.height);
    still.getContext("2d").drawImage(this._lower, 0, 0);
    this._stills.set(this._done, still);
    if (this._stills.size > STILLS) this._stills.delete(this._stills.keys().next().value);
  }

  /** Forget the stills of what is after a mark. */
  _forget(after) {
    for (const at of this._stills.keys()) if (at > after) this._stills.delete(at);
  }

  // --- the sheet -----------------------------------------------------------------------------

  /** Give the paper another shape. What is drawn stays where it is, at the top left. */
  reshape(shape) {
    this.shape = shape;
    this._resize();
    this._changed();
  }

  _resize() {
    const [width, height] = SHAPES[this.shape];
    for (const canvas of [this._lower, this._upper]) Object.assign(canvas, { width, height });
    this._stills.clear();
    this._redraw();
  }

  /** The drawing as a picture. */
  picture() {
    return new Promise((resolve) => this._lower.toBlob(resolve, "image/png"));
  }

  /** Everything, undone or not, in a form that IndexedDB keeps. */
  kept() {
    const marks = this._marks.map(({ kind, stroke, blob, at }) =>
      stroke ? { kind, stroke: stroke.kept() } : { kind, blob, at },
    );
    return { marks, done: this._done, shape: this.shape };
  }

  /** Take back what was kept, and is `revived`. */
  restore({ marks, done, shape }) {
    this._marks = marks;
    this._done = done;
    this.shape = shape in SHAPES ? shape : "square";
    this._resize();
    this._changed();
  }

  _changed() {
    this.dispatchEvent(new Event("change"));
  }
}
