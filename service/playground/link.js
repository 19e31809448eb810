// A link that carries task, model and question. They stand after `#`, which browsers send to nobody.

const NAMES = ["task", "model", "question"];

export function readLink() {
	const found = new URLSearchParams(location.hash.slice(1));
	return Object.fromEntries(NAMES.map((name) => [name, found.get(name)]));
}

export function linkTo(values) {
	const carried = new URLSearchParams(NAMES.filter((name) => values[name]).map((name) => [name, values[name]]));
	const address = new URL(location.href);
	address.hash = carried.toString();
	return address.href;
}
