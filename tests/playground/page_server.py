"""The real server with models whose answers a test can work out by reading its document.

    question answering   every place where the context holds the question, without its question mark
    entities             every `[LABEL text]`: the text is the entity; `[LABEL text|more]` are two that overlap
    classification       each window by itself is `report` with the share of its words that are "report"
    the others           see `tests.fake_model`

Words are tokens, and windows have 400 of them, of which neighbours share 100. A text that is the code of an error gets
that error. `python -m tests.playground.page_server` serves them with the settings of the environment.
"""

import itertools
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from bigbird_inference import errors
from bigbird_inference.loaded_model import LoadedModel
from bigbird_inference.tasks.base import EncodedRequest
from bigbird_inference.tasks.classification import (
    ClassificationAnswer,
    ClassificationRequest,
    ClassifiedWindow,
    LabelScore,
)
from bigbird_inference.tasks.embedding import EmbeddingAnswer, EmbeddingRequest
from bigbird_inference.tasks.entity_grouping import Entity
from bigbird_inference.tasks.entity_recognition import EntityAnswer, EntityRequest, EntityWindow
from bigbird_inference.tasks.question_answering import AnswerSpan, QuestionAnswer, QuestionRequest, QuestionWindow
from bigbird_inference.tasks.read_windows import read_windows
from bigbird_inference.tasks.token_merging import token_sources
from bigbird_inference.tokenization.encoded import TokenizedText, Window
from service.process.server import serve
from service.settings import load_settings
from tests.fake_model import FakeSession, FakeTask, fake_manifest, main_text, sequence
from tests.service.scripted_model import scripted_model
from tests.vocabularies import SPECIAL_PIECES, open_tokenizer, train_vocabulary

COMMAND = (sys.executable, "-m", "tests.playground.page_server")
WORDS, SHARED = 400, 100
REFUSALS = {
    "queue_full": errors.QueueFull("The queue is full.", retry_after_seconds=3),
    "not_ready": errors.NotReady("Models are warming up.", retry_after_seconds=2),
    "deadline_exceeded": errors.DeadlineExceeded("Time is up."),
    "inference_failed": errors.InferenceFailed("the model's output is not a number"),
}


class ReadableTask(FakeTask):
    """Words are tokens with places; the answers are those of the module's docstring."""

    def encode(self, request):
        text = main_text(request)
        if text.strip() in REFUSALS:
            raise REFUSALS[text.strip()]
        words = list(re.finditer(r"\S+", text))
        if not words:
            raise errors.InvalidInput("text is empty or only whitespace")
        starts, ends = (np.array([getattr(word, edge)() for word in words]) for edge in ("start", "end"))
        ids = np.full(len(words), 7)
        firsts = range(0, max(1, len(words) - SHARED), WORDS - SHARED)
        windows = [
            Window(sequence([1, *ids[first : first + WORDS], 2]), 1, first, len(ids[first : first + WORDS]))
            for first in firsts
        ]
        return EncodedRequest(request, TokenizedText(ids, starts, ends), windows)

    def decode(self, encoded, outputs):
        request = encoded.request
        windows = read_windows(encoded.tokens, encoded.windows) if getattr(request, "windows", False) else []
        match request:
            case QuestionRequest():
                return _answer(request, windows)
            case EntityRequest():
                sources = token_sources(encoded.windows, len(encoded.tokens))
                listed = []
                for number, window in enumerate(windows):
                    (taken,) = np.nonzero(sources == number)
                    places = int(encoded.tokens.starts[taken[0]]), int(encoded.tokens.ends[taken[-1]])
                    listed.append(EntityWindow(window.start, window.end, window.tokens, *places))
                return EntityAnswer(list(_entities(request.text)), listed)
            case ClassificationRequest():
                texts = [request.text[window.start : window.end] for window in windows]
                labels = [_labels(text) for text in [request.text, *texts]]
                listed = [
                    ClassifiedWindow(window.start, window.end, window.tokens, own)
                    for window, own in zip(windows, labels[1:], strict=True)
                ]
                return ClassificationAnswer(labels[0][0].label, labels[0][0].score, labels[0], listed)
            case EmbeddingRequest():
                letters = [float(request.text.count(letter)) for letter in "abc"]
                return EmbeddingAnswer(letters, 3, None)
            case _:
                return super().decode(encoded, outputs)


def _answer(request: QuestionRequest, windows: list) -> QuestionAnswer:
    found = re.finditer(re.escape(request.question.rstrip("?")), request.context)
    spans = [
        AnswerSpan(place.group(), 0.9 / (rank + 1), *place.span())
        for rank, place in enumerate(itertools.islice(found, request.top_k))
    ] or [AnswerSpan("", 0.6, 0, 0)]
    first = [
        next((number for number, w in enumerate(windows) if w.start <= span.start < span.end <= w.end), None)
        for span in spans
    ]
    listed = [
        QuestionWindow(w.start, w.end, w.tokens, [rank for rank, own in enumerate(first) if own == number])
        for number, w in enumerate(windows)
    ]
    best = spans[0]
    return QuestionAnswer(best.answer, best.score, best.start, best.end, spans, windows=listed)


def _entities(text: str) -> Iterator[Entity]:
    for number, place in enumerate(re.finditer(r"\[(\w+) ([^\]|]+)(\|[^\]]+)?\]", text)):
        score = 0.5 + number % 50 / 100
        start, end = place.span(2)
        yield Entity(place[1], text[start:end], start, end, score)
        if place[3]:
            yield Entity("WHOLE", text[start : place.end() - 1], start, place.end() - 1, score)


def _labels(text: str) -> list[LabelScore]:
    words = text.split()
    share = sum(word == "report" for word in words) / len(words)
    return [LabelScore("report", share), LabelScore("invoice", 1 - share)]


def page_models() -> dict[str, LoadedModel]:
    """A model of every task, and one that ranks."""
    models = {}
    for task in ("qa", "classify", "ner", "embed", "fill-mask", "multiple-choice", "next-sentence", "generate"):
        manifest = fake_manifest(task, (64, WORDS + 8))
        models[f"fake-{task}"] = LoadedModel(
            f"fake-{task}", manifest, ReadableTask(manifest), {"full": [FakeSession()]}, revision="0123456789ab"
        )
    with tempfile.TemporaryDirectory() as folder:
        control, prefix = list(SPECIAL_PIECES[1:]), Path(folder) / "page"
        vocabulary = train_vocabulary(prefix, vocab_size=520, byte_fallback=True, control_symbols=control)
        tokenizer = open_tokenizer(vocabulary)
    ranker = scripted_model(
        "classify", tokenizer, lambda ids, positions: {"logits": np.array([len(ids) / 10])}, (64,), labels=["relevance"]
    )
    return {**models, "ranker": replace(ranker, name="ranker")}


if __name__ == "__main__":
    sys.exit(serve(load_settings(), lambda settings: page_models()))
