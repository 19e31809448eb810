import pytest

from model_export.checkpoints.weight_names import huggingface_names
from model_export.config import BigBirdConfig
from model_export.nn.model import build_model
from model_export.patterns.registry import get_pattern
from tests.model_export.reference_models import make_config, make_model


@pytest.mark.parametrize("use_bias", [True, False], ids=["with query, key and value biases", "without them"])
@pytest.mark.parametrize("task", ["qa", "classify", "ner"])
def test_the_names_are_those_of_the_transformers_model_and_of_ours(task: str, use_bias: bool) -> None:
    theirs = make_model(task, make_config(60, use_bias=use_bias, num_labels=2))
    config = BigBirdConfig.from_dict(theirs.config.to_dict())
    names = huggingface_names(task, config)
    without_pooler = {name for name in theirs.state_dict() if not name.startswith("bert.pooler.")}
    assert set(names.values()) == without_pooler
    assert len(set(names.values())) == len(names)
    assert set(names) == set(build_model(config, task, get_pattern("none")).state_dict())
