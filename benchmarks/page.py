"""The browser's part of `benchmarks.web`: what the page weighs, when it paints, what drawing costs.

**weight** is all that a browser is sent for the page, with the reader's catalogue, uncompressed.
**first paint** is the browser's own first-contentful-paint, from an empty cache.
**frame** is the main thread's work from the beginning of a frame to after its paint, while a
pointer reports `each` times in it: a frame that the machine begins late is not the page's doing.
Neither is a processor that something else takes in the midst of one, so a frame counts by its best
of several strokes that are the same.
"""

from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Browser, Page

from tests.browser import chromium

WEIGHT_GOAL, PAINT_GOAL, FRAME_GOAL = 150_000, 0.5, 16.0  # bytes, seconds, milliseconds
EVENTS = 5000
ROUNDS = 3  # of which the best counts
READY = "html[data-ready]"

_FRAMES = """async ({ events, each }) => {
  const paper = document.querySelector("#paper");
  const box = paper.getBoundingClientRect();
  const at = (n) => {
    const far = box.width * (0.1 + 0.35 * Math.abs(Math.sin(n / 700)));
    return {
      clientX: box.left + box.width / 2 + far * Math.cos(n / 60),
      clientY: box.top + box.height / 2 + far * Math.sin(n / 60),
    };
  };
  const send = (type, n) => paper.dispatchEvent(new PointerEvent(type, {
    bubbles: true, pointerId: 1, button: type === "pointermove" ? -1 : 0, buttons: 1, ...at(n),
  }));
  const channel = new MessageChannel();
  const frames = [];
  let begun = 0;
  let n = 0;
  send("pointerdown", 0);
  await new Promise((done) => {
    const frame = () => {
      begun = performance.now();
      for (let i = 0; i < each; i++) send("pointermove", ++n);
      channel.port2.postMessage(0);
    };
    channel.port1.onmessage = () => { // comes after the paint
      frames.push(performance.now() - begun);
      if (n < events) requestAnimationFrame(frame);
      else done();
    };
    requestAnimationFrame(frame);
  });
  send("pointerup", n);
  return frames;
}"""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a browser saw of the page: bytes, seconds to its first paint, milliseconds a frame."""

    weight: int
    painted: float
    slowest: float


def look(url: str) -> Seen:
    """Open the page at `url` in Chromium, and draw."""
    with chromium() as browser:
        opened = [weight_and_paint(browser, url) for _ in range(ROUNDS)]
        page = browser.new_page()
        page.goto(url)
        slowest = slowest_frame(page)
    return Seen(opened[0][0], min(painted for _, painted in opened), slowest)


def slowest_frame(page: Page, *, events: int = EVENTS, each: int = 20) -> float:
    """Draw strokes of `events` pointer events on an open page; the slowest frame's milliseconds."""
    page.wait_for_selector(READY, state="attached")
    strokes = [page.evaluate(_FRAMES, {"events": events, "each": each}) for _ in range(ROUNDS)]
    slowest: float = max(min(same) for same in zip(*strokes, strict=True))
    return slowest


def weight_and_paint(browser: Browser, url: str, locale: str = "de") -> tuple[int, float]:
    """The page's bytes and the seconds to its first paint, in a browser that never saw it."""
    context = browser.new_context(locale=locale)
    try:
        page = context.new_page()
        sent: list[Any] = []
        page.on("response", lambda answer: sent.append(answer))
        page.goto(url)
        page.wait_for_selector(READY, state="attached")
        weight = sum(len(answer.body()) for answer in sent if _is_page(answer.url, url))
        painted: float = page.evaluate(
            "() => performance.getEntriesByName('first-contentful-paint')[0].startTime"
        )
        return weight, painted / 1000
    finally:
        context.close()


def _is_page(address: str, url: str) -> bool:
    return "/static/" in address or address.split("#")[0] == url
