import pytest
import torch
from torch import nn

from model_export.checkpoints.strict_load import load_strictly
from model_export.errors import CheckpointError

NAMES = {"weight": "theirs.w", "bias": "theirs.b"}


def _tensors() -> dict[str, torch.Tensor]:
    return {"theirs.w": torch.arange(6.0).view(2, 3), "theirs.b": torch.ones(2)}


def test_tensors_land_under_our_names() -> None:
    model = nn.Linear(3, 2)
    assert load_strictly(model, _tensors(), NAMES, ()) == []
    assert torch.equal(model.weight, torch.tensor([[0.0, 1, 2], [3, 4, 5]]))
    assert torch.equal(model.bias, torch.ones(2))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floating_types_become_float32(dtype: torch.dtype) -> None:
    model = nn.Linear(3, 2)
    load_strictly(model, {name: tensor.to(dtype) for name, tensor in _tensors().items()}, NAMES, ())
    assert model.weight.dtype == torch.float32
    assert torch.equal(model.weight, torch.arange(6.0).view(2, 3))


def test_ignorable_tensors_are_reported_as_unused_in_order() -> None:
    extra = {"pooler.weight": torch.ones(1), "pooler.bias": torch.ones(1)}
    assert load_strictly(nn.Linear(3, 2), _tensors() | extra, NAMES, ("pooler.",)) == ["pooler.bias", "pooler.weight"]


def test_all_mismatches_stand_in_one_error_and_nothing_is_loaded() -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    names = {f"{index}.{part}": f"theirs.{index}.{part}" for index in (0, 1) for part in ("weight", "bias")}
    before = {key: value.clone() for key, value in model.state_dict().items()}
    tensors = {
        "theirs.0.weight": torch.zeros(3, 2),
        "theirs.0.bias": torch.zeros(2, dtype=torch.int64),
        "theirs.1.bias": torch.zeros(1),
        "other.one": torch.zeros(1),
        "other.two": torch.zeros(1),
        "pooler.weight": torch.zeros(1),
    }
    with pytest.raises(CheckpointError) as refused:
        load_strictly(model, tensors, names, ("pooler.",))
    message = str(refused.value)
    for part in (
        "missing: theirs.1.weight [1, 2]",
        "unexpected: other.one",
        "unexpected: other.two",
        "shape: theirs.0.weight is [3, 2], expected [2, 3]",
        "not floating point: theirs.0.bias is torch.int64",
    ):
        assert part in message
    assert "pooler" not in message
    assert "theirs.1.bias" not in message
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_an_incomplete_table_of_names_is_a_programming_error() -> None:
    with pytest.raises(AssertionError, match="bias"):
        load_strictly(nn.Linear(3, 2), _tensors(), {"weight": "theirs.w"}, ())
