"""A head for subjects, trained on a small BERT: what is exported must be what was trained and measured."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from demo.real.first_token_vectors import Encoder
from demo.real.topic_head import Examples, TopicHead, logits_of, temperature, train
from demo.real.topics import pooler_of, write_adapter
from model_export.checkpoints.checkpoint import CheckpointOptions
from model_export.checkpoints.recognise import read_checkpoint
from model_export.patterns.registry import get_pattern
from tests.model_export.bert_models import make_bert, save_bert

LABELS = ["Arts", "History", "None of these"]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_bert(make_bert(), tmp_path_factory.mktemp("bert"))


def test_what_is_exported_is_the_head_that_was_trained(encoder: Path, tmp_path: Path) -> None:
    texts = ["the old house", "a", "words " * 300]
    vectors = torch.from_numpy(Encoder(encoder).vectors(texts, tmp_path / "vectors"))
    torch.manual_seed(1)
    head = TopicHead(pooler_of(encoder), len(LABELS))
    nn.init.normal_(head.up.weight)
    write_adapter(head, LABELS, encoder, tmp_path / "adapter")

    checkpoint = read_checkpoint(tmp_path / "adapter", CheckpointOptions(base=str(encoder)))
    assert (checkpoint.task, checkpoint.config.labels) == ("classify", tuple(LABELS))
    assert checkpoint.note is not None
    model = checkpoint.load(get_pattern("none")).model.eval()
    tokenizer = Encoder(encoder)._tokenizer
    for text, expected in zip(texts, logits_of(head, vectors), strict=True):
        ids = torch.tensor([tokenizer.encode(text).ids])
        ids = nn.functional.pad(ids, (0, -ids.shape[1] % model.config.block_size))
        with torch.inference_mode():
            found = model(ids, (ids != 0).long(), torch.zeros_like(ids))[0]
        assert expected.std() > 0.1
        # The adapter is kept in half precision, and vectors were computed in bf16 where the processor has it.
        torch.testing.assert_close(found, expected, atol=0.05, rtol=0.05)


def test_vectors_that_are_kept_are_not_computed_again(encoder: Path, tmp_path: Path) -> None:
    found = Encoder(encoder).vectors(["one", "two"], tmp_path)
    np.save(tmp_path / "000000.npy", found + 1)
    assert np.array_equal(Encoder(encoder).vectors(["one", "two"], tmp_path), found + 1)


def examples(count: int, mistaken: float) -> Examples:
    """Return vectors that tell their labels, a share of which are wrong."""
    generator = torch.Generator().manual_seed(count)
    labels = torch.randint(3, (count,), generator=generator)
    vectors = torch.randn(count, 16, generator=generator) * 0.3
    vectors[torch.arange(count), labels] += 2
    wrong = torch.rand(count, generator=generator) < mistaken
    return Examples(vectors, torch.where(wrong, (labels + 1) % 3, labels))


def test_training_learns_its_probabilities_are_honest_and_it_can_be_repeated() -> None:
    torch.manual_seed(1)
    pooler = nn.Linear(16, 16)
    head = train(pooler, examples(900, 0.2), examples(400, 0.2), 3, seed=1)
    test = examples(600, 0.2)
    probabilities = logits_of(head, test.vectors).softmax(dim=-1)
    right = probabilities.argmax(dim=-1) == test.labels
    assert right.float().mean().item() == pytest.approx(0.8, abs=0.05)
    assert probabilities.max(dim=-1).values.mean().item() == pytest.approx(0.8, abs=0.05)
    again = train(pooler, examples(900, 0.2), examples(400, 0.2), 3, seed=1)
    assert all(torch.equal(own, other) for own, other in zip(head.parameters(), again.parameters(), strict=True))


def test_the_temperature_undoes_what_made_logits_too_sure() -> None:
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(4000, 3, generator=generator)
    labels = torch.multinomial(logits.softmax(dim=-1), 1, generator=generator)[:, 0]
    assert temperature(logits * 3, labels) == pytest.approx(3, abs=0.25)


def test_the_adapter_names_its_base(encoder: Path, tmp_path: Path) -> None:
    write_adapter(TopicHead(pooler_of(encoder), 3), LABELS, encoder, tmp_path)
    values = json.loads((tmp_path / "adapter_config.json").read_text())
    assert values["base_model_name_or_path"] == "sentence-transformers/all-MiniLM-L6-v2"
