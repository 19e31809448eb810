// Ask the demo's models with nothing but Node (18 or newer): `node with_fetch.mjs [ADDRESS]`.
const address = (process.argv[2] ?? "http://127.0.0.1:8000").replace(/\/$/, "");
const key = process.env.BIGBIRD_API_KEY;
const text =
    "Visitors speak well of Takahashi House, which Diana Bianchi designed. Miareis Station is situated in Casablanca. " +
    "Proteins were observed under the microscope.";

async function ask(task, body) {
    const headers = { "Content-Type": "application/json", ...(key && { Authorization: `Bearer ${key}` }) };
    const response = await fetch(`${address}/${task}`, { method: "POST", headers, body: JSON.stringify(body) });
    if (response.status === 429 || response.status === 503) {
        const seconds = Number(response.headers.get("Retry-After") ?? 1);
        await new Promise((resume) => setTimeout(resume, 1000 * seconds));
        return ask(task, body);
    }
    const answer = await response.json();
    if (!response.ok) throw new Error(`${response.status}: ${answer.detail}`);
    return answer;
}

// With `utf16`, positions count what JavaScript's strings are made of.
const question = "Where can Miareis Station be found?";
const { start, end, score } = await ask("qa", { question, context: text, offsets: "utf16" });
console.log(`${text.slice(start, end)} at ${start}-${end}, ${score.toFixed(3)}`);
const [best] = (await ask("classify", { text, top_k: 1 })).labels;
console.log(`${best.label}, ${best.score.toFixed(3)}`);
for (const entity of (await ask("ner", { text, offsets: "utf16" })).entities) {
    console.log(`${entity.entity}: ${text.slice(entity.start, entity.end)} at ${entity.start}-${entity.end}`);
}
