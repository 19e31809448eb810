"""What a user of KServe's REST client does, checked against the native answers: `python ask_kserve.py ADDRESS`."""

import asyncio
import json
import sys
from typing import Any

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput

ADDRESS = sys.argv[1]
WORDS = ("10 Zürich", "20 \U0001f600")


def texts(name: str, *values: str, binary: bool) -> InferInput:
    made = InferInput(name, [len(values)], "BYTES")
    made.set_data_from_numpy(np.array([value.encode() for value in values], dtype=np.object_), binary_data=binary)
    return made


def native(path: str, **body: object) -> Any:
    return httpx.post(ADDRESS + path, json=body).raise_for_status().json()


def values(answer: Any, name: str) -> list[Any]:
    """Return an output's values, of whichever type the client has made of strings."""
    (output,) = [output for output in answer.outputs if output.name == name]
    return [value.decode() if isinstance(value, bytes) else value for value in output.as_numpy().ravel().tolist()]


async def refused(client: Any, model: str, request: InferRequest) -> str:
    try:
        await client.infer(ADDRESS, request, model_name=model)
    except httpx.HTTPStatusError as error:
        return str(error)
    raise AssertionError("nothing was refused")


async def ask(client: Any) -> None:
    assert await client.is_server_live(ADDRESS) and await client.is_server_ready(ADDRESS)
    assert await client.is_model_ready(ADDRESS, "fake-ner") and not await client.is_model_ready(ADDRESS, "other")
    print("described")

    own = [result["entities"] for result in native("/ner", text=list(WORDS))["results"]]
    for binary in (False, True):
        names = ("entities.text", "entities.score", "entities.start", "json")
        chosen = [RequestedOutput(name, {"binary_data": binary}) for name in names]
        inputs = [texts("text", *WORDS, binary=binary)]
        found = await client.infer(ADDRESS, InferRequest("fake-ner", inputs, request_outputs=chosen), "fake-ner")
        for field in ("text", "score", "start"):
            assert values(found, f"entities.{field}") == [entity[field] for entities in own for entity in entities]
        assert [json.loads(text)["entities"] for text in values(found, "json")] == own
        print("binary" if binary else "JSON")

    pair = [texts("question", "q", binary=True), texts("context", "10", binary=True)]
    options = {"top_k": 2, "binary_data_output": True}
    found = await client.infer(ADDRESS, InferRequest("fake-qa", pair, "7", parameters=options), "fake-qa")
    answer = native("/qa", question="q", context="10", top_k=2)
    assert (found.id, found.model_name) == ("7", "fake-qa")
    for field in ("answer", "score", "start", "end"):
        assert values(found, field) == [answer[field]]
    print("everything")

    text = [texts("text", "10", binary=True)]
    wrong = InferRequest("fake-ner", [texts("texts", "10", binary=True)])
    assert "there are text" in await refused(client, "fake-ner", wrong)
    assert "no model 'other'" in await refused(client, "other", InferRequest("other", text))
    assert "not the model of the path" in await refused(client, "fake-ner", InferRequest("fake-qa", text))
    print("errors")


async def main() -> None:
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:
        await ask(client)


asyncio.run(main())
