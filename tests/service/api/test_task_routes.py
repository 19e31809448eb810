"""The answers of `/fill-mask`, `/next-sentence` and `/generate`, whatever the model behind them says."""

import json

import pytest

from bigbird_inference.tasks.classification import ClassificationRequest
from bigbird_inference.tasks.embedding import EmbeddingRequest
from bigbird_inference.tasks.entity_recognition import EntityRequest
from bigbird_inference.tasks.generation import GenerationRequest
from bigbird_inference.tasks.mask_filling import MaskRequest
from bigbird_inference.tasks.multiple_choice import ChoiceRequest
from bigbird_inference.tasks.next_sentence import NextSentenceRequest
from bigbird_inference.tasks.question_answering import QuestionRequest
from service.api import answering
from tests.fake_model import REVISION, fake_loaded_model
from tests.service.api.test_disconnect import Connection
from tests.service.asynchronous import asynchronous
from tests.service.running_app import requests_made_of, running_app

LONG_TEXT = " ".join(str(number) for number in range(10, 23))  # 13 words: windows of 6, 6 and 1


@asynchronous
async def test_a_question_gets_an_answer_with_its_position_model_and_usage() -> None:
    async with running_app() as (_, client):
        response = await client.post("/qa", json={"question": "Who?", "context": "10 20"})
    assert response.status_code == 200
    body = response.json()
    usage = body.pop("usage")
    assert body == {
        "answer": "10 ",
        "score": 33.0,
        "start": 0,
        "end": 3,
        "alternatives": [{"answer": "10 ", "score": 33.0, "start": 0, "end": 3}],
        "model": "fake-qa",
    }
    assert {name: usage[name] for name in ("tokens", "windows", "buckets", "truncated_tokens", "revision")} == {
        "tokens": 4,
        "windows": 1,
        "buckets": [8],
        "truncated_tokens": 0,
        "revision": REVISION,
    }
    assert response.headers["x-model-revision"] == REVISION
    assert usage["queue_ms"] >= 0 and usage["inference_ms"] >= 0


@asynchronous
async def test_a_text_gets_its_best_label_and_all_labels_sorted() -> None:
    async with running_app() as (_, client):
        response = await client.post("/classify", json={"text": "10"})
    body = response.json()
    assert (body["label"], body["score"], body["model"]) == ("report", 13.0, "fake-classify")
    assert body["labels"] == [{"label": "report", "score": 13.0}, {"label": "invoice", "score": 0.0}]


@asynchronous
async def test_a_text_gets_its_entities() -> None:
    async with running_app() as (_, client):
        response = await client.post("/ner", json={"text": "Ann slept", "aggregation": "first", "threshold": 0.5})
    body = response.json()
    assert body["entities"] == [{"entity": "PER", "text": "Ann", "start": 0, "end": 3, "score": 211.0}]
    assert body["model"] == "fake-ner"


@asynchronous
async def test_a_text_gets_its_embedding_and_its_dimension() -> None:
    async with running_app() as (_, client):
        body = (await client.post("/embed", json={"text": "10"})).json()
    assert body.pop("usage")["windows"] == 1
    assert body == {"embedding": [13.0, 0.5], "dimension": 2, "tokens": None, "model": "fake-embed"}


@asynchronous
async def test_token_vectors_are_returned_for_one_text_and_refused_for_a_list() -> None:
    async with running_app() as (_, client):
        one = await client.post("/embed", json={"text": "10", "tokens": True})
        many = await client.post("/embed", json={"text": ["10"], "tokens": True})
    assert one.json()["tokens"] == [{"text": "10", "start": 0, "end": 2, "vector": [13.0, 1.0]}]
    assert (many.status_code, many.json()["code"]) == (422, "invalid_input")
    assert many.json()["detail"].startswith("tokens ")


@asynchronous
async def test_a_prompt_gets_its_best_choice_by_name_and_position() -> None:
    async with running_app() as (_, client):
        body = (await client.post("/multiple-choice", json={"prompt": "10", "choices": ["a", "b"]})).json()
    assert body.pop("usage")["tokens"] == 3
    assert body == {"choice": "b", "index": 1, "scores": [13.0, 2.0], "model": "fake-multiple-choice"}


@asynchronous
async def test_usage_counts_every_window_of_a_long_document() -> None:
    async with running_app() as (_, client):
        usage = (await client.post("/classify", json={"text": LONG_TEXT})).json()["usage"]
    assert (usage["tokens"], usage["windows"], usage["buckets"]) == (13 + 3 * 2, 3, [8, 8, 8])


@asynchronous
async def test_a_list_gives_results_in_the_same_order() -> None:
    texts = ["10", "20", LONG_TEXT, "30"]
    async with running_app() as (_, client):
        alone = [(await client.post("/classify", json={"text": text})).json()["score"] for text in texts]
        response = await client.post("/classify", json={"text": texts})
    assert response.status_code == 200
    assert list(response.json()) == ["results"]
    assert [result["score"] for result in response.json()["results"]] == alone


@pytest.mark.parametrize(("piece_bytes", "messages"), [(100, 5), (2**20, 1)], ids=["large", "small"])
@asynchronous
async def test_a_large_answer_is_sent_in_pieces_and_a_small_one_at_once(
    piece_bytes: int, messages: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "_PIECE_BYTES", piece_bytes)
    connection = Connection("/ner", {"text": ["10", "20"]})
    async with running_app() as (app, _):
        await connection.serve(app)
    start, *body = connection.sent
    assert len(body) >= messages if messages > 1 else len(body) == 1
    assert [message["more_body"] for message in body] == [True] * (len(body) - 1) + [False]
    assert all(len(message["body"]) < 2 * piece_bytes for message in body)
    content = b"".join(message["body"] for message in body)
    assert dict(start["headers"])[b"content-length"] == str(len(content)).encode()
    assert [result["entities"][0]["text"] for result in json.loads(content)["results"]] == ["10", "20"]


@pytest.mark.parametrize(
    ("path", "body", "count"),
    [
        pytest.param("/qa", {"question": ["a", "b"], "context": ["10", "20"]}, 2, id="two lists pair up"),
        pytest.param("/qa", {"question": ["a", "b"], "context": "10"}, 2, id="one context for every question"),
        pytest.param("/qa", {"question": "a", "context": ["10", "20", "30"]}, 3, id="one question for every context"),
        pytest.param("/qa", {"question": ["a"], "context": "10"}, 1, id="a list of one is a list"),
        pytest.param("/classify", {"text": ["10", "20"], "text_pair": ["a", "b"]}, 2, id="text and second text"),
        pytest.param("/classify", {"text": ["10", "20"], "text_pair": "a"}, 2, id="one second text for every text"),
        pytest.param("/ner", {"text": ["10", "20"]}, 2, id="a list of texts for entities"),
        pytest.param("/embed", {"text": ["10", "20"]}, 2, id="a list of texts to embed"),
        pytest.param(
            "/multiple-choice", {"prompt": ["10", "20"], "choices": ["a", "b"]}, 2, id="prompts share choices"
        ),
        pytest.param("/fill-mask", {"text": ["10", "20"]}, 2, id="a list of texts with masks"),
        pytest.param("/next-sentence", {"first": ["10", "20"], "second": ["a", "b"]}, 2, id="first and second texts"),
        pytest.param("/next-sentence", {"first": "10", "second": ["a", "b"]}, 2, id="one first text for every second"),
        pytest.param("/generate", {"prompt": ["10", "20"]}, 2, id="a list of prompts"),
    ],
)
@asynchronous
async def test_lists_pair_up(path: str, body: dict[str, object], count: int) -> None:
    async with running_app() as (_, client):
        response = await client.post(path, json=body)
    assert response.status_code == 200
    assert len(response.json()["results"]) == count


@asynchronous
async def test_lists_of_different_lengths_are_refused() -> None:
    async with running_app() as (_, client):
        response = await client.post("/qa", json={"question": ["a", "b"], "context": ["10", "20", "30"]})
    assert response.status_code == 422
    assert "question has 2 items and context 3" in response.json()["detail"]


@asynchronous
async def test_one_bad_item_fails_a_list_and_is_named() -> None:
    async with running_app() as (_, client):
        response = await client.post("/ner", json={"text": ["10", "  ", "30"]})
    assert response.status_code == 422
    assert response.json()["index"] == 1
    assert response.json()["detail"].startswith("Item 1: ")


@asynchronous
async def test_a_model_is_needed_by_name_only_where_several_serve_the_task() -> None:
    models = {name: fake_loaded_model("ner", name) for name in ("first", "second")}
    async with running_app(models) as (_, client):
        unnamed = await client.post("/ner", json={"text": "10"})
        named = await client.post("/ner", json={"text": "10", "model": "second"})
    assert unnamed.status_code == 422
    assert "first, second" in unnamed.json()["detail"]
    assert named.json()["model"] == "second"


@pytest.mark.parametrize(
    ("path", "body", "detail"),
    [
        pytest.param("/ner", {"text": "a", "model": "other"}, "models here: fake-ner", id="a name nobody has"),
        pytest.param("/ner", {"text": "a", "model": "fake-qa"}, "serves /qa, not /ner", id="a model of another task"),
    ],
)
@asynchronous
async def test_an_unknown_model_is_not_found_and_the_choices_are_named(
    path: str, body: dict[str, object], detail: str
) -> None:
    async with running_app() as (_, client):
        response = await client.post(path, json=body)
    assert response.status_code == 404
    assert response.json()["code"] == "model_not_found"
    assert detail in response.json()["detail"]


@asynchronous
async def test_a_task_that_no_model_serves_is_not_found() -> None:
    async with running_app({"only": fake_loaded_model("ner", "only")}) as (_, client):
        response = await client.post("/classify", json={"text": "a"})
    assert response.status_code == 404
    assert response.json()["code"] == "model_not_found"


TEXTS = {"question": "q", "context": "c"}


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        pytest.param("/qa", TEXTS, [QuestionRequest("q", "c", 1, 30, None, False)], id="a question as it is"),
        pytest.param(
            "/qa",
            {
                **TEXTS,
                "top_k": 4,
                "max_answer_tokens": 9,
                "window_stride": 0,
                "no_answer": True,
                "min_score": 0.5,
                "offsets": "utf8",
            },
            [QuestionRequest("q", "c", 4, 9, 0, True, 0.5, "utf8")],
            id="a question with everything chosen",
        ),
        pytest.param(
            "/qa",
            {"question": ["a", "b"], "context": ["1", "2"]},
            [QuestionRequest("a", "1"), QuestionRequest("b", "2")],
            id="two lists pair up",
        ),
        pytest.param(
            "/qa",
            {"question": ["a", "b"], "context": "1"},
            [QuestionRequest("a", "1"), QuestionRequest("b", "1")],
            id="one context for every question",
        ),
        pytest.param(
            "/qa",
            {"question": "a", "context": ["1", "2"]},
            [QuestionRequest("a", "1"), QuestionRequest("a", "2")],
            id="one question for every context",
        ),
        pytest.param(
            "/classify", {"text": "t"}, [ClassificationRequest("t", None, None, None, None)], id="a text to classify"
        ),
        pytest.param(
            "/classify",
            {"text": "t", "text_pair": "p", "top_k": 1, "function": "sigmoid", "window_stride": 3, "threshold": 1},
            [ClassificationRequest("t", "p", 1, "sigmoid", 3, 1.0)],
            id="a pair to classify with everything chosen",
        ),
        pytest.param(
            "/classify",
            {"text": ["t", "u"], "text_pair": ["p", "q"]},
            [ClassificationRequest("t", "p"), ClassificationRequest("u", "q")],
            id="texts and second texts pair up",
        ),
        pytest.param("/ner", {"text": "t"}, [EntityRequest("t", None, 0.0, None)], id="a text to find entities in"),
        pytest.param(
            "/ner",
            {
                "text": "t",
                "aggregation": "max",
                "threshold": 0.5,
                "window_stride": 2,
                "ignore_labels": ["O", "PER"],
                "offsets": "utf16",
            },
            [EntityRequest("t", "max", 0.5, 2, ["O", "PER"], "utf16")],
            id="entities with everything chosen",
        ),
        pytest.param("/embed", {"text": "t"}, [EmbeddingRequest("t", None, True, False, None)], id="a text to embed"),
        pytest.param(
            "/embed",
            {"text": "t", "pooling": "cls", "normalize": False, "tokens": True, "window_stride": 4},
            [EmbeddingRequest("t", "cls", False, True, 4)],
            id="an embedding with everything chosen",
        ),
        pytest.param(
            "/multiple-choice",
            {"prompt": ["p", "q"], "choices": ["a", "b"]},
            [ChoiceRequest("p", ["a", "b"]), ChoiceRequest("q", ["a", "b"])],
            id="prompts with the same choices",
        ),
        pytest.param("/fill-mask", {"text": "t"}, [MaskRequest("t", None, 5, True)], id="a text with masks"),
        pytest.param(
            "/fill-mask",
            {"text": "t", "mask": "_", "top_k": 9, "sequences": False},
            [MaskRequest("t", "_", 9, False)],
            id="masks with everything chosen",
        ),
        pytest.param(
            "/next-sentence",
            {"first": ["a", "b"], "second": ["1", "2"]},
            [NextSentenceRequest("a", "1"), NextSentenceRequest("b", "2")],
            id="first and second texts pair up",
        ),
        pytest.param(
            "/generate", {"prompt": "p"}, [GenerationRequest("p", 64, "greedy", None, None, None)], id="a prompt"
        ),
        pytest.param(
            "/generate",
            {
                "prompt": "p",
                "max_new_tokens": 3,
                "sampling": "top_p",
                "top_p": 0.5,
                "temperature": 2.0,
                "seed": 8,
            },
            [GenerationRequest("p", 3, "top_p", 0.5, 2.0, 8)],
            id="a generation with everything chosen",
        ),
    ],
)
@asynchronous
async def test_what_a_body_says_reaches_the_task(path: str, body: dict[str, object], expected: list[object]) -> None:
    assert await requests_made_of(path, body) == sorted(expected, key=repr)


@pytest.mark.parametrize(
    ("body", "spans"),
    [
        ({"text": "😀é b"}, [(0, 3)]),
        ({"text": ["😀é b", "abcd"], "offsets": "utf16"}, [(0, 4), (0, 3)]),
        ({"text": ["😀é b", "abcd"], "offsets": "utf8"}, [(0, 7), (0, 3)]),
    ],
    ids=["code points unasked", "UTF-16, in each item's own text", "UTF-8, in each item's own text"],
)
@asynchronous
async def test_positions_are_counted_as_asked(body: dict[str, object], spans: list[tuple[int, int]]) -> None:
    async with running_app() as (_, client):
        found = (await client.post("/ner", json=body)).json()
        asked = {**body, "context": body["text"], "question": "Who?"}
        del asked["text"]
        answers = (await client.post("/qa", json=asked)).json()
    entities = [result["entities"][0] for result in found.get("results", [found])]
    assert [(entity["start"], entity["end"]) for entity in entities] == spans
    for answer, (start, end) in zip(answers.get("results", [answers]), spans, strict=True):
        assert (answer["start"], answer["end"]) == (start, end)
        assert [(one["start"], one["end"]) for one in answer["alternatives"]] == [(start, end)]


@pytest.mark.parametrize("sequences", [True, False], ids=["with sequences", "without sequences"])
@asynchronous
async def test_each_mask_gets_a_list_of_predictions(sequences: bool) -> None:
    async with running_app() as (_, client):
        body = (await client.post("/fill-mask", json={"text": "10", "sequences": sequences})).json()
    assert body.pop("usage")["tokens"] == 3
    prediction = {"token": "word", "token_id": 5, "score": 13.0, "start": 0, "end": 3}
    assert body == {
        "predictions": [[{**prediction, "sequence": "word and" if sequences else None}]],
        "model": "fake-fill-mask",
    }


@asynchronous
async def test_a_pair_gets_a_verdict_and_both_scores() -> None:
    async with running_app() as (_, client):
        body = (await client.post("/next-sentence", json={"first": "10", "second": "20"})).json()
    assert body.pop("usage")["windows"] == 1
    assert body == {
        "is_next": True,
        "score": 0.75,
        "scores": {"is_next": 0.75, "not_next": 0.25},
        "model": "fake-next-sentence",
    }


@asynchronous
async def test_a_prompt_gets_its_continuation_and_why_it_ended() -> None:
    async with running_app() as (_, client):
        body = (await client.post("/generate", json={"prompt": "10", "sampling": "top_p", "seed": 3})).json()
    assert body.pop("usage")["windows"] == 1
    assert body == {
        "text": " and more",
        "tokens": [{"token": "and", "token_id": 7}],
        "stop": "length",
        "seed": 3,
        "model": "fake-generate",
    }
