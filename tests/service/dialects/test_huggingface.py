"""The form of Hugging Face: what its bodies mean to the tasks, and the shapes of its answers.

The fake models score a text of numbers by their sum with 1 and 2 around them; other words count 100 and their letters.
"""

from dataclasses import replace
from typing import Any

import pytest

from bigbird_inference.errors import InvalidInput
from bigbird_inference.tasks.classification import ClassificationRequest
from bigbird_inference.tasks.embedding import EmbeddingRequest
from bigbird_inference.tasks.entity_recognition import EntityRequest
from bigbird_inference.tasks.mask_filling import MaskRequest
from bigbird_inference.tasks.question_answering import QuestionRequest
from tests.fake_model import fake_loaded_model
from tests.service.asynchronous import asynchronous
from tests.service.running_app import fake_models, requests_made_of, running_app

PAIR = {"question": "q", "context": "10"}
SPAN = {"score": 13.0, "start": 0, "end": 3, "answer": "10"}
ENTITY = {"score": 13.0, "word": "10", "start": 0, "end": 3}
LABELS = [{"label": "report", "score": 13.0}, {"label": "invoice", "score": 0.0}]
FILL = {"score": 13.0, "token": 5, "token_str": "word", "sequence": "word and"}


@pytest.mark.parametrize(
    ("path", "body", "answer"),
    [
        pytest.param("/qa", {"inputs": PAIR}, SPAN, id="a question"),
        pytest.param("/qa", {"inputs": [PAIR, PAIR]}, [SPAN, SPAN], id="questions"),
        pytest.param("/classify", {"inputs": "10"}, [LABELS], id="a text to classify has a list around its labels"),
        pytest.param("/classify", {"inputs": ["10", "10"]}, [LABELS, LABELS], id="texts to classify"),
        pytest.param("/ner", {"inputs": "10"}, [{"entity_group": "PER", **ENTITY}], id="entities"),
        pytest.param("/ner", {"inputs": ["10"]}, [[{"entity_group": "PER", **ENTITY}]], id="entities of a list"),
        pytest.param(
            "/ner",
            {"inputs": "10", "parameters": {"aggregation_strategy": "none"}},
            [{"entity": "PER", **ENTITY}],
            id="tokens",
        ),
        pytest.param("/fill-mask", {"inputs": "10"}, [FILL], id="a mask"),
        pytest.param("/fill-mask", {"inputs": ["10", "10"]}, [[FILL], [FILL]], id="a mask in each text of a list"),
        pytest.param("/embed", {"inputs": "10"}, [[13.0, 0.5]], id="a text's vector has a list around it"),
        pytest.param("/embed", {"inputs": ["10", "20"]}, [[13.0, 0.5], [23.0, 0.5]], id="vectors"),
        pytest.param(
            "/embed",
            {"inputs": {"source_sentence": "10", "sentences": ["20", "30"]}},
            [13.0 * 23.0 + 0.25, 13.0 * 33.0 + 0.25],
            id="products of vectors",
        ),
        pytest.param("/models/fake-ner", {"inputs": "10"}, [{"entity_group": "PER", **ENTITY}], id="a model's name"),
        pytest.param("/models/fake-qa", {"inputs": PAIR}, SPAN, id="the name of a model for questions"),
    ],
)
@asynchronous
async def test_answers_have_the_shapes_of_the_pipelines(path: str, body: dict[str, Any], answer: Any) -> None:
    async with running_app() as (_, client):
        response = await client.post(path, json=body)
    assert response.status_code == 200, response.text
    assert response.json() == answer


@asynchronous
async def test_the_only_model_is_asked_at_the_root() -> None:
    async with running_app({"one": fake_models()["fake-classify"]}) as (_, client):
        response = await client.post("/", json={"inputs": "10"})
        unnamed = await client.post("/models/other", json={"inputs": "10"})
    assert response.json() == [LABELS]
    assert unnamed.status_code == 404


@asynchronous
async def test_the_root_is_refused_where_it_could_mean_several_models() -> None:
    async with running_app() as (_, client):
        response = await client.post("/", json={"inputs": "10"})
    assert response.status_code == 422
    assert "several models are loaded: fake-classify" in response.json()["error"]


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        pytest.param("/qa", {"inputs": PAIR}, [QuestionRequest("q", "10", max_answer_tokens=15)], id="a question"),
        pytest.param(
            "/qa",
            {
                "inputs": PAIR,
                "parameters": {
                    "top_k": 2,
                    "max_answer_len": 7,
                    "doc_stride": 3,
                    "handle_impossible_answer": True,
                    "align_to_words": False,
                },
            },
            [QuestionRequest("q", "10", 2, 7, 3, True)],
            id="a question with everything chosen",
        ),
        pytest.param(
            "/classify",
            {
                "inputs": ["10", {"text": "20", "text_pair": "30"}],
                "parameters": {"top_k": 1, "function_to_apply": "none"},
            },
            [
                ClassificationRequest("10", top_k=1, function="none"),
                ClassificationRequest("20", "30", top_k=1, function="none"),
            ],
            id="texts and pairs",
        ),
        pytest.param(
            "/ner",
            {
                "inputs": "10",
                "parameters": {"aggregation_strategy": "first", "ignore_labels": ["O", "LOC"], "stride": 4},
            },
            [EntityRequest("10", "first", 0.0, 4, ["O", "LOC"])],
            id="entities with everything chosen",
        ),
        pytest.param("/fill-mask", {"inputs": "10", "parameters": {"top_k": 3}}, [MaskRequest("10", top_k=3)], id="k"),
        pytest.param(
            "/embed",
            {"inputs": "10", "normalize": False, "truncate": True},
            [EmbeddingRequest("10", normalize=False)],
            id="a vector as it is",
        ),
        pytest.param(
            "/embed",
            {"inputs": "10", "parameters": {"normalize": False}},
            [EmbeddingRequest("10", normalize=False)],
            id="a vector as it is, by parameters",
        ),
    ],
)
@asynchronous
async def test_what_a_body_says_reaches_the_task(path: str, body: dict[str, Any], expected: list[Any]) -> None:
    assert await requests_made_of(path, body) == sorted(expected, key=repr)


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/qa", {"inputs": PAIR, "parameters": {"max_seq_len": 384}}, "parameters.max_seq_len"),
        ("/qa", {"inputs": PAIR, "parameters": {"align_to_words": True}}, "parameters.align_to_words"),
        ("/qa", {"inputs": [PAIR, {"question": "q"}]}, "inputs[1].context"),
        ("/classify", {"inputs": "10", "parameters": {"truncation": True}}, "parameters.truncation"),
        ("/classify", {"inputs": ["10", 5]}, "inputs[1]"),
        ("/ner", {"inputs": "10", "parameters": {"aggregation_strategy": "best"}}, "parameters.aggregation_strategy"),
        ("/ner", {"inputs": "10", "text": "10"}, "text"),
        ("/fill-mask", {"inputs": "10", "parameters": {"targets": ["a"]}}, "parameters.targets"),
        ("/embed", {"inputs": "10", "prompt_name": "query"}, "prompt_name"),
        ("/embed", {"inputs": {"source_sentence": "10"}}, "inputs.sentences"),
        ("/embed", {"inputs": []}, "inputs"),
        ("/models/fake-qa", {"inputs": "10"}, "inputs"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@asynchronous
async def test_what_cannot_be_obeyed_is_refused_by_its_name(path: str, body: dict[str, Any], field: str) -> None:
    async with running_app() as (_, client):
        response = await client.post(path, json=body)
    assert response.status_code == 422
    problem = response.json()
    assert [error["field"] for error in problem["errors"]] == [field]
    assert problem["error"] == f"{field}: {problem['errors'][0]['message']}"


@asynchronous
async def test_a_model_that_has_no_such_form_says_where_it_is_asked() -> None:
    async with running_app() as (_, client):
        response = await client.post("/models/fake-multiple-choice", json={"inputs": "10"})
    assert response.status_code == 422
    assert "/multiple-choice" in response.json()["error"]


@asynchronous
async def test_what_an_answer_took_stands_in_its_headers_and_in_the_metrics() -> None:
    async with running_app() as (_, client):
        response = await client.post("/ner", json={"inputs": ["1 2 3 4 5 6 7", "10"]})
        metrics = (await client.get("/metrics")).text
    # Six words fit a window: 6 and 2 special tokens, then 1 and 2, then 1 and 2.
    assert (response.headers["x-tokens"], response.headers["x-windows"]) == ("14", "3")
    assert 'bigbird_dialect_requests_total{dialect="huggingface",endpoint="/ner"} 1.0' in metrics
    assert 'bigbird_admitted_requests_total{endpoint="/ner",model="fake-ner"} 1.0' in metrics


@asynchronous
async def test_limits_hold_for_every_form() -> None:
    async with running_app(max_characters=20, max_list_items=2) as (_, client):
        long = await client.post("/qa", json={"inputs": {"question": "q", "context": "1" * 21}})
        many = await client.post("/embed", json={"inputs": ["1", "2", "3"]})
        pairs = await client.post("/classify", json={"inputs": {"text": "1", "text_pair": "2" * 21}})
        sentences = await client.post("/embed", json={"inputs": {"source_sentence": "1", "sentences": ["1"] * 3}})
    assert [response.status_code for response in (long, many, pairs, sentences)] == [413] * 4
    assert long.json()["error"].startswith("inputs.context has a text of 21 characters")


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        pytest.param("/embed", {"inputs": ["10", " "]}, "Item 1: inputs is empty", id="embed"),
        pytest.param(
            "/embed",
            {"inputs": "10", "normalize": True, "parameters": {"normalize": False}},
            "normalize is both",
            id="both",
        ),
        pytest.param(
            "/similarity",
            {"inputs": {"source_sentence": "10", "sentences": ["20"]}, "parameters": {"normalize": False}},
            "parameters.normalize: ",
            id="cosines of vectors that are not of length 1",
        ),
        pytest.param("/models/fake-ner", {"inputs": "10", "model": "fake-qa"}, "model is not", id="two models"),
    ],
)
@asynchronous
async def test_errors_name_the_fields_that_were_sent(path: str, body: dict[str, Any], told: str) -> None:
    async with running_app() as (_, client):
        response = await client.post(path, json=body)
    assert response.status_code == 422
    assert told in response.json()["error"]


@pytest.mark.parametrize(
    ("path", "inputs", "said", "told"),
    [
        pytest.param("/ner", "10", "window_stride is 500", "parameters.stride is 500", id="ner"),
        pytest.param("/ner", ["10"], "text is empty", "Item 0: inputs is empty", id="a list"),
        pytest.param("/fill-mask", "10", "text has no mask", "inputs has no mask", id="fill-mask"),
        pytest.param("/qa", {"question": "1", "context": "2"}, "context is empty", "inputs.context is empty", id="qa"),
    ],
)
@asynchronous
async def test_what_a_task_says_of_its_fields_is_said_of_those_that_were_sent(
    path: str, inputs: Any, said: str, told: str
) -> None:
    def refuse(request: object) -> None:
        raise InvalidInput(said)

    models = fake_models()
    for model in models.values():
        model.task.encode = refuse  # type: ignore[method-assign, assignment]
    async with running_app(models) as (_, client):
        response = await client.post(path, json={"inputs": inputs})
    assert response.json()["error"] == told


@asynchronous
async def test_where_several_models_serve_a_task_the_body_may_name_one() -> None:
    models = {name: replace(fake_loaded_model("ner"), name=name) for name in ("one", "two")}
    async with running_app(models) as (_, client):
        unnamed = await client.post("/ner", json={"inputs": "10"})
        named = await client.post("/ner", json={"inputs": "10", "model": "two"})
        only = await client.post("/", json={"inputs": "10", "model": "two"})
    assert unnamed.status_code == 422 and "one, two" in unnamed.json()["error"]
    assert named.status_code == only.status_code == 200
    assert named.json() == only.json() != []


@pytest.mark.parametrize(
    ("method", "path", "body", "dialect"),
    [
        pytest.param("POST", "/v1/embeddings", {}, "openai", id="refused by its fields"),
        pytest.param(
            "POST", "/similarity", {"inputs": {"source_sentence": "1", "sentences": ["2"]}}, "tei", id="answered"
        ),
        pytest.param("GET", "/v2/models/fake-ner", None, "open_inference", id="only read"),
        pytest.param("POST", "/models/none", {"inputs": "1"}, "huggingface", id="no such model"),
        pytest.param("POST", "/qa", {"question": "1"}, "native", id="a task's own path"),
    ],
)
@asynchronous
async def test_the_dialect_is_told_whatever_becomes_of_a_request(
    method: str, path: str, body: dict[str, Any] | None, dialect: str
) -> None:
    async with running_app() as (_, client):
        await client.request(method, path, json=body)
        counted = (await client.get("/metrics")).text
    lines = [
        line for line in counted.splitlines() if line.startswith(f'bigbird_dialect_requests_total{{dialect="{dialect}"')
    ]
    assert any(line.endswith(" 1.0") and "/metrics" not in line for line in lines), lines
