"""Opening bundles on a GPU, with onnxruntime's CUDA provider played by its CPU provider."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from bigbird_inference.bundle import Bundle, write_manifest
from bigbird_inference.errors import BundleError
from bigbird_inference.known_answer import climb
from bigbird_inference.manifest import Tensor
from bigbird_inference.runtime import cuda
from bigbird_inference.runtime.cuda.device import CudaDevice
from bigbird_inference.runtime.cuda.features import RUNGS, GpuFeatures, RungOutcome
from bigbird_inference.runtime.session import Shape
from tests.bigbird_inference.runtime.cuda.model_of_sums import FACTORS, batch, bundle_of_sums, logits
from tests.bigbird_inference.runtime.cuda.stand_in import StandIn, gpu
from tests.bigbird_inference.runtime.test_external_data import external
from tests.hostile_bundles import sums, write_graph

__all__ = ["gpu"]

NONE = GpuFeatures.parse("none")
ROWS = [[1, 2, 3, 4], [2, 2, 0, 0]]
WITHOUT_RUNGS = """
import json, sys
from pathlib import Path

for rung in sys.argv[2:]:
    sys.modules[f"bigbird_inference.runtime.cuda.{rung}"] = None

import numpy as np
import service.models.loading
from bigbird_inference.bundle import Bundle, read_manifest
from bigbird_inference.known_answer import climb
from bigbird_inference.runtime.cuda.device import CudaDevice
from bigbird_inference.runtime.cuda.features import GpuFeatures
from bigbird_inference.runtime.session import Batch

folder = Path(sys.argv[1])
opened = CudaDevice("cpu", features=GpuFeatures.parse("none")).open(Bundle(folder, read_manifest(folder)))
climb(opened.ladder)
ids = np.array([[1, 2, 3, 4]])
found = opened.sessions["full"].run(Batch(ids, np.ones_like(ids), np.zeros_like(ids)))
print(json.dumps([found["logits"].tolist(), [outcome.state for outcome in opened.ladder.outcomes]]))
"""


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return bundle_of_sums(tmp_path, "composed", "fused")


def test_the_first_rung_is_the_composed_graph_with_nothing_of_ours(gpu: StandIn, bundle: Bundle) -> None:
    opened = CudaDevice("cuda:1", features=NONE).open(bundle)
    expected = {"device_id": "1", "use_tf32": "0", "arena_extend_strategy": "kSameAsRequested"}
    assert gpu.loaded == [("graph-full.onnx", expected), ("graph-block_sparse.onnx", expected)]
    with pytest.raises(RuntimeError, match="use_env_allocators"):
        gpu.options[0].get_session_config_entry("session.use_env_allocators")
    for kind, session in opened.sessions.items():
        np.testing.assert_array_equal(session.run(batch(ROWS))["logits"], logits(ROWS, FACTORS[kind, "composed"]))
    assert gpu.ways() == ["composed", "composed"]


def test_none_does_without_the_files_of_the_rungs(bundle: Bundle) -> None:
    """In a process of its own, in which nothing that serves has been imported before they cannot be."""
    write_manifest(bundle.manifest, bundle.folder)
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_RUNGS, bundle.folder, *RUNGS],
        cwd=Path(__file__).parents[4],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [[[10.0, 20.0, 30.0]], ["not_asked"] * 3]


@pytest.mark.parametrize("rung", RUNGS)
def test_a_rung_whose_file_was_deleted_is_not_there(
    gpu: StandIn, bundle: Bundle, monkeypatch: pytest.MonkeyPatch, rung: str
) -> None:
    monkeypatch.setitem(sys.modules, f"bigbird_inference.runtime.cuda.{rung}", None)
    if rung == "iobinding":
        # Recordings are made of bound places: without that file they are gone, too.
        monkeypatch.setattr(cuda, "cuda_graphs", cuda.cuda_graphs)
        monkeypatch.delitem(sys.modules, "bigbird_inference.runtime.cuda.cuda_graphs")
    ladder = CudaDevice("cuda:0").open(bundle).ladder
    assert ladder is not None
    states = {outcome.rung: outcome.state for outcome in ladder.outcomes}
    gone = {rung, "cuda_graphs"} if rung == "iobinding" else {rung}
    assert {name for name, state in states.items() if state == "unfit"} == gone


def test_each_rung_that_loads_graphs_otherwise_has_sessions_of_its_own(gpu: StandIn, bundle: Bundle) -> None:
    CudaDevice("cuda:0").open(bundle)
    files = ["graph-full", "graph-block_sparse", "graph-full-fused", "graph-block_sparse-fused"]
    assert [name for name, _ in gpu.loaded] == [f"{name}.onnx" for name in [*files, *files[2:]]]
    assert [settings.get("enable_cuda_graph") for _, settings in gpu.loaded] == [None] * 4 + ["1"] * 2


def test_a_bundle_without_the_composed_graph_has_the_fused_one_on_its_first_rung(gpu: StandIn, tmp_path: Path) -> None:
    ladder = CudaDevice("cuda:0").open(bundle_of_sums(tmp_path, "fused")).ladder
    assert gpu.loaded[0][0] == "graph-full-fused.onnx"
    assert ladder is not None
    assert ladder.outcomes[0].state == "unfit"


def test_a_rung_that_a_trial_found_wanting_is_not_opened(gpu: StandIn, bundle: Bundle) -> None:
    crashed = RungOutcome("cuda_graphs", "failed", "signal 11")
    ladder = CudaDevice("cuda:0", withheld={"cuda_graphs": crashed}).open(bundle).ladder
    assert ladder is not None
    assert ladder.outcomes[2] == crashed
    assert all("enable_cuda_graph" not in settings for _, settings in gpu.loaded)


def test_a_limit_is_divided_among_the_sessions_of_a_bundle(gpu: StandIn, bundle: Bundle) -> None:
    CudaDevice("cuda:0", memory_limit_bytes=1001, features=NONE).open(bundle)
    assert [settings["gpu_mem_limit"] for _, settings in gpu.loaded] == ["500", "500"]
    gpu.loaded.clear()
    CudaDevice("cuda:0", memory_limit_bytes=1001, features=GpuFeatures.parse("fused_attention")).open(bundle)
    assert [settings["gpu_mem_limit"] for _, settings in gpu.loaded] == ["250"] * 4


def test_a_limit_that_does_not_hold_the_weights_of_every_session_is_refused(gpu: StandIn, bundle: Bundle) -> None:
    """48 bytes of weights, which each of the two graphs holds, and some room to compute in."""
    assert bundle.manifest.weights.bytes == 48
    CudaDevice("cuda:0", memory_limit_bytes=98, features=NONE).open(bundle)
    gpu.loaded.clear()
    with pytest.raises(BundleError, match=r"gpu_memory_limit_bytes \(97\) .* its 2 sessions, 48 bytes each"):
        CudaDevice("cuda:0", memory_limit_bytes=97, features=NONE).open(bundle)
    assert gpu.loaded == []


def test_a_graph_that_does_not_load_is_refused_by_name(gpu: StandIn, bundle: Bundle) -> None:
    def refuse(file: str, settings: dict[str, str]) -> None:
        raise RuntimeError("CUDA failure 2: out of memory")

    gpu.before_load = refuse
    with pytest.raises(BundleError, match=r"graph-full\.onnx: onnxruntime cannot load it on cuda:0: CUDA fail"):
        CudaDevice("cuda:0").open(bundle)


def test_a_graph_that_would_run_on_the_cpu_instead_is_refused(gpu: StandIn, bundle: Bundle) -> None:
    gpu.providers = ["CPUExecutionProvider"]
    with pytest.raises(BundleError, match="without its CUDA provider"):
        CudaDevice("cuda:0").open(bundle)


def test_a_graph_that_does_not_fit_its_manifest_is_refused(gpu: StandIn, bundle: Bundle) -> None:
    manifest = replace(bundle.manifest, outputs=[Tensor("logits", "float32", ["batch", 7])])
    with pytest.raises(BundleError, match="output logits"):
        CudaDevice("cuda:0").open(replace(bundle, manifest=manifest))


def test_a_graph_that_names_another_file_than_the_weights_is_not_loaded(gpu: StandIn, bundle: Bundle) -> None:
    nodes = sums()
    nodes[-1].output[0] = "plain"
    nodes.append(helper.make_node("Add", ["plain", "table"], ["logits"]))
    write_graph(bundle.path("graph-full.onnx"), nodes, table=external("extra2.bin"))
    with pytest.raises(BundleError, match=r"graph-full\.onnx: takes tensors from 'extra2\.bin'"):
        CudaDevice("cuda:0").open(bundle)
    assert gpu.loaded == []


def test_on_the_cpus_provider_the_same_rungs_are_climbed(bundle: Bundle) -> None:
    opened = CudaDevice("cpu", features=GpuFeatures.parse("fused_attention,iobinding,cuda_graphs")).open(bundle)
    assert opened.ladder is not None
    climb(opened.ladder)
    assert opened.sessions["full"].capture([Shape(2, 4)]) == [Shape(2, 4)]  # type: ignore[attr-defined]
    found = opened.sessions["full"].run(batch(ROWS))["logits"]
    opened.sessions["full"].run(batch([[7, 7, 7, 7]] * 2))
    # In the host's memory, places are what a run gives views of: the next one must not write over them.
    np.testing.assert_array_equal(found, logits(ROWS, [1, 2, 3]))
    assert [outcome.state for outcome in opened.ladder.outcomes] == ["on", "on", "waiting"]
