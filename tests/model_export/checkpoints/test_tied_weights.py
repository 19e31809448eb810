"""Language models of which a tied tensor is missing or is another, as transformers 5.23 loads them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from model_export.checkpoints.checkpoint import CheckpointOptions, LoadedCheckpoint
from model_export.checkpoints.recognise import read_checkpoint
from model_export.errors import ConfigError
from model_export.patterns.registry import get_pattern
from tests.model_export.exported_models import save_model, vocabulary_size
from tests.model_export.reference_models import Reference, make_config, make_document, make_model

WORDS = "bert.embeddings.word_embeddings.weight"
WEIGHT = "cls.predictions.decoder.weight"
BIAS, DECODER_BIAS = "cls.predictions.bias", "cls.predictions.decoder.bias"
Tensors = dict[str, torch.Tensor]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    fields: dict[str, Any] = {"hidden_size": 64, "num_attention_heads": 4}
    model = make_model("fill-mask", make_config(vocabulary_size(tmp_path / "vocabulary"), **fields))
    return save_model(model, tmp_path / "checkpoint")


def edit(folder: Path, change: Callable[[Tensors], object], **fields: object) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file({name: tensor.clone() for name, tensor in tensors.items()}, folder / "model.safetensors")
    config = folder / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | fields))


def load(folder: Path, task: str | None = None) -> LoadedCheckpoint:
    return read_checkpoint(folder, CheckpointOptions(task)).load(get_pattern("transformers"))


CASES: dict[str, tuple[Callable[[Tensors], object], dict[str, object], tuple[str, ...]]] = {
    "the decoder's weight in place of the word embeddings": (
        lambda t: t.update({WEIGHT: t.pop(WORDS)}),
        {},
        (f"{WORDS} is not there: {WEIGHT} is read, which is tied to it",),
    ),
    "the decoder's bias in place of the head's": (
        lambda t: t.update({DECODER_BIAS: t.pop(BIAS)}),
        {},
        (f"{BIAS} is not there: {DECODER_BIAS} is read, which is tied to it",),
    ),
    "both of the decoder alone": (
        lambda t: t.update({WEIGHT: t.pop(WORDS), DECODER_BIAS: t.pop(BIAS)}),
        {},
        (
            f"{WORDS} is not there: {WEIGHT} is read, which is tied to it",
            f"{BIAS} is not there: {DECODER_BIAS} is read, which is tied to it",
        ),
    ),
    "everything twice": (lambda t: t.update({WEIGHT: t[WORDS], DECODER_BIAS: t[BIAS]}), {}, ()),
    "a decoder of its own, which the configuration ties": (
        lambda t: t.update({WEIGHT: t[WORDS].flip(0)}),
        {},
        (
            f"tie_word_embeddings: is true, but {WEIGHT} is not the word embeddings, and is used as transformers does",
            f"{DECODER_BIAS} is not there: {BIAS} is read, which is tied to it",
        ),
    ),
    "a decoder's bias of its own": (
        lambda t: t.update({DECODER_BIAS: t[BIAS].flip(0)}),
        {},
        (
            f"{BIAS} is not {DECODER_BIAS}, which transformers computes with",
            f"{BIAS} is not there: {DECODER_BIAS} is read, which is tied to it",
        ),
    ),
    "a decoder of its own": (
        lambda t: t.update({WEIGHT: t[WORDS].flip(0), DECODER_BIAS: t[BIAS].flip(0)}),
        {"tie_word_embeddings": False},
        (f"{BIAS} is not {DECODER_BIAS}, which transformers computes with",),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_language_model_answers_as_transformers_loads_it(case: str, folder: Path) -> None:
    change, fields, lines = CASES[case]
    edit(folder, change, **fields)
    theirs, report = transformers.BigBirdForMaskedLM.from_pretrained(folder, output_loading_info=True)
    assert not report["missing_keys"]
    document = make_document(40, vocab_size=theirs.config.vocab_size)
    expected = Reference(theirs.eval()).alone(document)
    loaded = load(folder)
    assert loaded.changes == lines
    ids, types = (torch.from_numpy(row)[None] for row in (document.input_ids, document.token_type_ids))
    with torch.inference_mode():
        # Whole blocks, as the service pads them.
        pad = lambda row: torch.nn.functional.pad(row, (0, 8))  # noqa: E731
        ours = loaded.model(pad(ids), pad(torch.ones_like(ids)), pad(types), torch.arange(40)[None])
    assert expected.std() > 0.5
    assert np.abs(ours[0].numpy() - expected).max() <= 1e-4


def test_the_decoder_stands_for_missing_word_embeddings_whatever_the_task(folder: Path) -> None:
    words = load_file(folder / "model.safetensors")[WORDS]
    edit(folder, lambda t: t.update({WEIGHT: t.pop(WORDS)}))
    assert torch.equal(load(folder, "embed").model.embeddings.word.weight, words)


def test_the_bias_of_an_untied_model_of_transformers_4_is_found(folder: Path) -> None:
    # transformers 4 kept the two biases one whatever the configuration said, and saved one; 5.23 draws a new one.
    edit(folder, lambda t: t.update({WEIGHT: t[WORDS].flip(0)}), tie_word_embeddings=False)
    assert load(folder).changes == (f"{DECODER_BIAS} is not there: {BIAS} is read, which is tied to it",)


class TestRowsOfTheVocabulary:
    def test_rows_beyond_the_vocabulary_are_kept(self, folder: Path) -> None:
        model = transformers.BigBirdForMaskedLM.from_pretrained(folder)
        pieces = model.config.vocab_size
        model.resize_token_embeddings(pieces + 3, pad_to_multiple_of=64, mean_resizing=False)
        model.save_pretrained(folder)
        loaded = load(folder)
        assert loaded.model.config.vocab_size == model.config.vocab_size > pieces
        assert loaded.changes == ()

    @pytest.mark.parametrize("rows", [-4, 8], ids=["fewer rows", "more rows"])
    def test_rows_that_the_configuration_does_not_count_are_refused(self, rows: int, folder: Path) -> None:
        def change(tensors: Tensors) -> None:
            for name in (WORDS, BIAS):
                tensor = tensors[name]
                more = torch.zeros(max(rows, 0), *tensor.shape[1:])
                tensors[name] = torch.cat([tensor[: len(tensor) + min(rows, 0)], more])

        edit(folder, change)
        with pytest.raises(RuntimeError):
            transformers.BigBirdForMaskedLM.from_pretrained(folder)
        size = json.loads((folder / "config.json").read_text())["vocab_size"]
        with pytest.raises(ConfigError) as refused:
            read_checkpoint(folder)
        assert str(refused.value) == (
            f"{folder}/config.json: vocab_size: is {size}, but the weights have rows for {size + rows} tokens; "
            f"write {size + rows} there if the tokenizer is that of the weights"
        )
