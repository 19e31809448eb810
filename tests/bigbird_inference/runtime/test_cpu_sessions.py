"""What a session does on a CPU, whatever runs its graph."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from bigbird_inference.errors import BundleError
from bigbird_inference.manifest import Manifest, Tensor
from bigbird_inference.runtime.session import Batch, RunControl, RunTerminated, Session
from tests.bigbird_inference.runtime.small_graphs import (
    INPUTS,
    batch_of_ids,
    counting_batch,
    in_fours,
    in_many_products,
    save_counting_graph,
    save_graph_of_ids,
    save_graph_of_positions,
)
from tests.bigbird_inference.runtime.test_external_data import external
from tests.cpu_runtimes import ONNXRUNTIME, OPENVINO, CpuCase
from tests.fake_model import fake_manifest
from tests.hostile_bundles import sums, write_graph

pytestmark = pytest.mark.parametrize("cpu", [ONNXRUNTIME, OPENVINO])

# Rows that hundreds of products take seconds for; it is ended at once.
LONG = 2**16


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    return tmp_path / "graph-8.onnx"


@pytest.fixture
def manifest(graph: Path) -> Manifest:
    """Of the graph of ids, which is written, too."""
    return save_graph_of_ids(graph)


def counting(cpu: CpuCase, folder: Path, nodes: list[Any]) -> Session:
    return cpu.open(folder / "graph-4.onnx", save_counting_graph(folder / "graph-4.onnx", nodes))


def counted(session: Session, count: int, control: RunControl | None = None) -> list[list[float]]:
    return session.run(counting_batch(count), control)["logits"].tolist()


def test_a_session_runs_its_graph(cpu: CpuCase, graph: Path, manifest: Manifest) -> None:
    outputs = cpu.open(graph, manifest).run(batch_of_ids())
    assert list(outputs) == ["logits"]
    logits = outputs["logits"]
    assert logits.dtype == np.float32
    assert logits[0, :4].tolist() == [[5.0, 0.0], [6.0, 0.0], [7.0, 1.0], [0.0, 0.0]]


def test_outputs_stay_what_they_are_when_the_session_runs_again(cpu: CpuCase, graph: Path, manifest: Manifest) -> None:
    session = cpu.open(graph, manifest)
    first = session.run(batch_of_ids())["logits"]
    ones = np.ones((1, 8), dtype=np.int64)
    session.run(Batch(ones, ones, ones))
    assert first[0, :3].tolist() == [[5.0, 0.0], [6.0, 0.0], [7.0, 1.0]]


def test_every_output_has_its_name_and_positions_reach_the_graph(cpu: CpuCase, tmp_path: Path) -> None:
    session = cpu.open(tmp_path / "graph-4.onnx", save_graph_of_positions(tmp_path / "graph-4.onnx"))
    ids = np.array([[5, 6, 7, 8]], dtype=np.int64)
    found = session.run(Batch(ids, ids, ids, positions=np.array([[3, 1]], dtype=np.int64)))
    assert {name: array.tolist() for name, array in found.items()} == {"places": [[3.0, 1.0]], "ids": [[5, 6, 7, 8]]}
    with pytest.raises(ValueError, match="the graph takes positions, and the batch has none"):
        session.run(Batch(ids, ids, ids))


class ControlInAnotherThread(RunControl):
    """A control that another thread terminates as soon as a run is attached to it."""

    def attach(self, end_run: Callable[[], None]) -> None:
        super().attach(end_run)
        threading.Thread(target=self.terminate).start()


class ControlThatEndsAnother(RunControl):
    """A control that terminates another one while its own run is under way."""

    def __init__(self, other: RunControl) -> None:
        super().__init__()
        self._other = other

    def attach(self, end_run: Callable[[], None]) -> None:
        super().attach(end_run)
        self._other.terminate()


def test_another_thread_can_end_a_run_and_the_session_runs_again(cpu: CpuCase, tmp_path: Path) -> None:
    session = counting(cpu, tmp_path, in_many_products())
    for _ in range(3):
        with pytest.raises(RunTerminated):
            session.run(counting_batch(LONG), ControlInAnotherThread())
        assert counted(session, 3, RunControl()) == [[3.0] * 4]


def test_a_run_whose_end_was_asked_for_before_it_began_does_not_run(cpu: CpuCase, tmp_path: Path) -> None:
    session = counting(cpu, tmp_path, in_many_products())
    control = RunControl()
    control.terminate()
    with pytest.raises(RunTerminated):
        session.run(counting_batch(3), control)
    assert counted(session, 2) == [[2.0] * 4]


def test_terminating_a_run_that_has_ended_changes_nothing(cpu: CpuCase, tmp_path: Path) -> None:
    session = counting(cpu, tmp_path, in_many_products())
    control = RunControl()
    outputs = session.run(counting_batch(3), control)
    control.terminate()
    assert outputs["logits"].tolist() == [[3.0] * 4]
    assert counted(session, 2) == [[2.0] * 4]


def test_terminating_a_run_that_has_ended_does_not_end_the_next(cpu: CpuCase, tmp_path: Path) -> None:
    session = counting(cpu, tmp_path, in_many_products())
    ended = RunControl()
    session.run(counting_batch(3), ended)
    assert counted(session, 1000, ControlThatEndsAnother(ended)) == [[1000.0] * 4]


def test_a_session_runs_again_after_a_run_that_failed(cpu: CpuCase, tmp_path: Path) -> None:
    session = counting(cpu, tmp_path, in_fours())
    for _ in range(2):
        with pytest.raises(Exception, match=r"(?i)reshape"):
            session.run(counting_batch(7))
        assert counted(session, 8) == [[8.0] * 4]


def test_a_session_runs_again_after_a_batch_that_it_does_not_take(
    cpu: CpuCase, graph: Path, manifest: Manifest
) -> None:
    session = cpu.open(graph, manifest)
    ones = np.ones((1, 7), dtype=np.int64)
    with pytest.raises(Exception, match=r"(?i)shape|dimension"):
        session.run(Batch(ones, ones, ones))
    assert session.run(batch_of_ids())["logits"][0, 0].tolist() == [5.0, 0.0]


def test_threads_that_run_at_once_get_each_its_own(cpu: CpuCase, tmp_path: Path) -> None:
    session = counting(cpu, tmp_path, in_many_products())
    counts = [1, 200, 3, 150, 70, 9, 40, 260]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda count: counted(session, count), counts))
    assert found == [[[float(count)] * 4] for count in counts]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param(
            {"inputs": [Tensor(name, "int64", ["batch", "length"]) for name in INPUTS[:2]]},
            "inputs are .*token_type_ids.* the manifest says",
            id="an input that the manifest does not have",
        ),
        pytest.param(
            {"outputs": [Tensor("scores", "float32", ["batch", "length", 2])]},
            "outputs are .*logits.* the manifest says",
            id="an output of another name",
        ),
        pytest.param(
            {"outputs": [Tensor("logits", "float32", ["batch", "length", 9])]},
            "output logits is float32",
            id="another number of labels",
        ),
        pytest.param(
            {"outputs": [Tensor("logits", "float32", ["batch", 2])]}, "output logits", id="another number of axes"
        ),
        pytest.param(
            {"inputs": [Tensor(name, "int32", ["batch", "length"]) for name in INPUTS]},
            "input input_ids is int64",
            id="another element type",
        ),
    ],
)
def test_a_graph_that_does_not_fit_its_manifest_is_refused_by_name(
    cpu: CpuCase, graph: Path, manifest: Manifest, changes: dict[str, list[Tensor]], message: str
) -> None:
    with pytest.raises(BundleError, match=message) as error:
        cpu.open(graph, replace(manifest, **changes))
    assert str(graph) in str(error.value)


def test_a_file_that_is_no_graph_is_refused_by_name(cpu: CpuCase, graph: Path, manifest: Manifest) -> None:
    graph.write_bytes(b"not a graph")
    with pytest.raises(BundleError, match=r"graph-8\.onnx: is not an ONNX graph"):
        cpu.open(graph, manifest)


def test_a_graph_with_an_operator_that_nobody_knows_is_refused_by_name_in_one_line(
    cpu: CpuCase, tmp_path: Path
) -> None:
    nodes = [helper.make_node("Nonsense", ["count"], ["counted"])]
    manifest = save_counting_graph(tmp_path / "graph-4.onnx", nodes)
    with pytest.raises(BundleError, match=r"graph-4\.onnx: \w+ cannot load it: .*Nonsense") as error:
        cpu.open(tmp_path / "graph-4.onnx", manifest)
    assert "\n" not in str(error.value).strip()


def test_a_session_is_not_opened_with_a_file_that_no_hash_covers(cpu: CpuCase, tmp_path: Path) -> None:
    (tmp_path / "extra2.bin").write_bytes(bytes(8))
    nodes = sums()
    nodes[-1].output[0] = "plain"
    nodes.append(helper.make_node("Add", ["plain", "table"], ["logits"]))
    write_graph(tmp_path / "graph.onnx", nodes, table=external("extra2.bin"))
    with pytest.raises(BundleError, match=r"takes tensors from 'extra2\.bin'"):
        cpu.open(tmp_path / "graph.onnx", fake_manifest("classify"))
