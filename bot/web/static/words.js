// Every sentence of the page in the reader's language, or in English where it is not spoken here.
// The catalogues are the bot's own; a sentence is looked up by its English.

const SPOKEN = ["en", "de", "es", "fr", "ja", "zh"];

const wished = navigator.languages.map((locale) => locale.toLowerCase().split("-")[0]);
export const tag = wished.find((each) => SPOKEN.includes(each)) ?? "en";

const one = new Intl.PluralRules(tag);
let words = {};

/** Fetch the reader's catalogue and put the page that was sent into its words. */
export async function learn() {
  if (tag === "en") return;
  const answer = await fetch(`/static/words/${tag}.json`).catch(() => null);
  if (!answer?.ok) return;
  ({ words } = await answer.json());
  document.documentElement.lang = tag;
  translate(document);
  for (const template of document.querySelectorAll("template")) translate(template.content);
}

/** A sentence with its values: `say("step {step} of {of}", { step: 3, of: 9 })`. */
export function say(sentence, values = {}) {
  return fill([words[sentence] ?? sentence].flat().at(-1), values);
}

/** One of two sentences, by the number `n`. */
export function counted(single, many, n) {
  const known = [words[single] ?? [single, many]].flat();
  return fill(known.at(one.select(n) === "one" ? 0 : -1), { n });
}

/** How long something takes, as a person would say it. */
export function seconds(duration) {
  const rounded = duration < 9.95 ? Math.round(duration * 10) / 10 : Math.round(duration);
  if (rounded < 60) return say("{seconds} s", { seconds: rounded.toLocaleString(tag) });
  return say("{minutes} min {seconds} s", { minutes: Math.floor(rounded / 60), seconds: rounded % 60 });
}

/** A part of a whole, in percent. */
export const percent = (part) => part.toLocaleString(tag, { style: "percent" });

function fill(sentence, values) {
  return sentence.replace(/\{(\w+)\}/g, (place, name) => values[name] ?? place);
}

/** `data-say` names what of an element is a sentence: attributes, or if none its text. */
function translate(root) {
  for (const element of root.querySelectorAll("[data-say]")) {
    for (const name of element.dataset.say.split(" ")) {
      if (name) element.setAttribute(name, say(element.getAttribute(name)));
      else element.textContent = say(element.textContent);
    }
  }
}
