// What tests see of the page from within. `window.probes` is there before the page is.

window.probes = {
  /** How many pixels of the paper are drawn upon. */
  ink() {
    const paper = document.querySelector("#ink");
    const copy = new OffscreenCanvas(paper.width, paper.height);
    const context = copy.getContext("2d", { willReadFrequently: true });
    context.drawImage(paper, 0, 0);
    const { data } = context.getImageData(0, 0, paper.width, paper.height);
    let count = 0;
    for (let i = 0; i < data.length; i += 4) count += data[i] + data[i + 1] + data[i + 2] < 600;
    return count;
  },

  /** Drop a black picture on the paper, or paste it. */
  async bring(how, width, height) {
    const canvas = new OffscreenCanvas(width, height);
    canvas.getContext("2d").fillRect(0, 0, width, height);
    const data = new DataTransfer();
    data.items.add(new File([await canvas.convertToBlob()], "a.png", { type: "image/png" }));
    const said = { bubbles: true, cancelable: true };
    if (how === "drop") {
      const event = new DragEvent("drop", { dataTransfer: data, ...said });
      document.querySelector("#paper").dispatchEvent(event);
    } else {
      document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, ...said }));
    }
  },

  /** What is there to be used or seen and has no name for a screen reader. */
  nameless() {
    const all = document.querySelectorAll("button, input, select, textarea, [role=button], img, video");
    const isNamed = (element) =>
      element.getAttribute("aria-label") ||
      element.hasAttribute("alt") ||
      [...(element.labels ?? [])].some((label) => label.textContent.trim()) ||
      element.textContent.trim();
    return [...all].filter((e) => e.checkVisibility() && !isNamed(e)).map((e) => e.outerHTML);
  },

  /** Text that stands out from its ground by less than WCAG AA asks for. */
  faint() {
    const found = [];
    for (const element of document.querySelectorAll("body *")) {
      const says = [...element.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
      const isDecoration = element.closest(".unseen, .skip, .invite, .caption, :disabled");
      if (!says || isDecoration || !element.checkVisibility()) continue;
      const lights = [light(numbers(getComputedStyle(element).color)), light(ground(element))];
      const contrast = (Math.max(...lights) + 0.05) / (Math.min(...lights) + 0.05);
      if (contrast < 4.5) found.push(`${element.textContent.trim()}: ${contrast.toFixed(2)}`);
    }
    return found;
  },
};

function numbers(colour) {
  const context = new OffscreenCanvas(1, 1).getContext("2d");
  context.fillStyle = colour;
  context.fillRect(0, 0, 1, 1);
  return context.getImageData(0, 0, 1, 1).data;
}

function light(colour) {
  const [r, g, b] = [...colour].map((part) => {
    const value = part / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function ground(element) {
  for (let e = element; e; e = e.parentElement) {
    const colour = numbers(getComputedStyle(e).backgroundColor);
    if (colour[3] > 200) return colour;
  }
  return [255, 255, 255, 255];
}
