// A ruler beside the text: how it was cut into windows, where findings stand, and what is in sight.

import { element } from "./dom.js";
import { said } from "./texts.js";

const MAX_TICKS = 400;
const SVG = "http://www.w3.org/2000/svg";

export class Ruler {
  #root;
  #length = 1;
  #sight = element("div", { class: "ruler-sight", aria: { hidden: "true" } });

  /** `onGoTo(position)` is called with a place in the text, in UTF-16 units. */
  constructor(root, onGoTo) {
    this.#root = root;
    this.onGoTo = onGoTo;
    root.addEventListener("click", (event) => {
      if (event.target.closest("button")) return;
      const frame = root.getBoundingClientRect();
      onGoTo((this.#length * (event.clientY - frame.top)) / frame.height);
    });
  }

  /**
   * Draw windows and findings, all with positions in UTF-16 units.
   *
   * `answered` tells of each window how many answers are from it.
   */
  draw(length, { windows = [], buckets = [], answered = [], findings = [] } = {}) {
    this.#length = Math.max(1, length);
    const lanes = lanesOf(windows);
    const bars = windows.map((window, number) => {
      const title =
        said.window(number + 1, windows.length, window.told, buckets[number]) +
        (answered[number] ? said.windowGave(answered[number]) : "");
      const lane = element("button", {
        type: "button",
        class: "ruler-window",
        title,
        aria: { label: title },
        text: String(number + 1),
        onclick: () => this.onGoTo(window.start),
      });
      this.#place(lane, window.start, window.end);
      lane.style.insetInlineStart = `${(100 * lanes.of[number]) / lanes.count}%`;
      lane.style.width = `calc(${100 / lanes.count}% - 2px)`;
      return lane;
    });
    this.#bars = bars;
    this.#root.replaceChildren(element("div", { class: "ruler-windows" }, bars), this.#ticks(findings), this.#sight);
  }

  #bars = [];

  /** Draw the ticks again, of those findings for which this holds. */
  filter(findings, isShown) {
    this.#root.querySelector(".ruler-ticks")?.replaceWith(this.#ticks(findings, isShown));
  }

  /** Say which window gave what is looked at. */
  choose(chosen) {
    this.#bars.forEach((bar, number) => {
      bar.classList.toggle("chosen", number === chosen);
      if (number === chosen) bar.setAttribute("aria-current", "true");
      else bar.removeAttribute("aria-current");
    });
  }

  showSight([from, to]) {
    this.#place(this.#sight, from, to);
  }

  /** One path for each kind, however many findings there are. */
  #ticks(findings, isShown = () => true) {
    const rows = new Map();
    const taken = new Set();
    for (const finding of findings) {
      const row = Math.round((MAX_TICKS * finding.start) / this.#length);
      if (taken.has(row) || !isShown(finding)) continue;
      taken.add(row);
      rows.set(finding.kind, `${rows.get(finding.kind) ?? ""}M0 ${row}h10`);
    }
    const ticks = document.createElementNS(SVG, "svg");
    ticks.setAttribute("class", "ruler-ticks");
    ticks.setAttribute("viewBox", `0 0 10 ${MAX_TICKS}`);
    ticks.setAttribute("preserveAspectRatio", "none");
    ticks.setAttribute("aria-hidden", "true");
    for (const [kind, drawn] of rows) {
      const path = document.createElementNS(SVG, "path");
      path.setAttribute("class", `kind-${kind}`);
      path.setAttribute("d", drawn);
      ticks.append(path);
    }
    return ticks;
  }

  #place(node, from, to) {
    node.style.top = `${(100 * from) / this.#length}%`;
    node.style.height = `${(100 * (to - from)) / this.#length}%`;
  }
}

/** Put windows that overlap beside each other. */
function lanesOf(windows) {
  const ends = [];
  const of = windows.map((window) => {
    const free = ends.findIndex((end) => end <= window.start);
    const lane = free < 0 ? ends.length : free;
    ends[lane] = window.end;
    return lane;
  });
  return { of, count: Math.max(1, ends.length) };
}
