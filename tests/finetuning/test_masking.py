from pathlib import Path

import numpy as np
import pytest

from bigbird_inference.tokenization.tokenizer import Tokenizer
from evaluation.data.plain_texts import PlainText
from evaluation.data.source_text import DataError
from finetuning.masked_language_model import MaskedRow, Masking, masked_rows
from tests.finetuning.small_models import sentence

FILE = Path("texts.txt")


def long_row(tokenizer: Tokenizer, number: int = 0) -> MaskedRow:
    texts = [PlainText(sentence(800, seed=4), 1)]
    row = masked_rows(tokenizer, FILE, texts, 10_000, joined=False)[0]
    return MaskedRow(row.ids, row.types, row.positions, row.tokens, number)


def test_fifteen_of_a_hundred_tokens_are_chosen_and_of_these_eighty_masked_and_ten_replaced(
    tokenizer: Tokenizer,
) -> None:
    masking = Masking(tokenizer, seed=1)
    row = long_row(tokenizer)
    masked = replaced = same = chosen = 0
    for step in range(200):
        step_row = masking.of_step(row, step)
        own = step_row.ids[step_row.positions]
        assert (step_row.tokens == row.ids[step_row.positions]).all()
        chosen += len(own)
        masked += int((own == tokenizer.mask_id).sum())
        same += int((own == step_row.tokens).sum())
        replaced += int(((own != tokenizer.mask_id) & (own != step_row.tokens)).sum())
    assert chosen == 200 * round(0.15 * (len(row) - 2))
    assert masked / chosen == pytest.approx(0.80, abs=0.01)
    # One of about 80 replacements is the token itself.
    assert replaced / chosen == pytest.approx(0.10, abs=0.01)
    assert same / chosen == pytest.approx(0.10, abs=0.01)


def test_nothing_else_is_changed_and_special_tokens_are_never_chosen(tokenizer: Tokenizer) -> None:
    row = long_row(tokenizer)
    masked = Masking(tokenizer, seed=1).of_step(row, 3)
    others = np.setdiff1d(np.arange(len(row)), masked.positions)
    assert (masked.ids[others] == row.ids[others]).all()
    assert not {0, len(row) - 1} & set(masked.positions.tolist())


def test_only_tokens_that_a_text_can_hold_stand_in_for_others(tokenizer: Tokenizer) -> None:
    row = long_row(tokenizer)
    masking = Masking(tokenizer, seed=1)
    seen = {int(token) for step in range(100) for token in masking.of_step(row, step).ids}
    processor = tokenizer.vocabulary.processor
    special = {tokenizer.cls_id, tokenizer.sep_id, tokenizer.mask_id}
    assert not [token for token in seen - special if processor.is_control(token) or processor.is_unknown(token)]


def test_choices_depend_on_seed_step_and_row(tokenizer: Tokenizer) -> None:
    row, other = long_row(tokenizer), long_row(tokenizer, number=1)
    first = Masking(tokenizer, seed=1)
    positions = [
        tuple(masking.of_step(masked, step).positions.tolist())
        for masking, masked, step in [
            (first, row, 0),
            (first, row, 1),
            (first, other, 0),
            (Masking(tokenizer, seed=2), row, 0),
        ]
    ]
    assert len(set(positions)) == 4
    assert tuple(Masking(tokenizer, seed=1).of_step(row, 0).positions.tolist()) == positions[0]


def test_even_one_token_is_learned_from(tokenizer: Tokenizer) -> None:
    row = masked_rows(tokenizer, FILE, [PlainText("Bob", 1)], 64, joined=False)[0]
    assert len(Masking(tokenizer, seed=1).of_step(row, 0).positions) == 1


def test_paragraphs_share_rows_and_documents_do_not(tokenizer: Tokenizer) -> None:
    texts = [PlainText("Alice leads", 1), PlainText("Bob works", 3), PlainText(sentence(40, seed=1), 5)]
    lengths = [len(tokenizer.tokenize(text.text)) for text in texts]
    apart = masked_rows(tokenizer, FILE, texts, 32, joined=False)
    assert [len(row) for row in apart[:2]] == [lengths[0] + 2, lengths[1] + 2]
    assert max(map(len, apart)) == 32
    assert sum(len(row) - 2 for row in apart) == sum(lengths)
    together = masked_rows(tokenizer, FILE, texts, 32, joined=True)
    assert len(together[0]) == lengths[0] + lengths[1] + 2


def test_a_file_without_visible_text_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(DataError, match=r"texts\.txt: no visible text"):
        masked_rows(tokenizer, FILE, [PlainText("", 1)], 64, joined=False)
