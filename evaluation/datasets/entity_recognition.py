"""Entities: each document, or each sentence of a CoNLL file, is one request.

The service answers with characters. CoNLL's files speak of words, and are taken to the characters of the text that the
words make. An entity is right if it has the same type, the same first and the same last character; so one that begins
or ends inside a word is wrong, and it is not widened to the word, because nobody who uses the service would do that.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.asking import Answer, Outcome
from evaluation.connection import ModelInfo
from evaluation.data.conll import ConllUnit
from evaluation.data.entity_files import read_entities
from evaluation.data.entity_tags import TaggingScheme, entity_types
from evaluation.data.entity_texts import EntityText
from evaluation.datasets.base import Dataset, Item, Judgement
from evaluation.figures import Decisions, Figure, IntArray, Scores
from evaluation.metrics.entities import EntityCounts, count_entities, macro_f1, micro

_Entity = tuple[str, tuple[int, int]]


class EntityRecognition(Dataset):
    """Precision, recall and F1 of whole entities.

    Args:
        path: The file.
        model: Tells which types of entities there are.
        unit: Whether documents or sentences are sent; sentences only of a CoNLL file.
        scheme: How a CoNLL file must be tagged; None finds out.
        fields: More fields of the requests, such as `aggregation`.
    """

    def __init__(
        self,
        path: Path,
        model: ModelInfo,
        fields: Mapping[str, Any],
        unit: ConllUnit = "document",
        scheme: TaggingScheme | None = None,
    ) -> None:
        self._types = entity_types(model.labels)
        self._unit = unit
        self._file = read_entities(path, unit=unit, scheme=scheme, model_labels=model.labels)
        items = [Item({"text": text.text, **fields}, text.document, text.line) for text in self._file.texts]
        super().__init__(path, items)

    @property
    def description(self) -> str:
        count = sum(len(text.entities) for text in self._file.texts)
        content = f"{self._file.format}, {len(self.items)} texts with {count} entities"
        if self._unit == "document" and not self._file.divided:
            return f"{content}; no -DOCSTART- says where documents begin, so each sentence is a text of its own"
        return content

    def basis(self, model: ModelInfo) -> Mapping[str, Hashable]:
        return {"their types of entities are not the same": frozenset(entity_types(model.labels))}

    def judge(self, outcomes: Sequence[Outcome]) -> Sequence[Judgement]:
        return [_judge(text, outcome) for text, outcome in zip(self._file.texts, outcomes, strict=True)]

    def score(self, outcomes: Sequence[Outcome]) -> Scores:
        expected = [_expected(text) for text in self._file.texts]
        found = [_entities(outcome) for outcome in outcomes]
        tally = self._tally(expected, found)
        figures = [
            self._figure("entity F1", tally, lambda totals: micro(totals).f1),
            self._figure("precision", tally, lambda totals: micro(totals).precision),
            self._figure("recall", tally, lambda totals: micro(totals).recall),
            self._figure("macro F1", tally, macro_f1),
            *(self._figure_of_type(number, entity, tally) for number, entity in enumerate(self._types)),
        ]
        cut = sum(
            text.count_cuts(place for _, place in entities)
            for text, entities in zip(self._file.texts, found, strict=True)
        )
        notes = (
            [f"{cut} of {sum(map(len, found))} found entities begin or end inside a word of the file."] if cut else []
        )
        refused = frozenset(number for number, one in enumerate(outcomes) if not isinstance(one, Answer))
        return Scores(figures, Decisions(_numbered(expected), _numbered(found), refused), notes)

    def _tally(self, expected: Sequence[set[_Entity]], found: Sequence[set[_Entity]]) -> IntArray:
        """Count how many entities were right, found and expected; int64 `[documents, types, 3]`."""
        tally = np.zeros((self.documents, len(self._types), 3), dtype=np.int64)
        for item, *pair in zip(self.items, expected, found, strict=True):
            counts = count_entities(*pair)
            tally[item.document] += [_row(counts.get(entity)) for entity in self._types]
        return tally

    def _figure(self, name: str, tally: IntArray, measure: Callable[[dict[str, EntityCounts]], float]) -> Figure:
        """Return a figure of entities of all types together.

        Args:
            name: Of the figure.
            tally: What `_tally` returns.
            measure: From the counts by type; types that neither occur nor were found are left out.
        """

        def statistic(documents: IntArray) -> float:
            totals = tally[documents].sum(axis=0).tolist()
            counts = {
                entity: EntityCounts(*total) for entity, total in zip(self._types, totals, strict=True) if any(total)
            }
            return measure(counts) if counts else float("nan")

        return Figure(name, statistic, tally[:, :, 2].sum(axis=1))

    def _figure_of_type(self, number: int, entity: str, tally: IntArray) -> Figure:
        def statistic(documents: IntArray) -> float:
            total = EntityCounts(*tally[documents, number].sum(axis=0).tolist())
            return total.f1 if total.predicted + total.expected else float("nan")

        return Figure(f"F1 of {entity}", statistic, tally[:, number, 2], detail=True)


def _judge(text: EntityText, outcome: Outcome) -> Judgement:
    expected, found = _expected(text), _entities(outcome)
    answered = isinstance(outcome, Answer)
    total = micro(count_entities(expected, found))
    return Judgement(
        _listed(text, expected),
        _listed(text, found) if answered else None,
        answered and found == expected,
        total.f1 if expected or found else None,
    )


def _listed(text: EntityText, entities: set[_Entity]) -> list[dict[str, Any]]:
    """Return entities as the service writes them, by where they stand."""
    return [
        {"entity": label, "text": text.text[start:end], "start": start, "end": end}
        for start, end, label in sorted((start, end, label) for label, (start, end) in entities)
    ]


def _expected(text: EntityText) -> set[_Entity]:
    return {(entity.label, (entity.start, entity.end)) for entity in text.entities}


def _row(counts: EntityCounts | None) -> tuple[int, int, int]:
    return (0, 0, 0) if counts is None else (counts.right, counts.predicted, counts.expected)


def _entities(outcome: Outcome) -> set[_Entity]:
    if not isinstance(outcome, Answer):
        return set()
    return {(entity["entity"], (entity["start"], entity["end"])) for entity in outcome.body["entities"]}


def _numbered(entities: Sequence[set[_Entity]]) -> frozenset[tuple[int, _Entity]]:
    """Return the entities of all texts, each with its text's number."""
    return frozenset((number, entity) for number, own in enumerate(entities) for entity in own)
