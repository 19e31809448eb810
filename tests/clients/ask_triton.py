"""What a user of `tritonclient` does, checked against the native answers: `python ask_triton.py ADDRESS`."""

import json
import sys
import urllib.request
from typing import Any

import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

ADDRESS = sys.argv[1]
WORDS = ("10 Zürich", "20 \U0001f600")


def texts(name: str, *values: str, binary: bool) -> Any:
    made = triton.InferInput(name, [len(values)], "BYTES")
    made.set_data_from_numpy(np.array([value.encode() for value in values], dtype=np.object_), binary_data=binary)
    return made


def native(path: str, **body: object) -> Any:
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(ADDRESS + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request) as answer:
        return json.loads(answer.read())


def refused(client: Any, *arguments: Any) -> str:
    try:
        client.infer(*arguments)
    except InferenceServerException as error:
        return str(error)
    raise AssertionError("nothing was refused")


with triton.InferenceServerClient(ADDRESS.removeprefix("http://")) as client:
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("fake-ner") and not client.is_model_ready("other")
    assert client.get_server_metadata()["name"] == "bigbird-serve"
    assert client.get_model_metadata("fake-qa")["inputs"][1]["name"] == "context"
    print("described")

    own = native("/ner", text=list(WORDS))["results"]
    for binary in (False, True):
        names = ("entities.text", "entities.score", "entities.start", "json")
        chosen = [triton.InferRequestedOutput(name, binary_data=binary) for name in names]
        inputs = [texts("text", *WORDS, binary=binary)]
        found = client.infer("fake-ner", inputs, outputs=chosen, model_version="1")
        words = [word.decode() if isinstance(word, bytes) else word for word in found.as_numpy("entities.text")[:, 0]]
        assert words == [result["entities"][0]["text"] for result in own]
        assert found.as_numpy("entities.score")[:, 0].tolist() == [result["entities"][0]["score"] for result in own]
        assert found.as_numpy("entities.start").tolist() == [[result["entities"][0]["start"]] for result in own]
        whole = [json.loads(text) for text in found.as_numpy("json")]
        assert [result["entities"] for result in whole] == [result["entities"] for result in own]
        print("binary" if binary else "JSON")

    pair = [texts("question", "q", binary=True), texts("context", "10", binary=True)]
    found = client.infer("fake-qa", pair, request_id="7", parameters={"top_k": 2})
    assert found.as_numpy("score").tolist() == [13.0]
    assert found.get_response()["id"] == "7"
    print("everything")

    assert "there are text" in refused(client, "fake-ner", [texts("texts", "10", binary=True)])
    assert "no model 'other'" in refused(client, "other", [texts("text", "10", binary=True)])
    print("errors")
