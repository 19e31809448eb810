"""Answers in the form of Hugging Face against transformers' own pipelines, 200 requests for each task.

`tests/fixtures/make_pipelines.py` wrote what the pipelines of transformers 4.57.6 answer, and says how it asked them.
Positions, words, labels and their order are equal, and scores within 1e-5, but for what `Difference` lists and
`docs/dialects.md` explains. A difference is undone before the comparison, so nothing else can hide behind it; where it
cannot be, in texts that a pipeline refuses and in entities at a window's edge or beside white space, they are left out.
"""

import json
import re
import shutil
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from bigbird_inference.loaded_model import LoadedModel
from tests.fixtures.pipeline_requests import FOLDER, REQUESTS, VOCABULARY, fingerprint, make_models
from tests.service.asynchronous import asynchronous
from tests.service.dialects.pipeline_differences import Difference, elsewhere, known, merged, squeezed, widened
from tests.service.running_app import running_app
from tests.service.torch_models import torch_loaded_model

TOLERANCE = 1e-5
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
        Difference.COLUMNS,
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
        # Entities that only stand where both may have others, and all.
        self.set_aside = self.compared = 0

    async def run(self) -> None:
        stored = json.loads((FOLDER / f"{self.task}.json").read_text(encoding="utf-8"))
        compare: Callable[[Any, dict[str, Any], dict[str, Any]], Awaitable[None]] = {
            "qa": self.answers,
            "classify": self.labels,
            "ner": self.entities,
            "fill-mask": self.fills,
        }[self.task]
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
            best = merged(context, [window for _, window in windows])[0]
            assert {**best, "score": pytest.approx(best["score"])} == stored["answer"]
            return
        if "align_to_words" not in parameters:
            # The pipeline widens twelve candidates for its one answer.
            own = [widened(context, span) for span in (await self.ask(inputs, **parameters, top_k=12)).json()]
            self.seen.add(Difference.WHOLE_WORDS)
            self.check_answers(context, [stored["answer"]], merged(context, own)[:1])
            return
        answer = (await self.ask(inputs, **parameters)).json()
        expected, own = _listed(stored["answer"]), _listed(answer)
        if "further" in stored:
            self.seen.add(Difference.BLANK_TOKENS)
            expected = [one for one in stored["further"] if not one["answer"].isspace()][:1]
        added_up = merged(context, own)
        if len(added_up) < len(own):
            self.seen.add(Difference.SAME_WORDS)
        else:
            assert isinstance(answer, list) == isinstance(stored["answer"], list)
        self.check_answers(context, expected, added_up)

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
            expected = [one for one in expected if squeezed(one["word"])]
            if len(expected) < whole:
                self.seen.add(Difference.BLANK_TOKENS)
        else:
            places += [(Difference.BLANK_TOKENS, *place) for place in stored["blanks"]]
            places += [(Difference.COLUMNS, *gap.span()) for gap in re.finditer(r"\t+| {3,}", text)]
        if strategy in ("first", "average", "max"):
            other = [place for place, character in enumerate(text) if character.isspace() and character != " "]
            places += [(Difference.WHITE_SPACE, place, place + 1) for place in other]
        self.seen.update(place[0] for place in places)
        self.compared += len(own)
        expected, kept = elsewhere(expected, own, [place[1:] for place in places])
        self.set_aside += len(own) - len(kept)
        assert [squeezed(one.pop("word")) for one in expected] == [squeezed(one["word"]) for one in kept]
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
            assert known(own[0]["sequence"]) == known(theirs[0][3])
            masks = ["[MASK]"] * (len(pieces) - 1)
            masks[mask] = own[0]["token_str"]
            filled = "".join(part for pair in zip(pieces, [*masks, ""], strict=True) for part in pair)
            assert squeezed(own[0]["sequence"]) == squeezed(filled)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@pytest.mark.parametrize("task", REQUESTS)
@asynchronous
async def test_answers_are_those_of_the_pipelines(task: str, models: dict[str, LoadedModel]) -> None:
    async with running_app({task: models[task]}) as (_, client):
        comparison = Comparison(task, client)
        await comparison.run()
    assert comparison.seen == EXPECTED[task]
    assert comparison.set_aside <= comparison.compared / 5
