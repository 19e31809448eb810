from pathlib import Path

import pytest

from finetuning.card import Card, buckets_of, export_command
from finetuning.history import Measurement
from model_export.config import BigBirdConfig
from model_export.export.buckets import BucketStep

BASE = BigBirdConfig()
"""Blocks of 64 tokens, full attention up to 704, 4096 in all."""

BUCKETS = [
    pytest.param(4096, None, id="the model's own length"),
    pytest.param(1024, BucketStep(128, 1024), id="in whole steps"),
    pytest.param(1088, BucketStep(128, 1088), id="between two of them"),
    pytest.param(704, BucketStep(128, 704), id="where full attention ends"),
    pytest.param(256, BucketStep(128, 256), id="shorter than that"),
]


@pytest.mark.parametrize(("max_length", "buckets"), BUCKETS)
def test_the_buckets_of_a_bundle_end_with_the_windows_that_were_measured(
    max_length: int, buckets: BucketStep | None
) -> None:
    assert buckets_of(BASE, max_length) == buckets


def test_the_command_names_what_is_not_usual() -> None:
    assert export_command("a/b", "transformers", None) == "bigbird export a/b --output bundles/b"
    assert (
        export_command("a/b c", "google", BucketStep(128, 704))
        == "bigbird export 'a/b c' --pattern google --buckets every:128:704 --output 'bundles/b c'"
    )


REQUESTS = [
    pytest.param("qa", {"window-stride": None, "max-answer-tokens": 30}, None, id="usual"),
    pytest.param(
        "qa",
        {"window-stride": 64, "max-answer-tokens": 50},
        "The figures are those of requests with `window_stride`: 64, `max_answer_tokens`: 50.",
        id="both",
    ),
    pytest.param(
        "classify",
        {"window-stride": 0, "max-answer-tokens": 50},
        "The figures are those of requests with `window_stride`: 0.",
        id="what the task knows",
    ),
    pytest.param("fill-mask", {"window-stride": 64, "max-answer-tokens": 50}, None, id="a task without windows"),
]


@pytest.mark.parametrize(("task", "settings", "line"), REQUESTS)
def test_what_requests_must_carry_stands_in_the_card(
    tmp_path: Path, task: str, settings: dict[str, int | None], line: str | None
) -> None:
    file = tmp_path / "texts"
    file.write_text("x")
    best = Measurement(2, 0, 0.5, {"f1": 0.5})
    card = Card(
        "own", task, "base", "new", {"training": file}, "google", "fixed", settings, 4, 6.0, best, (), None, 4096
    )
    lines = card.text().splitlines()
    assert [line for line in lines if line.startswith("The figures are")] == ([] if line is None else [line])
