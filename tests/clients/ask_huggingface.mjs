// What a user of `@huggingface/inference` does; prints what came back: `node ask_huggingface.mjs ADDRESS`.
import { InferenceClient } from "@huggingface/inference";

const client = new InferenceClient();
const at = (path) => ({ endpointUrl: process.argv[2] + path });
const inputs = { question: "Who?", context: "10 20" };
const compared = { source_sentence: "10", sentences: ["20", "30"] };

const refused = await client
    .questionAnswering({ ...at("/qa"), inputs, parameters: { align_to_words: true } })
    .catch(({ message, httpResponse }) => ({ message, status: httpResponse.status, code: httpResponse.body.code }));
const unknown = await client
    .fillMask({ ...at("/models/other"), inputs: "10 [MASK]" })
    .catch(({ message, httpResponse }) => ({ message, status: httpResponse.status, code: httpResponse.body.code }));

console.log(
    JSON.stringify({
        questionAnswering: await client.questionAnswering({ ...at("/qa"), inputs, parameters: { top_k: 2 } }),
        byModel: await client.questionAnswering({ ...at("/models/fake-qa"), inputs }),
        textClassification: await client.textClassification({ ...at("/classify"), inputs: "10 20", parameters: { top_k: 2 } }),
        tokenClassification: await client.tokenClassification({ ...at("/ner"), inputs: "10 \u{1F600} 20" }),
        fillMask: await client.fillMask({ ...at("/fill-mask"), inputs: "10 [MASK]", parameters: { top_k: 2 } }),
        featureExtraction: await client.featureExtraction({ ...at("/embed"), inputs: "10" }),
        featuresOfSeveral: await client.featureExtraction({ ...at("/embed"), inputs: ["10", "20"] }),
        sentenceSimilarity: await client.sentenceSimilarity({ ...at("/embed"), inputs: compared }),
        refused,
        unknown,
    }),
);
