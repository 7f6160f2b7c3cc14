// The whiteboard: the paper with its tools, and what keeps it.

import { Board, SHAPES, joined, revived } from "./board.js";
import { announce, find, isMac, isTyping, toast } from "./dom.js";
import { keep, keepDrawing, kept, keptDrawings } from "./keep.js";
import { Pen } from "./pen.js";
import { decoded, onChoice, onDrop } from "./pictures.js";
import { Toolbox } from "./toolbox.js";
import { say } from "./words.js";

const REST = 400; // milliseconds without a change, after which the drawing is kept

export class Whiteboard {
  /** `name` is what the drawing is kept under. */
  constructor(name) {
    this.name = name;
    this._changes = this._kept = 0; // how many there were, and with how many it was kept
    this.id = Math.random(); // of the drawing as it is now: another page may keep its own under the same name
    this._from = new Set(); // ids of what is kept and this drawing was made from
    this.board = new Board(find("#ink"), find("#live"));
    this.toolbox = new Toolbox();
    this.pen = new Pen(this.board, find("#paper"), find("#ring"), this.toolbox.inHand);
    this.board.addEventListener("change", () => this._changed());
    this.board.addEventListener("stroke", () => this._invite());
    this._wire();
  }

  /** Bring back what was drawn before the page was left, or on another since then. */
  async restore() {
    const posted = kept("posted");
    const drawings = (await keptDrawings(this.name)).filter(({ id }) => id !== posted);
    this._from.add(posted); // which makes room
    const isNews = () => this._changes === this._kept && drawings.some(({ id }) => !this._from.has(id));
    const found = isNews() && (await revived(joined(drawings)));
    if (found && isNews()) {
      this.board.restore(found);
      this._kept = this._changes;
      this.id = found.id;
      for (const { id } of drawings) this._from.add(id);
    }
    this._show();
  }

  get isEmpty() {
    return this.board.isEmpty;
  }

  /** The drawing as a file to send. `taken` is the id of what that shows. */
  picture() {
    this.taken = this.id;
    return this.board.picture();
  }

  /** Lay a picture on the paper. Says so if the file is none. */
  async lay(blob) {
    try {
      await this.board.lay(await decoded(blob));
      announce(say("The picture is on the paper"));
    } catch (problem) {
      toast(problem.message);
    }
  }

  /** A fresh sheet in the shape of a picture, with that on it. */
  async take(blob) {
    const image = await decoded(blob);
    const ratio = image.width / image.height;
    this.board.clear();
    const shape = ratio > 1.2 ? "wide" : ratio < 0.83 ? "tall" : "square";
    if (shape !== this.board.shape) this.board.reshape(shape);
    await this.board.lay(image);
  }

  /** Let the next visit begin with a fresh sheet; this one still shows the drawing. */
  forget() {
    this._kept = this._changes;
    clearTimeout(this._timer);
    keep("posted", this.id); // not in the database, which may not be done when the page is left
  }

  /** Keep the drawing now, unless it is. */
  async save() {
    const changes = this._changes;
    if (changes === this._kept) return;
    clearTimeout(this._timer);
    const [id, from] = [this.id, [...this._from]];
    this._from.add(id);
    const isKept = await keepDrawing(this.name, { id, at: Date.now(), ...this.board.kept() }, from);
    if (!isKept) return;
    this._kept = changes; // not before: until then it may have been in vain
    for (const each of from) if (each !== id) this._from.delete(each);
  }

  _wire() {
    const { toolbox } = this;
    for (const name of ["undo", "redo", "clear"]) find(`#${name}`).addEventListener("click", () => this[name]());
    find("#shape").addEventListener("click", () => this._reshape());
    onChoice(find("#import"), find("#import-file"), (file) => this.lay(file));
    onDrop(find("#paper"), (file) => this.lay(file));
    // Early, for what is begun when a page is on its way out may not be done.
    for (const name of ["beforeunload", "pagehide"]) addEventListener(name, () => this.save());
    const comeBack = () => document.documentElement.dataset.sent ?? this.restore(); // what was sent stays
    document.addEventListener("visibilitychange", () => (document.hidden ? this.save() : comeBack()));
    addEventListener("focus", comeBack);
    if (isMac) {
      find("#undo").title = `${say("Undo")} (⌘Z)`;
      find("#redo").title = `${say("Redo")} (⇧⌘Z)`;
    }
    this._keys = {
      b: () => toolbox.take("brush"),
      e: () => toolbox.take("eraser"),
      "[": () => toolbox.resize(-1),
      "]": () => toolbox.resize(1),
    };
    for (let at = 1; at <= 9; at++) this._keys[at] = () => toolbox.pick(at - 1);
  }

  undo() {
    if (this.board.undo()) announce(say("Undone"));
  }

  redo() {
    if (this.board.redo()) announce(say("Redone"));
  }

  clear() {
    if (this.isEmpty) return;
    this.board.clear();
    const hide = toast(say("The paper is empty."), say("Undo"), () => this.undo());
    this.board.addEventListener("change", hide, { once: true }); // or Undo would take back another
  }

  _reshape() {
    const shapes = Object.keys(SHAPES);
    const next = shapes[(shapes.indexOf(this.board.shape) + 1) % shapes.length];
    this.board.reshape(next);
    announce({ square: say("Square"), wide: say("Wide"), tall: say("Tall") }[next]);
  }

  /** A key that was pressed while the whiteboard is on show. Returns whether it meant something. */
  press(event) {
    // Where letters are not Latin ones, a key means what it has beside its own.
    const key = (event.key > "~" ? event.code.slice(3) : event.key).toLowerCase();
    if (event.ctrlKey || event.metaKey) {
      if (isTyping(event.target)) return false;
      if (key === "z") event.shiftKey ? this.redo() : this.undo();
      else if (key === "y") this.redo();
      else return false;
      return true;
    }
    const isFree = event.target === document.body || event.target.closest?.(".easel");
    const isOther = event.altKey && /\w/.test(key); // “[” is typed with Alt on a German Mac
    if (!isFree || isOther || !(key in this._keys)) return false;
    this._keys[key]();
    return true;
  }

  _changed() {
    this._changes++;
    this.id = Math.random();
    this._show();
    clearTimeout(this._timer);
    this._timer = setTimeout(() => this.save(), REST);
  }

  _invite() {
    find("#invite").hidden = !this.board.isBlank;
  }

  /** Let the buttons say what can be done. */
  _show() {
    const { board } = this;
    find("#undo").disabled = !board.canUndo;
    find("#redo").disabled = !board.canRedo;
    find("#clear").disabled = board.isEmpty;
    this._invite();
    const [width, height] = SHAPES[board.shape];
    find("#draw").style.setProperty("--ratio", width / height);
  }
}
