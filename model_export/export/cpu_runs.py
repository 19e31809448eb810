"""What another runtime makes of a bundle's graphs on a CPU: how far its answers are off, and its known answer.

The service runs a bundle in it by itself only where the manifest has these figures
(`bigbird_inference.runtime.cpu_runtime_choice`). They are measured at export where the runtime is
installed, and for a finished bundle by `bigbird measure`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from bigbird_inference.bundle import Bundle
from bigbird_inference.errors import BundleError
from bigbird_inference.host_memory import peak_rise
from bigbird_inference.manifest import Attention, Bucket, CpuPrecision, CpuRun, KnownRun, Manifest, Parity, Precision
from bigbird_inference.progress import track
from bigbird_inference.runtime import quiet_openvino
from bigbird_inference.runtime.cores import available_cores
from bigbird_inference.runtime.cpu_runtime_choice import unfit_for_openvino
from bigbird_inference.runtime.devices import CPU
from bigbird_inference.runtime.graph_sessions import open_sessions
from bigbird_inference.runtime.onnx_session import open_session
from bigbird_inference.runtime.openvino_session import open_openvino_session
from bigbird_inference.runtime.session import Batch, Outputs, RunControl, Session
from model_export.config import BigBirdConfig
from model_export.errors import ExportError
from model_export.export.buckets import BucketPlan
from model_export.export.known_answer import known_runs
from model_export.export.openvino_graphs import OpenVinoGraphs
from model_export.export.references import References
from model_export.export.signature import signature
from model_export.export.verify import Verifier

PRECISIONS: tuple[CpuPrecision, ...] = ("fp32", "bf16")
# In standard deviations: with fewer bits than fp32 has, a single token in ten thousand of a sharp model may be far off,
# and all others near. What is broken is found out by the correlation.
_TOLERANCE = 4.0


def can_be_measured(manifest: Manifest) -> bool:
    """Tell whether there is another runtime here that runs the graphs of a bundle."""
    return quiet_openvino.installed() and unfit_for_measuring(manifest) is None


def unfit_for_measuring(manifest: Manifest) -> str | None:
    """Return why a bundle is not measured in OpenVINO, and what to do, or None if it is."""
    if manifest.precision == "int8":
        return "bundles in fp32 are measured, and this one is in int8; export the checkpoint with --precision fp32"
    return unfit_for_openvino(manifest)


def measure(
    bundle: Bundle,
    precision: CpuPrecision,
    references: References | None = None,
    name: str | None = None,
    own: OpenVinoGraphs | None = None,
) -> CpuRun:
    """Run every bucket of a bundle in OpenVINO.

    Args:
        bundle: With graphs of standard operators; its known answer is complete.
        precision: What float32 is to be computed in.
        references: What its graphs were compared with; None to compare with what they give in onnxruntime.
        name: What it is called while it is measured; None takes its folder's name.
        own: Graphs that OpenVINO has for itself; None where it runs those of the bundle.

    Raises:
        ExportError: OpenVINO does not run it, or too far off.
    """
    manifest = bundle.manifest
    run = CpuRun("openvino", precision, quiet_openvino.version(), manifest.buckets, [])
    if own is not None:
        run = replace(run, graphs=own.graphs, weights=own.weights, calibrated_on=own.calibrated_on)
    plans = [BucketPlan(bucket.length, bucket.attention) for bucket in manifest.buckets]
    references = references or _answers_of_graphs(bundle)
    exact = precision == "fp32" and own is None
    verifier = Verifier(
        references, plans, precision="fp32" if exact else "bf16", tolerance=None if exact else _TOLERANCE
    )
    described = manifest.as_run_by(run)
    between_machines: Precision = "int8" if own is not None and precision == "fp32" else precision
    buckets: list[Bucket] = []
    runs: list[KnownRun] = []
    for attention in dict.fromkeys(bucket.attention for bucket in manifest.buckets):
        alike = [bucket for bucket in manifest.buckets if bucket.attention == attention]
        file = bundle.path(described.graph(attention, "composed").file)
        try:
            # Loaded for each kind anew: what a run takes is measured where none has run before.
            session = open_openvino_session(file, described, precision=precision, threads=available_cores())
        except BundleError as error:
            raise ExportError(str(error)) from error
        measured = _measured(alike, session, verifier, f"{name or bundle.name}: OpenVINO in {precision}")
        buckets += measured
        if manifest.known_answer is not None:
            token_ids, graph = manifest.known_answer.token_ids, manifest.graph(attention, "composed")
            runs += known_runs(manifest, token_ids, graph, measured, session, between_machines)
    return replace(run, buckets=buckets, known_runs=runs)


def _measured(buckets: Sequence[Bucket], session: Session, verifier: Verifier, what: str) -> list[Bucket]:
    """Return the buckets of one graph with what was measured of a session, in their order."""
    longest = max(bucket.length for bucket in buckets)
    batch = verifier.filled_batch(longest)
    peak = peak_rise(lambda: session.run(batch))  # before anything else has run: memory is kept
    parity: dict[int, Parity] = {}
    lengths = sorted((bucket.length for bucket in buckets), reverse=True)
    for length in track(lengths, len(lengths), lambda length: f"{what}: bucket {length}"):
        parity[length] = verifier.compare(length, session, checked_with="openvino")
    return [
        replace(
            bucket,
            parity=[parity[bucket.length]],
            peak_memory_bytes=None if peak is None else peak * bucket.length // longest,
            peak_memory_measured=peak is not None and bucket.length == longest,
        )
        for bucket in buckets
    ]


def _answers_of_graphs(bundle: Bundle) -> References:
    """Return what the graphs give in onnxruntime, which was compared with torch when they were exported."""
    manifest = bundle.manifest
    config = BigBirdConfig.from_dict(dict(manifest.model))
    sessions = open_sessions(bundle, partial(open_session, device=CPU, threads=available_cores())).sessions
    return References(_ByLength(manifest, sessions), config, signature(manifest.task, config))


class _ByLength:
    """Runs each batch on the graph that takes its length.

    Args:
        manifest: Of the graphs.
        sessions: By kind of attention.
    """

    def __init__(self, manifest: Manifest, sessions: Mapping[Attention, Session]) -> None:
        self._graphs = [(manifest.graph(attention, "composed"), session) for attention, session in sessions.items()]

    def run(self, batch: Batch, control: RunControl | None = None) -> Outputs:
        """Return every output by name, float32, batch axis first."""
        length = batch.input_ids.shape[1]
        session = next(session for graph, session in self._graphs if graph.takes(length))
        return session.run(batch, control)
