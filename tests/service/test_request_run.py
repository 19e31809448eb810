"""Answers that are built in steps, which is what `/generate` needs of everything between the route and the session,
and answers that become too large.
"""

import asyncio
import threading
import weakref
from collections.abc import Callable, Mapping
from typing import Any, Literal

import httpx
import numpy as np
import pytest

from bigbird_inference.loaded_model import LoadedModel
from bigbird_inference.tasks.entity_recognition import EntityRequest
from bigbird_inference.tasks.question_answering import QuestionRequest
from bigbird_inference.tokenization.tokenizer import Tokenizer
from service.request_run import Usage
from tests.fake_model import MODEL_CONFIG
from tests.service.api.test_disconnect import Connection
from tests.service.asynchronous import asynchronous
from tests.service.running_app import running_app
from tests.service.scripted_model import ScriptedSession, scripted_model

VOCABULARY = MODEL_CONFIG["vocab_size"]
SEP = 2
PROMPT_TOKENS = 1  # of "project", after [CLS]


def counting(ids: list[int], positions: list[int]) -> Mapping[str, np.ndarray]:
    """The token after n tokens is 100 + n; logits at every asked position, padding too."""
    logits = np.zeros((len(positions), VOCABULARY))
    for row, position in enumerate(positions):
        logits[row, 100 + position + 1] = 1.0
    return {"logits": logits}


class SteppedModel:
    """A model that counts, and whose runs from a certain step on wait for the test.

    Attributes:
        reached: Set once a run waits.
        opened: To be set by the test.
    """

    def __init__(self, tokenizer: Tokenizer, held_length: int) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()
        self._held_length = held_length
        self.lengths: list[int] = []
        self.model = scripted_model("generate", tokenizer, self._row)

    def _row(self, ids: list[int], positions: list[int]) -> Mapping[str, np.ndarray]:
        if any(ids):  # not a warm-up run
            self.lengths.append(len(ids))
            if len(ids) >= self._held_length:
                self.reached.set()
                assert self.opened.wait(timeout=60)
        return counting(ids, positions)


def session_of(model: LoadedModel) -> ScriptedSession:
    (session,) = next(iter(model.sessions.values()))
    assert isinstance(session, ScriptedSession)
    return session


def tokens_of(response: httpx.Response) -> list[int]:
    assert response.status_code == 200, response.text
    return [token["token_id"] for token in response.json()["tokens"]]


@asynchronous
async def test_each_step_reads_everything_before_it_in_the_smallest_bucket_that_holds_it(tokenizer: Tokenizer) -> None:
    model = scripted_model("generate", tokenizer, counting)
    async with running_app({"generate": model}) as (_, client):
        session_of(model).batches.clear()
        response = await client.post("/generate", json={"prompt": "project", "max_new_tokens": 18})
    tokens = tokens_of(response)
    assert tokens == list(range(102, 120))
    batches = session_of(model).batches
    assert [batch.attention_mask.sum() for batch in batches] == list(range(2, 20))
    assert batches[-1].input_ids[0, 2:19].tolist() == tokens[:-1]
    usage = response.json()["usage"]
    assert usage["buckets"] == [16] * 15 + [32] * 3
    assert (usage["windows"], usage["tokens"]) == (18, sum(range(2, 20)))


@asynchronous
async def test_prompts_of_different_lengths_keep_their_own_steps_in_shared_batches(tokenizer: Tokenizer) -> None:
    model = scripted_model("generate", tokenizer, counting)
    prompts = ["project " * count for count in (1, 5, 2, 9)]
    async with running_app({"generate": model}) as (_, client):
        response = await client.post("/generate", json={"prompt": prompts, "max_new_tokens": 6})
        alone = [await client.post("/generate", json={"prompt": prompt, "max_new_tokens": 6}) for prompt in prompts]
    found = [[token["token_id"] for token in result["tokens"]] for result in response.json()["results"]]
    assert found == [tokens_of(answer) for answer in alone]
    assert found == [[101 + count + step for step in range(6)] for count in (1, 5, 2, 9)]


@asynchronous
async def test_time_can_run_out_between_steps(tokenizer: Tokenizer) -> None:
    stepped = SteppedModel(tokenizer, held_length=4)
    async with running_app({"generate": stepped.model}) as (app, client):
        response = await client.post("/generate", json={"prompt": "project", "timeout_ms": 300})
        assert (response.status_code, response.json()["code"]) == (504, "deadline_exceeded")
        stepped.opened.set()
        after = await client.post("/generate", json={"prompt": "project", "max_new_tokens": 1})
        assert after.status_code == 200
        assert app.state.serving.scheduler.waiting_tokens == 0


@asynchronous
async def test_a_client_that_leaves_between_steps_has_no_further_step_run(tokenizer: Tokenizer) -> None:
    stepped = SteppedModel(tokenizer, held_length=4)
    async with running_app({"generate": stepped.model}) as (_, client):
        gone = Connection("/generate", {"prompt": "project"})
        serving = asyncio.create_task(gone.serve(client._transport.app))  # type: ignore[attr-defined]
        await asyncio.to_thread(stepped.reached.wait)
        gone.close()
        await serving
        stepped.opened.set()
        after = await client.post("/generate", json={"prompt": "project", "max_new_tokens": 1})
        assert after.status_code == 200
        metrics = client._transport.app.state.serving.metrics.registry  # type: ignore[attr-defined]
        labels = {"model": "generate", "bucket": "16"}
        assert metrics.get_sample_value("bigbird_terminated_runs_total", labels) == 1
    assert gone.sent[0]["status"] == 499
    assert stepped.lengths == [2, 3, 4, 2]


@asynchronous
async def test_429_does_not_end_what_has_begun(tokenizer: Tokenizer) -> None:
    stepped = SteppedModel(tokenizer, held_length=4)
    async with running_app({"generate": stepped.model}, max_queued_items=1) as (app, client):
        begun = asyncio.create_task(client.post("/generate", json={"prompt": "project", "max_new_tokens": 5}))
        await asyncio.to_thread(stepped.reached.wait)
        waiting = asyncio.create_task(client.post("/generate", json={"prompt": "project", "max_new_tokens": 1}))
        while app.state.serving.scheduler.waiting_tokens == 0:
            await asyncio.sleep(0)
        refused = await client.post("/generate", json={"prompt": "project"})
        stepped.opened.set()
        assert refused.status_code == 429
        assert len(tokens_of(await begun)) == 5
        assert len(tokens_of(await waiting)) == 1


@asynchronous
async def test_a_drain_finishes_what_has_begun_and_refuses_what_has_not(tokenizer: Tokenizer) -> None:
    stepped = SteppedModel(tokenizer, held_length=4)
    async with running_app({"generate": stepped.model}) as (app, client):
        begun = asyncio.create_task(client.post("/generate", json={"prompt": "project", "max_new_tokens": 8}))
        await asyncio.to_thread(stepped.reached.wait)
        app.state.serving.shutdown.drain()
        stopping = asyncio.create_task(app.state.serving.scheduler.drain(timeout=60))
        late = await client.post("/generate", json={"prompt": "project"})
        stepped.opened.set()
        assert len(tokens_of(await begun)) == 8
        await stopping
    assert (late.status_code, late.json()["code"]) == (503, "draining")


@asynchronous
async def test_outputs_that_are_no_numbers_in_a_later_step_fail_the_request_and_name_the_item(
    tokenizer: Tokenizer,
) -> None:
    def failing(ids: list[int], positions: list[int]) -> Mapping[str, np.ndarray]:
        outputs = counting(ids, positions)
        if len(ids) == 12:
            outputs["logits"][:] = np.nan
        return outputs

    model = scripted_model("generate", tokenizer, failing)
    async with running_app({"generate": model}) as (_, client):
        listed = await client.post("/generate", json={"prompt": ["project", "project " * 9], "max_new_tokens": 3})
        alone = await client.post("/generate", json={"prompt": "project", "max_new_tokens": 3})
    assert (listed.status_code, listed.json()["code"], listed.json()["index"]) == (500, "inference_failed", 1)
    assert alone.status_code == 200


def test_the_cost_of_steps_adds_up() -> None:
    first = Usage(
        tokens=3, windows=1, buckets=[16], truncated_tokens=0, queue_ms=0.1, inference_ms=2.0, revision="a1b2"
    )
    second = Usage(
        tokens=4, windows=1, buckets=[32], truncated_tokens=0, queue_ms=0.2, inference_ms=3.0, revision="a1b2"
    )
    assert first.followed_by(second) == Usage(
        tokens=7, windows=2, buckets=[16, 32], truncated_tokens=0, queue_ms=0.3, inference_ms=5.0, revision="a1b2"
    )


def masked(ids: list[int], positions: list[int]) -> Mapping[str, np.ndarray]:
    """At every asked position the next token of the vocabulary is the best: what is asked where shows."""
    logits = np.zeros((len(positions), VOCABULARY))
    for row, position in enumerate(positions):
        logits[row, 100 + position] = 9.0
    return {"logits": logits}


def embedded(ids: list[int], positions: list[int]) -> Mapping[str, np.ndarray]:
    width = MODEL_CONFIG["hidden_size"]
    hidden = np.repeat(np.array(ids, dtype=np.float32)[:, None], width, axis=1)
    return {"hidden": hidden, "pooled": hidden[0] + 0.5}


@pytest.mark.parametrize(
    ("task", "row", "bodies"),
    [
        pytest.param(
            "fill-mask",
            masked,
            [{"text": text} for text in ("[MASK]", "the [MASK] project [MASK] [MASK]", "project [MASK]")],
            id="masks",
        ),
        pytest.param(
            "embed",
            embedded,
            [{"text": text, "normalize": False} for text in ("project", "the project", "the " * 100)],
            id="embeddings",
        ),
        pytest.param(
            "multiple-choice",
            lambda ids, positions: {"logits": np.array([len(ids)])},
            [{"prompt": text, "choices": ["the", "the project", "project"]} for text in ("project", "the the")],
            id="choices",
        ),
        pytest.param(
            "next-sentence",
            lambda ids, positions: {"logits": np.array([ids[1] / 100, len(ids)])},
            [{"first": text, "second": "project"} for text in ("the", "project project")],
            id="pairs",
        ),
    ],
)
@asynchronous
async def test_a_real_task_gives_each_item_of_a_list_what_it_gives_it_alone(
    task: Any, row: Callable[..., Any], bodies: list[dict[str, Any]], tokenizer: Tokenizer
) -> None:
    field = next(iter(bodies[0]))
    async with running_app({task: scripted_model(task, tokenizer, row)}) as (_, client):
        alone = [await client.post(f"/{task}", json=body) for body in bodies]
        together = await client.post(f"/{task}", json={**bodies[0], field: [body[field] for body in bodies]})
    assert [response.status_code for response in (*alone, together)] == [200] * (len(bodies) + 1), together.text
    answers = [response.json() for response in alone]
    results = together.json()["results"]
    for body in (*answers, *results):
        for name in ("queue_ms", "inference_ms"):
            del body["usage"][name]
    for result, answer in zip(results, answers, strict=True):
        # A short item may fill a place beside a longer one; it never runs in less than it needs.
        buckets, alone_in = result["usage"].pop("buckets"), answer["usage"].pop("buckets")
        assert all(taken >= needed for taken, needed in zip(buckets, alone_in, strict=True))
    assert results == answers
    assert len({str(answer) for answer in answers}) == len(bodies)


@asynchronous
async def test_a_regression_model_gives_its_raw_value_for_a_document_of_several_windows(tokenizer: Tokenizer) -> None:
    model = scripted_model(
        "classify",
        tokenizer,
        lambda ids, positions: {"logits": np.array([-2.5 if len(ids) == 32 else 7.0])},
        problem_type="regression",
        labels=["grade"],
    )
    assert len(tokenizer.tokenize("project " * 35)) == 35
    async with running_app({"classify": model}) as (_, client):
        one = (await client.post("/classify", json={"text": "project"})).json()
        body = {"text": "project " * 35, "window_stride": 0}
        several = (await client.post("/classify", json=body)).json()
        chosen = (await client.post("/classify", json={"text": "project", "function": "sigmoid"})).json()
    assert (one["label"], one["score"], one["labels"]) == ("grade", 7.0, [{"label": "grade", "score": 7.0}])
    assert several["usage"]["windows"] == 2
    assert several["score"] == pytest.approx((30 * -2.5 + 5 * 7.0) / 35)
    assert chosen["score"] == pytest.approx(1 / (1 + np.exp(-7.0)))


@pytest.mark.parametrize(
    ("text", "on_loop"),
    [
        pytest.param("project project", True, id="short"),
        pytest.param("project " * 20, False, id="long"),
        pytest.param("é" * 60, False, id="short but for its bytes"),
        pytest.param(["project"], True, id="a list of one"),
        pytest.param(["project", "project"], False, id="a list"),
    ],
)
@asynchronous
async def test_short_single_texts_are_tokenised_on_the_event_loop_and_others_beside_it(
    text: str | list[str], on_loop: bool, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = scripted_model("classify", tokenizer, lambda ids, positions: {"logits": np.zeros(1)}, labels=["any"])
    monkeypatch.setattr(type(model.task), "quick_bytes", 100)
    threads: list[int] = []
    encode = model.task.encode

    def recorded(request: Any) -> Any:
        threads.append(threading.get_ident())
        return encode(request)

    monkeypatch.setattr(model.task, "encode", recorded)
    async with running_app({"classify": model}) as (_, client):
        response = await client.post("/classify", json={"text": text})
    assert response.status_code == 200, response.text
    assert threads
    assert all((thread == threading.get_ident()) == on_loop for thread in threads)


@pytest.mark.parametrize(
    ("task", "request_", "quick"),
    [
        pytest.param("qa", QuestionRequest("Who?", "project", top_k=10, max_answer_tokens=100), True, id="few answers"),
        pytest.param("qa", QuestionRequest("Who?", "project", top_k=11), False, id="many answers"),
        pytest.param("qa", QuestionRequest("Who?", "project", max_answer_tokens=101), False, id="long answers"),
        pytest.param("qa", QuestionRequest("Who?", "project " * 4097), False, id="a long context"),
        pytest.param("ner", EntityRequest("project " * 4096), True, id="tokens joined as they are"),
        pytest.param("ner", EntityRequest("project", aggregation="first"), False, id="words"),
        pytest.param("ner", EntityRequest("project " * 4097), False, id="a long text"),
    ],
)
def test_what_may_take_long_to_decode_is_not_quick(
    task: Literal["qa", "ner"], request_: QuestionRequest | EntityRequest, quick: bool, tokenizer: Tokenizer
) -> None:
    decoding = scripted_model(task, tokenizer, whole_texts).task
    assert decoding.decodes_quickly(decoding.encode(request_)) == quick


SPANNING = "a" + " " * 1000 + "b"


def whole_texts(ids: list[int], positions: list[int]) -> Mapping[str, np.ndarray]:
    """The best answer begins at the first token of the context and ends at its last."""
    logits = np.zeros((len(ids), 2))
    if any(ids):  # not a warm-up run
        logits[ids.index(SEP) + 1, 0] = logits[len(ids) - 2, 1] = 9.0
    return {"logits": logits}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param({"question": "Who?", "context": SPANNING}, 200, id="one"),
        pytest.param({"question": ["Who?"] * 2, "context": SPANNING}, 200, id="as many as fit"),
        pytest.param({"question": ["Who?"] * 3, "context": SPANNING}, 422, id="one too many"),
        pytest.param(
            {"question": ["Who?"] * 3, "context": "a b", "top_k": 100, "max_answer_tokens": 4096},
            200,
            id="options that could make it large, and do not",
        ),
    ],
)
@asynchronous
async def test_422_answer_too_large_by_its_own_bytes(body: dict[str, Any], status: int, tokenizer: Tokenizer) -> None:
    # Each item has its thousand blanks twice, in the answer and in the alternatives, and 300 bytes of other fields.
    async with running_app({"qa": scripted_model("qa", tokenizer, whole_texts)}, max_answer_bytes=6000) as (_, client):
        response = await client.post("/qa", json=body)
        after = await client.post("/qa", json={"question": "Who?", "context": SPANNING})
    assert response.status_code == status, response.text
    if status == 422:
        problem = response.json()
        assert (problem["code"], problem["title"]) == ("answer_too_large", "Answer too large")
        assert problem["detail"] == (
            "The answer has more than 6000 bytes; send fewer or shorter texts, or lower top_k or max_answer_tokens."
        )
        assert "index" not in problem
    assert after.json()["answer"] == SPANNING


class HeldDecoding:
    """A model of questions; the decoding of documents with a marked beginning waits for the test.

    Attributes:
        opened: To be set by the test.
        decoded: The outputs of what has been decoded.
    """

    MARK = "held"

    def __init__(self, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened = threading.Event()
        self.decoded: list[weakref.ref[np.ndarray]] = []
        self.model = scripted_model("qa", tokenizer, whole_texts)
        self._decode = self.model.task.decode
        monkeypatch.setattr(self.model.task, "decode", self._decode_if_not_held)

    def _decode_if_not_held(self, encoded: Any, outputs: Any) -> Any:
        if encoded.request.context.startswith(self.MARK):
            assert self.opened.wait(timeout=60)
        else:
            self.decoded += [weakref.ref(own["logits"]) for own in outputs]
        return self._decode(encoded, outputs)


@asynchronous
async def test_an_answer_that_is_too_large_already_waits_for_no_further_item(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = HeldDecoding(tokenizer, monkeypatch)
    body = {"question": "Who?", "context": [held.MARK, *[SPANNING] * 3]}
    async with running_app({"qa": held.model}, max_answer_bytes=6000) as (_, client):
        async with asyncio.timeout(30):
            response = await client.post("/qa", json=body)
        held.opened.set()
    assert (response.status_code, response.json()["code"]) == (422, "answer_too_large")


@asynchronous
async def test_outputs_are_let_go_of_when_their_item_is_written(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = HeldDecoding(tokenizer, monkeypatch)
    body = {"question": "Who?", "context": [held.MARK, *[SPANNING] * 5]}
    async with running_app({"qa": held.model}) as (_, client):
        asking = asyncio.create_task(client.post("/qa", json=body))
        async with asyncio.timeout(30):
            # Who cut the last batch apart may hold one of its arrays until the next one has run.
            while len(held.decoded) < 5 or sum(array() is not None for array in held.decoded) > 1:
                await asyncio.sleep(0)
        held.opened.set()
        assert len((await asking).json()["results"]) == 6
