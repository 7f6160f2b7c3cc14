// Small things that every part of the page needs to touch the document.

export const find = (selector, within = document) => within.querySelector(selector);
export const findAll = (selector, within = document) => [...within.querySelectorAll(selector)];

/** A new element: attributes, then children. Functions are listeners, `true` an empty attribute. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

/** One of the page's icons. Labels beside it say what it means. */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#i-${name}`);
  svg.setAttribute("aria-hidden", "true");
  svg.append(use);
  return svg;
}

let saying = 0;

/** Let a screen reader say something, though it be what was said last. */
export function announce(text) {
  const box = uppermost("#announcer");
  box.textContent = "";
  clearTimeout(saying);
  saying = setTimeout(() => (box.textContent = text), 50);
}

/** What is said while a dialog is open has to be said within: all else is out of reach. */
function uppermost(selector) {
  const [box, home] = [find(selector), find("dialog[open]") ?? document.body];
  if (box.parentElement !== home) home.append(box);
  return box;
}

let hiding = 0;

/** Say something for a while at the foot of the page, with a way to take it back. Returns what hides it. */
export function toast(text, label = "", act = null) {
  const box = uppermost("#toast");
  const button = find("button", box);
  find("span", box).textContent = text;
  button.hidden = !act;
  button.textContent = label;
  button.onclick = () => {
    box.hidden = true;
    act();
  };
  box.hidden = false;
  clearTimeout(hiding);
  const mine = (hiding = setTimeout(() => (box.hidden = true), 8000));
  return () => hiding === mine && (box.hidden = true);
}

/** Whether keys that are pressed now are text. */
export function isTyping(target) {
  return target.matches?.("textarea, select, input:not([type=radio], [type=checkbox], [type=range])");
}

/** Bring a thing into view, no further than it takes. */
export function reveal(element) {
  element.scrollIntoView({ block: "nearest", behavior: isCalm() ? "auto" : "smooth" });
}

/** Say in a form why nothing was sent; with "", no more. */
export function complain(form, sentence) {
  const box = find(".problem", form);
  box.hidden = !sentence;
  box.textContent = sentence;
  if (sentence) reveal(box);
}

export const isMac = /^(Mac|iP)/.test(navigator.platform);

export const isCalm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
