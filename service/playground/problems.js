// What went wrong and what to do, with the seconds until the service may be asked again.

import { element } from "./dom.js";
import { countdown, page, problems, requestId } from "./texts.js";

/** Show a problem, with a button for `again` unless that is null; return what takes it away again. */
export function showProblem(node, problem, again) {
	const [what, todo] = problems[problem.code] ?? problems[problem.status] ?? problems.other;
	const retry = () => {
		const button = node.querySelector("button");
		if (button.ariaDisabled) return;
		button.ariaDisabled = "true";
		again();
	};
	const wait = element("p", { class: "wait", hidden: problem.retryAfter === null });
	node.replaceChildren(
		element("p", { class: "what", text: what }),
		element("p", { text: todo }),
		...(problem.detail && problem.code !== "unauthorized" ? [element("p", { class: "detail", text: problem.detail })] : []),
		wait,
		...(again ? [element("button", { text: page.again, onclick: retry })] : []),
		...(problem.requestId ? [element("p", { class: "hint", text: requestId(problem.requestId) })] : []),
	);
	node.hidden = false;
	let timer = 0;
	if (problem.retryAfter !== null) {
		const until = Date.now() + 1000 * problem.retryAfter;
		const tick = () => {
			const left = Math.max(0, Math.ceil((until - Date.now()) / 1000));
			wait.textContent = countdown(left);
			if (left === 0) clearInterval(timer);
		};
		timer = setInterval(tick, 250);
		tick();
	}
	return () => {
		clearInterval(timer);
		node.hidden = true;
		node.replaceChildren();
	};
}
