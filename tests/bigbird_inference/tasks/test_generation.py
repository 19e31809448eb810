"""Continuations of prompts, step by step, with a model whose next token the test decides."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.generation.logits_process import TemperatureLogitsWarper, TopPLogitsWarper

from bigbird_inference.errors import InferenceFailed, InvalidInput
from bigbird_inference.manifest import Manifest, TokenizerFile
from bigbird_inference.runtime.session import Float32Array
from bigbird_inference.tasks.generation import (
    Generation,
    GenerationAnswer,
    GenerationRequest,
    draw_nucleus,
    most_probable,
)
from bigbird_inference.tokenization.tokenizer import Tokenizer
from tests.fake_model import MODEL_CONFIG, logits_only

VOCABULARY = MODEL_CONFIG["vocab_size"]
CLS, SEP, PAD = 1, 2, 0
END = 4

Model = Callable[[list[int]], Float32Array]
"""From the ids of a sequence to the logits of the token after it."""


@pytest.fixture(scope="module")
def make_generation(make_manifest: Callable[..., Manifest], tokenizer: Tokenizer) -> Callable[..., Generation]:
    def make(eos_id: int | None = END, further: Sequence[int] = ()) -> Generation:
        special = {"cls_id": CLS, "sep_id": SEP, "pad_id": PAD, "mask_id": 3}
        file = TokenizerFile("tokenizer.model", 1, "0" * 64, **special, eos_id=eos_id, further_eos_ids=list(further))
        return Generation(make_manifest(task="generate", tokenizer=file), tokenizer)

    return make


@pytest.fixture(scope="module")
def generation(make_generation: Callable[..., Generation]) -> Generation:
    """A model of 64 tokens that ends its texts with id 4."""
    return make_generation()


def run(task: Generation, request: GenerationRequest, model: Model) -> tuple[GenerationAnswer, list[list[int]]]:
    """Run to the end; also return the sequences that the model read."""
    encoded, read = task.encode(request), []
    while True:
        (window,) = encoded.windows
        ids = window.sequence.input_ids.tolist()
        read.append(ids)
        assert window.sequence.positions is not None
        assert window.sequence.positions.tolist() == [len(ids) - 1]
        assert not window.sequence.token_type_ids.any()
        outputs = logits_only([model(ids)[None]])
        following = task.continuation(encoded, outputs)
        if following is None:
            return task.decode(encoded, outputs), read
        encoded = following


def saying(*token_ids: int, prompt_length: int) -> Model:
    """A model that is all but sure of these tokens, one after another."""

    def model(ids: list[int]) -> Float32Array:
        logits = np.zeros(VOCABULARY, dtype=np.float32)
        logits[token_ids[len(ids) - 1 - prompt_length]] = 50.0
        return logits

    return model


def undecided(ids: list[int]) -> Float32Array:
    """A model that likes many tokens, depending on all it has read."""
    return np.random.default_rng(ids).normal(0, 2, VOCABULARY).astype(np.float32)


def test_the_most_probable_tokens_follow_until_the_end(generation: Generation, tokenizer: Tokenizer) -> None:
    prompt = tokenizer.tokenize("Alice leads").ids.tolist()
    new = tokenizer.tokenize("the project").ids.tolist()
    model = saying(*new, END, prompt_length=len(prompt))
    answer, read = run(generation, GenerationRequest("Alice leads"), model)
    assert answer.text == " the project"
    assert [token.token_id for token in answer.tokens] == new
    assert [token.token for token in answer.tokens] == [tokenizer.vocabulary.token_text(token_id) for token_id in new]
    assert (answer.stop, answer.seed) == ("end", None)
    assert read == [[CLS, *prompt, *new[:count]] for count in range(len(new) + 1)]


@pytest.mark.parametrize("end", [END, SEP], ids=["the model's end of text", "a separator"])
def test_a_text_may_end_before_it_begins(generation: Generation, tokenizer: Tokenizer, end: int) -> None:
    prompt_length = len(tokenizer.tokenize("Alice").ids)
    answer, read = run(generation, GenerationRequest("Alice"), saying(end, prompt_length=prompt_length))
    assert (answer.text, answer.tokens, answer.stop, len(read)) == ("", [], "end", 1)


def test_a_model_without_an_end_of_text_ends_at_a_separator(
    make_generation: Callable[..., Generation], tokenizer: Tokenizer
) -> None:
    word = tokenizer.tokenize("project").ids.tolist()
    model = saying(*word, SEP, prompt_length=len(tokenizer.tokenize("Alice").ids))
    answer, _ = run(make_generation(eos_id=None), GenerationRequest("Alice"), model)
    assert (answer.text, answer.stop) == (" project", "end")


@pytest.mark.parametrize("end", [END, 6, 7, SEP])
def test_each_of_several_ends_ends_a_text(
    make_generation: Callable[..., Generation], tokenizer: Tokenizer, end: int
) -> None:
    word = tokenizer.tokenize("project").ids.tolist()
    model = saying(*word, end, prompt_length=len(tokenizer.tokenize("Alice").ids))
    answer, _ = run(make_generation(further=(6, 7)), GenerationRequest("Alice"), model)
    assert (answer.text, answer.stop) == (" project", "end")


@pytest.mark.parametrize("limit", [1, 2, 7])
def test_no_more_tokens_come_than_were_asked_for(generation: Generation, limit: int) -> None:
    answer, read = run(generation, GenerationRequest("Alice", max_new_tokens=limit), undecided)
    assert (len(answer.tokens), len(read), answer.stop) == (limit, limit, "length")


def test_the_end_of_text_in_the_last_place_is_the_end(generation: Generation, tokenizer: Tokenizer) -> None:
    word = tokenizer.tokenize("project").ids.tolist()
    model = saying(*word, END, prompt_length=len(tokenizer.tokenize("Alice").ids))
    answer, _ = run(generation, GenerationRequest("Alice", max_new_tokens=len(word) + 1), model)
    assert (answer.text, answer.stop) == (" project", "end")


def test_generation_stops_where_the_models_length_does(generation: Generation, tokenizer: Tokenizer) -> None:
    prompt = "project " * 60
    assert len(tokenizer.tokenize(prompt)) == 60
    answer, read = run(generation, GenerationRequest(prompt, max_new_tokens=100), undecided)
    assert [len(ids) for ids in read] == [61, 62, 63, 64]
    assert (len(answer.tokens), answer.stop) == (4, "length")


def test_the_argmax_is_over_the_whole_vocabulary_as_in_the_reference(
    generation: Generation, tokenizer: Tokenizer
) -> None:
    beyond = len(tokenizer.vocabulary)
    word = tokenizer.tokenize("project").ids.tolist()
    model = saying(CLS, beyond, *word, END, prompt_length=len(tokenizer.tokenize("Alice").ids))
    answer, _ = run(generation, GenerationRequest("Alice"), model)
    assert [token.token_id for token in answer.tokens] == [CLS, beyond, *word]
    assert [token.token for token in answer.tokens] == ["[CLS]", "", "project"]
    assert answer.text == " project"


def drawn(task: Generation, **fields: Any) -> GenerationAnswer:
    return run(task, GenerationRequest("Alice", max_new_tokens=12, sampling="top_p", **fields), undecided)[0]


def test_the_same_seed_draws_the_same_text_and_another_seed_another(generation: Generation) -> None:
    first, again, other = (drawn(generation, seed=seed) for seed in (7, 7, 8))
    assert first == again
    assert first.seed == 7
    assert first.tokens != other.tokens


def test_without_a_seed_the_answer_tells_which_one_was_drawn(generation: Generation) -> None:
    first = drawn(generation)
    assert first.seed is not None
    assert drawn(generation, seed=first.seed) == first
    assert drawn(generation).seed != first.seed


def test_a_vanishing_share_or_temperature_is_greedy(generation: Generation) -> None:
    greedy, _ = run(generation, GenerationRequest("Alice", max_new_tokens=12), undecided)
    for fields in ({"top_p": 1e-9}, {"temperature": 1e-6, "top_p": 1.0}):
        assert drawn(generation, seed=3, **fields).tokens == greedy.tokens
    assert drawn(generation, seed=3).tokens != greedy.tokens


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (GenerationRequest(" "), "^prompt is empty"),
        (GenerationRequest("\ud800"), "^prompt is not valid Unicode"),
        (GenerationRequest("project " * 64), "^prompt is too long: .* 65 tokens, the model at most 64"),
        (GenerationRequest("Alice", top_p=0.5), "^top_p has no effect"),
        (GenerationRequest("Alice", temperature=1.0), "^temperature has no effect"),
        (GenerationRequest("Alice", seed=0), "^seed has no effect"),
    ],
    ids=[
        "a blank prompt",
        "a prompt that is not Unicode",
        "a prompt longer than the model",
        "a share without sampling",
        "a temperature without sampling",
        "a seed without sampling",
    ],
)
def test_impossible_requests_are_refused(generation: Generation, request_: GenerationRequest, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        generation.encode(request_)


def test_special_pieces_in_a_prompt_are_characters(generation: Generation) -> None:
    ids = generation.encode(GenerationRequest("[CLS] [SEP] [MASK] <pad>")).windows[0].sequence.input_ids.tolist()
    assert ids[0] == CLS
    assert not {CLS, SEP, 3, PAD} & set(ids[1:])


@pytest.mark.parametrize(
    "logits",
    [np.zeros((2, VOCABULARY)), np.zeros((1, 5)), np.full((1, VOCABULARY), np.nan)],
    ids=["two positions", "another vocabulary", "not a number"],
)
def test_unusable_logits_fail_the_request(generation: Generation, logits: Any) -> None:
    encoded = generation.encode(GenerationRequest("Alice"))
    with pytest.raises(InferenceFailed):
        generation.continuation(encoded, logits_only([logits.astype(np.float32)]))
    with pytest.raises(InferenceFailed):
        generation.decode(encoded, logits_only([logits.astype(np.float32)]))


PROBABILITIES = np.array([0.1, 0.4, 0.2, 0.3])
LOGITS = np.log(PROBABILITIES).astype(np.float32)


def draws(top_p: float, temperature: float = 1.0, count: int = 4000) -> np.ndarray:
    generator = np.random.default_rng(0)
    tokens = [draw_nucleus(LOGITS, top_p=top_p, temperature=temperature, generator=generator) for _ in range(count)]
    return np.bincount(tokens, minlength=4) / count


def test_the_most_probable_token_is_the_first_of_equal_ones() -> None:
    assert most_probable(np.array([1.0, 7.0, 7.0], np.float32)) == 1


def test_without_a_cut_tokens_come_as_often_as_they_are_probable() -> None:
    assert draws(top_p=1.0) == pytest.approx(PROBABILITIES, abs=0.03)


@pytest.mark.parametrize(
    ("top_p", "expected"),
    [(0.01, [0, 1, 0, 0]), (0.39, [0, 1, 0, 0]), (0.41, [0, 4 / 7, 0, 3 / 7]), (0.75, [0, 4 / 9, 2 / 9, 3 / 9])],
    ids=["the best token is always in", "the best alone is enough", "one more is needed", "all but the rarest"],
)
def test_only_the_smallest_set_of_that_probability_is_drawn_from(top_p: float, expected: list[float]) -> None:
    found = draws(top_p)
    assert found == pytest.approx(expected, abs=0.03)
    assert (found > 0).tolist() == [share > 0 for share in expected]


def test_a_low_temperature_makes_the_best_token_certain_and_a_high_one_all_alike() -> None:
    assert draws(1.0, temperature=0.01).tolist() == [0, 1, 0, 0]
    assert draws(1.0, temperature=100.0) == pytest.approx([0.25] * 4, abs=0.03)


def test_extreme_logits_do_not_overflow() -> None:
    logits = np.array([-3e38, 3e38, 0.0], np.float32)
    assert draw_nucleus(logits, top_p=1.0, temperature=0.01, generator=np.random.default_rng(0)) == 1


class Fixed:
    """A generator whose next number is known."""

    def __init__(self, number: float) -> None:
        self.number = number

    def random(self) -> float:
        return self.number


@settings(deadline=None)
@given(
    values=st.lists(st.integers(-32, 32).map(lambda quarters: quarters / 4), min_size=2, max_size=20, unique=True),
    top_p=st.floats(0.05, 0.99),
    temperature=st.floats(0.2, 5.0),
)
def test_the_set_that_is_drawn_from_is_that_of_transformers(
    values: list[float], top_p: float, temperature: float
) -> None:
    scores = torch.tensor([values], dtype=torch.float64)
    kept = TopPLogitsWarper(top_p)(None, TemperatureLogitsWarper(temperature)(None, scores))[0]  # type: ignore[arg-type]
    expected = torch.softmax(kept, dim=0).numpy()
    cumulative = np.sort(np.cumsum(np.sort(torch.softmax(scores[0] / temperature, 0).numpy())[::-1]))
    if np.min(np.abs(cumulative - top_p)) < 1e-6:
        return  # which side of the cut a token falls on is a matter of rounding
    logits = np.array(values, np.float32)
    numbers = (np.arange(2000) + 0.5) / 2000
    drawn = [
        draw_nucleus(logits, top_p=top_p, temperature=temperature, generator=Fixed(number))  # type: ignore[arg-type]
        for number in numbers
    ]
    found = np.bincount(drawn, minlength=len(values)) / len(numbers)
    assert found == pytest.approx(expected, abs=2e-3)
