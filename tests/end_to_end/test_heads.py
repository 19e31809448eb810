"""Every head over HTTP against transformers on the same words: small checkpoints with random weights."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt
import pytest
import sentencepiece
import torch
import transformers

from benchmarks.running_server import RunningServer, running_server
from demo.reports import FIRST_EVALUATION_SEED, generate_report
from model_export.pipeline import export_checkpoint
from model_export.preparation import ExportOptions
from tests.model_export.head_models import VOCABULARY, make_head, save_head

pytestmark = pytest.mark.integration  # exports a model for each head

TASKS = ("classify", "embed", "fill-mask", "generate", "multiple-choice", "natural-questions", "next-sentence")
# What the others show of block-sparse attention over HTTP holds for these, too; their heads are in the parity tests.
WITH_FULL_ATTENTION_ONLY = ("classify", "multiple-choice", "next-sentence")
TOLERANCE = 1e-4

SHORT = generate_report(FIRST_EVALUATION_SEED, 60).text
LONG = generate_report(FIRST_EVALUATION_SEED + 1, 200).text
DOCUMENTS = [pytest.param(SHORT, id="full attention"), pytest.param(LONG, id="block-sparse attention")]


@dataclass(frozen=True)
class Served:
    """The models and the server that serves their bundles."""

    models: dict[str, transformers.PreTrainedModel]
    pieces: sentencepiece.SentencePieceProcessor
    server: RunningServer

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        response = httpx.post(f"{self.server.url}{path}", json=body, timeout=300)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    def ids(self, *texts: str) -> list[int]:
        """Return `[CLS] A [SEP]` or `[CLS] A [SEP] B [SEP]`."""
        ids = [self.special("[CLS]")]
        for text in texts:
            ids += [*self.pieces.encode(text), self.special("[SEP]")]
        return ids

    def special(self, piece: str) -> int:
        return int(self.pieces.piece_to_id(piece))

    def reference(self, task: str, ids: Sequence[int], second_from: int | None = None) -> Any:
        """Run transformers on one document.

        Without token types, as its tokenizer gives none; for next sentences they are 1 from the second text on, as its
        own data of that training has them.
        """
        model = self.models[task]
        encoder = model if task == "embed" else model.bert
        encoder.set_attention_type("block_sparse")
        inputs = {"input_ids": torch.tensor([ids])}
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
        if second_from is not None:
            inputs["token_type_ids"] = (torch.arange(len(ids)) >= second_from).long()[None]
        if task == "multiple-choice":
            inputs = {name: tensor[:, None] for name, tensor in inputs.items()}
        with torch.inference_mode():
            return model(**inputs)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, shared_traces: None) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("heads")
    models = {}
    for task in TASKS:
        models[task] = make_head(task, **({"num_labels": 1} if task == "classify" else {}))
        if task == "generate":
            # Otherwise a random model repeats its last token for ever.
            with torch.no_grad():
                models[task].bert.embeddings.position_embeddings.weight.mul_(3)
        checkpoint = save_head(models[task], folder / "checkpoints" / task)
        longest = 112 if task in WITH_FULL_ATTENTION_ONLY else 256
        told = None if task == "natural-questions" else task
        options = ExportOptions(task=told, buckets=sorted({112, longest}))
        export_checkpoint(checkpoint, folder / "bundles" / task, options)
    with running_server(folder / "bundles", {"BIGBIRD_WARM_UP_SECONDS": "0"}) as server:
        yield Served(models, sentencepiece.SentencePieceProcessor(model_file=str(VOCABULARY)), server)


def _softmax(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    powers = np.exp(logits.astype(np.float64) - logits.max())
    return np.asarray(powers / powers.sum())


@pytest.mark.parametrize("document", DOCUMENTS)
def test_masks_are_filled_as_transformers_fills_them(served: Served, document: str) -> None:
    words = document.split(" ")
    words[20] = words[-9] = "[MASK]"
    before, between, after = " ".join(words).split(" [MASK]")
    mask, encode = served.special("[MASK]"), served.pieces.encode
    body = [*encode(before), mask, *encode(between), mask, *encode(after)]
    ids = [served.special("[CLS]"), *body, served.special("[SEP]")]
    logits = served.reference("fill-mask", ids).logits[0].numpy()
    answer = served.post("/fill-mask", {"text": " ".join(words), "top_k": 7})
    assert answer["usage"]["tokens"] == len(ids)
    assert len(answer["predictions"]) == 2
    for position, predictions in zip(np.flatnonzero(np.array(ids) == mask), answer["predictions"], strict=True):
        scores = _softmax(logits[position])
        best = np.argsort(-scores)[:7]
        assert [prediction["token_id"] for prediction in predictions] == best.tolist()
        assert np.allclose([prediction["score"] for prediction in predictions], scores[best], atol=TOLERANCE)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_question_has_the_span_and_the_type_that_transformers_gives(served: Served, document: str) -> None:
    question = "When did the project end?"
    asked, ids = served.ids(question), served.ids(question, document)
    output = served.reference("natural-questions", ids, second_from=len(asked))
    categories = _softmax(served.models["natural-questions"].answer_types(output)[0])
    names = ("null", "short", "long", "yes", "no")
    competing = [0, *range(len(asked), len(ids) - 1)]
    starts, ends = (_softmax(array[0].numpy()[competing])[1:] for array in (output.start_logits, output.end_logits))
    best = max(starts[first] * ends[first : first + 30].max() for first in range(len(starts)))
    body = {"question": question, "context": document}
    answer = served.post("/qa", body)
    assert answer["usage"]["tokens"] == len(ids)
    assert answer["score"] == pytest.approx(best, abs=TOLERANCE)
    assert answer["answer_type"] == names[categories.argmax()]
    assert answer["answer_type_score"] == pytest.approx(categories.max(), abs=TOLERANCE)
    listed = served.post("/qa", {**body, "no_answer": True, "top_k": 100})["alternatives"]
    assert (listed[0]["answer"] == "") == (categories.argmax() == 0)
    assert [one["score"] for one in listed if not one["answer"]] == [pytest.approx(categories[0], abs=TOLERANCE)]


@pytest.mark.parametrize("document", DOCUMENTS[:1])
def test_the_next_sentence_is_judged_as_transformers_judges_it(served: Served, document: str) -> None:
    first, second = document[: len(document) // 2], document[len(document) // 2 :]
    ids = served.ids(first, second)
    output = served.reference("next-sentence", ids, second_from=len(served.ids(first)))
    expected = _softmax(output.seq_relationship_logits[0].numpy())
    answer = served.post("/next-sentence", {"first": first, "second": second})
    assert answer["score"] == answer["scores"]["is_next"] == pytest.approx(expected[0], abs=TOLERANCE)
    assert answer["scores"]["not_next"] == pytest.approx(expected[1], abs=TOLERANCE)
    assert answer["is_next"] == (expected[0] >= expected[1])


@pytest.mark.parametrize("document", DOCUMENTS[:1])
def test_choices_are_scored_as_transformers_scores_each_of_them(served: Served, document: str) -> None:
    choices = ["The project ended in June.", "Nobody knows.", document[:100], "A bridge"]
    logits = [served.reference("multiple-choice", served.ids(document, choice)).logits.item() for choice in choices]
    expected = _softmax(np.array(logits, dtype=np.float32))
    answer = served.post("/multiple-choice", {"prompt": document, "choices": choices})
    assert np.allclose(answer["scores"], expected, atol=TOLERANCE)
    assert answer["index"] == expected.argmax()
    assert answer["choice"] == choices[answer["index"]]


@pytest.mark.parametrize("pooling", ["cls", "mean", "pooler"])
@pytest.mark.parametrize("document", DOCUMENTS)
def test_an_embedding_is_that_of_transformers(served: Served, document: str, pooling: str) -> None:
    output = served.reference("embed", served.ids(document))
    hidden = output.last_hidden_state[0].numpy()
    expected = {"cls": hidden[0], "mean": hidden.mean(axis=0), "pooler": output.pooler_output[0].numpy()}[pooling]
    raw = served.post("/embed", {"text": document, "pooling": pooling, "normalize": False, "tokens": True})
    assert raw["dimension"] == 48
    assert np.allclose(raw["embedding"], expected, atol=TOLERANCE)
    assert np.allclose([token["vector"] for token in raw["tokens"]], hidden[1:-1], atol=TOLERANCE)
    unit = served.post("/embed", {"text": document, "pooling": pooling})
    assert np.allclose(unit["embedding"], expected / np.linalg.norm(expected), atol=TOLERANCE)
    assert unit["tokens"] is None


@pytest.mark.parametrize("document", DOCUMENTS[:1])
def test_a_regression_gives_the_raw_number(served: Served, document: str) -> None:
    expected = served.reference("classify", served.ids(document)).logits.item()
    answer = served.post("/classify", {"text": document, "function": "none"})
    assert answer["score"] == pytest.approx(expected, abs=TOLERANCE)


@pytest.mark.parametrize("document", DOCUMENTS[:1])
def test_a_pair_is_classified_as_transformers_classifies_it(served: Served, document: str) -> None:
    first, second = document[: len(document) // 2], document[len(document) // 2 :]
    ids = served.ids(first, second)
    expected = served.reference("classify", ids).logits.item()
    answer = served.post("/classify", {"text": first, "text_pair": second, "function": "none"})
    assert answer["score"] == pytest.approx(expected, abs=TOLERANCE)
    with_types = served.reference("classify", ids, second_from=len(served.ids(first))).logits.item()
    assert abs(with_types - expected) >= 100 * TOLERANCE


@pytest.mark.parametrize("words", [1, 40, 120], ids=["one word", "a bucket is left on the way", "a long prompt"])
def test_greedy_generation_gives_the_tokens_of_transformers_for_64_steps(served: Served, words: int) -> None:
    prompt = " ".join(LONG.split()[:words])
    model = served.models["generate"]
    model.bert.set_attention_type("original_full")
    ids = served.ids(prompt)[:-1]
    with torch.inference_mode():
        whole = model.generate(
            torch.tensor([ids]),
            attention_mask=torch.ones(1, len(ids), dtype=torch.int64),
            max_new_tokens=64,
            do_sample=False,
        )
    expected = whole[0, len(ids) :].tolist()
    answer = served.post("/generate", {"prompt": prompt, "max_new_tokens": 64})
    assert [token["token_id"] for token in answer["tokens"]] == expected
    assert len(expected) == 64
    assert len(set(expected)) > 5
    assert answer["stop"] == "length"


def test_drawn_text_depends_on_the_seed_alone(served: Served) -> None:
    body = {"prompt": "The project", "max_new_tokens": 12, "sampling": "top_p", "temperature": 2.0}
    first, same, other = (served.post("/generate", {**body, "seed": seed})["text"] for seed in (1, 1, 2))
    assert first == same != other
