"""Checkpoints with WordPiece, byte-pair and Unigram tokenizers, served: the answers and positions of transformers.

Look-alikes of what people have: KoBigBird (WordPiece, Korean), GENA-LM (DNA), and BigBird as transformers 5 saves it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt
import pytest
import transformers

from benchmarks.running_server import RunningServer, running_server
from bigbird_inference.bundle import open_bundle
from model_export.pipeline import export_checkpoint
from model_export.preparation import ExportOptions
from tests import tokenizer_files
from tests.model_export.reference_models import Document, Reference, make_config, make_model

pytestmark = pytest.mark.integration  # takes long

KOREAN = "세종대왕이 한글을 만들었다. 서울은 대한민국의 수도이고, Zu\u0308rich  café [SEP] 부산은 항구 도시입니다 "
DNA = "ACGTTGACCA" * 9 + "GATTACA"
ENGLISH = "Alice  Smith leads the Acme project in New York [SEP] since March 2024 "
# Kind of tokenizer, task and text.
SERVED = {
    "korean-ner": ("WordPiece", "ner", KOREAN),
    "korean-qa": ("WordPiece", "qa", KOREAN),
    "korean-fill-mask": ("cased WordPiece", "fill-mask", "서울은 [MASK] 수도이고, 부산은[MASK] 도시입니다"),
    "dna-classify": ("BPE for DNA", "classify", DNA),
    "english-ner": ("Unigram", "ner", ENGLISH),
}
QUESTION = "수도는 어디?"
TOLERANCE = 1e-4


@dataclass(frozen=True)
class LookAlike:
    """A checkpoint and what transformers loads of it."""

    name: str
    bundle: Path
    tokenizer: transformers.PreTrainedTokenizerBase
    reference: Reference
    server: RunningServer

    @property
    def text(self) -> str:
        return SERVED[self.name][2]

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        response = httpx.post(f"{self.server.url}{path}", json={"model": self.name, **body}, timeout=60)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    def own(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Return ids and positions of a text in which control pieces are characters."""
        encoded = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True)
        return encoded["input_ids"], encoded["offset_mapping"]

    def logits(self, ids: list[int], second_from: int | None = None) -> npt.NDArray[np.float32]:
        types = np.zeros(len(ids), dtype=np.int64)
        if second_from is not None:
            types[second_from:] = 1
        found = self.reference.alone(Document(np.array(ids), types))
        assert found.std() >= 0.5
        return found


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, LookAlike]]:
    folder = tmp_path_factory.mktemp("tokenizers")
    parts = {}
    for name, (kind, task, _) in SERVED.items():
        checkpoint = folder / "checkpoints" / name
        pipeline = tokenizer_files.KINDS[kind]()
        tokenizer_files.save(pipeline, checkpoint, **_names(kind))
        config = make_config(
            pipeline.get_vocab_size() + 3,  # rows padded beyond the vocabulary
            hidden_size=64,
            num_attention_heads=4,
            num_labels=2 if task == "classify" else 3,
            max_position_embeddings=128,
            attention_type="original_full",
            pad_token_id=0,
        )
        model = make_model(task, config, seed=len(name), head_gain=3.0)
        model.save_pretrained(checkpoint)
        export_checkpoint(checkpoint, folder / "bundles" / name, ExportOptions(buckets=[128]))
        parts[name] = transformers.AutoTokenizer.from_pretrained(checkpoint), Reference(model)
    with running_server(folder / "bundles", {"BIGBIRD_WARM_UP_SECONDS": "0"}) as server:
        yield {name: LookAlike(name, folder / "bundles" / name, *part, server) for name, part in parts.items()}


def _names(kind: str) -> dict[str, str]:
    names = {"cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
    if kind == "Unigram":
        return {**names, "pad_token": "<pad>", "unk_token": "<unk>"}
    return {**names, "pad_token": "[PAD]", "unk_token": "[UNK]"}


def _softmax(logits: npt.NDArray[np.float32], axis: int | None = None) -> npt.NDArray[np.float64]:
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=axis, keepdims=True))
    return np.asarray(powers / powers.sum(axis=axis, keepdims=True))


@pytest.mark.parametrize("name", ["korean-ner", "english-ner"])
def test_entities_are_labelled_and_placed(name: str, served: dict[str, LookAlike]) -> None:
    model = served[name]
    # transformers cannot be told that "[SEP]" is text: it looks its special tokens up in the vocabulary.
    text = model.text.replace("[SEP]", "and")
    ids, offsets = model.own(text)
    scores = _softmax(model.logits([model.tokenizer.cls_token_id, *ids, model.tokenizer.sep_token_id])[1:-1], axis=1)
    entities = model.post("/ner", text=text, aggregation="none")["entities"]
    labels = model.reference.model.config.id2label
    expected = []
    for (start, end), own in zip(offsets, scores, strict=True):
        while start < end and text[start].isspace():  # transformers' spans hold the space before a word
            start += 1
        if start < end:
            end += text[end : end + 1] == "\u0308"  # the mark after the last letter belongs to it
            expected.append((text[start:end], start, end, labels[int(own.argmax())], own.max()))
    named = [tuple(entity[name] for name in ("text", "start", "end", "entity")) for entity in entities]
    assert named == [one[:-1] for one in expected]
    assert [entity["score"] for entity in entities] == pytest.approx([one[-1] for one in expected], abs=TOLERANCE)


def test_answers_are_cut_out_of_the_context(served: dict[str, LookAlike]) -> None:
    model = served["korean-qa"]
    context = model.text.replace("[SEP]", "and")
    question, (ids, offsets) = model.own(QUESTION)[0], model.own(context)
    cls, sep = model.tokenizer.cls_token_id, model.tokenizer.sep_token_id
    first = len(question) + 2
    logits = model.logits([cls, *question, sep, *ids, sep], second_from=first)[[0, *range(first, first + len(ids))]]
    start, end = _softmax(logits[:, 0])[1:], _softmax(logits[:, 1])[1:]
    products = np.triu(np.outer(start, end)) * np.tri(len(ids), len(ids), 29)
    begin, finish = np.unravel_index(products.argmax(), products.shape)
    answer = model.post("/qa", question=QUESTION, context=context)
    assert answer["score"] == pytest.approx(products.max(), abs=TOLERANCE)
    assert answer["answer"] == context[answer["start"] : answer["end"]]
    assert answer["start"] == offsets[begin][0]
    assert answer["end"] - offsets[finish][1] in (0, 1)  # the mark after the last letter belongs to it
    assert answer["usage"]["tokens"] == len(question) + len(ids) + 3


def test_classes_are_those_of_transformers(served: dict[str, LookAlike]) -> None:
    model = served["dna-classify"]
    expected = _softmax(model.logits(model.tokenizer(model.text)["input_ids"]))
    answer = model.post("/classify", text=model.text, top_k=2)
    assert sorted(own["score"] for own in answer["labels"]) == pytest.approx(sorted(expected), abs=TOLERANCE)


def test_masks_are_filled_as_transformers_fills_them(served: dict[str, LookAlike]) -> None:
    model = served["korean-fill-mask"]
    ids = model.tokenizer(model.text)["input_ids"]
    places = np.flatnonzero(np.array(ids) == model.tokenizer.mask_token_id)
    logits = model.logits(ids)[places, : len(model.tokenizer)]
    answer = model.post("/fill-mask", text=model.text, top_k=3)
    assert answer["usage"]["tokens"] == len(ids)
    for predictions, row in zip(answer["predictions"], logits, strict=True):
        assert [own["token_id"] for own in predictions] == np.argsort(-row)[:3].tolist()
        for own in predictions:
            assert own["token"] == model.tokenizer.decode([own["token_id"]]).removeprefix("##")
            assert model.text[own["start"] : own["end"]] == "[MASK]"


@pytest.mark.parametrize("name", SERVED)
def test_special_tokens_in_a_text_are_characters(name: str, served: dict[str, LookAlike]) -> None:
    model = served[name]
    task = SERVED[name][1]
    special = "[SEP][CLS] [PAD] [SEP]" if task != "fill-mask" else "[SEP] [MASK]"
    field = "context" if task == "qa" else "text"
    more = {"question": "[SEP]?"} if task == "qa" else {}
    tokens = model.post(f"/{task}", **{field: f"{model.text} {special}"}, **more)["usage"]["tokens"]
    fewer = model.post(f"/{task}", **{field: model.text + " "}, **more)["usage"]["tokens"]
    assert tokens - fewer > len(special.split())


def test_the_bundle_says_which_library_runs_its_tokenizer(served: dict[str, LookAlike]) -> None:
    manifest = open_bundle(served["dna-classify"].bundle).manifest
    assert (manifest.tokenizer.file, manifest.tokenizer.kind) == ("tokenizer.json", "tokenizers")
    assert "tokenizers" in manifest.versions
