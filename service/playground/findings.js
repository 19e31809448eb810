// What was found, as a table beside the marks: the same in words, in reach of every key.

import { bar, element, keepFocus, tableHead } from "./dom.js";
import { format, headings, page, said } from "./texts.js";

const ROWS = 25;

export class FindingsTable {
	#findings = [];
	#visible = [];
	#first = 0;
	#current = -1;
	#body = element("tbody");
	#rows = element("span", { class: "rows" });
	#earlier = element("button", { class: "quiet", aria: { label: page.previous }, text: "‹" });
	#later = element("button", { class: "quiet", aria: { label: page.next }, text: "›" });

	/** `onSelect(place)` is called with the finding that is chosen. */
	constructor(caption, onSelect) {
		this.onSelect = onSelect;
		this.#earlier.addEventListener("click", () => this.#turnTo(this.#first - ROWS));
		this.#later.addEventListener("click", () => this.#turnTo(this.#first + ROWS));
		this.pager = element("div", { class: "pager" }, this.#earlier, this.#rows, this.#later);
		this.node = element(
			"div",
			{ class: "findings" },
			element(
				"table",
				{},
				element("caption", { text: caption }),
				tableHead([headings.label, headings.text, headings.score, headings.place]),
				this.#body,
			),
			this.pager,
		);
	}

	show(findings) {
		this.#findings = findings;
		this.filter(() => true);
	}

	filter(isShown) {
		this.#visible = this.#findings.flatMap((finding, place) => (isShown(finding) ? [place] : []));
		this.#turnTo(0);
	}

	get visible() {
		return this.#visible;
	}

	select(place) {
		this.#current = place;
		const row = this.#visible.indexOf(place);
		if (row >= 0 && (row < this.#first || row >= this.#first + ROWS)) this.#turnTo(row - (row % ROWS));
		else keepFocus(() => this.#draw(), () => this.#body.querySelector("[aria-current]"));
	}

	/** Return the shown finding before or after another one; it goes round. */
	neighbour(place, step) {
		const found = this.#visible.filter((other) => !this.#findings[other].empty);
		if (step > 0) return found.find((other) => other > place) ?? found[0] ?? -1;
		return found.findLast((other) => other < place) ?? found.at(-1) ?? -1;
	}

	#turnTo(first) {
		this.#first = Math.max(0, Math.min(first, Math.floor(Math.max(0, this.#visible.length - 1) / ROWS) * ROWS));
		this.#draw();
	}

	#draw() {
		const last = Math.min(this.#visible.length, this.#first + ROWS);
		this.#body.replaceChildren(...this.#visible.slice(this.#first, last).map((place) => this.#row(place)));
		this.pager.hidden = this.#visible.length <= ROWS;
		this.#rows.textContent = said.rows(this.#first + 1, last, this.#visible.length);
		// What is disabled would lose the focus; turning beyond an end turns nothing.
		this.#earlier.ariaDisabled = String(this.#first === 0);
		this.#later.ariaDisabled = String(last === this.#visible.length);
	}

	#row(place) {
		const finding = this.#findings[place];
		const current = place === this.#current;
		const text = finding.empty
			? element("span", { class: "empty-answer", text: said.noAnswer })
			: element("button", {
					class: "finding",
					dir: "auto",
					text: finding.text,
					aria: current ? { current: "true" } : {},
					onclick: () => this.onSelect(place),
				});
		return element(
			"tr",
			{ class: current ? "current" : undefined },
			element("td", {}, element("span", { class: `sample kind-${finding.kind}`, text: finding.label })),
			element("td", {}, text),
			element("td", { class: "number" }, bar(finding.score), element("span", { text: finding.scored })),
			element("td", { class: "number place", text: finding.empty ? "" : `${finding.at[0]}–${finding.at[1]}` }),
		);
	}
}

/** Which labels and which scores are shown; nothing is asked of the service again. */
export class EntityFilter {
	#hidden = new Set();
	#minimum = 0;

	/** `onChange(isShown)` is called with what tells whether a finding is shown. */
	constructor(findings, onChange) {
		const counts = new Map();
		for (const { label, kind } of findings) counts.set(label, { kind, number: (counts.get(label)?.number ?? 0) + 1 });
		const isShown = (finding) => finding.score >= this.#minimum && !this.#hidden.has(finding.label);
		const legend = [...counts].map(([label, { kind, number }]) => {
			const box = element("input", { type: "checkbox", checked: true, value: label });
			box.addEventListener("change", () => {
				if (box.checked) this.#hidden.delete(label);
				else this.#hidden.add(label);
				onChange(isShown);
			});
			return element(
				"label",
				{ class: "legend-label" },
				box,
				element("span", { class: `sample kind-${kind}`, text: label }),
				element("span", { class: "number", text: format.count(number) }),
			);
		});
		const output = element("output", { text: format.percent(0) });
		const slider = element("input", { type: "range", min: "0", max: "1", step: "0.01", value: "0" });
		slider.addEventListener("input", () => {
			this.#minimum = slider.valueAsNumber;
			output.textContent = format.percent(this.#minimum);
			onChange(isShown);
		});
		this.node = element(
			"div",
			{ class: "filter" },
			element("fieldset", {}, element("legend", { text: page.legend }), legend),
			element("label", { class: "minimum" }, element("span", { text: page.minimum }), slider, output),
		);
	}
}
