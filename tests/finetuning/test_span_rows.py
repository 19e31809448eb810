"""Answers that no window holds whole, and answers that no service gives."""

from pathlib import Path

import numpy as np
import pytest
import torch

from bigbird_inference.tokenization.tokenizer import Tokenizer
from evaluation.data.source_text import DataError
from evaluation.data.squad import SquadAnswer, SquadExample, SquadFile
from finetuning.question_answering import QuestionAnswering
from finetuning.served_task import served_task
from model_export.config import BigBirdConfig
from tests.finetuning.small_models import batching, load, sentence

CONFIG = BigBirdConfig(block_size=16, num_random_blocks=1, max_position_embeddings=256, num_attention_heads=2)
CONTEXT = f"{sentence(30, seed=1)} Carol leads Borealis. {sentence(60, seed=2)}"
LONG = CONTEXT[CONTEXT.index("Carol leads") :][:200]
"""More than a hundred tokens of the tiny vocabulary."""


def question(answer: str | None, name: str, line: int, context: str = CONTEXT) -> SquadExample:
    answers = () if answer is None else (SquadAnswer(answer, context.index(answer)),)
    return SquadExample(name, "Who leads?", context, answers, answer is None, line)


def objective(
    tokenizer: Tokenizer, *examples: SquadExample, max_length: int, stride: int | None = None, longest: int = 30
) -> QuestionAnswering:
    file = SquadFile(Path("questions.json"), "v2.0", examples)
    task = served_task(CONFIG, "qa", tokenizer, max_length)
    return QuestionAnswering(task, file, file, CONFIG, batching(), stride, longest)


def summaries(objective: QuestionAnswering) -> list[str]:
    return [note.summary.split(":")[0] for note in objective.notes]


def test_a_question_whose_answer_lies_whole_in_no_window_is_left_out_and_told(tokenizer: Tokenizer) -> None:
    assert len(tokenizer.tokenize(LONG)) > 80
    other = question(None, "2", line=9)
    alone = objective(tokenizer, other, max_length=80)
    both = objective(tokenizer, question(LONG, "1", line=4), other, max_length=80)
    assert [row.ids.tolist() for row in both.rows] == [row.ids.tolist() for row in alone.rows]
    assert summaries(both) == [
        "1 of 2 questions of questions.json are left out",
        "1 of 2 questions of questions.json cannot be answered rightly",
    ]
    assert both.notes[0].places[0].startswith("questions.json:4: the answer 'Carol leads ")
    assert alone.notes == ()


def test_an_answer_that_the_edge_of_two_windows_cuts_is_left_out_unless_they_share_enough(tokenizer: Tokenizer) -> None:
    """Without shared tokens a window begins at every multiple of its room."""
    words = CONTEXT.split(" ")
    examples = [
        question(" ".join(words[first : first + 4]), str(first), line=first)
        for first in range(0, 40, 4)
        if CONTEXT.index(" ".join(words[first : first + 4])) == len(" ".join(words[:first])) + (first > 0)
    ]
    tokens = tokenizer.tokenize(CONTEXT)
    capacity = 80 - 3 - len(tokenizer.tokenize("Who leads?"))
    cut = []
    for example in examples:
        start = example.answers[0].start
        inside = [
            index
            for index, (left, right) in enumerate(zip(tokens.starts, tokens.ends, strict=True))
            if left < start + len(example.answers[0].text) and right > start
        ]
        if inside[0] // capacity != inside[-1] // capacity:
            cut.append(example.line)
    assert 0 < len(cut) < len(examples)
    apart = objective(tokenizer, *examples, max_length=80, stride=0, longest=80)
    assert [int(place.split(":")[1]) for place in apart.notes[0].places] == cut
    assert objective(tokenizer, *examples, max_length=80, stride=40, longest=80).notes == ()


def test_a_file_without_any_answer_that_can_be_learned_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(DataError, match=r"questions\.json: no answer lies whole in a window: a longer --max-length"):
        objective(tokenizer, question(LONG, "1", line=4), max_length=80)


@pytest.mark.parametrize(("longest", "right"), [(30, 0.0), (200, 1.0)])
def test_the_longest_answer_that_is_measured_is_a_setting(
    tokenizer: Tokenizer, encoder: Path, longest: int, right: float
) -> None:
    context = sentence(20, seed=4)
    answer = context[: context.rindex(" ")]
    assert 30 < len(tokenizer.tokenize(answer)) < 200
    own = objective(tokenizer, question(answer, "1", 3, context), max_length=256, longest=longest)
    (row,) = own.rows
    model = load(encoder, "embed")

    class Sure(torch.nn.Module):
        """Sure of the answer's edges."""

        config = model.config

        def forward(self, ids: torch.Tensor, mask: torch.Tensor, types: torch.Tensor) -> torch.Tensor:
            logits = torch.zeros(*ids.shape, 2)
            logits[:, row.first, 0] = logits[:, row.last, 1] = 20
            return logits

    assert own.measure(Sure(), None).figures["exact match"] == right  # type: ignore[arg-type]
    assert summaries(own) == ([] if right else ["1 of 1 questions of questions.json cannot be answered rightly"])


def test_one_right_answer_that_can_be_given_is_enough(tokenizer: Tokenizer) -> None:
    both = (SquadAnswer(LONG, CONTEXT.index(LONG)), SquadAnswer("Carol", CONTEXT.index("Carol")))
    example = SquadExample("1", "Who leads?", CONTEXT, both, False, 4)
    own = objective(tokenizer, example, question(None, "2", line=9), max_length=80)
    assert summaries(own) == ["1 of 2 questions of questions.json are left out"]
    assert np.all([row.first == 0 for row in own.rows])
