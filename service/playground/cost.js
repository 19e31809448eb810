// What an answer cost, drawn small: tokens, windows and buckets, and where its time went.

import { element } from "./dom.js";
import { cost, format, said } from "./texts.js";

/** Return the cost of an answer; `usages` are those of its items, `took` milliseconds from here. */
export function costOf(usages, took) {
	const sum = (name) => usages.reduce((total, usage) => total + (usage[name] ?? 0), 0);
	const most = (name) => Math.max(0, ...usages.map((usage) => usage[name] ?? 0));
	const buckets = usages.flatMap((usage) => usage.buckets ?? []);
	const facts = [
		[cost.tokens, format.count(sum("tokens"))],
		[cost.windows, format.count(sum("windows"))],
	];
	if (buckets.length) facts.push([cost.buckets, cost.buckets_of(buckets)]);
	const timed = usages.some((usage) => usage.inference_ms !== undefined);
	const [queue, model] = [most("queue_ms"), most("inference_ms")];
	const rest = Math.max(0, took - queue - model);
	if (timed) facts.push([cost.queue, format.milliseconds(queue)], [cost.model, format.milliseconds(model)]);
	facts.push([cost.total, format.milliseconds(took)]);
	if (sum("truncated_tokens")) facts.push(["", said.truncated(sum("truncated_tokens"))]);
	return element(
		"div",
		{},
		timed ? timeline([["queue", queue], ["model", model], ["rest", rest]], cost.times(queue, model, rest)) : null,
		element(
			"dl",
			{},
			facts.map(([name, value]) =>
				element("div", { class: `fact fact-${name.toLowerCase()}` }, element("dt", { text: name }), element("dd", { text: value })),
			),
		),
	);
}

function timeline(parts, title) {
	const total = parts.reduce((sum, [, part]) => sum + part, 0) || 1;
	const drawn = parts.map(([name, part]) => {
		const piece = element("span", { class: `time-${name}` });
		piece.style.flexGrow = String(part / total);
		return piece;
	});
	return element("div", { class: "timeline", role: "img", aria: { label: title }, title }, drawn);
}
