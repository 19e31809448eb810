"""What loaded graphs cost in memory, by the system's own account of a process; each process loads its own graphs."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from bigbird_inference.manifest import Tensor
from tests.fake_model import fake_manifest

ROOT = Path(__file__).parents[3]
WIDTH = 2048
WEIGHTS_BYTES = WIDTH * WIDTH * 4
MEBIBYTE = 2**20

# Opens the graphs of a folder and runs each with its number of rows; tells by how many bytes its anonymous memory rose
# and, when it is asked by a line, how the mapped weights are counted.
PROCESS = """
import json, re, sys
from pathlib import Path
import numpy as np
from bigbird_inference.runtime.onnx_session import open_session
from bigbird_inference.runtime.session import Batch
from tests.bigbird_inference.runtime.test_onnx_session_memory import MANIFEST

def kilobytes(text, field):
    return sum(int(found) for found in re.findall(rf"^{field}: +([0-9]+) kB", text, re.MULTILINE))

def anonymous():
    return kilobytes(Path("/proc/self/smaps_rollup").read_text(), "Anonymous") * 1024

folder, *rows = sys.argv[1:]
graphs = sorted(Path(folder).glob("*.onnx"))
before = anonymous()
sessions = [open_session(graph, MANIFEST, device="cpu", threads=1) for graph, _ in zip(graphs, rows)]
for _ in range(2):
    for session, count in zip(sessions, rows, strict=True):
        ids = np.ones((int(count), 1), dtype=np.int64)
        session.run(Batch(ids, ids, ids))
print(anonymous() - before, flush=True)
sys.stdin.readline()
mappings = re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", Path("/proc/self/smaps").read_text(), flags=re.MULTILINE)
weights = "".join(text for text in mappings if "weights.bin" in text.partition(chr(10))[0])
print(json.dumps({field: kilobytes(weights, field) * 1024 for field in ("Rss", "Pss", "Anonymous")}), flush=True)
"""

MANIFEST = replace(
    fake_manifest("qa", (1,)),
    inputs=[Tensor("input_ids", "int64", ["batch", 1])],
    outputs=[Tensor("logits", "float32", ["batch", 1])],
)


def save_graphs(folder: Path, count: int) -> None:
    """Write graphs that multiply wide rows by the same large weights, which lie in one file beside them."""
    weights = np.random.default_rng(0).standard_normal((WIDTH, WIDTH), dtype=np.float32)
    (folder / "weights.bin").write_bytes(weights.tobytes())
    tensor = numpy_helper.from_array(weights[:0], "weights")
    tensor.dims[:] = weights.shape
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "weights.bin"), ("offset", "0"), ("length", str(WEIGHTS_BYTES))):
        tensor.external_data.add(key=key, value=value)
    constants = [tensor, helper.make_tensor("shape", TensorProto.INT64, [2], [1, WIDTH])]
    nodes = [
        helper.make_node("Cast", ["input_ids"], ["ids"], to=TensorProto.FLOAT),
        helper.make_node("Expand", ["ids", "shape"], ["wide"]),
        helper.make_node("MatMul", ["wide", "weights"], ["product"]),
        helper.make_node("ReduceSum", ["product", "axis"], ["logits"], keepdims=1),
    ]
    constants.append(helper.make_tensor("axis", TensorProto.INT64, [1], [1]))
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", 1])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 1])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    for number in range(count):
        (folder / f"graph-{number}.onnx").write_bytes(model.SerializeToString())


class LoadedProcess:
    """A process that has loaded and run graphs."""

    def __init__(self, folder: Path, rows: Sequence[int]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROCESS, str(folder), *map(str, rows)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.anonymous_rise = int(self._process.stdout.readline())

    def weights(self) -> dict[str, int]:
        """Tell how the mapped weights are counted now, in bytes, and end."""
        printed, _ = self._process.communicate("\n")
        return json.loads(printed)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.communicate()


def test_each_graph_packs_a_copy_of_the_weights_and_lets_go_of_the_file(tmp_path: Path) -> None:
    """Packed, products give a row the same bits in any batch; see `session_options`."""
    save_graphs(tmp_path, 4)
    with LoadedProcess(tmp_path, [8]) as process:
        one = process.anonymous_rise
    with LoadedProcess(tmp_path, [8, 8, 8, 8]) as process:
        four = process.anonymous_rise
        weights = process.weights()
    assert WEIGHTS_BYTES <= one < WEIGHTS_BYTES + 4 * MEBIBYTE
    assert four - one == pytest.approx(3 * WEIGHTS_BYTES, abs=4 * MEBIBYTE)
    assert weights["Rss"] < MEBIBYTE


def test_several_graphs_take_their_memory_from_one_arena(tmp_path: Path) -> None:
    save_graphs(tmp_path, 4)
    with LoadedProcess(tmp_path, [2000]) as process:
        one = process.anonymous_rise - WEIGHTS_BYTES
    with LoadedProcess(tmp_path, [1250, 1500, 1750, 2000]) as process:
        four = process.anonymous_rise - 4 * WEIGHTS_BYTES
    # The rows and their products: what the largest run needs. Each for itself, they would need 3.25 times as much.
    assert one >= 2 * 2000 * WIDTH * 4
    assert four < 1.5 * one
