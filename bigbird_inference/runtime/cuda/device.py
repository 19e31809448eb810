"""A GPU that serves, and how the graphs of a bundle are opened there.

Every session has its own weights and its own arena, which keeps what it took: a model's two graphs hold the weights
twice, and the memory of the largest batch of each. Nothing of ours lies on the GPU but the inputs and outputs of
recorded shapes.
"""

import logging
from functools import partial
from pathlib import Path

from bigbird_inference.bundle import Bundle
from bigbird_inference.errors import BundleError
from bigbird_inference.manifest import Manifest
from bigbird_inference.runtime.cuda.session import CudaSession
from bigbird_inference.runtime.external_data import check_external_data
from bigbird_inference.runtime.graph_sessions import OpenedGraphs, open_sessions
from bigbird_inference.runtime.onnx_session import check_graph, session_options
from bigbird_inference.runtime.quiet_onnxruntime import onnxruntime

logger = logging.getLogger(__name__)

_CUDA = "CUDAExecutionProvider"
_CPU = "CPUExecutionProvider"
# What few operators stay on the host (shapes) need no pool of threads.
_THREADS = 1


class CudaDevice:
    """One GPU.

    Args:
        name: For example `cuda:0`.
        memory_limit_bytes: Most that the sessions of one bundle may take, weights included, each an equal part; 0 for
            no limit. onnxruntime bounds arenas one by one and knows nothing of other bundles.
        graphs: Whether to record CUDA graphs.
    """

    def __init__(self, name: str, *, memory_limit_bytes: int = 0, graphs: bool = True) -> None:
        self._name = name
        self._gpu = int(name.partition(":")[2])
        self._memory_limit_bytes = memory_limit_bytes
        self._graphs = graphs

    def open(self, bundle: Bundle) -> OpenedGraphs:
        """Load the graphs of a bundle, those with the fused kernel if there are any.

        Raises:
            BundleError: A graph cannot be loaded, does not fit the manifest or into the limit.
        """
        kinds = {bucket.attention for bucket in bundle.manifest.buckets}
        limit = self._memory_limit_bytes // len(kinds)
        if 0 < limit <= bundle.manifest.weights.bytes:
            raise BundleError(
                f"{bundle.folder}: gpu_memory_limit_bytes ({self._memory_limit_bytes}) does not hold the weights of "
                f"its {len(kinds)} graphs, {bundle.manifest.weights.bytes} bytes each"
            )
        opener = partial(self._open_graph, limit=limit)
        return open_sessions(bundle, opener, preferred="fused")

    def _open_graph(self, graph: Path, manifest: Manifest, *, limit: int) -> CudaSession:
        check_external_data(graph, manifest.weights.file)
        session, captures = self._load(graph, manifest, limit)
        check_graph(graph, manifest, session)
        # Where bundles lie is nobody's business who reads a log.
        logger.info("loaded %s/%s on %s", graph.parent.name, graph.name, self._name)
        return CudaSession(session, manifest.inputs, manifest.outputs, captures=captures, device=("cuda", self._gpu))

    def _load(self, graph: Path, manifest: Manifest, limit: int) -> tuple[onnxruntime.InferenceSession, bool]:
        """Load a graph for recording, or if onnxruntime refuses that, without; return which.

        It refuses if an operator of the graph would not run on the GPU, other than arithmetic on shapes.

        Raises:
            BundleError: It cannot be loaded either way.
        """
        if self._graphs:
            try:
                return self._load_for(graph, manifest, limit, captures=True), True
            except Exception as error:
                # onnxruntime's exception classes share no public base.
                logger.warning(
                    "%s/%s cannot be recorded, every run launches its kernels: %s", graph.parent.name, graph.name, error
                )
        try:
            return self._load_for(graph, manifest, limit, captures=False), False
        except BundleError:
            raise
        except Exception as error:
            raise BundleError(f"{graph}: onnxruntime cannot load it on {self._name}: {error}") from error

    def _load_for(self, graph: Path, manifest: Manifest, limit: int, *, captures: bool) -> onnxruntime.InferenceSession:
        settings = {
            "device_id": str(self._gpu),
            # fp32 means fp32: with TensorFloat-32, products have 10 bits of mantissa.
            "use_tf32": "0",
            # As much as a run asks for: doubling, the last step of growth could take half of the GPU for nothing.
            "arena_extend_strategy": "kSameAsRequested",
            "enable_cuda_graph": "1" if captures else "0",
        }
        if limit:
            settings["gpu_mem_limit"] = str(limit)
        options = session_options(_THREADS, cpu_only=False, shared_allocators=False)
        # Without `enable_fallback`, onnxruntime would answer from the CPU when the GPU fails, and say so on standard
        # output.
        session = onnxruntime.InferenceSession(
            str(graph), options, providers=[(_CUDA, settings), _CPU], enable_fallback=0
        )
        if session.get_providers()[0] != _CUDA:
            raise BundleError(f"{graph}: onnxruntime loaded it without its CUDA provider")
        return session
