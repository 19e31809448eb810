import numpy as np
from seqeval.metrics import f1_score

from benchmarks.gold_entities import LABELS, Span, renamed, rows_of, tally, trimmed

EXPECTED: list[set[Span]] = [
    {("PER", (0, 3)), ("LOC", (8, 12)), ("DATE", (20, 24))},
    {("ORG", (0, 4)), ("MONEY", (10, 15)), ("PER", (20, 22))},
]
FOUND: list[set[Span]] = [
    {("PER", (0, 3)), ("ORG", (8, 12)), ("DATE", (20, 25))},
    {("ORG", (0, 4)), ("MONEY", (10, 15)), ("LOC", (30, 33))},
]


def tagged(spans: set[Span]) -> list[str]:
    """Write spans as a tag for each character."""
    tags = ["O"] * 40
    for label, (start, end) in spans:
        tags[start:end] = [f"B-{label}", *[f"I-{label}"] * (end - start - 1)]
    return tags


def test_figures_are_those_of_seqeval_on_characters() -> None:
    rows = rows_of("exact", tally(EXPECTED, FOUND))
    everything = f1_score([tagged(spans) for spans in EXPECTED], [tagged(spans) for spans in FOUND])
    assert str(rows[-1]["F1"]).startswith(f"{everything:.3f} (")
    assert [row["label"] for row in rows] == [*LABELS, "PER + ORG + LOC", "all"]
    # Of the names, 2 are right among 4 found and 4 expected.
    assert str(rows[-2]["F1"]).startswith("0.500")


def test_a_figure_says_how_many_are_labelled_and_found() -> None:
    row = rows_of("exact", np.array([[[1, 2, 3]] + [[0, 0, 0]] * 7, [[1, 1, 1]] + [[0, 0, 0]] * 7]))[0]
    assert (row["labelled"], row["found"], row["precision"], row["recall"]) == (4, 3, 0.667, 0.5)


def test_ontonotes_kinds_get_the_labels_of_the_documents() -> None:
    assert renamed([("GPE", 0, 4), ("FAC", 5, 9), ("PERSON", 10, 12), ("LAW", 13, 20), ("DATE", 21, 25)]) == {
        ("LOC", (0, 4)),
        ("LOC", (5, 9)),
        ("PER", (10, 12)),
        ("DATE", (21, 25)),
    }


def test_articles_and_signs_are_set_aside_at_the_beginning_alone() -> None:
    text = "The Senate of the USDA gave USD $4 billion, $5 and USD7 to them."
    spans = [("ORG", "The Senate"), ("ORG", "USDA"), ("MONEY", "USD $4 billion"), ("MONEY", "$5"), ("MONEY", "USD7")]
    placed = {(label, (text.index(part), text.index(part) + len(part))) for label, part in spans}
    kept = sorted(trimmed(text, placed), key=lambda span: span[1])
    assert [text[start:end] for _, (start, end) in kept] == ["Senate", "USDA", "4 billion", "5", "7"]
