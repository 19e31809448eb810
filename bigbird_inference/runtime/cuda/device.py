"""A GPU that serves, and how the graphs of a bundle are opened there: the first rung, and those above it.

Every session has its own weights and its own arena, which keeps what it took: sessions share an arena only if they are
told to (https://onnxruntime.ai/docs/get-started/with-c.html#features, "Share allocator(s) between sessions").
"""

import importlib
import logging
from collections.abc import Mapping
from types import ModuleType

from bigbird_inference.bundle import Bundle
from bigbird_inference.errors import BundleError
from bigbird_inference.manifest import Attention, Manifest
from bigbird_inference.runtime.cuda.features import RUNGS, GpuFeatures, RungName, RungOutcome, said_by, unfit
from bigbird_inference.runtime.cuda.ladder import Ladder
from bigbird_inference.runtime.cuda.levels import Level, LoadedGraph, LoadOptions
from bigbird_inference.runtime.devices import CPU
from bigbird_inference.runtime.external_data import check_external_data
from bigbird_inference.runtime.graph_sessions import OpenedGraphs, check_buckets, served_kernel
from bigbird_inference.runtime.onnx_session import check_graph, session_options
from bigbird_inference.runtime.quiet_onnxruntime import onnxruntime

logger = logging.getLogger(__name__)

_CUDA = "CUDAExecutionProvider"
_CPU = "CPUExecutionProvider"
# What few operators stay on the host (shapes) need no pool of threads.
_THREADS = 1
# https://onnxruntime.ai/docs/execution-providers/CUDA-ExecutionProvider.html#configuration-options
_SETTINGS = {
    # fp32 means fp32: with TensorFloat-32, products have 10 bits of mantissa.
    "use_tf32": "0",
    # As much as a run asks for: doubling, the last step of growth could take half of the GPU for nothing.
    "arena_extend_strategy": "kSameAsRequested",
}


class CudaDevice:
    """One GPU.

    Args:
        name: For example `cuda:0`. `cpu` plays all of it on onnxruntime's provider for CPUs, for rehearsals.
        memory_limit_bytes: Most that the sessions of one bundle may take, weights included, each an equal part; 0 for
            no limit. onnxruntime bounds arenas one by one and knows nothing of other bundles.
        features: Which rungs are tried.
        withheld: Rungs that are not, although they are asked for, and what became of them elsewhere.
    """

    def __init__(
        self,
        name: str,
        *,
        memory_limit_bytes: int = 0,
        features: GpuFeatures | None = None,
        withheld: Mapping[RungName, RungOutcome] | None = None,
    ) -> None:
        self._name = name
        self._device = ("cpu", 0) if name == CPU else ("cuda", int(name.partition(":")[2]))
        self._memory_limit_bytes = memory_limit_bytes
        self._features = features or GpuFeatures()
        self._withheld = withheld or {}

    def open(self, bundle: Bundle) -> OpenedGraphs:
        """Load the graphs of a bundle, for the first rung and for those above it that can be had.

        Raises:
            BundleError: A graph of the first rung cannot be loaded, does not fit the manifest or into the limit.
        """
        check_buckets(bundle)
        manifest = bundle.manifest
        kinds = list(dict.fromkeys(bucket.attention for bucket in manifest.buckets))
        modules, outcomes = self._rungs(manifest)
        plain = LoadOptions(served_kernel(manifest, "composed"))
        # Each graph is loaded once for the first rung, and once more if a rung above loads it otherwise.
        sessions = len(kinds) * (2 if any(module.load_options(plain) != plain for module in modules.values()) else 1)
        limit = self._memory_limit_bytes // sessions
        if 0 < limit <= manifest.weights.bytes:
            raise BundleError(
                f"{bundle.folder}: gpu_memory_limit_bytes ({self._memory_limit_bytes}) does not hold the weights of "
                f"its {sessions} sessions, {manifest.weights.bytes} bytes each; raise it, or set gpu_features to none"
            )
        graphs = self._load_all(bundle, kinds, plain, limit)
        levels = {kind: [Level(None, graph.ordinary())] for kind, graph in graphs.items()}
        options = plain
        for rung, module in modules.items():
            try:
                wanted = module.load_options(options)
                if wanted != options:
                    graphs, options = self._load_all(bundle, kinds, wanted, limit), wanted
                opened = {kind: module.open_level(graph) for kind, graph in graphs.items()}
            except Exception as error:
                # onnxruntime's exception classes share no public base.
                outcomes[rung] = RungOutcome(rung, "failed", said_by(error))
                continue
            for kind, level in opened.items():
                levels[kind].append(level)
        ladder = Ladder(f"{bundle.name} on {self._name}", manifest, levels, outcomes, pinned=self._features.pinned)
        return OpenedGraphs(manifest, ladder.sessions, ladder=ladder)

    def _rungs(self, manifest: Manifest) -> tuple[dict[RungName, ModuleType], dict[RungName, RungOutcome]]:
        """Import the rungs that are to be tried, and say what becomes of the others."""
        modules: dict[RungName, ModuleType] = {}
        outcomes: dict[RungName, RungOutcome] = {}
        for rung in RUNGS:
            if rung not in self._features.rungs:
                outcomes[rung] = RungOutcome(rung, "not_asked", f"gpu_features is {self._features}")
            elif rung in self._withheld:
                outcomes[rung] = self._withheld[rung]
            elif (reason := unfit(rung, manifest)) is not None:
                outcomes[rung] = RungOutcome(rung, "unfit", reason)
            else:
                try:
                    modules[rung] = importlib.import_module(f"bigbird_inference.runtime.cuda.{rung}")
                except Exception as error:
                    outcomes[rung] = RungOutcome(rung, "unfit", f"it cannot be imported: {said_by(error)}")
        return modules, outcomes

    def _load_all(
        self, bundle: Bundle, kinds: list[Attention], options: LoadOptions, limit: int
    ) -> dict[Attention, LoadedGraph]:
        return {kind: self._load(bundle, kind, options, limit) for kind in kinds}

    def _load(self, bundle: Bundle, kind: Attention, options: LoadOptions, limit: int) -> LoadedGraph:
        """Load a graph.

        Raises:
            BundleError: onnxruntime refuses, or it would not run on the GPU, or it does not fit the manifest.
        """
        manifest = bundle.manifest
        graph = bundle.path(manifest.graph(kind, options.kernel).file)
        check_external_data(graph, manifest.weights.file)
        settings = {"device_id": str(self._device[1]), **_SETTINGS, **options.settings}
        if limit:
            settings["gpu_mem_limit"] = str(limit)
        providers = [_CPU] if self._device[0] == CPU else [(_CUDA, settings), _CPU]
        try:
            # Without `enable_fallback`, onnxruntime would answer from the CPU when the GPU fails, and say so on
            # standard output.
            session = onnxruntime.InferenceSession(
                str(graph),
                session_options(_THREADS, cpu_only=False, shared_allocators=False),
                providers=providers,
                enable_fallback=0,
            )
        except Exception as error:
            raise BundleError(f"{graph}: onnxruntime cannot load it on {self._name}: {error}") from error
        if self._device[0] != CPU and session.get_providers()[0] != _CUDA:
            raise BundleError(f"{graph}: onnxruntime loaded it without its CUDA provider")
        check_graph(graph, manifest, session)
        # Where bundles lie is nobody's business who reads a log.
        logger.info("loaded %s/%s on %s", graph.parent.name, graph.name, self._name)
        return LoadedGraph(session, manifest, kind, self._device, options.run_config)
