"""What is OpenVINO's alone; what every session does on a CPU is in `test_cpu_sessions`."""

import gc
import json
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import pytest

from bigbird_inference.manifest import CpuPrecision
from bigbird_inference.runtime.openvino_session import OpenVinoSession, open_openvino_session, session_properties
from bigbird_inference.runtime.session import RunTerminated
from tests.bigbird_inference.runtime.small_graphs import (
    counting_batch,
    in_fours,
    in_many_products,
    save_counting_graph,
)
from tests.bigbird_inference.runtime.test_cpu_sessions import LONG, ControlInAnotherThread
from tests.cpu_runtimes import need_openvino

ROOT = Path(__file__).parents[3]

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def installed() -> None:
    need_openvino()


def counting(folder: Path, nodes: list[Any], precision: CpuPrecision = "fp32") -> OpenVinoSession:
    manifest = save_counting_graph(folder / "graph-4.onnx", nodes)
    return open_openvino_session(folder / "graph-4.onnx", manifest, precision=precision, threads=1)


# Has two thirds of what a batch needs, after a run that needs nothing; tells what each run gave.
LITTLE_MEMORY = """
import json, resource, sys
from pathlib import Path
from bigbird_inference.runtime.openvino_session import open_openvino_session
from bigbird_inference.runtime.session import OutOfMemory
from tests.bigbird_inference.runtime.small_graphs import counting_batch, in_memory, save_counting_graph

graph = Path(sys.argv[1])
session = open_openvino_session(graph, save_counting_graph(graph, in_memory()), precision="fp32", threads=1)

def counted(count):
    try:
        return session.run(counting_batch(count))["logits"][0, 0].item()
    except OutOfMemory:
        return "out of memory"

results = [counted(5)]
taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + 700 * 2**20, resource.RLIM_INFINITY))
results += [counted(2**28), counted(6), counted(2**28), counted(7)]
print(json.dumps(results))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells how much address space a process has")
def test_out_of_memory_is_said_and_the_session_runs_again(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LITTLE_MEMORY, str(tmp_path / "graph-4.onnx")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [5.0, "out of memory", 6.0, "out of memory", 7.0]


@pytest.mark.parametrize("how", ["failed", "was ended"])
def test_an_error_does_not_keep_the_compiled_model_in_memory(tmp_path: Path, how: str) -> None:
    """Both, the old one and the next, would be there at once."""
    session = counting(tmp_path, in_fours() if how == "failed" else in_many_products())
    compiled = weakref.ref(session._request)
    with pytest.raises((RuntimeError, RunTerminated)) as kept:
        if how == "failed":
            session.run(counting_batch(7))
        else:
            session.run(counting_batch(LONG), ControlInAnotherThread())
    gc.collect()
    assert kept.value is not None
    assert compiled() is None


def test_a_compiled_model_is_as_was_asked_for(tmp_path: Path) -> None:
    session = counting(tmp_path, in_fours(), "bf16")
    compiled = session._request.get_compiled_model()
    assert compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name() == "bf16"
    assert compiled.get_property("INFERENCE_NUM_THREADS") == session_properties("bf16", 1)["INFERENCE_NUM_THREADS"] == 1
    assert compiled.get_property("ENABLE_CPU_PINNING") is False
    assert compiled.get_property("DYNAMIC_QUANTIZATION_GROUP_SIZE") == 128
    assert compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS") == 1
