// The request of an answer as a program sends it: curl, Python's standard library, JavaScript without any.

const KEY = "BIGBIRD_KEY";

/** Return the request as programs; `hasKey` adds a key from the environment, never the key itself. */
export function snippets(address, body, hasKey) {
  return { curl: curl(address, body, hasKey), python: python(address, body, hasKey), javascript: javascript(address, body, hasKey) };
}

function curl(address, body, hasKey) {
  const key = hasKey ? ` -H "Authorization: Bearer $${KEY}"` : "";
  // JSON has no line breaks of its own, so no line of it ends the text early.
  return `curl -s '${address.replaceAll("'", "'\\''")}' -H 'Content-Type: application/json'${key} -d @- <<'JSON'\n${JSON.stringify(body)}\nJSON\n`;
}

function python(address, body, hasKey) {
  const key = hasKey ? `, "Authorization": "Bearer " + os.environ["${KEY}"]` : "";
  return [
    "import json",
    ...(hasKey ? ["import os"] : []),
    "from urllib.request import Request, urlopen",
    "",
    `body = ${pythonValue(body)}`,
    `headers = {"Content-Type": "application/json"${key}}`,
    `request = Request(${JSON.stringify(address)}, json.dumps(body).encode(), headers)`,
    "with urlopen(request) as response:",
    "    answer = json.load(response)",
    "print(json.dumps(answer, ensure_ascii=False, indent=2))",
    "",
  ].join("\n");
}

/** JSON's strings and numbers are Python's, its words are not. */
function pythonValue(value) {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return `[${value.map(pythonValue).join(", ")}]`;
  if (typeof value === "object") {
    return `{${Object.entries(value).map(([name, own]) => `${JSON.stringify(name)}: ${pythonValue(own)}`).join(", ")}}`;
  }
  return JSON.stringify(value);
}

function javascript(address, body, hasKey) {
  const key = hasKey ? `, Authorization: "Bearer " + process.env.${KEY}` : "";
  return [
    `const body = ${JSON.stringify(body)};`,
    `const response = await fetch(${JSON.stringify(address)}, {`,
    '  method: "POST",',
    `  headers: { "Content-Type": "application/json"${key} },`,
    "  body: JSON.stringify(body),",
    "});",
    "console.log(JSON.stringify(await response.json(), null, 2));",
    "",
  ].join("\n");
}
