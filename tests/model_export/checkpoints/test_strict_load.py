import pytest
import torch
from torch import nn

from model_export.checkpoints.source_tensors import Layout, SourceTensor, load_strictly
from model_export.errors import CheckpointError

NAMES = {"weight": SourceTensor("theirs.w"), "bias": SourceTensor("theirs.b")}


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


def test_a_prefix_under_which_the_model_uses_a_tensor_excuses_nothing() -> None:
    extra = {"theirs.other": torch.ones(1)}
    with pytest.raises(CheckpointError, match=r"unexpected: theirs\.other"):
        load_strictly(nn.Linear(3, 2), _tensors() | extra, NAMES, ("theirs.",))


MATRIX = torch.arange(12.0).view(2, 6)


@pytest.mark.parametrize(
    ("layout", "theirs"),
    [
        pytest.param("same", MATRIX, id="as ours"),
        pytest.param("transposed", MATRIX.T, id="inputs first"),
        pytest.param(
            "heads_out", torch.stack([MATRIX[0], MATRIX[1]], dim=-1).view(6, 1, 2), id="a head of two outputs"
        ),
        pytest.param("heads_out", MATRIX.T.reshape(6, 2, 1), id="two heads of one output"),
        pytest.param("heads_out", MATRIX.T, id="outputs of all heads in one axis"),
        pytest.param("heads_in", MATRIX.T.reshape(3, 2, 2), id="three heads of two inputs"),
        pytest.param("heads_in", MATRIX.T, id="inputs of all heads in one axis"),
        pytest.param("flat", MATRIX.view(3, 4), id="elements in order, any shape"),
    ],
)
def test_a_tensor_is_turned_from_its_layout(layout: Layout, theirs: torch.Tensor) -> None:
    arranged = SourceTensor("w", layout).arranged(theirs)
    assert torch.equal(arranged, MATRIX.flatten() if layout == "flat" else MATRIX)


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        ("transposed", r"w is \[2, 3\], expected \[3, 2\]"),
        ("heads_out", r"w is \[2, 3\], expected \[3, heads, head_dim\] with 2 in all heads"),
        ("heads_in", r"w is \[2, 3\], expected \[heads, head_dim, 2\] with 3 in all heads"),
    ],
)
def test_a_shape_that_does_not_fit_is_described_as_the_source_should_have_it(layout: Layout, expected: str) -> None:
    model = nn.Linear(3, 2, bias=False)
    with pytest.raises(CheckpointError, match=expected):
        load_strictly(model, {"w": torch.zeros(2, 3)}, {"weight": SourceTensor("w", layout)}, ())


def test_all_mismatches_stand_in_one_error_and_nothing_is_loaded() -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    names = {
        f"{index}.{part}": SourceTensor(f"theirs.{index}.{part}") for index in (0, 1) for part in ("weight", "bias")
    }
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


def test_of_each_kind_of_mismatch_the_first_twenty_are_shown_and_how_many_more() -> None:
    unknown = {f"other.{number:06}": torch.zeros(1) for number in range(100_000)} | {"x" * 10**6: torch.zeros(1)}
    with pytest.raises(CheckpointError) as refused:
        load_strictly(nn.Linear(3, 2), unknown, NAMES, ())
    assert str(refused.value).splitlines() == [
        "the weights do not fit the configuration:",
        "  missing: theirs.w [2, 3]",
        "  missing: theirs.b [2]",
        *[f"  unexpected: other.0000{number:02}" for number in range(20)],
        "  unexpected: and 99,981 more",
        "  leave out what the answers do not need with `bigbird export --ignore-weights PATTERN`",
    ]


def test_a_long_name_is_cut_short() -> None:
    with pytest.raises(CheckpointError) as refused:
        load_strictly(nn.Linear(3, 2), _tensors() | {"x" * 10**6: torch.zeros(1)}, NAMES, ())
    assert f"\n  unexpected: {'x' * 200}...\n" in str(refused.value)


def test_an_incomplete_table_of_names_is_a_programming_error() -> None:
    with pytest.raises(AssertionError, match="bias"):
        load_strictly(nn.Linear(3, 2), _tensors(), {"weight": SourceTensor("theirs.w")}, ())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_weights_that_are_no_finite_numbers_are_refused_by_name(value: float, dtype: torch.dtype) -> None:
    tensors = {name: tensor.to(dtype) for name, tensor in _tensors().items()}
    tensors["theirs.w"][1, 2] = value
    with pytest.raises(CheckpointError) as refused:
        load_strictly(nn.Linear(3, 2), tensors, NAMES, ())
    assert str(refused.value) == (
        "weights that are not finite numbers: theirs.w: 1 of 6 elements; the training diverged or the file is damaged, "
        "take an earlier checkpoint"
    )


def test_the_name_of_a_tied_tensor_serves_where_only_that_is_there() -> None:
    source = SourceTensor("words", tied_to="decoder")
    assert source.found({"words", "decoder"}) == source.found({"other"}) == source
    assert source.found({"decoder"}).name == "decoder"
