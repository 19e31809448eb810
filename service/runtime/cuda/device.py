"""A GPU that serves: what all its sessions share, and how they are opened.

    weights       each bundle's once, in memory of ours, whatever the number of its buckets
    arena         one for all sessions: only one of them runs at a time, and an arena keeps what it took
    places        one set of inputs and outputs

All sessions of a GPU are opened before any of them records a CUDA graph: a recording writes to the arena's memory where
a run had it, and what lives longer than a run (a session's own constants) must not have moved in there meanwhile.
"""

import logging
from pathlib import Path

import onnxruntime

from service.bundle import Bundle, Manifest
from service.errors import BundleError
from service.runtime.cuda.memory import DeviceMemory
from service.runtime.cuda.session import CudaSession
from service.runtime.cuda.staging import Staging
from service.runtime.cuda.weights import PlacedWeights
from service.runtime.onnx_session import check_graph, session_options
from service.runtime.session import Session
from service.runtime.session_pool import open_sessions

logger = logging.getLogger(__name__)

_CUDA = "CUDAExecutionProvider"
_CPU = "CPUExecutionProvider"
# What few operators stay on the host (shapes) need no pool of threads.
_THREADS = 1
# As much as a run asks for: doubling, the last step of growth could take half of the GPU for nothing.
_SAME_AS_REQUESTED = 1


class CudaDevice:
    """One GPU.

    Args:
        name: For example `cuda:0`.
        memory: Its memory.
        memory_limit_bytes: Most that the arena may take, 0 for no limit; the weights come to it.
        graphs: Whether to record CUDA graphs.
        max_items: Most sequences in a batch.
        max_tokens: Most padded tokens in a batch.
    """

    def __init__(
        self,
        name: str,
        memory: DeviceMemory,
        *,
        memory_limit_bytes: int = 0,
        graphs: bool = True,
        max_items: int = 64,
        max_tokens: int = 16_384,
    ) -> None:
        self._name = name
        self._gpu = int(name.partition(":")[2])
        self._memory = memory
        self._memory_limit_bytes = memory_limit_bytes
        self._graphs = graphs
        self._max_items = max_items
        self._max_tokens = max_tokens
        self._staging = Staging(memory)
        self._shares_arena: bool | None = None

    def open(self, bundle: Bundle) -> dict[int, Session]:
        """Load every bucket of a bundle; keys are padded lengths, ascending.

        Raises:
            BundleError: A graph cannot be loaded, or does not fit the manifest.
        """
        if self._shares_arena is None:
            self._shares_arena = self._register_arena()
        weights = PlacedWeights(self._memory, bundle.path(bundle.manifest.weights.file))
        weights.place()
        lengths = {bundle.path(bucket.file): bucket.length for bucket in bundle.manifest.buckets}

        def open_one(graph: Path, manifest: Manifest) -> Session:
            return self._open_graph(graph, lengths[graph], manifest, weights)

        return open_sessions(bundle, open_one)

    def _open_graph(self, graph: Path, length: int, manifest: Manifest, weights: PlacedWeights) -> CudaSession:
        before = self._memory.used_bytes()
        session, captures = self._load(graph, manifest, weights)
        check_graph(graph, manifest, session)
        rows = min(self._max_items, manifest.max_batch_items or self._max_items, self._max_tokens // length)
        # A second copy of the weights would show here: onnxruntime makes one, in silence, if it cannot use ours.
        more = (self._memory.used_bytes() - before) / 2**20
        logger.info("loaded %s on %s, which takes %.0f MiB more", graph, self._name, more)
        return CudaSession(
            session,
            length,
            manifest.inputs,
            manifest.outputs,
            self._staging,
            most_rows=max(1, rows),
            captures=captures,
            weights=weights,
        )

    def _load(
        self, graph: Path, manifest: Manifest, weights: PlacedWeights
    ) -> tuple[onnxruntime.InferenceSession, bool]:
        """Load a graph for recording, or if onnxruntime refuses that, without; return which.

        It refuses if an operator of the graph would not run on the GPU.

        Raises:
            BundleError: It cannot be loaded either way.
        """
        if self._graphs:
            try:
                return self._load_for(graph, manifest, weights, captures=True), True
            except Exception:
                # onnxruntime's exception classes share no public base.
                logger.warning("%s cannot be recorded; every run launches its kernels", graph, exc_info=True)
        try:
            return self._load_for(graph, manifest, weights, captures=False), False
        except BundleError:
            raise
        except Exception as error:
            raise BundleError(f"{graph}: onnxruntime cannot load it on {self._name}: {error}") from error

    def _load_for(
        self, graph: Path, manifest: Manifest, weights: PlacedWeights, *, captures: bool
    ) -> onnxruntime.InferenceSession:
        options = session_options(
            manifest.precision, _THREADS, cpu_only=False, shared_allocators=bool(self._shares_arena)
        )
        weights.share_with(options, graph)
        providers = [(_CUDA, self._provider_options(captures)), _CPU]
        # Without this, onnxruntime would answer from the CPU when the GPU fails, and say so on standard output.
        session = onnxruntime.InferenceSession(str(graph), options, providers=providers, enable_fallback=0)
        if session.get_providers()[0] != _CUDA:
            raise BundleError(f"{graph}: onnxruntime loaded it without its CUDA provider")
        return session

    def _provider_options(self, captures: bool) -> dict[str, str]:
        options = {
            "device_id": str(self._gpu),
            # fp32 means fp32: with TensorFloat-32, products have 10 bits of mantissa.
            "use_tf32": "0",
            "arena_extend_strategy": "kSameAsRequested",
            "enable_cuda_graph": "1" if captures else "0",
        }
        if self._memory_limit_bytes:
            options["gpu_mem_limit"] = str(self._memory_limit_bytes)
        return options

    def _register_arena(self) -> bool:
        """Register the arena of all sessions on this GPU; return whether onnxruntime took it."""
        memory = onnxruntime.OrtMemoryInfo(
            "Cuda", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, self._gpu, onnxruntime.OrtMemType.DEFAULT
        )
        settings = {"arena_extend_strategy": _SAME_AS_REQUESTED}
        if self._memory_limit_bytes:
            settings["max_mem"] = self._memory_limit_bytes
        try:
            onnxruntime.create_and_register_allocator_v2(
                _CUDA, memory, {"device_id": str(self._gpu)}, onnxruntime.OrtArenaCfg(settings)
            )
        except Exception:
            logger.warning("%s: every session has an arena of its own", self._name, exc_info=True)
            return False
        return True
