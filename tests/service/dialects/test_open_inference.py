"""The Open Inference Protocol: tensors in and out, in JSON and in the binary extension, of fakes; by hand."""

import json
import struct
from typing import Any

import httpx
import pytest

from bigbird_inference.tasks.classification import ClassificationAnswer, LabelScore
from bigbird_inference.tasks.entity_grouping import Entity
from bigbird_inference.tasks.entity_recognition import EntityAnswer
from service.dialects.inference_tensors import columns, output_tensor
from tests.service.asynchronous import asynchronous
from tests.service.running_app import fake_models, running_app

ENTITY_OUTPUTS = [
    ("entities.count", "INT64", [-1]),
    ("entities.entity", "BYTES", [-1, -1]),
    ("entities.text", "BYTES", [-1, -1]),
    ("entities.start", "INT64", [-1, -1]),
    ("entities.end", "INT64", [-1, -1]),
    ("entities.score", "FP64", [-1, -1]),
    ("json", "BYTES", [-1]),
]


def tensor(name: str, *texts: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "shape": [len(texts)], "datatype": "BYTES", "data": list(texts), **fields}


async def ask(client: httpx.AsyncClient, model: str, *inputs: dict[str, Any], **fields: Any) -> httpx.Response:
    # Clients send no content type.
    return await client.post(f"/v2/models/{model}/infer", content=json.dumps({"inputs": inputs, **fields}))


@asynchronous
async def test_a_model_tells_its_tensors() -> None:
    async with running_app() as (_, client):
        told = (await client.get("/v2/models/fake-ner")).json()
        same = (await client.get("/v2/models/fake-ner/versions/1")).json()
        other = await client.get("/v2/models/fake-ner/versions/2")
        server = (await client.get("/v2")).json()
    assert told == same
    assert told["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": [-1]}]
    assert [(output["name"], output["datatype"], output["shape"]) for output in told["outputs"]] == ENTITY_OUTPUTS
    assert other.status_code == 404
    assert server["extensions"] == ["binary_tensor_data"]


@asynchronous
async def test_each_text_has_a_row_of_every_tensor() -> None:
    async with running_app() as (_, client):
        response = await ask(client, "fake-ner", tensor("text", "10", "20"), id="a request", model_name="fake-ner")
        (native,) = (await client.post("/ner", json={"text": ["10"]})).json()["results"]
    assert response.status_code == 200, response.text
    answer = response.json()
    values = {output["name"]: (output["shape"], output["data"]) for output in answer["outputs"]}
    whole = values.pop("json")
    assert values == {
        "entities.count": ([2], [1, 1]),
        "entities.entity": ([2, 1], ["PER", "PER"]),
        "entities.text": ([2, 1], ["10", "20"]),
        "entities.start": ([2, 1], [0, 0]),
        "entities.end": ([2, 1], [3, 3]),
        "entities.score": ([2, 1], [13.0, 23.0]),
    }
    assert json.loads(whole[1][0])["entities"] == native["entities"]
    assert (answer["model_name"], answer["model_version"], answer["id"]) == ("fake-ner", "1", "a request")


@asynchronous
async def test_an_id_comes_back_whatever_it_is() -> None:
    async with running_app() as (_, client):
        response = await ask(client, "fake-ner", tensor("text", "10"), id="\ud800 é")
    assert response.json()["id"] == "\ud800 é"


@asynchronous
async def test_options_are_parameters_and_outputs_can_be_chosen() -> None:
    async with running_app() as (_, client):
        response = await ask(
            client,
            "fake-multiple-choice",
            tensor("prompt", "10"),
            parameters={"choices": ["a", "b"]},
            outputs=[{"name": "scores"}, {"name": "choice"}],
        )
    assert response.json()["outputs"] == [
        {"name": "scores", "datatype": "FP64", "shape": [1, 2], "data": [13.0, 2.0]},
        {"name": "choice", "datatype": "BYTES", "shape": [1], "data": ["b"]},
    ]


@asynchronous
async def test_one_text_goes_with_each_of_the_others() -> None:
    async with running_app() as (_, client):
        response = await ask(client, "fake-qa", tensor("question", "q"), tensor("context", "10", "20"))
    outputs = {output["name"]: output["data"] for output in response.json()["outputs"]}
    assert (outputs["answer"], outputs["score"]) == (["10", "20"], [13.0, 23.0])


@asynchronous
async def test_texts_and_answers_may_be_binary() -> None:
    texts = b"".join(struct.pack("<I", len(text)) + text for text in (b"10", b"20"))
    head = json.dumps(
        {
            "inputs": [
                {"name": "text", "shape": [2, 1], "datatype": "BYTES", "parameters": {"binary_data_size": len(texts)}}
            ],
            "outputs": [
                {"name": "entities.score", "parameters": {"binary_data": True}},
                {"name": "entities.start"},
                {"name": "entities.text", "parameters": {"binary_data": True}},
            ],
        }
    ).encode()
    length = {"Inference-Header-Content-Length": str(len(head))}
    async with running_app() as (_, client):
        response = await client.post("/v2/models/fake-ner/infer", content=head + texts, headers=length)
        cut = await client.post("/v2/models/fake-ner/infer", content=head + texts[:-1], headers=length)
        long = await client.post("/v2/models/fake-ner/infer", content=head + texts + b"1", headers=length)
        wrong = await client.post(
            "/v2/models/fake-ner/infer", content=head, headers={"Inference-Header-Content-Length": "9999999"}
        )
    size = int(response.headers["Inference-Header-Content-Length"])
    scores, starts, words = json.loads(response.content[:size])["outputs"]
    assert scores["parameters"] == {"binary_data_size": 16}
    assert starts["data"] == [0, 0]
    assert words["parameters"] == {"binary_data_size": 12}
    assert response.content[size:] == struct.pack("<dd", 13.0, 23.0) + texts
    assert [answer.status_code for answer in (cut, long, wrong)] == [400, 400, 400]


@pytest.mark.parametrize("length", ["-1", "x", "1.5", "", "9" * 5000, "0" * 20 + "9" * 5000, "²"])
@asynchronous
async def test_a_length_that_is_none_is_malformed(length: str) -> None:
    headers = {"Inference-Header-Content-Length": length.encode()}
    async with running_app() as (_, client):
        body = json.dumps({"inputs": [tensor("text", "10")]})
        response = await client.post("/v2/models/fake-ner/infer", content=body, headers=headers)
    assert (response.status_code, response.json()["code"]) == (400, "malformed_request")


@pytest.mark.parametrize(
    ("inputs", "fields", "status", "told"),
    [
        pytest.param([tensor("texts", "10")], {}, 422, "there are text", id="no such input"),
        pytest.param([tensor("text", "10"), tensor("text", "10")], {}, 422, "or twice", id="an input twice"),
        pytest.param([tensor("text", "10", shape=[2])], {}, 422, "must have [1]", id="another shape"),
        pytest.param([tensor("text", "10", datatype="INT64")], {}, 422, "inputs[0].datatype", id="numbers"),
        pytest.param([tensor("text", "10", data=[1])], {}, 422, "inputs[0].data[0]", id="a number"),
        pytest.param([tensor("text", "10", data=[[["10"]]])], {}, 422, "inputs[0].data[0]", id="three axes"),
        pytest.param([tensor("text", "10", data=None)], {}, 422, "either data or", id="no data"),
        pytest.param(
            [tensor("text", "10", parameters={"binary_data_size": 0})], {}, 422, "either data or", id="data twice"
        ),
        pytest.param(
            [tensor("text", "10", parameters={"binary_data_size": 9}, data=None)], {}, 400, "ends before", id="no bytes"
        ),
        pytest.param(
            [tensor("text", "10")],
            {"outputs": [{"name": "json", "parameters": {"classification": 3}}]},
            422,
            "outputs[0].parameters.classification",
            id="what cannot be obeyed",
        ),
        pytest.param(
            [tensor("text", "10")], {"parameters": {"binary_data_output": 1}}, 422, "true or false", id="1 for true"
        ),
        pytest.param([tensor("text", " ")], {}, 422, "whitespace", id="white space"),
        pytest.param([], {}, 422, "inputs", id="no input"),
        pytest.param([tensor("text", "10")], {"parameters": {"priority": 1}}, 422, "priority", id="no such option"),
        pytest.param([tensor("text", "10")], {"parameters": {"threshold": 2}}, 422, "threshold", id="a wrong option"),
        pytest.param([tensor("text", "10")], {"parameters": {"text": "a"}}, 422, "cannot be given", id="a text"),
        pytest.param(
            [tensor("text", "10")], {"model_name": "fake-qa"}, 422, "not the model of the path", id="two models"
        ),
        pytest.param([tensor("text", "10")], {"outputs": [{"name": "x"}]}, 422, "there are entities", id="no output"),
        pytest.param([tensor("text", *"abc")], {}, 413, "3 items", id="too many texts"),
    ],
)
@asynchronous
async def test_what_cannot_be_done_is_refused(
    inputs: list[dict[str, Any]], fields: dict[str, Any], status: int, told: str
) -> None:
    async with running_app(max_list_items=2) as (_, client):
        response = await ask(client, "fake-ner", *inputs, **fields)
    assert response.status_code == status
    assert told in response.json()["error"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({}, 200, id="a client that says nothing"),
        pytest.param({"Content-Type": "application/octet-stream"}, 200, id="binary"),
        pytest.param({"Origin": "https://elsewhere.example"}, 415, id="a page that says nothing"),
        pytest.param({"Content-Type": "text/plain"}, 415, id="what a page may send unasked"),
    ],
)
@asynchronous
async def test_bodies_of_other_types_are_refused(headers: dict[str, str], status: int) -> None:
    body = {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["10"]}]}
    async with running_app() as (_, client):
        response = await client.post("/v2/models/fake-ner/infer", content=json.dumps(body), headers=headers)
    assert response.status_code == status, response.text


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        pytest.param("GET", "/v2/models/other", {}, 404, id="no such model"),
        pytest.param("GET", "/v2/nothing", {}, 404, id="no such path"),
        pytest.param("PUT", "/v2", {}, 405, id="no such method"),
        pytest.param("POST", "/v2/models/fake-ner/infer", {"Content-Encoding": "gzip"}, 415, id="compressed"),
        pytest.param("GET", "/v2", {"Host": "elsewhere.example"}, 400, id="another host"),
        pytest.param("GET", "/v2x", {}, 404, id="another path"),
    ],
)
@asynchronous
async def test_errors_are_plain_json(method: str, path: str, headers: dict[str, str], status: int) -> None:
    """KServe's client looks for `error` in nothing else."""
    async with running_app(allowed_hosts="testserver") as (_, client):
        response = await client.request(method, path, headers=headers)
        description = (await client.get("/openapi.json")).json()
    assert response.status_code == status
    kind = "application/problem+json" if path == "/v2x" else "application/json"
    assert response.headers["content-type"] == kind
    assert response.json()["error"]
    described = description["paths"]["/v2/models/{name}/infer"]["post"]["responses"]
    kinds = {status: next(iter(answer["content"])) for status, answer in described.items()}
    assert kinds.pop("431") == "application/problem+json", "it is refused before anybody knows the path"
    assert set(kinds.values()) == {"application/json"}


def test_rows_of_different_lengths_are_filled_up() -> None:
    answers = [
        ClassificationAnswer("a", 0.5, [LabelScore("a", 0.5), LabelScore("b", 0.25)]),
        ClassificationAnswer(None, None, []),
    ]
    filled: list[int] = []
    made = {
        column.name: output_tensor(column, answers, [b"1", b"2"], filled.append)
        for column in columns(ClassificationAnswer)
    }
    assert {name: (own.shape, own.values) for name, own in made.items()} == {
        "label": ((2,), ["a", ""]),
        "score": ((2,), [0.5, 0.0]),
        "labels.count": ((2,), [2, 0]),
        "labels.label": ((2, 2), ["a", "b", "", ""]),
        "labels.score": ((2, 2), [0.5, 0.25, 0.0, 0.0]),
        "json": ((2,), ["1", "2"]),
    }
    # Two labels and two scores that the second text has not.
    assert sum(filled) == 4 * 8


@asynchronous
async def test_what_fills_rows_up_counts_as_answer() -> None:
    models = fake_models()
    task = models["fake-ner"].task
    entity = Entity("PER", "1", 0, 1, 0.5)
    task.answer = lambda encoded, outputs: EntityAnswer([entity] * 100 * (encoded.request.text == "10"))  # type: ignore
    data = ["10", *["20"] * 200]
    body = {"inputs": [{"name": "text", "shape": [201], "datatype": "BYTES", "data": data}]}
    # Five tensors of 201 rows, of which 200 are filled up with 100 values of 8 bytes.
    async with running_app(models, max_answer_bytes=500_000) as (_, client):
        path = "/v2/models/fake-ner/infer"
        every = await client.post(path, json=body)
        whole = await client.post(path, json={**body, "outputs": [{"name": "json"}]})
        one = await client.post(path, json={**body, "outputs": [{"name": "entities.start"}]})
    assert every.status_code == 422 and "ask for the output `json` alone" in every.json()["detail"]
    assert whole.status_code == one.status_code == 200
    assert one.json()["outputs"][0]["shape"] == [201, 100]
    # Without the output `json`, nothing else is written that could be counted.
    alone = {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["10"]}]}
    async with running_app(models, max_answer_bytes=1_000) as (_, client):
        refused = await client.post(path, json={**alone, "outputs": [{"name": "entities.start"}]})
    assert refused.status_code == 422 and refused.json()["code"] == "answer_too_large"


@asynchronous
async def test_one_text_is_asked_as_one_and_not_as_a_list() -> None:
    models = fake_models()
    seen: list[Any] = []
    encode = models["fake-embed"].task.encode
    models["fake-embed"].task.encode = lambda request: seen.append(request) or encode(request)  # type: ignore
    body = {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["10 20"]}]}
    async with running_app(models) as (_, client):
        answer = await client.post("/v2/models/fake-embed/infer", json={**body, "parameters": {"tokens": True}})
    assert answer.status_code == 200, answer.text
    assert [request.tokens for request in seen] == [True]
