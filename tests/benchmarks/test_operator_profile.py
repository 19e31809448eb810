from typing import Any

from benchmarks.operator_profile import node_rows, node_times, operator_rows


def event(name: str, operator: str, microseconds: float, category: str = "Node") -> dict[str, Any]:
    shapes = {"input_type_shape": [{"float": [2, 3]}, {"float": [3]}], "output_type_shape": [{"float": [2, 3]}]}
    return {"cat": category, "name": name, "dur": microseconds, "args": {"op_name": operator, **shapes}}


# Two runs that warm, then two that count.
EVENTS = [
    {"cat": "Session", "name": "model_run", "dur": 99.0, "args": {}},
    *(event("add_kernel_time", "Add", time) for time in (9000.0, 9000.0, 2000.0, 4000.0)),
    *(event("first_kernel_time", "MatMul", time) for time in (9000.0, 9000.0, 5000.0, 5000.0)),
    *(event("second_kernel_time", "MatMul", time) for time in (9000.0, 9000.0, 1000.0, 3000.0)),
    *(event("second_fence_before", "MatMul", time) for time in (1.0, 1.0, 1.0, 1.0)),
]


def test_a_node_takes_the_median_of_its_runs_after_the_warm_ones() -> None:
    times = {node.name: node.seconds for node in node_times(EVENTS)}
    assert times == {"first": 0.005, "add": 0.003, "second": 0.002}


def test_nodes_are_listed_with_their_shapes_the_slowest_first() -> None:
    nodes = node_times(EVENTS)
    assert [node.name for node in nodes] == ["first", "add", "second"]
    assert nodes[0].shapes == "2x3 3 -> 2x3"


def test_operators_are_added_up_and_have_shares_of_the_whole() -> None:
    assert operator_rows(node_times(EVENTS)) == [
        {"operator": "MatMul", "nodes": 2, "ms": 7.0, "share": "70.0%"},
        {"operator": "Add", "nodes": 1, "ms": 3.0, "share": "30.0%"},
    ]


def test_nodes_of_one_operator_and_the_same_shapes_are_a_group() -> None:
    first = node_rows(node_times(EVENTS))[0]
    assert (first["operator"], first["nodes"], first["ms each"], first["share"]) == ("MatMul", 2, 3.5, "70.0%")
