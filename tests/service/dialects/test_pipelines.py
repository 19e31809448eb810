"""Answers in the form of Hugging Face against transformers' own pipelines, 200 requests for each task.

`tests/fixtures/make_pipelines.py` wrote what the pipelines of transformers 4.57.6 answer, and says how it asked them.
Positions, words, labels and their order are equal, and scores within 1e-5, but for what `Difference` lists and
`docs/dialects.md` explains. A difference is met by undoing it, so nothing else can hide behind it.
"""

import json
import re
import shutil
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

import httpx
import pytest
import sentencepiece

from bigbird_inference.loaded_model import LoadedModel
from tests.fixtures.pipeline_requests import FOLDER, REQUESTS, SPECIAL_PIECES, VOCABULARY, fingerprint, make_models
from tests.service.asynchronous import asynchronous
from tests.service.running_app import running_app
from tests.service.torch_models import torch_loaded_model

TOLERANCE = 1e-5
_PIECES = sentencepiece.SentencePieceProcessor(model_file=str(VOCABULARY))
_CHARACTERS = set("".join(_PIECES.id_to_piece(list(range(7, len(_PIECES)))))) - {"▁"}


class Difference(StrEnum):
    """Why an answer is another one than the pipeline's."""

    LINE_BREAK = "transformers' tokenizer drops white space at the end of a text; SentencePiece drops spaces only"
    EDGES = "the pipeline's spans begin with the space before the word; here they neither begin nor end with a blank"
    BLANK_TOKENS = "a token that is only white space counts there as any other; here it is passed over"
    SAME_WORDS = "the pipeline adds up the scores of answers with the same words; here each place is an answer"
    WHOLE_WORDS = "the pipeline widens answers to whole words unless it is told not to; here they are never widened"
    NORMALISED_WINDOWS = "the pipeline normalises each window by itself; here all windows compete on equal terms"
    GROUPED_WINDOWS = "the pipeline groups each window by itself, or reads one only; here logits are merged first"
    WHITE_SPACE = "only the space separates words there; here any white space does"
    SPELT_WORDS = "`word` is decoded from tokens there; here it is the text's own"
    DECODED_SEQUENCE = "`sequence` is decoded from tokens there; here it is the text with the token in the mask's place"
    LONG_TEXT = "the pipeline fails on a text longer than the model"
    BEST_LABEL = "the pipeline gives the best label unless told `top_k`; here all are given, as the hosted service does"


EXPECTED = {
    "qa": {
        Difference.LINE_BREAK,
        Difference.EDGES,
        Difference.BLANK_TOKENS,
        Difference.SAME_WORDS,
        Difference.WHOLE_WORDS,
        Difference.NORMALISED_WINDOWS,
    },
    "classify": {Difference.LINE_BREAK, Difference.LONG_TEXT, Difference.BEST_LABEL},
    "ner": {
        Difference.LINE_BREAK,
        Difference.EDGES,
        Difference.BLANK_TOKENS,
        Difference.GROUPED_WINDOWS,
        Difference.WHITE_SPACE,
        Difference.SPELT_WORDS,
    },
    "fill-mask": {Difference.LINE_BREAK, Difference.LONG_TEXT, Difference.DECODED_SEQUENCE},
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, LoadedModel]:
    """The models that the pipelines had."""
    folder = tmp_path_factory.mktemp("pipelines")
    made = make_models()
    assert fingerprint(made) == (FOLDER / "fingerprint.txt").read_text().strip(), "run tests/fixtures/make_pipelines.py"
    loaded = {}
    for task, model in made.items():
        model.save_pretrained(folder / task)
        shutil.copy(VOCABULARY, folder / task)
        loaded[task] = torch_loaded_model(folder / task, task, folder / f"{task}-bundle")
    return loaded


class Comparison:
    """The requests of a task, each with what the pipeline answered, and what they differ in."""

    def __init__(self, task: str, client: httpx.AsyncClient) -> None:
        self.task, self.client = task, client
        self.seen: set[Difference] = set()
        # Entities in whose place both may have others, and all.
        self.set_aside = self.compared = 0

    async def run(self) -> None:
        stored = json.loads((FOLDER / f"{self.task}.json").read_text(encoding="utf-8"))
        compare = {"qa": self.answers, "classify": self.labels, "ner": self.entities, "fill-mask": self.fills}[self.task]
        for request, found in zip(REQUESTS[self.task], stored, strict=True):
            await compare(self.without_line_break(request.inputs), dict(request.parameters), found)

    async def ask(self, inputs: Any, status: int = 200, **parameters: Any) -> httpx.Response:
        response = await self.client.post(f"/{self.task}", json={"inputs": inputs, "parameters": parameters})
        assert response.status_code == status, response.text
        return response

    def without_line_break(self, inputs: Any) -> Any:
        """Leave out what transformers does not read."""
        if isinstance(inputs, dict):
            return {name: self.without_line_break(text) for name, text in inputs.items()}
        if inputs.rstrip() != inputs.rstrip(" "):
            self.seen.add(Difference.LINE_BREAK)
            return inputs.rstrip()
        return inputs

    # Question answering.

    async def answers(self, inputs: dict[str, str], parameters: dict[str, Any], stored: dict[str, Any]) -> None:
        context = inputs["context"]
        if "windows" in stored:
            self.seen.add(Difference.NORMALISED_WINDOWS)
            own = (await self.ask(inputs, **parameters)).json()
            windows = [(window["answer"]["score"] * window["share"], window["answer"]) for window in stored["windows"]]
            score, best = max(windows, key=lambda window: window[0])
            self.check_answers(context, [{**best, "score": score}], [own])
            best = _merged(context, [window for _, window in windows])[0]
            assert {**best, "score": pytest.approx(best["score"])} == stored["answer"]
            return
        if "align_to_words" not in parameters:
            # The pipeline widens twelve candidates for its one answer.
            own = [_widened(context, span) for span in (await self.ask(inputs, **parameters, top_k=12)).json()]
            merged = _merged(context, own)[:1]
            self.seen |= {Difference.WHOLE_WORDS}
            self.check_answers(context, [stored["answer"]], merged)
            return
        answer = (await self.ask(inputs, **parameters)).json()
        expected, own = _listed(stored["answer"]), _listed(answer)
        if "further" in stored:
            self.seen.add(Difference.BLANK_TOKENS)
            expected = [one for one in stored["further"] if not one["answer"].isspace()][:1]
        merged = _merged(context, own)
        if len(merged) < len(own):
            self.seen.add(Difference.SAME_WORDS)
        else:
            assert isinstance(answer, list) == isinstance(stored["answer"], list)
        self.check_answers(context, expected, merged)

    def check_answers(self, context: str, expected: list[Any], own: list[Any]) -> None:
        assert len(own) == len(expected)
        for theirs, ours in zip(expected, own, strict=True):
            start, end = self.visible(context, theirs["start"], theirs["end"])
            assert ours == {
                "score": pytest.approx(theirs["score"], abs=TOLERANCE),
                "start": start,
                "end": end,
                "answer": context[start:end],
            }

    def visible(self, text: str, start: int, end: int) -> tuple[int, int]:
        """Return a span without the white space at its edges; the empty answer stays at 0."""
        inside = text[start:end]
        left, right = len(inside) - len(inside.lstrip()), len(inside) - len(inside.rstrip())
        if left or right:
            self.seen.add(Difference.EDGES)
        return start + left, end - right

    # Text classification.

    async def labels(self, inputs: Any, parameters: dict[str, Any], stored: dict[str, Any]) -> None:
        response = await self.ask(inputs, **parameters)
        if "raises" in stored:
            self.seen.add(Difference.LONG_TEXT)
            assert int(response.headers["x-windows"]) > 1
            return
        (own,) = response.json()
        if "top_k" not in parameters:
            self.seen.add(Difference.BEST_LABEL)
            assert len(own) == 3
            own = own[:1]
        assert own == [
            {"label": one["label"], "score": pytest.approx(one["score"], abs=TOLERANCE)}
            for one in _listed(stored["answer"])
        ]

    # Token classification.

    async def entities(self, text: str, parameters: dict[str, Any], stored: dict[str, Any]) -> None:
        own = (await self.ask(text, **parameters)).json()
        strategy = parameters["aggregation_strategy"]
        name = "entity" if strategy == "none" else "entity_group"
        expected = []
        for label, score, word, start, end in stored["answer"]:
            start, end = self.visible(text, start, end)
            expected.append({name: label, "score": score, "word": word, "start": start, "end": end})
        places = [(Difference.GROUPED_WINDOWS, *sorted(place)) for place in stored["shared"]]
        if strategy == "none":
            whole = len(expected)
            expected = [one for one in expected if _squeezed(one["word"])]
            if len(expected) < whole:
                self.seen.add(Difference.BLANK_TOKENS)
        else:
            places += [(Difference.BLANK_TOKENS, *place) for place in stored["blanks"]]
        if strategy in ("first", "average", "max"):
            other = [place for place, character in enumerate(text) if character.isspace() and character != " "]
            places += [(Difference.WHITE_SPACE, place, place + 1) for place in other]
        self.seen.update(place[0] for place in places)
        self.compared += len(own)
        expected, kept = _elsewhere(expected, own, [place[1:] for place in places])
        self.set_aside += len(own) - len(kept)
        assert [_squeezed(one.pop("word")) for one in expected] == [_squeezed(one["word"]) for one in kept]
        assert [one.pop("word") for one in kept] == [text[one["start"] : one["end"]] for one in kept]
        self.seen.add(Difference.SPELT_WORDS)
        for one in expected:
            one["score"] = pytest.approx(one["score"], abs=TOLERANCE)
        assert kept == expected

    # Filling masks.

    async def fills(self, text: str, parameters: dict[str, Any], stored: dict[str, Any]) -> None:
        if "raises" in stored:
            self.seen.add(Difference.LONG_TEXT)
            await self.ask(text, status=422, **parameters)
            return
        answer, expected = (await self.ask(text, **parameters)).json(), stored["answer"]
        if text.count("[MASK]") == 1:
            answer, expected = [answer], [expected]
        pieces = re.split(r"\s*\[MASK\]", text)
        for mask, (own, theirs) in enumerate(zip(answer, expected, strict=True)):
            assert [[one["token"], one["token_str"]] for one in own] == [row[1:3] for row in theirs]
            assert [one["score"] for one in own] == pytest.approx([row[0] for row in theirs], abs=TOLERANCE)
            self.seen.add(Difference.DECODED_SEQUENCE)
            assert _known(own[0]["sequence"]) == _known(theirs[0][3])
            masks = ["[MASK]"] * (len(pieces) - 1)
            masks[mask] = own[0]["token_str"]
            filled = "".join(part for pair in zip(pieces, [*masks, ""], strict=True) for part in pair)
            assert _squeezed(own[0]["sequence"]) == _squeezed(filled)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _merged(context: str, spans: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add up answers with the same words as the pipeline does, where the space before a word is one of them."""
    merged: dict[str, dict[str, Any]] = {}
    for span in spans:
        before = span["start"] - 1
        start = before if before >= 0 and context[before] == " " and span["end"] else span["start"]
        words = context[start : span["end"]].lower()
        known = merged.setdefault(words, {**span, "score": 0.0})
        known["score"] += span["score"]
    return sorted(merged.values(), key=lambda span: -span["score"])


def _widened(context: str, span: dict[str, Any]) -> dict[str, Any]:
    """Move both ends of an answer to the ends of words, which only the space separates."""
    start = context.rfind(" ", 0, span["start"]) + 1
    end = context.find(" ", span["end"])
    end = len(context) if end < 0 else end
    return {"score": span["score"], "start": start, "end": end, "answer": context[start:end]}


def _elsewhere(
    expected: list[Any], own: list[Any], places: Sequence[tuple[int, int]]
) -> tuple[list[Any], list[Any]]:
    """Leave out entities that hold or touch a place, and whatever shares characters with one that the other has there."""
    kept = [[], []]
    out = []
    for number, entities in enumerate((expected, own)):
        for entity in entities:
            touches = any(entity["start"] <= end + 1 and entity["end"] >= start for start, end in places)
            (out if touches else kept[number]).append(entity)
    while out:
        gone = out.pop()
        for number, entities in enumerate(kept):
            overlapping = [one for one in entities if one["start"] < gone["end"] and gone["start"] < one["end"]]
            kept[number] = [one for one in entities if one not in overlapping]
            out += overlapping
    return kept[0], kept[1]


def _squeezed(word: str) -> str:
    """Leave out white space, and the sign for it in pieces."""
    return re.sub(r"[\s▁]", "", word)


def _known(sequence: str) -> str:
    """Leave out what a decoded sequence does not show: white space, special tokens, and what the vocabulary lacks."""
    for piece in ("<unk>", "<pad>", *SPECIAL_PIECES):
        sequence = sequence.replace(piece, "")
    return "".join(character for character in sequence if character in _CHARACTERS)


@pytest.mark.parametrize("task", REQUESTS)
@asynchronous
async def test_answers_are_those_of_the_pipelines(task: str, models: dict[str, LoadedModel]) -> None:
    async with running_app({task: models[task]}) as (_, client):
        comparison = Comparison(task, client)
        await comparison.run()
    assert comparison.seen == EXPECTED[task]
    assert comparison.set_aside <= comparison.compared / 4
