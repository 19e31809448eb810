import pytest

from model_export.checkpoints.flax import find, flax_names
from model_export.checkpoints.pytorch import huggingface_names
from model_export.checkpoints.source_tensors import SourceTensor
from model_export.config import BigBirdConfig
from model_export.nn.heads import HEADS
from model_export.nn.model import build_model
from model_export.patterns.registry import get_pattern
from tests.model_export.checkpoints.exported_fixtures import FIXTURES

POOLER = {"bert/pooler/kernel", "bert/pooler/bias"}
SEQUENCE_PAIRS = {"cls/seq_relationship/kernel", "cls/seq_relationship/bias"}


@pytest.mark.parametrize("use_bias", [True, False], ids=["with query, key and value biases", "without them"])
@pytest.mark.parametrize("tied", [True, False], ids=["decoder tied", "decoder not tied"])
@pytest.mark.parametrize("task", HEADS)
def test_each_tensor_of_our_model_has_one_name(task: str, tied: bool, use_bias: bool) -> None:
    config = BigBirdConfig(
        vocab_size=60,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=40,
        max_position_embeddings=128,
        block_size=16,
        num_random_blocks=1,
        tie_word_embeddings=tied,
        use_bias=use_bias,
    )
    names = flax_names(task, config)
    assert names.keys() == build_model(config, task, get_pattern("none")).state_dict().keys()
    assert names.keys() == huggingface_names(task, config).keys()
    assert len({source.name for source in names.values()}) == len(names)


@pytest.mark.parametrize(
    ("folder", "task", "unread"),
    [
        ("qa", "qa", set()),
        ("classify", "classify", POOLER),
        ("ner", "ner", set()),
        ("fill-mask", "fill-mask", set()),
        ("pre-training", "fill-mask", POOLER | SEQUENCE_PAIRS),
        ("multiple-choice", "multiple-choice", set()),
        ("embed", "embed", set()),
    ],
)
def test_the_names_are_those_that_flax_writes(folder: str, task: str, unread: set[str]) -> None:
    weights = find(FIXTURES / "flax" / folder)
    assert weights is not None
    config = BigBirdConfig(num_hidden_layers=2)
    assert {source.name for source in flax_names(task, config).values()} == set(weights.read()) - unread


def test_an_encoder_without_a_pooler_has_none_in_the_table() -> None:
    names = flax_names("embed", BigBirdConfig(has_pooler=False))
    assert not [name for name in names if name.startswith("head.")]


def test_matrices_lie_the_other_way_round_and_embeddings_do_not() -> None:
    names = flax_names("fill-mask", BigBirdConfig(tie_word_embeddings=False))
    assert names["embeddings.word.weight"] == SourceTensor("bert/embeddings/word_embeddings/embedding", "same")
    assert names["encoder.layers.3.attention.norm.weight"] == SourceTensor(
        "bert/encoder/layer/3/attention/output/LayerNorm/scale", "same"
    )
    assert names["encoder.layers.3.attention.key.weight"] == SourceTensor(
        "bert/encoder/layer/3/attention/self/key/kernel", "transposed"
    )
    assert names["head.decoder_weight"] == SourceTensor("cls/predictions/decoder/kernel", "transposed")
