// Pictures that come from outside: chosen, pasted or dropped.

import { Problem } from "./api.js";
import { say } from "./words.js";

/** The first picture in what was pasted or dropped, or null. */
export function pictureIn(transfer) {
  return [...(transfer?.files ?? [])].find(({ type }) => type.startsWith("image/")) ?? null;
}

/** A picture that can be drawn. Raises Problem for a file that is none. */
export async function decoded(blob) {
  try {
    return await createImageBitmap(blob);
  } catch {
    throw new Problem(say("This file cannot be read as a picture. Try PNG, JPEG, WebP or GIF."));
  }
}

/** A file as text. */
export function dataUrl(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}

/** Call `take` with every picture that is dropped on `element`, which says so meanwhile. */
export function onDrop(element, take) {
  let depth = 0;
  const mark = (change) => {
    depth = change ? depth + change : 0;
    element.classList.toggle("over", depth > 0);
  };
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  element.addEventListener("dragenter", (event) => hasFiles(event) && mark(1));
  element.addEventListener("dragleave", (event) => hasFiles(event) && mark(-1));
  element.addEventListener("dragover", (event) => hasFiles(event) && event.preventDefault());
  element.addEventListener("drop", (event) => {
    event.preventDefault();
    mark(0);
    const file = pictureIn(event.dataTransfer) ?? event.dataTransfer.files[0];
    if (file) take(file); // which says so if it is no picture
  });
}

/** Have `button` open the file dialog of `input`, and call `take` with what was chosen. */
export function onChoice(button, input, take) {
  button.addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    const [file] = input.files;
    input.value = "";
    if (file) take(file);
  });
}
