"""What the four tasks make of their files: model inputs as the service makes them, and targets that it decodes to."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bigbird_inference.runtime.session import Outputs
from bigbird_inference.tasks.entity_grouping import Entity
from bigbird_inference.tasks.entity_recognition import EntityRequest
from bigbird_inference.tasks.question_answering import QuestionRequest
from bigbird_inference.tokenization.encoded import EncodedSequence
from bigbird_inference.tokenization.tokenizer import Tokenizer
from evaluation.data.conll import read_conll
from evaluation.data.entity_files import read_entities
from evaluation.data.entity_texts import EntityFile
from evaluation.data.labelled_texts import LabelledText
from evaluation.data.source_text import DataError
from evaluation.data.squad import SquadAnswer, SquadExample, SquadFile
from finetuning.batches import pad, row_of, uses_full_attention
from finetuning.classification import PROBLEM_TYPES, Classification
from finetuning.entity_recognition import EntityLabels, EntityRecognition, bio_labels, labels_of_entities
from finetuning.plan import Position
from finetuning.question_answering import QuestionAnswering
from finetuning.served_task import served_task
from model_export.config import BigBirdConfig
from tests.finetuning.small_models import batching, load, sentence

CONFIG = BigBirdConfig(
    vocab_size=100,
    hidden_size=8,
    num_hidden_layers=1,
    num_attention_heads=2,
    block_size=16,
    num_random_blocks=1,
    max_position_embeddings=256,
    labels=("O", "B-PER", "I-PER"),
)
CONTEXT = f"{sentence(12, seed=1)} Carol Stone works in New York. {sentence(25, seed=2)}"


def squad(*examples: SquadExample, version: str = "v2.0") -> SquadFile:
    return SquadFile(Path("questions.json"), version, examples)  # type: ignore[arg-type]


def question(answer: str | None, context: str = CONTEXT, name: str = "1") -> SquadExample:
    answers = () if answer is None else (SquadAnswer(answer, context.index(answer)),)
    return SquadExample(name, "Who works in New York?", context, answers, answer is None, 7)


def question_answering(
    tokenizer: Tokenizer, *examples: SquadExample, max_length: int = 256, stride: int | None = None
) -> QuestionAnswering:
    task = served_task(CONFIG, "qa", tokenizer, max_length)
    file = squad(*examples)
    return QuestionAnswering(task, file, file, CONFIG, batching(), stride)


def certain(first: int, last: int, length: int) -> Outputs:
    """The logits of a model that is sure of a span."""
    logits = np.zeros((length, 2), dtype=np.float32)
    logits[first, 0] = logits[last, 1] = 20
    return {"logits": logits}


@pytest.mark.parametrize("answer", ["Carol Stone", "New York.", "works"])
def test_a_model_that_hits_the_targets_is_served_with_the_answer(tokenizer: Tokenizer, answer: str) -> None:
    (row,) = question_answering(tokenizer, question(answer)).rows
    task = served_task(CONFIG, "qa", tokenizer, 256)
    encoded = task.encode(QuestionRequest("Who works in New York?", CONTEXT))
    assert task.decode(encoded, [certain(row.first, row.last, len(row))]).answer == answer


def test_every_window_is_a_row_and_those_without_the_whole_answer_point_at_cls(tokenizer: Tokenizer) -> None:
    rows = question_answering(tokenizer, question("Carol Stone"), max_length=80, stride=24).rows
    task = served_task(CONFIG, "qa", tokenizer, 80)
    encoded = task.encode(QuestionRequest("Who works in New York?", CONTEXT, window_stride=24))
    assert len(rows) == len(encoded.windows) > 2
    tokens = encoded.tokens
    answers = []
    for row, window in zip(rows, encoded.windows, strict=True):
        assert row.ids.tolist() == window.sequence.input_ids.tolist()
        if (row.first, row.last) != (0, 0):
            first, last = (place - window.text_offset + window.first_token for place in (row.first, row.last))
            answers.append(CONTEXT[tokens.starts[first] : tokens.ends[last]])
    assert set(answers) == {"Carol Stone"}
    assert len(answers) < len(rows)


def test_a_question_without_answer_points_at_cls(tokenizer: Tokenizer) -> None:
    (row,) = question_answering(tokenizer, question(None)).rows
    assert (row.first, row.last) == (0, 0)


def test_cls_and_context_compete_and_question_and_padding_do_not(tokenizer: Tokenizer) -> None:
    short = question("Carol Stone", context="Carol Stone works.", name="2")
    objective = question_answering(tokenizer, question("Carol Stone"), short)
    (part, other) = objective.parts(None, Position())
    rows = sorted(objective.rows, key=len)
    _, competing = part.targets
    row = rows[0]
    assert competing[0].nonzero()[:, 0].tolist() == [0, *range(row.text_offset, len(row))]
    assert other.count == part.count == 2


def test_the_count_of_right_answers_is_that_of_the_served_ones(tokenizer: Tokenizer, encoder: Path) -> None:
    model = load(encoder, "embed")
    objective = question_answering(tokenizer, question("Carol Stone"), question(None, name="2"))

    class Sure(torch.nn.Module):
        """Sure of Carol Stone, whatever is asked."""

        config = model.config

        def forward(self, ids: torch.Tensor, mask: torch.Tensor, types: torch.Tensor) -> torch.Tensor:
            row = objective.rows[0]
            logits = torch.zeros(*ids.shape, 2)
            logits[:, row.first, 0] = logits[:, row.last, 1] = 20
            return logits

    measured = objective.measure(Sure(), None)  # type: ignore[arg-type]
    assert measured.figures == {"exact match": 0.5, "f1": 0.5}


CONLL = """-DOCSTART- O

Carol B-PER
Stone I-PER
leads O
Acme O

Alice B-PER
Bob B-PER
works O
"""


def served_as_learned(
    tokenizer: Tokenizer, file: EntityFile, config: BigBirdConfig
) -> tuple[Sequence[Entity], np.ndarray]:
    """Return what is served of the first text by a model that hits every target, and the targets, `[tokens]`."""
    task = served_task(config, "ner", tokenizer, 256)
    (row,) = EntityRecognition(task, file, file, config, batching()).rows
    labelled = np.flatnonzero(row.token_targets >= 0)
    logits = np.zeros((len(row), len(config.labels)), dtype=np.float32)
    logits[labelled, row.token_targets[labelled]] = 20
    return task.decode(task.encode(EntityRequest(file.texts[0].text)), [{"logits": logits}]).entities, row.token_targets


@pytest.fixture
def tagged(tmp_path: Path) -> Path:
    path = tmp_path / "entities.conll"
    path.write_text(CONLL)
    return path


@pytest.mark.parametrize(
    ("labels", "used"),
    [
        pytest.param(("O", "B-PER", "I-PER"), "O B-PER I-PER", id="BIO"),
        pytest.param(("O", "B-PER", "I-PER", "L-PER", "U-PER"), "O B-PER I-PER L-PER", id="BILOU"),
        pytest.param(("S-PER", "E-PER", "I-PER", "B-PER", "O"), "O B-PER I-PER E-PER", id="BIOES"),
    ],
)
def test_a_model_that_hits_the_targets_is_served_with_the_entities(
    tokenizer: Tokenizer, tagged: Path, labels: tuple[str, ...], used: str
) -> None:
    found, targets = served_as_learned(tokenizer, read_conll(tagged), replace(CONFIG, labels=labels))
    assert {labels[target] for target in targets if target >= 0} == set(used.split())
    assert [(own.entity, own.text) for own in found] == [("PER", "Carol Stone"), ("PER", "Alice"), ("PER", "Bob")]
    assert targets[[0, -1]].tolist() == [-100, -100]


def test_entities_beside_marks_and_line_breaks_are_learned_as_they_are_served(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    path = tmp_path / "entities.jsonl"
    path.write_text('{"text": "(Carol\\nStone, Alice.)", "entities": [[1, 12, "PER"], [14, 19, "PER"]]}')
    file = read_entities(path)
    config = replace(CONFIG, labels=("O", "B-PER", "I-PER"))
    found, _ = served_as_learned(tokenizer, file, config)
    assert [(entity.start, entity.end) for entity in found] == [(1, 12), (14, 19)]


def test_labels_without_positions_are_learned_as_they_are_served(tokenizer: Tokenizer, tmp_path: Path) -> None:
    path = tmp_path / "entities.conll"
    path.write_text("Carol PER\nStone PER\nleads O\nAcme ORG\n")
    file = read_conll(path)
    config = replace(CONFIG, labels=("ORG", "O", "PER"))
    found, _ = served_as_learned(tokenizer, file, config)
    assert [(entity.entity, entity.text) for entity in found] == [("PER", "Carol Stone"), ("ORG", "Acme")]


def test_an_entity_of_one_token_has_the_label_for_it() -> None:
    labels = ("O", "B-PER", "I-PER", "L-PER", "U-PER")
    assert labels_of_entities(labels) == {"PER": EntityLabels(first=1, inside=2, last=3, single=4)}
    assert labels_of_entities(("O", "B-PER", "I-PER")) == {"PER": EntityLabels(1, 2, 2, 1)}
    assert labels_of_entities(("LOC", "O")) == {"LOC": EntityLabels(0, 0, 0, 0)}


def test_every_text_that_cannot_be_encoded_is_named(tokenizer: Tokenizer) -> None:
    examples = [SquadExample(str(line), "Who?", "\u200b", (), True, line) for line in (7, 9)]
    with pytest.raises(DataError) as caught:
        question_answering(tokenizer, *examples)
    assert [line.split(": ")[0] for line in str(caught.value).split("\n")[1:]] == [
        "questions.json:7",
        "questions.json:9",
    ]


def test_labels_of_entities_are_those_of_bio() -> None:
    assert bio_labels(["LOC", "PER"]) == ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")


def test_a_pair_is_a_row_with_two_token_types_and_every_window_has_the_label(tokenizer: Tokenizer) -> None:
    config = BigBirdConfig.from_dict({**CONFIG.to_dict(), "problem_type": "single_label_classification"})
    task = served_task(config, "classify", tokenizer, 64)
    texts = [
        LabelledText("Alice leads Acme.", "Bob works.", ("B-PER",), None, 2),
        LabelledText(sentence(80, seed=3), None, ("O",), None, 3),
    ]
    file = (Path("texts.tsv"), texts)
    rows = Classification(task, file, file, config, batching()).rows
    pair = tokenizer.pair(tokenizer.tokenize("Alice leads Acme.").ids, tokenizer.tokenize("Bob works.").ids)
    assert rows[0].ids.tolist() == pair.input_ids.tolist()
    assert rows[0].types.tolist() == pair.token_type_ids.tolist()
    assert [row.target for row in rows] == [(1.0,)] + [(0.0,)] * (len(rows) - 1)
    assert len(rows) > 3


def test_an_example_that_cannot_be_encoded_is_named_by_its_line(tokenizer: Tokenizer) -> None:
    with pytest.raises(DataError, match=r"questions\.json:7: .*context has no visible characters"):
        question_answering(tokenizer, SquadExample("1", "Who?", "\u200b", (), True, 7))


def test_a_step_never_mixes_the_two_kinds_of_attention(tokenizer: Tokenizer) -> None:
    examples = [question("Carol Stone", name=str(number)) for number in range(3)]
    examples += [question("Bob", context=f"Bob {sentence(10, number)}", name=f"short {number}") for number in range(3)]
    objective = QuestionAnswering(
        served_task(CONFIG, "qa", tokenizer, 256), squad(*examples), squad(*examples), CONFIG, batching(rows=6)
    )
    parts = objective.parts(None, Position())
    assert [part.batch.input_ids.shape[0] for part in parts] == [3, 3]
    assert [uses_full_attention(part.batch.input_ids.shape[1], CONFIG) for part in parts] == [True, False]
    assert all(part.count == 6 for part in parts)


def test_fresh_blocks_replace_those_of_the_pattern_for_one_step(tokenizer: Tokenizer, encoder: Path) -> None:
    examples = squad(*(question("Carol Stone", name=str(number)) for number in range(3)))
    config = load(encoder, "embed").config
    task = served_task(config, "qa", tokenizer, 256)
    seen = []

    class Spying(QuestionAnswering):
        def summed_loss(self, model, batch, targets):  # type: ignore[no-untyped-def]
            seen.append(model.encoder.random_blocks)
            return torch.zeros(())

    objective = Spying(task, examples, examples, config, batching(fresh_blocks=True))
    model = load(encoder, "embed")
    own = model.encoder.random_blocks
    for step in (0, 1, 0):
        for part in objective.parts(None, Position(total_steps=step)):
            objective.loss(model, part)
    assert model.encoder.random_blocks is own
    tables = [blocks[0].table for blocks in seen]
    assert (tables[0] == tables[2]).all()
    assert not (tables[0] == tables[1]).all()


def test_rows_are_padded_to_whole_blocks_with_the_padding_id() -> None:
    sequence = EncodedSequence(np.array([1, 5, 6, 2]), np.array([0, 0, 1, 1]))
    config = BigBirdConfig.from_dict({**CONFIG.to_dict(), "pad_token_id": 9})
    batch = pad([row_of(sequence)], config)
    assert batch.input_ids.tolist() == [[1, 5, 6, 2] + [9] * 12]
    assert batch.attention_mask.tolist() == [[1] * 4 + [0] * 12]
    assert batch.token_type_ids.tolist() == [[0, 0, 1, 1] + [0] * 12]


def test_a_regression_is_measured_by_its_errors_too() -> None:
    """Two predictions that are 1 too small and 2 too large: in the right order, and wrong by that much."""
    measured = PROBLEM_TYPES["regression"].measure(np.array([[1.0], [7.0]]), np.array([[2.0], [5.0]]))
    assert measured.figures == pytest.approx(
        {"pearson": 1, "spearman": 1, "mean squared error": 2.5, "mean absolute error": 1.5}
    )
    assert measured.score == pytest.approx(1)
