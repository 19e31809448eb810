// The service, as this page asks it: its models, a task's answer, and problems with their codes.

/** What the service refused, or why it could not be asked. */
export class Problem extends Error {
  constructor(code, { status = 0, detail = "", requestId = null, retryAfter = null } = {}) {
    super(detail || code);
    Object.assign(this, { code, status, detail, requestId, retryAfter });
  }
}

export class Service {
  /** The key is held here and nowhere else; null where none was given. */
  #key = null;

  useKey(key) {
    this.#key = key || null;
  }

  get hasKey() {
    return this.#key !== null;
  }

  /** Return the loaded models, as `/v1/models` describes them. */
  async models() {
    const { answer } = await this.#fetch("v1/models", { method: "GET" });
    if (!Array.isArray(answer.models)) throw new Problem("other");
    return answer.models;
  }

  /** Return a task's answer, and how long it took from here and in the service, in milliseconds. */
  async ask(path, body, signal) {
    return this.#fetch(path.replace(/^\//, ""), {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
      signal,
    });
  }

  async #fetch(path, options) {
    const headers = { Accept: "application/json", ...options.headers };
    if (this.#key !== null) headers.Authorization = `Bearer ${this.#key}`;
    // No header can hold it, so no key is like that.
    if (/[^\x21-\x7e]/.test(this.#key ?? "")) throw new Problem("unauthorized", { status: 401 });
    const began = performance.now();
    const address = new URL(path, document.baseURI);
    const answer = await readJson(address, { ...options, headers, cache: "no-store", credentials: "omit" });
    return { answer, took: performance.now() - began };
  }
}

export async function readJson(address, options) {
  const answer = parsed(await read(address, options));
  if (answer === null) throw new Problem("other");
  return answer;
}

/** Return the text that is at an address; throws a Problem where there is none. */
export async function read(address, options) {
  let response, text;
  try {
    response = await fetch(address, options);
    text = await response.text();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("unreachable");
  }
  if (response.ok) return text;
  const answer = parsed(text);
  const retry = Number.parseInt(response.headers.get("Retry-After") ?? "", 10);
  // The error page of a proxy has nothing but its status.
  throw new Problem(answer?.code, {
    status: response.status,
    detail: typeof answer?.detail === "string" ? answer.detail : `HTTP ${response.status}`,
    requestId: response.headers.get("X-Request-Id"),
    retryAfter: Number.isNaN(retry) ? null : retry,
  });
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
