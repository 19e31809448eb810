import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from service.bundle import Bundle
from service.errors import BundleError
from service.runtime.cuda.weights import PlacedWeights
from service.runtime.onnx_session import session_options
from tests.service.runtime.cuda.host_memory import HostMemory
from tests.service.runtime.cuda.weighted_bundle import LONG, OFFSET, SHORT, TABLE, batch, expected, weighted_bundle

IDS = {SHORT: [[1, 2, 3, 4]], LONG: [[1, 2, 3, 4, 5, 6, 7, 8]]}


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return weighted_bundle(tmp_path)


def open_with(weights: PlacedWeights, graph: Path) -> onnxruntime.InferenceSession:
    options = session_options("fp32", 1, cpu_only=True)
    weights.share_with(options, graph)
    return onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])


def logits(session: onnxruntime.InferenceSession, length: int) -> np.ndarray:
    own = batch(IDS[length])
    return session.run(None, {"input_ids": own.input_ids, "attention_mask": own.attention_mask})[0]


def test_the_graphs_of_all_buckets_use_one_copy_of_the_weights(bundle: Bundle) -> None:
    memory = HostMemory()
    weights = PlacedWeights(memory, bundle.path("weights.bin"))
    weights.place()
    sessions = {length: open_with(weights, bundle.path(f"graph-{length}.onnx")) for length in (SHORT, LONG)}
    assert [block.nbytes for block in memory.blocks] == [OFFSET + TABLE.nbytes]
    for length, session in sessions.items():
        np.testing.assert_allclose(logits(session, length), expected(IDS[length]), rtol=1e-6)
    # They compute with that very memory, not with the file.
    memory.blocks[0][OFFSET:].view(np.float32)[:] = 2 * TABLE.ravel()
    for length, session in sessions.items():
        np.testing.assert_allclose(logits(session, length), 2 * expected(IDS[length]), rtol=1e-6)


def test_a_graph_whose_weights_lie_elsewhere_is_refused_by_name(bundle: Bundle, tmp_path: Path) -> None:
    other = tmp_path / "other.bin"
    other.write_bytes(b"")
    weights = PlacedWeights(HostMemory(), other)
    weights.place()
    with pytest.raises(BundleError, match=r"graph-4\.onnx: table\.first_4 is not in other\.bin"):
        open_with(weights, bundle.path("graph-4.onnx"))


def test_a_weights_file_that_is_too_short_is_refused(bundle: Bundle) -> None:
    bundle.path("weights.bin").write_bytes(bytes(OFFSET + 10))
    weights = PlacedWeights(HostMemory(), bundle.path("weights.bin"))
    weights.place()
    with pytest.raises(BundleError, match="is not in"):
        open_with(weights, bundle.path("graph-8.onnx"))


def test_a_process_ends_cleanly_while_sessions_still_use_the_weights(bundle: Bundle) -> None:
    script = (
        "from pathlib import Path\n"
        "from tests.service.runtime.cuda.test_weights import HostMemory, PlacedWeights, logits, open_with\n"
        f"folder = Path({str(bundle.folder)!r})\n"
        "weights = PlacedWeights(HostMemory(), folder / 'weights.bin')\n"
        "weights.place()\n"
        "session = open_with(weights, folder / 'graph-8.onnx')\n"
        "print(logits(session, 8).shape)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=Path(__file__).parents[4], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout.strip()) == (0, "(1, 3)"), ended.stderr


def test_weights_are_found_again_by_every_session_of_the_same_graph(bundle: Bundle) -> None:
    weights = PlacedWeights(HostMemory(), bundle.path("weights.bin"))
    weights.place()
    first, second = (open_with(weights, bundle.path("graph-8.onnx")) for _ in range(2))
    np.testing.assert_array_equal(logits(first, LONG), logits(second, LONG))


def test_the_memory_of_weights_that_no_session_reads_any_more_is_given_back(bundle: Bundle) -> None:
    memory = HostMemory()
    weights = PlacedWeights(memory, bundle.path("weights.bin"))
    weights.place()
    assert memory.used_bytes() > 0
    del weights
    assert memory.used_bytes() == 0
