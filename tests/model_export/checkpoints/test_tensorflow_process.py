from types import SimpleNamespace
from typing import Any

import pytest

from model_export.checkpoints.tensorflow_process import is_training_state, object_paths


@pytest.mark.parametrize(
    "name",
    [
        "global_step",
        "save_counter",
        "beta1_power",
        "bert/pooler/dense/bias/AdamWeightDecayOptimizer_1",
        "bert/pooler/dense/kernel/adam_m",
        "bert/pooler/dense/kernel/AdafactorOptimizer",
        "optimizer/iterations",
        "model/kernel/.OPTIMIZER_SLOT/optimizer/m",
    ],
)
def test_training_state_is_told_by_any_part_of_a_name(name: str) -> None:
    assert is_training_state(name)


@pytest.mark.parametrize("name", ["bert/pooler/dense/bias", "bert/adaptor/kernel", "model/steps/kernel", "bert/lambda"])
def test_weights_are_no_training_state(name: str) -> None:
    assert not is_training_state(name)


def node(children: dict[str, int], key: str = "") -> Any:
    return SimpleNamespace(
        children=[SimpleNamespace(local_name=name, node_id=number) for name, number in children.items()],
        attributes=[SimpleNamespace(name="VARIABLE_VALUE", checkpoint_key=key)] if key else [],
    )


def graph(*nodes: Any) -> Any:
    return SimpleNamespace(nodes=nodes)


def test_a_variable_is_named_by_its_shortest_path_whatever_its_key() -> None:
    nodes = graph(node({"long": 1, "kernel": 2}), node({"way": 2}), node({}, "variables/0"))
    assert object_paths(nodes) == {"kernel": "variables/0"}


def test_layers_with_weights_are_named_as_such() -> None:
    nodes = graph(node({"layer-3": 1, "layer_with_weights-0": 1}), node({"kernel": 2}), node({}, "k"))
    assert object_paths(nodes) == {"layer_with_weights-0/kernel": "k"}


def test_ways_that_only_repeat_or_train_are_not_taken() -> None:
    nodes = graph(
        node({"variables": 1, "optimizer": 2, "head.part": 4, "head": 3}),
        node({"0": 4}),
        node({"momentum": 4}),
        node({"part": 4}),
        node({}, "k"),
    )
    assert object_paths(nodes) == {"head/part": "k"}


def test_a_graph_that_runs_in_circles_ends() -> None:
    nodes = graph(node({"own": 0, "child": 1}), node({"parent": 0, "kernel": 2}), node({"child": 1}, "k"))
    assert object_paths(nodes) == {"child/kernel": "k"}


def test_a_number_of_no_node_is_an_error_that_the_process_reports() -> None:
    with pytest.raises(IndexError):
        object_paths(graph(node({"child": 99})))
