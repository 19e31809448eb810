// How `@huggingface/inference` tells refusals: `node meet_refusals.mjs ADDRESS KEY SHORT LONG LONGEST`, lengths of texts.
import { InferenceClient } from "@huggingface/inference";

const [address, key, short, long, longest] = process.argv.slice(2);

async function refused(accessToken, length) {
    let retryAfter = null;
    // The only way to the headers.
    const watched = async (...request) => {
        const response = await fetch(...request);
        retryAfter = response.headers.get("Retry-After");
        return response;
    };
    const request = { endpointUrl: `${address}/classify`, inputs: "1".repeat(length), accessToken };
    try {
        await new InferenceClient().textClassification(request, { fetch: watched });
    } catch ({ message, httpResponse }) {
        return { status: httpResponse.status, message, retry_after: retryAfter };
    }
}

// How often it asks a server that says 503 at first.
async function asked(options) {
    let times = 0;
    const starting = async (...request) => (++times < 4 ? new Response("{}", { status: 503 }) : fetch(...request));
    const request = { endpointUrl: `${address}/classify`, inputs: "1", accessToken: key };
    await new InferenceClient().textClassification(request, { fetch: starting, ...options }).catch(() => null);
    return times;
}

console.log(
    JSON.stringify({
        401: await refused("another", Number(short)),
        429: await refused(key, Number(long)),
        413: await refused(key, Number(longest)),
        200: (await refused(key, Number(short))) ?? null,
        asked: [await asked({}), await asked({ retry_on_error: false })],
    }),
);
