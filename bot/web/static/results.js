// Finished pictures and videos: how they are shown, and what can be done with them.

import { ask, bytes, isOpen, shown } from "./api.js";
import { announce, find, icon, isCalm, make, toast } from "./dom.js";
import { say, seconds, tag } from "./words.js";

const isVideo = ({ media_type: type }) => type.startsWith("video/");

/** What a result shows, in words; where there are none, how it came to be. */
export function described(job) {
  const { prompt, scale } = job.request;
  const ways = {
    imagine: say("From words"),
    sketch: say("A painted drawing"),
    animate: say("A picture in motion"),
    upscale: say("Enlarged ×{scale}", { scale }),
  };
  return prompt || job.caption || ways[job.kind];
}

/** The seed of one of a job's results: they go up by one, and after the last begin at 0 again. */
export function seedOf({ request }, index) {
  return request.seed == null ? null : (request.seed + index) % 2 ** 32;
}

/** A picture or a playing video; `small`, what it looks like, loaded when it comes into view. */
export function media(job, index, { small = false, controls = false } = {}) {
  const result = job.results[index];
  const element = isVideo(result) ? video(controls) : make("img", { alt: described(job) });
  if (isVideo(result)) element.ariaLabel = described(job);
  element.ariaHidden = small; // its card says the same
  if (result.width) Object.assign(element, { width: result.width, height: result.height });
  const load = async () => {
    try {
      if (!small) element.src = await shown(result.url);
      else element[isVideo(result) ? "poster" : "src"] = await shown(result.thumbnail);
    } catch (problem) {
      element.replaceWith(make("p", { class: "gone" }, problem.message));
    }
  };
  if (small) whenSeen(element, load);
  else load();
  return result.sensitive ? veiled(element) : element;
}

function video(controls) {
  const calm = isCalm();
  const element = make("video", { loop: true, playsinline: true, autoplay: controls && !calm });
  element.muted = true;
  element.controls = controls;
  return element;
}

function whenSeen(element, act) {
  const observer = new IntersectionObserver(([entry]) => {
    if (!entry.isIntersecting) return;
    observer.disconnect();
    act();
  }, { rootMargin: "300px" });
  observer.observe(element);
}

/** What the classifier found to be sensitive is shown when somebody asks for it. */
function veiled(element) {
  const box = make("div", { class: "veil" }, element);
  const button = make("button", { class: "plain" }, say("Show what may be sensitive"));
  button.addEventListener("click", (event) => {
    event.stopPropagation();
    box.classList.add("open");
    button.remove();
  });
  box.append(button);
  return box;
}

/** The buttons of a result; `all` of them where there is room. `studio` does what they say. */
export function actions(job, index, studio, { all = false } = {}) {
  const button = (name, label, act) =>
    make("button", { class: "action", click: () => attempt(act) }, icon(name), make("span", {}, label));
  const result = job.results[index];
  const buttons = [button("download", say("Download"), () => download(result))];
  if (studio.page) return buttons;
  if (all && job.kind in studio.desks) {
    buttons.push(button("again", say("Use its settings"), () => studio.reuse(job)));
  }
  if (isVideo(result)) return buttons;
  if (studio.options.sketch) buttons.push(button("draw", say("Draw on it"), () => studio.drawOn(job, index)));
  if (studio.options.animate) buttons.push(button("animate", say("Animate it"), () => studio.animate(job, index)));
  const scales = job.kind === "upscale" ? [] : (studio.options.upscale?.scales ?? []);
  for (const scale of all ? scales : scales.slice(0, 1)) {
    buttons.push(button("larger", say("Enlarge ×{scale}", { scale }), () => studio.upscale(job, index, scale)));
  }
  return buttons;
}

export async function attempt(act) {
  try {
    await act();
  } catch (problem) {
    toast(problem.message);
  }
}

/** Save a result under its own name. */
async function download({ url, name }) {
  const href = isOpen() ? `${url}?download` : URL.createObjectURL(await bytes(url));
  make("a", { href, download: name }).click();
}

/** What a job was asked and what it took, as names and values. */
function facts(job, index) {
  const { request } = job;
  const result = job.results[index];
  const kinds = {
    sketch: say("From a drawing"),
    imagine: say("From words"),
    animate: say("A video"),
    upscale: say("Enlarged"),
  };
  const all = [
    [say("Made"), kinds[job.kind]],
    [say("Prompt"), request.prompt],
    [say("Without"), request.negative],
    [say("Taken for"), job.caption],
    [say("Style"), request.style],
    [say("Strength of the lines"), job.kind === "sketch" ? request.strength : null],
    [say("Motion"), job.kind === "animate" ? request.motion : null],
    [say("LoRA"), request.lora],
    [say("Seed"), seedOf(job, index)],
    [say("Size"), result.width && `${result.width} × ${result.height}`],
    [say("When"), new Date(job.queued_at * 1000).toLocaleString(tag, { dateStyle: "medium", timeStyle: "short" })],
    [say("Time taken"), job.started_at && job.ended_at && seconds(job.ended_at - job.started_at)],
  ];
  return all.filter(([, value]) => value != null && value !== "");
}

/** Show a result as large as the window, with all that is known of it. */
export function view(job, index, studio) {
  const dialog = find("#viewer");
  find(".view", dialog).replaceChildren(media(job, index, { controls: true }));
  find("h2", dialog).textContent = described(job);
  const rows = facts(job, index).flatMap(([name, value]) => [make("dt", {}, name), make("dd", { dir: "auto" }, String(value))]);
  find("dl", dialog).replaceChildren(...rows);
  const buttons = actions(job, index, studio, { all: true });
  if (!studio.page) buttons.push(remover(job, dialog, studio));
  find(".actions", dialog).replaceChildren(...buttons);
  dialog.onclose = () => find(".view", dialog).replaceChildren(); // so that no video plays on
  dialog.showModal();
}

/** Deletes for good, and all that a job made, so it is pressed twice. */
function remover(job, dialog, studio) {
  const n = job.results.length;
  const sure = n > 1 ? say("Delete all {n} for good?", { n }) : say("Delete for good?");
  const label = make("span", {}, say("Delete"));
  const button = make("button", { class: "action danger" }, icon("clear"), label);
  button.addEventListener("click", () => {
    if (!button.dataset.sure) {
      button.dataset.sure = "1";
      label.textContent = sure;
      announce(sure);
      return;
    }
    attempt(async () => {
      await ask(`/v1/jobs/${job.id}`, { method: "DELETE" });
      dialog.close();
      studio.deleted(job);
    });
  });
  return button;
}
