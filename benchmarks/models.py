"""How fast one run of the base configuration is: transformers, transformers traced for onnxruntime, and ours.

    python -m benchmarks.models              every length; a table and a plot in benchmarks/results
    python -m benchmarks.models --quick      two layers instead of twelve, few repeats
    python -m benchmarks.models --profile    where the time of our graph goes, operator by operator

Every contender runs in a process of its own that loads the model once, warms it, and then runs when it is asked to;
they take turns, so that only one computes at a time and noise hits all alike. Before anything is timed, the logits of
each are compared with transformers', so that a fast wrong graph cannot win.
"""

import argparse
import contextlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from tqdm import tqdm

from benchmarks.base_checkpoint import BASE_CONFIG, base_bundle
from benchmarks.contenders import BLOCK_SPARSE, Contender, FloatArray, TimedModel, contenders
from benchmarks.floating_point import model_operations
from benchmarks.interleaving import repeats_for, round_robin
from benchmarks.matrix_products import MatrixProducts
from benchmarks.models_report import Measurement, figure, notes, rows
from benchmarks.operator_profile import node_rows, operator_rows, profile_graph
from benchmarks.report import QUICK_RESULTS, RESULTS, table, write_report
from benchmarks.worker import Worker
from bigbird_inference.bundle import read_manifest
from bigbird_inference.manifest import Precision
from model_export.config import BigBirdConfig

LENGTHS = (512, 1024, 2048, 4096)
QUICK_LENGTHS = (512, 1024, 4096)
QUICK_LAYERS = 2
BATCHES = (1, 4)
RATE_REPEATS = 3
PROFILED_GROUPS = 20

Rates = dict[str, list[float]]


class WrongModel(Exception):
    """A contender's logits are not transformers'; its time would mean nothing."""


def measure(
    length: int, compared: Mapping[str, Contender], rates: Rates, config: BigBirdConfig, *, quick: bool = False
) -> list[Measurement]:
    """Measure all contenders at one length, and the rate of matrix products beside them.

    Args:
        length: In tokens.
        compared: The contenders by name, the reference first.
        rates: Where each path's operations per second are added.
        config: The model's shape.
        quick: Whether to repeat little.

    Raises:
        WrongModel: The logits of one are not what they must be.
    """
    with contextlib.ExitStack() as processes:
        # One after the other: two that load or warm at once would hold each other up.
        workers: dict[str, Worker] = {}
        logits: dict[str, FloatArray] = {}
        memory: dict[tuple[str, int], int] = {}
        repeats: dict[tuple[str, int], int] = {}
        for name, contender in tqdm(compared.items(), desc=f"{length} tokens: loading", disable=None):
            workers[name] = processes.enter_context(Worker(name, TimedModel, contender.load, length))
            workers[name].wait_until_made()
            for documents in contender.documents:
                answers, seconds = workers[name].call("warm", documents)
                if documents == 1:
                    logits[name] = answers
                memory[name, documents] = workers[name].call("peak_memory")
                repeats[name, documents] = repeats_for(seconds, quick=quick)
        differences = check(compared, logits)
        products = processes.enter_context(Worker("matrix products", MatrixProducts))
        products.wait_until_made()

        times: dict[tuple[str, int], list[float]] = defaultdict(list)
        order = round_robin({**repeats, ("", 0): RATE_REPEATS})
        for name, documents in tqdm(order, desc=f"{length} tokens: running", disable=None):
            if documents:
                times[name, documents].append(workers[name].call("seconds", documents))
            else:
                for path, rate in products.call("rates").items():
                    rates.setdefault(path, []).append(rate)
    return [
        Measurement(
            contender=name,
            length=length,
            documents=documents,
            seconds=tuple(times[name, documents]),
            operations=documents * model_operations(config, length, full=compared[name].always_full or None),
            precision=compared[name].precision,
            peak_memory=memory[name, documents],
            difference=differences[name],
        )
        for name, documents in repeats
    ]


def check(compared: Mapping[str, Contender], logits: Mapping[str, FloatArray]) -> dict[str, float]:
    """Return each contender's largest difference from the first, in standard deviations of the first's logits.

    Raises:
        WrongModel: A difference is beyond the contender's tolerance, or not a number.
    """
    reference = logits[next(iter(compared))]
    differences = {name: float(abs(logits[name] - reference).max() / reference.std()) for name in compared}
    for name, contender in compared.items():
        if contender.tolerance is not None and not differences[name] <= contender.tolerance:
            raise WrongModel(
                f"{name}: logits differ from {BLOCK_SPARSE} by {differences[name]:.3g} standard deviations, "
                f"more than {contender.tolerance}"
            )
    return differences


def profile(length: int, precision: Precision, layers: int) -> None:
    """Print where the time of our graph goes."""
    bundle = base_bundle(precision, (length,), layers)
    graph = next(graph for graph in read_manifest(bundle).graphs if graph.takes(length))
    nodes = profile_graph(bundle / graph.file, length)
    print(f"ours {precision}, {length} tokens: {sum(node.seconds for node in nodes):.3f} s in all nodes\n")
    print("\n".join(table(operator_rows(nodes))), end="\n\n")
    print("\n".join(table(node_rows(nodes)[:PROFILED_GROUPS])))


def run(lengths: Sequence[int], config: BigBirdConfig, *, quick: bool) -> None:
    """Measure and write the report."""
    # Other benchmarks load the default buckets in fp32; an export takes its time.
    buckets: dict[Precision, Sequence[int] | None] = {"fp32": lengths if quick else None, "int8": lengths}
    batches = BATCHES[:1] if quick else BATCHES
    everything = {length: contenders(length, buckets, config.num_hidden_layers, batches) for length in lengths}
    measurements: list[Measurement] = []
    rates: Rates = {}
    for length, compared in everything.items():
        measurements += measure(length, compared, rates, config, quick=quick)
        print("\n".join(table(rows(measurements, rates)[-len(compared) :])), flush=True)
    statements = notes(measurements, rates, config.num_hidden_layers)
    write_report(
        "models",
        "Speed of one run of the base configuration",
        rows(measurements, rates),
        statements,
        figure(measurements, rates),
        folder=QUICK_RESULTS if quick else RESULTS,
    )
    print("\n".join(statements))


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="two layers instead of twelve, few repeats")
    parser.add_argument("--lengths", type=int, nargs="+", help="tokens")
    parser.add_argument("--profile", action="store_true", help="profile our graph at the last of the lengths instead")
    parser.add_argument("--precision", choices=["fp32", "int8"], default="fp32", help="of the profiled graph")
    arguments = parser.parse_args()
    lengths = arguments.lengths or (QUICK_LENGTHS if arguments.quick else LENGTHS)
    config = replace(BASE_CONFIG, num_hidden_layers=QUICK_LAYERS) if arguments.quick else BASE_CONFIG
    if arguments.profile:
        profile(lengths[-1], arguments.precision, config.num_hidden_layers)
    else:
        run(lengths, config, quick=arguments.quick)


if __name__ == "__main__":
    main()
