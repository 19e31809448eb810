// Ask the demo's models with `@huggingface/inference`: `node with_huggingface_inference.mjs [ADDRESS]`.
import { InferenceClient } from "@huggingface/inference";

const address = (process.argv[2] ?? "http://127.0.0.1:8000").replace(/\/$/, "");
const text =
    "Visitors speak well of Takahashi House, which Diana Bianchi designed. Miareis Station is situated in Casablanca. " +
    "Proteins were observed under the microscope.";
const client = new InferenceClient(process.env.BIGBIRD_API_KEY);
// Otherwise the client answers every 503 by asking again at once.
const options = { retry_on_error: false };

const inputs = { question: "Where can Miareis Station be found?", context: text };
const { start, end, score } = await client.questionAnswering({ endpointUrl: `${address}/qa`, inputs }, options);
// Positions count code points here, as they do in Python; `text.slice` would count UTF-16 units.
const points = [...text];
console.log(`${points.slice(start, end).join("")} at ${start}-${end}, ${score.toFixed(3)}`);
const asked = { endpointUrl: `${address}/classify`, inputs: text, parameters: { top_k: 1 } };
const [best] = await client.textClassification(asked, options);
console.log(`${best.label}, ${best.score.toFixed(3)}`);
for (const entity of await client.tokenClassification({ endpointUrl: `${address}/ner`, inputs: text }, options)) {
    console.log(`${entity.entity_group}: ${entity.word} at ${entity.start}-${entity.end}`);
}
