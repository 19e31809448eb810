// Fields of a form: texts, lists of texts, numbers, choices. Each has `node`, `value` and, where it matters,
// `wrong`, which says what must be mended first.

import { element, freshId } from "./dom.js";
import { said } from "./texts.js";

function labelled(label, control) {
	control.id = freshId("field");
	return element("div", { class: "field" }, element("label", { for: control.id, text: label }), control);
}

/** One line or several of text; `required` says what is missing if it is empty. */
export function textField(label, { value = "", rows = 2, required = true, placeholder } = {}) {
	const area = element("textarea", { rows: String(rows), placeholder, dir: "auto", spellcheck: "false" });
	area.value = value;
	return {
		node: labelled(label, area),
		get value() {
			return area.value === "" && !required ? undefined : area.value;
		},
		set value(text) {
			area.value = text;
		},
		wrong: () => (required && !area.value.trim() ? said.empty.field(label) : null),
	};
}

/** A number that is left out of the request while it is the service's own default. */
export function numberField(label, { value = null, min, max, leaveOut = value }) {
	const input = element("input", { type: "number", min: String(min), max: String(max), step: "1" });
	input.value = value ?? "";
	return {
		node: labelled(label, input),
		get value() {
			const number = input.valueAsNumber;
			return Number.isNaN(number) || number === leaveOut ? undefined : number;
		},
		wrong: () => (input.validity.valid ? null : `${label}: ${input.validationMessage}`),
	};
}

/** One of several; the first is the service's own default and left out, and so is `unset`, the words for none of them. */
export function choiceField(label, choices, unset) {
	const offered = [...(unset ? [["", unset]] : []), ...choices.map((choice) => [choice, choice])];
	const select = element("select", {}, offered.map(([value, text]) => element("option", { value, text })));
	return {
		node: labelled(label, select),
		get value() {
			return select.selectedIndex > 0 ? select.value : undefined;
		},
	};
}

export function switchField(label) {
	const box = element("input", { type: "checkbox" });
	return {
		node: element("label", { class: "switch" }, box, element("span", { text: label })),
		get value() {
			return box.checked || undefined;
		},
	};
}

/** Two texts or more, with buttons for more and fewer. */
export function passagesField(words, { values, least = 2, most = 64 }) {
	const list = element("ol", { class: "passages" });
	const more = element("button", { class: "quiet", text: words.more, onclick: () => add("").focus() });
	const node = element("fieldset", { class: "field" }, element("legend", { text: words.passages }), list, more);
	const areas = () => [...list.querySelectorAll("textarea")];

	function number() {
		[...list.children].forEach((item, place) => {
			item.querySelector("textarea").setAttribute("aria-label", words.passage(place + 1));
			item.querySelector("button").setAttribute("aria-label", words.less(place + 1));
			item.querySelector("button").hidden = list.children.length <= least;
		});
		more.hidden = list.children.length >= most;
	}
	function add(text) {
		const area = element("textarea", { rows: "2", dir: "auto", spellcheck: "false" });
		area.value = text;
		const item = element("li", {}, area);
		item.append(
			element("button", {
				class: "quiet remove",
				text: "×",
				onclick: () => {
					const next = (item.nextElementSibling ?? item.previousElementSibling)?.querySelector("textarea");
					item.remove();
					number();
					next?.focus();
				},
			}),
		);
		list.append(item);
		number();
		return area;
	}
	values.forEach(add);
	return {
		node,
		get value() {
			return areas().map((area) => area.value).filter((text) => text.trim());
		},
		wrong() {
			return this.value.length < least ? said.empty.passages : null;
		},
	};
}
