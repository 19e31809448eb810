// Elements without markup: everything that is shown is text, whatever a document or a model's labels hold.

/** Return an element. `on…` properties are listeners, `data` is its dataset, `aria` its ARIA attributes. */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "data") Object.assign(made.dataset, value);
    else if (name === "aria") for (const [key, said] of Object.entries(value)) made.setAttribute(`aria-${key}`, said);
    else if (name in made && typeof value !== "string") made[name] = value;
    else if (name === "text") made.textContent = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

/** The head of a table. */
export function tableHead(titles, looks) {
  const cells = titles.map((title) => element("th", { scope: "col", text: title }));
  return element("thead", { class: looks }, element("tr", {}, cells));
}

export const byId = (id) => document.getElementById(id);

/** Fill in what the HTML names by key. */
export function fillTexts(texts, root = document) {
  for (const one of root.querySelectorAll("[data-text]")) one.textContent = texts[one.dataset.text];
  for (const one of root.querySelectorAll("[data-label]")) one.setAttribute("aria-label", texts[one.dataset.label]);
  for (const one of root.querySelectorAll("[data-title]")) one.title = texts[one.dataset.title];
  for (const one of root.querySelectorAll("[data-placeholder]")) one.placeholder = texts[one.dataset.placeholder];
}

/** Change what is shown; where that takes the focus away from what had it, `next(held)` gets it. */
export function keepFocus(change, next) {
  const held = document.activeElement;
  change();
  const { activeElement } = document;
  if (held !== document.body && (activeElement === document.body || !activeElement.checkVisibility()))
    next(held)?.focus({ preventScroll: true });
}

let numbered = 0;
/** Return an id that no other element has. */
export const freshId = (prefix) => `${prefix}-${++numbered}`;

/** A horizontal bar for a share from 0 to 1; the number beside it says the same. */
export function bar(share) {
  const filled = element("span", { class: "bar-filled" });
  filled.style.width = `${100 * Math.min(1, Math.max(0, share))}%`;
  return element("span", { class: "bar", aria: { hidden: "true" } }, filled);
}

export const prefersStill = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
