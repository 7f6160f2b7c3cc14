// What draws on the paper: mouse, pen, finger or the keyboard.

import { PAPER } from "./board.js";
import { announce } from "./dom.js";
import { say } from "./words.js";

const ERASER_BUTTON = 32; // in PointerEvent.buttons: the other end of a pen
const PALM = 5000; // milliseconds after a pen in which a touch is the hand that holds it
const STEP = { usual: 12, far: 60, near: 2 }; // pixels of the paper, by an arrow key
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class Pen {
  /** `tools()` says what is in hand: `{ tool, colour, size }`. */
  constructor(board, paper, ring, tools) {
    Object.assign(this, { board, paper, ring, tools });
    this._at = null; // of the keyboard's pen, in pixels of the paper
    this._hovered = null;
    this._pointer = null;
    this._penAt = -PALM; // when a pen was last seen, in milliseconds
    const listen = (name, act) => paper.addEventListener(name, act.bind(this));
    listen("pointerdown", this._down);
    listen("pointermove", this._move);
    listen("pointerup", this._up);
    listen("pointercancel", this._cancel);
    listen("pointerleave", () => this._point(null));
    listen("keydown", this._key);
    listen("blur", this._lift);
    listen("contextmenu", (event) => event.preventDefault());
    // One finger draws and makes no gesture, of which a tap right after would only be the end.
    const still = (event) => event.touches.length === 1 && event.preventDefault();
    paper.addEventListener("touchstart", still, { passive: false });
  }

  // --- pointers --------------------------------------------------------------------------------

  _down(event) {
    if (event.button !== 0 && event.button !== 5) return;
    if (event.pointerType === "touch" && event.timeStamp - this._penAt < PALM) return;
    if (this._pointer !== null && !this._second(event)) return;
    this._lift();
    this._at = null;
    this._measure();
    this._pointer = event.pointerId;
    this._begun = event.timeStamp;
    this._begin(event.pointerType === "pen", event.buttons & ERASER_BUTTON);
    this._add(event);
    this._point(event);
    try {
      this.paper.setPointerCapture(event.pointerId);
    } catch {
      // Gone already: its end comes as pointerup all the same.
    }
  }

  /**
   * A second finger is for zooming: what the first drew in the moment before was not meant. Nor was
   * what the hand drew that came down before its pen. Returns whether that is to draw now.
   */
  _second({ pointerType, timeStamp }) {
    const isPen = pointerType === "pen";
    if (!isPen && (pointerType !== "touch" || timeStamp - this._begun > 250)) return false;
    this._pointer = null;
    this.board.drop();
    return isPen;
  }

  _move(event) {
    if (event.pointerId === this._pointer) {
      this._measure(); // the paper may have moved
      const all = event.getCoalescedEvents?.() ?? [];
      for (const each of all.length ? all : [event]) this._add(each);
    }
    this._point(event);
  }

  _up(event) {
    if (event.pointerId !== this._pointer) return;
    this._pointer = null;
    this._stroke.end(...this._place(event));
    this._finish();
  }

  _cancel(event) {
    if (event.pointerId !== this._pointer) return;
    this._pointer = null;
    this._finish();
  }

  _begin(pressed, turned) {
    const { tool, colour, size } = this.tools();
    const erases = turned || tool === "eraser";
    this._stroke = this.board.begin({ colour: erases ? PAPER : colour, size, pressed });
  }

  _finish() {
    this._stroke = null;
    this.board.commit();
  }

  _add(event) {
    this._stroke.add(...this._place(event), event.pressure);
    this._schedule();
  }

  _measure() {
    const box = this.paper.getBoundingClientRect();
    if (!box.width) return; // hidden, as where a link ends
    this._box = box;
    this._scale = this.board.width / box.width;
  }

  _place({ clientX, clientY }) {
    return [(clientX - this._box.left) * this._scale, (clientY - this._box.top) * this._scale];
  }

  // --- frames ----------------------------------------------------------------------------------

  _schedule() {
    this._frame ??= requestAnimationFrame(() => {
      this._frame = null;
      if (this._stroke) this.board.show();
      this._drawRing();
    });
  }

  /** Where the pointer is; a finger hides it anyway. */
  _point(event) {
    if (event?.pointerType === "pen") this._penAt = event.timeStamp;
    this._hovered = event && event.pointerType !== "touch" ? [event.clientX, event.clientY] : null;
    this._schedule();
  }

  /** The ring shows how large the brush is and, on the keyboard, where. */
  _drawRing() {
    const { ring } = this;
    ring.hidden = !this._hovered && !this._at;
    if (ring.hidden) return;
    if (this._pointer === null) this._measure();
    const [x, y] = this._at
      ? this._at.map((part) => part / this._scale)
      : [this._hovered[0] - this._box.left, this._hovered[1] - this._box.top];
    const size = Math.max(6, this.tools().size / this._scale);
    const width = `${size}px`;
    const transform = `translate(${x - size / 2}px, ${y - size / 2}px)`;
    Object.assign(ring.style, { width, height: width, transform });
    ring.classList.toggle("keyed", Boolean(this._at));
  }

  // --- the keyboard ----------------------------------------------------------------------------

  _key(event) {
    if (event.ctrlKey || event.metaKey) return;
    if (event.key in ARROWS) this._step(ARROWS[event.key], event);
    else if (event.key === " ") event.repeat || this._toggle();
    else if (event.key === "Escape" && this._keyed) this._lift();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  _step([dx, dy], { shiftKey, altKey }) {
    this._measure();
    const step = shiftKey ? STEP.far : altKey ? STEP.near : STEP.usual;
    const [x, y] = this._cursor();
    const [width, height] = [this.board.width, this.board.height];
    this._at = [Math.min(width, Math.max(0, x + dx * step)), Math.min(height, Math.max(0, y + dy * step))];
    if (this._keyed) {
      // The smoothing lags behind: some points on the way bring the line to where the pen is.
      for (let i = 1; i <= 6; i++) {
        const part = Math.min(1, i / 4);
        this._stroke.add(x + (this._at[0] - x) * part, y + (this._at[1] - y) * part, 0.5);
      }
    }
    this._schedule();
  }

  _toggle() {
    if (this._keyed) return this._lift();
    if (this._pointer !== null) return;
    this._measure();
    this._at = this._cursor();
    this._keyed = true;
    this._begin(true, false);
    this._stroke.add(...this._at, 0.5);
    this._schedule();
    announce(say("The pen is down"));
  }

  _lift() {
    if (!this._keyed) return;
    this._keyed = false;
    this._stroke.end(...this._at);
    this._finish();
    announce(say("The pen is up"));
  }

  _cursor() {
    return this._at ?? [this.board.width / 2, this.board.height / 2];
  }
}
