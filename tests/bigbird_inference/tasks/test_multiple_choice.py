from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bigbird_inference.errors import InferenceFailed, InvalidInput
from bigbird_inference.manifest import Manifest
from bigbird_inference.tasks.multiple_choice import ChoiceRequest, MultipleChoice
from bigbird_inference.tokenization.tokenizer import Tokenizer
from tests.fake_model import MODEL_CONFIG, logits_only

MakeTask = Callable[..., MultipleChoice]


@pytest.fixture(scope="module")
def make_multiple_choice(make_manifest: Callable[..., Manifest], tokenizer: Tokenizer) -> MakeTask:
    def make(**fields: Any) -> MultipleChoice:
        return MultipleChoice(make_manifest(**{"task": "multiple-choice", **fields}), tokenizer)

    return make


def values(*numbers: float) -> list[Any]:
    return [np.array([number], dtype=np.float32) for number in numbers]


def test_each_choice_is_a_sequence_behind_the_whole_prompt(
    make_multiple_choice: MakeTask, tokenizer: Tokenizer
) -> None:
    choices = ("Bob.", "the office in Paris", "Alice")
    encoded = make_multiple_choice().encode(ChoiceRequest("Who leads?", choices))
    prompt = tokenizer.tokenize("Who leads?").ids.tolist()
    for choice, window in zip(choices, encoded.windows, strict=True):
        own = tokenizer.tokenize(choice).ids.tolist()
        assert window.sequence.input_ids.tolist() == [1, *prompt, 2, *own, 2]
        assert window.sequence.token_type_ids.tolist() == [0] * (len(prompt) + 2) + [1] * (len(own) + 1)


@pytest.mark.parametrize(
    "fields",
    [{"pair_types": "zeros"}, {"model": {**MODEL_CONFIG, "type_vocab_size": 1}}],
    ids=["the bundle asks for zeros", "the model knows one type only"],
)
def test_pairs_can_be_untyped(make_multiple_choice: MakeTask, fields: dict[str, Any]) -> None:
    for window in make_multiple_choice(**fields).encode(ChoiceRequest("Alice", ("Bob", "Carol"))).windows:
        assert not window.sequence.token_type_ids.any()


def test_scores_are_a_softmax_over_the_choices_in_their_order(make_multiple_choice: MakeTask) -> None:
    task = make_multiple_choice()
    encoded = task.encode(ChoiceRequest("Who?", ("a", "b", "c")))
    answer = task.decode(encoded, logits_only(values(np.log(1.0), np.log(6.0), np.log(3.0))))
    assert answer.scores == pytest.approx([0.1, 0.6, 0.3], abs=1e-6)
    assert answer.index == 1


def test_of_equal_choices_the_first_is_taken(make_multiple_choice: MakeTask) -> None:
    task = make_multiple_choice()
    answer = task.decode(task.encode(ChoiceRequest("Who?", ("a", "b"))), logits_only(values(2.0, 2.0)))
    assert (answer.index, answer.scores) == (0, [0.5, 0.5])


@pytest.mark.parametrize(
    ("prompt", "choices", "message"),
    [
        (" ", ("a", "b"), "^prompt is empty"),
        ("Who?", ("a", "\t"), r"^choices\[1\] is empty"),
        ("Who?", ("a", "\ud800"), r"^choices\[1\] is not valid Unicode"),
        ("project " * 60, ("project", "project project"), r"^prompt together with choices\[1\] is too long"),
    ],
    ids=[
        "a blank prompt",
        "a blank choice",
        "a choice that is not Unicode",
        "a choice that does not fit behind the prompt",
    ],
)
def test_impossible_requests_are_refused(
    make_multiple_choice: MakeTask, prompt: str, choices: tuple[str, ...], message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        make_multiple_choice().encode(ChoiceRequest(prompt, choices))


@pytest.mark.parametrize(
    "logits",
    [values(1.0), values(1.0, np.nan), [np.zeros(2), np.zeros(2)]],
    ids=["a choice too few", "not a number", "two numbers for a choice"],
)
def test_unusable_logits_fail_the_request(make_multiple_choice: MakeTask, logits: list[Any]) -> None:
    task = make_multiple_choice()
    with pytest.raises(InferenceFailed):
        task.decode(task.encode(ChoiceRequest("Who?", ("a", "b"))), logits_only(logits))
