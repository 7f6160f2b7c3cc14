// One stroke, from the points of a pen to shapes to fill.
//
// The outline of a long stroke takes longer the longer it is. So a stroke is cut into parts of
// LENGTH points that overlap by two: each is outlined once and then only filled. Smoothing and
// pressure are worked out beforehand, and the points are so dense that the parts fit each other.

import { getStrokeOutlinePoints, getStrokePoints } from "./vendor/perfect-freehand.mjs";

const LENGTH = 48;
const OVERLAP = 2;
const STEADY = 0.55; // how far a point follows the pen; the rest is smoothing
const FIRST_PRESSURE = 0.35; // of a pointer that tells none
const THINNING = 0.55;
const NEAREST = 0.7; // pixels of the paper: closer points are one
const DENSE = 4; // pixels from point to point on the curve

export class Stroke {
  /** `pressed`: its points come with a pressure of their own. */
  constructor({ colour, size, pressed = false, points = new Float32Array() }) {
    Object.assign(this, { colour, size, pressed });
    this._points = []; // of the curve
    this._parts = [];
    for (let i = 0; i < points.length; i += 3) this._append([...points.subarray(i, i + 3)]);
  }

  /** What a finished stroke is made of, to keep. */
  kept() {
    const { colour, size, pressed } = this;
    this._kept ??= { colour, size, pressed, points: new Float32Array(this._points.flat()) };
    return this._kept;
  }

  /** Add where the pen is now. */
  add(x, y, pressure) {
    const last = this._last;
    if (!last) {
      this._last = this._middle = this._pen = [x, y, this.pressed ? pressure : FIRST_PRESSURE];
      return this._append(this._last);
    }
    this._pen = [x, y, last[2]];
    const [dx, dy] = [(x - last[0]) * STEADY, (y - last[1]) * STEADY];
    const moved = Math.hypot(dx, dy);
    if (moved < NEAREST) return;
    const wanted = this.pressed ? pressure : this._simulated(last[2], moved);
    this._bend([last[0] + dx, last[1] + dy, last[2] + (wanted - last[2]) * 0.5]);
  }

  /** End it where the pen was lifted. */
  end(x, y) {
    const last = this._last;
    if (Math.hypot(x - last[0], y - last[1]) >= NEAREST) this._bend([x, y, last[2]]);
    this._append(this._last);
    this._last = this._pen = null;
  }

  /** Go on in a curve that bends at the last point, as far as the middle of the way to `next`. */
  _bend(next) {
    const [from, over, to] = [this._middle, this._last, middle(this._last, next)];
    const length = Math.hypot(to[0] - from[0], to[1] - from[1]);
    const count = Math.ceil(length / DENSE);
    for (let i = 1; i <= count; i++) {
      const t = i / count;
      this._append(from.map((a, axis) => (1 - t) ** 2 * a + 2 * t * (1 - t) * over[axis] + t * t * to[axis]));
    }
    this._middle = to;
    this._last = next;
  }

  /** A quick pointer presses lightly. */
  _simulated(before, moved) {
    const speed = Math.min(1, moved / this.size);
    return before + (1 - speed * 0.85 - before) * Math.min(1, 0.15 + speed);
  }

  _append(point) {
    this._points.push(point.map(Math.fround)); // as they are kept, so that they look the same then
    const from = this._parts.length * LENGTH;
    if (this._points.length >= from + LENGTH + OVERLAP) {
      this._parts.push(this._outlined(from, from + LENGTH + OVERLAP));
    }
  }

  /** Its parts that no further point changes. */
  get parts() {
    return this._parts;
  }

  /** The rest, up to where the pen is now. */
  tip() {
    const ahead = this._pen ? [this._last, this._pen] : [];
    return this._outlined(this._parts.length * LENGTH, this._points.length, ahead);
  }

  /** Everything, in as few fills as there are parts. */
  draw(context) {
    context.fillStyle = this.colour;
    this._whole ??= [...this._parts, this.tip()];
    for (const { path } of this._whole) context.fill(path);
  }

  /** The filled shape of some of its points, and of those ahead, and the box that it is in. */
  _outlined(from, to, ahead = []) {
    const points = [...this._points.slice(from, to), ...ahead];
    const spine = getStrokePoints(points, { size: 0, streamline: 0 });
    const options = { size: this.size, thinning: THINNING, smoothing: 0.5, simulatePressure: false };
    return { path: smooth(getStrokeOutlinePoints(spine, options)), box: this._box(points) };
  }

  _box(points) {
    const [xs, ys] = [points.map(([x]) => x), points.map(([, y]) => y)];
    const edge = this.size + 2;
    const [left, top] = [Math.min(...xs) - edge, Math.min(...ys) - edge];
    return [left, top, Math.max(...xs) + edge - left, Math.max(...ys) + edge - top].map(Math.round);
  }
}

const middle = (a, b) => a.map((part, axis) => (part + b[axis]) / 2);

/** A closed path through the middles between the points of an outline. */
function smooth(outline) {
  const path = new Path2D();
  outline.forEach(([x, y], i) => {
    const [nextX, nextY] = outline[(i + 1) % outline.length];
    const middle = [(x + nextX) / 2, (y + nextY) / 2];
    if (i === 0) path.moveTo(...middle);
    else path.quadraticCurveTo(x, y, ...middle);
  });
  path.closePath();
  return path;
}
