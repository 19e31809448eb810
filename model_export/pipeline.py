"""From a checkpoint to a bundle: the stages of `bigbird export`, one call each.

    checkpoint, weights -> what was seen is said
    -> [trace -> share weights -> write] for each graph -> [verify each bucket] for each kind of attention -> manifest

There is one graph for every length; in half precision and with the fused kernel, which are for GPUs, there is one for
each kind of attention and each kernel. The bundle is built in a hidden folder beside its destination and takes its
place when everything is verified (`export.placement`). Whatever fails, nothing is left behind.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import onnx_ir as ir

from bigbird_inference.bundle import Bundle, write_manifest
from bigbird_inference.errors import BundleError
from bigbird_inference.manifest import (
    WEIGHTS_FILE,
    Attention,
    AttentionKernelName,
    Bucket,
    CpuRun,
    Graph,
    HashedFile,
    KnownAnswer,
    KnownRun,
    Manifest,
    Parity,
    Precision,
)
from bigbird_inference.progress import Progress, track
from model_export.errors import ExportError
from model_export.export import cpu_runs
from model_export.export.buckets import GraphPlan, plan_graphs
from model_export.export.bundle_tokenizer import write_bundle_tokenizer
from model_export.export.graph_check import GraphCheck, LoadedGraph, graph_opener, rounded_model
from model_export.export.graph_files import described_graphs, graph_name
from model_export.export.known_answer import TEXT, known_runs, token_ids_of
from model_export.export.openvino_graphs import OpenVinoGraphs
from model_export.export.placement import check_destination, hidden_folder, put_in_place
from model_export.export.quantise import quantise
from model_export.export.references import References
from model_export.export.shared_weights import SharedWeights
from model_export.export.signature import signature
from model_export.export.tokenizer import SpecialIds
from model_export.export.trace import graphs_of, trace, traced_model
from model_export.nn.model import BigBird
from model_export.preparation import ExportOptions, Prepared, prepare
from model_export.unfinished_manifest import unfinished_manifest


def export_checkpoint(
    folder: Path, output: Path, options: ExportOptions, *, overwrite: bool = False, name: str | None = None
) -> Manifest:
    """Export a checkpoint folder to a bundle folder.

    Args:
        folder: The checkpoint.
        output: The bundle to make; its name becomes the model's name.
        options: The choices.
        overwrite: Replace a bundle that is already there, once the new one is complete.
        name: What the manifest calls the checkpoint; None takes the folder's name.

    Returns:
        The manifest that was written.

    Raises:
        ExportError: Something does not fit; nothing was left behind.
    """
    return export_precisions(folder, {options.precision: output}, options, overwrite=overwrite, name=name)[0]


def export_precisions(
    folder: Path,
    outputs: Mapping[Precision, Path],
    options: ExportOptions,
    *,
    overwrite: bool = False,
    name: str | None = None,
) -> list[Manifest]:
    """Export a checkpoint folder to a bundle for each precision; what torch computes for the checks is shared.

    Args:
        folder: The checkpoint.
        outputs: The bundle to make for each precision.
        options: The choices; its precision does not count.
        overwrite: Replace bundles that are already there, each once the new one is complete.
        name: What the manifests call the checkpoint; None takes the folder's name.

    Returns:
        The manifests that were written.

    Raises:
        ExportError: Something does not fit; of the bundle under way nothing was left behind, those before it are there.
    """
    for output in outputs.values():
        check_destination(output, overwrite=overwrite)
    prepared = prepare(folder, outputs, options, name=name)
    # In one piece: several exports may run side by side.
    print("\n".join(prepared.lines()), file=sys.stderr, flush=True)
    references = References.of_model(
        prepared.loaded.model, signature(prepared.checkpoint.task, prepared.loaded.model.config)
    )
    manifests = []
    for precision, output in outputs.items():
        building = _Building(output.name, prepared, references, precision, options.tolerance)
        try:
            with hidden_folder(output) as folder_of_bundle:
                manifests.append(building.write(folder_of_bundle))
                put_in_place(folder_of_bundle, output, overwrite=overwrite)
        except OSError as error:
            # A full disk or a read-only folder: what was being written has no name in the error.
            raise ExportError(f"{error.filename or output}: {error.strerror or error}") from error
    return manifests


def _say(name: str, line: str) -> None:
    """Print a line about a model; several exports may run side by side."""
    print(f"{name}: {line}", file=sys.stderr, flush=True)


@dataclass(frozen=True, slots=True)
class _Building:
    """A bundle that is made; its name is for the lines that tell how far it is."""

    name: str
    prepared: Prepared
    references: References
    precision: Precision
    tolerance: float | None

    def write(self, folder: Path) -> Manifest:
        """Write every file of the bundle."""
        plans = self.prepared.plans
        tokenizer_file, special_ids = write_bundle_tokenizer(self.prepared.checkpoint, folder)
        traced = {
            kernel: traced_model(self.prepared.loaded.model, self.precision, kernel)
            for kernel in self.prepared.kernels[self.precision]
        }
        weights = SharedWeights(folder / WEIGHTS_FILE, self.prepared.loaded.model.state_dict())
        unfinished = unfinished_manifest(
            self.prepared,
            self.references.signature,
            self.precision,
            tokenizer_file,
            special_ids,
            HashedFile.of(folder / WEIGHTS_FILE),
        )
        token_ids = token_ids_of([TEXT], unfinished, tokenizer_file).tolist()
        rounded = rounded_model(self.prepared.loaded.model, self.precision)
        check = GraphCheck(
            self.references,
            None if rounded is None else References.of_model(rounded, self.references.signature),
            plans,
            self.precision,
            graph_opener(unfinished),
            self.tolerance,
        )
        openvino = self._openvino_graphs(folder, unfinished, tokenizer_file, special_ids)
        kinds = {bucket.attention for bucket in plans}
        graph_plans = [plan for plan in plan_graphs(self.references.config) if plan.attention in kinds]
        graphs = [
            graph
            for kernel, model in traced.items()
            for together in graphs_of(self.precision, kernel, graph_plans)
            for graph in self._write_graph(together, kernel, model, folder, weights, openvino)
        ]
        if openvino is not None and openvino.calibrates:
            for plan in graph_plans:
                self._add_to(openvino, trace(traced["composed"], self.references.signature, [plan]), [plan])
        buckets: list[Bucket] = []
        runs: list[KnownRun] = []
        for plan in graph_plans:
            alike = [graph for graph in graphs if graph.attention == plan.attention]
            # Loaded for each kind anew: what a run takes is measured where none has run before.
            loaded = [self._loaded(folder, graph, traced[graph.attention_kernel], check) for graph in alike]
            lengths = [bucket.length for bucket in plans if bucket.attention == plan.attention]
            own = self._checked(plan.attention, lengths, loaded, check, measures_memory=rounded is None)
            buckets += own
            runs += known_runs(unfinished, token_ids, alike[0], own, loaded[0].session)
        manifest = replace(
            unfinished,
            weights=HashedFile.of(folder / WEIGHTS_FILE),
            graphs=graphs,
            buckets=buckets,
            known_answer=KnownAnswer(TEXT, token_ids, runs) if runs else None,
        )
        manifest = replace(manifest, cpu_runs=self._cpu_runs(Bundle(folder, manifest), openvino))
        write_manifest(manifest, folder)
        return manifest

    def _openvino_graphs(
        self, folder: Path, manifest: Manifest, tokenizer_file: Path, special_ids: SpecialIds
    ) -> OpenVinoGraphs | None:
        """Return what makes the graphs of an int8 bundle for OpenVINO, where that can be done."""
        if self.precision != "int8" or self.prepared.no_int8_for_openvino() is not None:
            return None
        text = token_ids_of(self.prepared.calibration, manifest, tokenizer_file)
        pairs = self.references.config.type_vocab_size > 1
        return OpenVinoGraphs(folder, self.references.signature, text, special_ids, pairs=pairs)

    def _cpu_runs(self, bundle: Bundle, own: OpenVinoGraphs | None) -> list[CpuRun]:
        """Measure the other runtimes that are here; what one of them computes too far off is told and left out."""
        runs = []
        for precision in cpu_runs.PRECISIONS if own or cpu_runs.can_be_measured(bundle.manifest) else ():
            try:
                runs.append(cpu_runs.measure(bundle, precision, self.references, self.name, own))
            except ExportError as error:
                _say(self.name, f"OpenVINO in {precision} is not recorded: {error}")
        if own is not None and not runs:
            own.remove()
        return runs

    def _checked(
        self,
        attention: Attention,
        lengths: Sequence[int],
        graphs: Sequence[LoadedGraph],
        check: GraphCheck,
        *,
        measures_memory: bool,
    ) -> list[Bucket]:
        """Compare the graphs of a kind of attention with torch at each padded length."""
        peak = graphs[0].peak_memory_bytes(lengths[-1]) if measures_memory else None
        unanswered = check.unanswered_lengths()
        with Progress(f"{self.name}: torch's answers", len(unanswered), "document") as progress:
            for length in unanswered:
                check.answer(length)
                progress.advance()
        parity: dict[int, list[Parity]] = {length: [] for length in lengths}
        # The longest first: what it has faulted in serves all.
        checked = [(length, graph) for length in lengths[::-1] for graph in graphs]
        for length, graph in track(checked, len(checked), partial(_bucket, self.name, attention)):
            parity[length].append(graph.compare(length))
        return [
            Bucket(
                length,
                attention,
                parity[length],
                None if peak is None else peak * length // lengths[-1],
                peak_memory_measured=peak is not None and length == lengths[-1],
            )
            for length in lengths
        ]

    def _write_graph(
        self,
        plans: Sequence[GraphPlan],
        kernel: AttentionKernelName,
        model: BigBird,
        folder: Path,
        weights: SharedWeights,
        openvino: OpenVinoGraphs | None,
    ) -> list[Graph]:
        """Trace a graph, share its weights, write it; return what there is to say of it for each kind of attention."""
        _say(self.name, f"tracing {' and '.join(_described(plan.attention, kernel) for plan in plans)}")
        graph = trace(model, self.references.signature, plans)
        if openvino is not None and not openvino.calibrates:
            self._add_to(openvino, graph, plans)
        if self.precision == "int8":
            quantise(graph)
        weights.take_from(graph)
        path = folder / f"{graph_name(plans)}{'-fused' if kernel == 'fused' else ''}.onnx"
        ir.save(graph, path)
        return described_graphs(path, plans, kernel)

    def _add_to(self, openvino: OpenVinoGraphs, graph: ir.Model, plans: Sequence[GraphPlan]) -> None:
        _say(self.name, f"quantising {' and '.join(_described(plan.attention) for plan in plans)} for OpenVINO")
        openvino.add(graph, plans)

    def _loaded(self, folder: Path, graph: Graph, model: BigBird, check: GraphCheck) -> LoadedGraph:
        try:
            return check.load(folder / graph.file, model, graph.attention_kernel)
        except BundleError as error:
            raise ExportError(f"{graph.file}: {error}") from error


def _bucket(name: str, attention: Attention, compared: tuple[int, LoadedGraph]) -> str:
    return f"{name}: bucket {compared[0]} ({_described(attention, compared[1].kernel)})"


def _described(attention: Attention, kernel: AttentionKernelName = "composed") -> str:
    return f"{attention.replace('_', '-')} attention{', fused kernel' if kernel == 'fused' else ''}"
