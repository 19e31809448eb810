"""Ranks, halves and intervals of the retrieval benchmark, by hand."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from benchmarks import retrieval
from benchmarks.retrieval import (
    BASELINE,
    CONTENDERS,
    Contender,
    Vectors,
    cut_off,
    halves,
    interval,
    kept_vectors,
    reciprocal_ranks,
    rows_of,
)


@pytest.fixture
def words() -> Tokenizer:
    """A token for each word."""
    tokenizer = Tokenizer(models.WordLevel({"x": 0}, unk_token="x"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer


def test_halves_are_cut_at_a_space_and_then_off(words: Tokenizer) -> None:
    assert halves("one two three four", words, None) == ("one two", "three four")
    assert halves("one two three four", words, 3) == ("one", "three")


@pytest.mark.parametrize(("most", "kept"), [(None, "a b c"), (9, "a b c"), (5, "a b c"), (4, "a b"), (3, "a")])
def test_a_text_is_cut_off_with_room_for_cls_and_sep(words: Tokenizer, most: int | None, kept: str) -> None:
    assert cut_off("a b c", words, most) == kept


def test_the_rank_is_that_of_the_own_second_half() -> None:
    first = np.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    second = np.array([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]])
    # Likenesses: [1, .8, 0], [0, .6, 1], [.6, .96, .8]
    assert reciprocal_ranks(first, second).tolist() == [1.0, 0.5, 0.5]


def test_differences_are_of_the_same_documents() -> None:
    other = np.array([1.0, 0.5, 1.0, 1.0])
    rows = rows_of({BASELINE: np.array([1.0, 0.5, 0.25, 0.2]), "other": other})
    assert rows[0]["found first"] == interval(np.array([1.0, 0, 0, 0]))
    assert str(rows[1]["mean reciprocal rank"]).startswith("0.875 (")
    assert rows[1]["found first, less windows of 512"] == interval(np.array([0.0, 0, 1, 1]))
    assert rows[1]["reciprocal rank, less windows of 512"] == interval(np.array([0.0, 0, 0.75, 0.8]))


def test_an_interval_of_what_never_varies_is_a_point() -> None:
    assert interval(np.ones(20)) == "1.000 (1.000 to 1.000)"


def test_a_run_that_was_ended_goes_on_with_the_texts_that_are_left(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    manifest = tmp_path / "bundles" / CONTENDERS[0].bundle / "manifest.json"
    manifest.parent.mkdir(parents=True)
    manifest.write_text("{}")
    asked: list[str] = []

    @contextlib.contextmanager
    def server(bundle: Path) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(url="http://there")

    def embed(url: str, contender: Contender, texts: Sequence[str]) -> Vectors:
        if "81" in texts and "81" not in ended:
            ended.append("81")
            raise KeyboardInterrupt
        asked.extend(texts)
        return np.array([[float(text)] for text in texts])

    ended: list[str] = []
    monkeypatch.setattr(retrieval, "running_server", server)
    monkeypatch.setattr(retrieval, "embed", embed)
    texts = [str(number) for number in range(100)]
    with pytest.raises(KeyboardInterrupt):
        kept_vectors(tmp_path, tmp_path, CONTENDERS[0], texts)
    for _ in range(2):
        assert kept_vectors(tmp_path, tmp_path, CONTENDERS[0], texts).ravel().tolist() == list(range(100))
    assert asked == texts
