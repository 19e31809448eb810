"""How fast one run of the base configuration is: transformers, what else it can be run with on a CPU, and ours.

    python -m benchmarks.models              512, 1,024 and 4,096 tokens; a table and a plot in benchmarks/results
    python -m benchmarks.models --quick      two layers instead of twelve, few repeats
    python -m benchmarks.models --profile    where the time of our graph goes, operator by operator

Every contender runs in a process of its own that loads the model once, warms it, and then runs when it is asked to;
they take turns, so that only one computes at a time and noise hits all alike. Before anything is timed, the logits of
each are compared with transformers', so that a fast wrong graph cannot win. Who fails, or is wrong, is left out and
said to be; the exit status is 1 if that is one of ours.
"""

import argparse
import contextlib
import sys
from collections.abc import Sequence
from dataclasses import replace

from benchmarks.base_checkpoint import BASE_CONFIG, NINE_BUCKETS, base_bundle
from benchmarks.comparison import Comparison, Rates
from benchmarks.contenders import ALL_OURS, contenders
from benchmarks.models_report import Measurement, figure, notes, omissions, rows
from benchmarks.operator_profile import node_rows, operator_rows, profile_graph
from benchmarks.report import QUICK_RESULTS, RESULTS, table, write_report
from bigbird_inference.bundle import read_manifest
from bigbird_inference.manifest import Precision
from model_export.config import BigBirdConfig

LENGTHS = (512, 1024, 4096)
QUICK_LAYERS = 2
BATCHES = (1, 4)
LONGEST_IN_BATCHES = 1024
"""Beyond, four documents take four times as long as one."""
PROFILED_GROUPS = 20


def profile(length: int, precision: Precision, layers: int) -> None:
    """Print where the time of our graph goes."""
    bundle = base_bundle(precision, (length,), layers)
    graph = next(graph for graph in read_manifest(bundle).graphs if graph.takes(length))
    nodes = profile_graph(bundle / graph.file, length)
    print(f"ours {precision}, {length} tokens: {sum(node.seconds for node in nodes):.3f} s in all nodes\n")
    print("\n".join(table(operator_rows(nodes))), end="\n\n")
    print("\n".join(table(node_rows(nodes)[:PROFILED_GROUPS])))


def run(lengths: Sequence[int], config: BigBirdConfig, *, quick: bool) -> bool:
    """Measure and write the report; return whether all of ours ran that can run on this machine."""
    # Other benchmarks load these buckets in fp32; an export takes its time.
    buckets: dict[Precision, Sequence[int]] = {
        "fp32": lengths if quick else sorted({*NINE_BUCKETS, *lengths}),
        "int8": lengths,
    }
    everything = {
        length: contenders(
            length,
            buckets,
            config.num_hidden_layers,
            BATCHES[:1] if quick or length > LONGEST_IN_BATCHES else BATCHES,
        )
        for length in lengths
    }
    measurements: list[Measurement] = []
    rates: Rates = {}
    left_out: dict[int, dict[str, str]] = {}
    for length, there in everything.items():
        with contextlib.ExitStack() as processes:
            comparison = Comparison(length, there, processes)
            measured = comparison.measure(rates, config, quick=quick)
        measurements += measured
        left_out[length] = comparison.left_out
        print("\n".join(table(rows(measurements, rates)[-len(measured) :])), flush=True)
    statements = [*notes(measurements, rates, config.num_hidden_layers), *omissions(left_out)]
    write_report(
        "models",
        "Speed of one run of the base configuration",
        rows(measurements, rates),
        statements,
        figure(measurements, rates),
        folder=QUICK_RESULTS if quick else RESULTS,
    )
    print("\n".join(statements))
    failed = {name for length in lengths for name in left_out[length] if name in everything[length].compared}
    return not failed & set(ALL_OURS)


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="two layers instead of twelve, few repeats")
    parser.add_argument("--lengths", type=int, nargs="+", help="tokens")
    parser.add_argument("--profile", action="store_true", help="profile our graph at the last of the lengths instead")
    parser.add_argument("--precision", choices=["fp32", "int8"], default="fp32", help="of the profiled graph")
    arguments = parser.parse_args()
    lengths = arguments.lengths or LENGTHS
    config = replace(BASE_CONFIG, num_hidden_layers=QUICK_LAYERS) if arguments.quick else BASE_CONFIG
    if arguments.profile:
        profile(lengths[-1], arguments.precision, config.num_hidden_layers)
    else:
        sys.exit(0 if run(lengths, config, quick=arguments.quick) else 1)


if __name__ == "__main__":
    main()
