"""Policies under the same traffic: simulated for an hour with measured costs, and for real on the demo model.

    python -m benchmarks.serving              both; measures the base model's costs first if they are not there
    python -m benchmarks.serving --measure    measure those costs again
    python -m benchmarks.serving --quick      five minutes of traffic, and seconds of the real thing
    python -m benchmarks.serving --buckets    only the default buckets against nine, for real on the base model

Writes benchmarks/results/serving.*, serving_counts.* and serving_buckets.*.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks.base_checkpoint import BASE_CONFIG, NINE_BUCKETS, base_bundle
from benchmarks.fifo_policies import CountFifo
from benchmarks.report import QUICK_RESULTS, RESULTS, Row, machine_facts, write_report
from benchmarks.served_traffic import Served
from benchmarks.serving_figure import serving_figure
from benchmarks.serving_runs import POLICIES, DemoDevice, PolicyChoice, PolicyName, VirtualDevice
from benchmarks.traffic import mean_tokens
from benchmarks.virtual_time import Costs
from model_export.export.buckets import plan_buckets

ROOT = Path(__file__).resolve().parents[1]
COSTS = RESULTS / "serving_costs.json"
DEMO_BUNDLE = ROOT / "bundles" / "demo-classify"
EDGE = 704
LOADS = (0.5, 0.8, 1.0, 1.2)
# A deadline of so many mean service times: a busy server must hurry, an idle one makes it easily.
DEADLINE_DOCUMENTS = 20
# Documents for each document that the server can take: nothing but a saturated queue.
SATURATION = 3.0
# For real on the base model: turns with the same documents, all of which wait from the beginning.
BUCKET_ROUNDS, BUCKET_DOCUMENTS = 3, 80
COUNTS = (1, 2, 4, 8, 16, 32)
BUCKET_SETS: dict[str, Sequence[int]] = {
    "coarse": (704, 2048, 4096),
    "nine": NINE_BUCKETS,
    "every 512": tuple(sorted({*range(512, 4097, 512), EDGE})),
    "every 256": tuple(sorted({*range(256, 4097, 256), EDGE})),
    "every 128": tuple(sorted({*range(128, 4097, 128), EDGE})),
    "default": tuple(plan.length for plan in plan_buckets(BASE_CONFIG)),
    "every 64": tuple(range(64, 4097, 64)),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", action="store_true", help="measure the base model's costs again")
    parser.add_argument("--quick", action="store_true", help="less traffic")
    parser.add_argument("--buckets", action="store_true", help="only compare sets of buckets on the base model")
    parser.add_argument("--costs", type=Path, default=COSTS, help="file of measured costs")
    parser.add_argument("--demo-bundle", type=Path, default=DEMO_BUNDLE, help="bundle of the real runs")
    parser.add_argument("--output", type=Path, help="folder of the results")
    asked = parser.parse_args(arguments)
    output = asked.output or (QUICK_RESULTS if asked.quick else RESULTS)
    if asked.measure or not asked.costs.is_file():
        measure(asked.costs)
    costs = read_costs(asked.costs)
    if asked.buckets:
        compare_buckets(costs, output)
        return 0
    simulated = compare(VirtualDevice(costs), "base model, simulated", 300 if asked.quick else 3600)
    real = compare(DemoDevice(asked.demo_bundle), "demo model, real executor", 2 if asked.quick else 10)
    notes = [
        f"Documents have {mean_tokens():.0f} tokens on average (log-normal, median 900, sigma 0.8, cut to 4096) and "
        "arrive by chance. 100% load is what `ours` processes when its queue never empties.",
        f"The deadline is {DEADLINE_DOCUMENTS} times the mean service time at that rate. Late answers count in the "
        "throughput and not in the goodput. All policies drop what is past its deadline; only `ours` predicts.",
        f"The count policy takes up to {POLICIES['FIFO by count'].cap} documents, the token policy up to "
        f"{POLICIES['FIFO by tokens'].cap} padded tokens; both pad to the bucket of the longest. In the real runs they "
        "put short documents into block-sparse graphs, as other servers do: their answers would not be right.",
        "Simulated: the real scheduler, policy and admission under a virtual clock, with a device that takes the "
        "measured time, give or take 5%.",
        *verdicts(simulated),
    ]
    write_report("serving", "Batching policies", simulated + real, notes, serving_figure(simulated), output)
    counts_note = [
        "How FIFO by count fares against `ours` at 100% load, simulated, for other counts than that of the main table.",
        "A ratio near 1 for one document at a time says that batching itself gains nothing on this device: what `ours` "
        "gains over larger counts is padding that it avoids.",
    ]
    counts = count_sizes(costs, 300 if asked.quick else 3600)
    write_report("serving_counts", "FIFO by count, other counts", counts, counts_note, folder=output)
    sets = bucket_sets(costs, 300 if asked.quick else 1800)
    buckets_note = [
        "Costs of buckets that were not measured lie between those around them, for each kind of attention.",
        "Capacity is what `ours` processes when its queue never empties.",
    ]
    write_report("serving_buckets", "Sets of buckets", sets, buckets_note, folder=output)
    return 0


def compare(device: "VirtualDevice | DemoDevice", run: str, seconds: float) -> list[Row]:
    """Run every policy at every load; loads are shares of what `ours` can do."""
    capacity = documents_per_second(device, seconds)
    deadline = DEADLINE_DOCUMENTS / capacity
    rows = []
    for load in LOADS:
        for policy in POLICIES:
            served = device.serve(policy, load * capacity, seconds, deadline)
            rows.append(_row(run, load, policy, served, capacity))
            print(json.dumps(rows[-1]), file=sys.stderr)
    return rows


def documents_per_second(device: "VirtualDevice | DemoDevice", seconds: float) -> float:
    """Return the rate at which `ours` processes a queue that never empties."""
    estimate = device.estimate(mean_tokens())
    served = device.serve("ours", SATURATION * estimate, seconds, None)
    return served.tokens / seconds / mean_tokens()


def verdicts(rows: Sequence[Row]) -> list[str]:
    """Return the goals with what was reached, in one run."""

    def value(load: float, policy: PolicyName, column: str) -> float:
        found = next(row for row in rows if row["load"] == load and row["policy"] == policy)[column]
        assert isinstance(found, float)
        return found

    throughput = "tokens/s"
    ours = value(1.0, "ours", throughput)
    by_tokens, by_count = (value(1.0, policy, throughput) for policy in ("FIFO by tokens", "FIFO by count"))
    one_by_one = value(1.0, "FIFO one by one", throughput)
    goodput = value(1.2, "ours", "tokens/s in time") / value(1.2, "ours", "capacity tokens/s")
    return [
        f"Simulated, 100% load: {ours / by_tokens:.2f} times the throughput of FIFO by tokens (goal 1.4), "
        f"{ours / by_count:.2f} times that of FIFO by count (goal 2; it depends on the count, see serving_counts), "
        f"{ours / one_by_one:.2f} times that of one document at a time; p95 {value(1.0, 'ours', 'p95 s'):.1f} s "
        f"against {value(1.0, 'FIFO one by one', 'p95 s'):.1f} s one by one, "
        f"{value(1.0, 'FIFO by tokens', 'p95 s'):.1f} s and {value(1.0, 'FIFO by count', 'p95 s'):.1f} s; "
        f"{value(1.0, 'ours', 'computed/real'):.3f} computed tokens for each real one (goal 1.25).",
        f"Simulated, 120% load: goodput {100 * goodput:.0f}% of capacity (goal 90%).",
    ]


def count_sizes(costs: Costs, seconds: float) -> list[Row]:
    """Return how FIFO by count does with other counts, against `ours`, at 100% load."""
    device = VirtualDevice(costs)
    capacity = documents_per_second(device, seconds)
    deadline = DEADLINE_DOCUMENTS / capacity
    ours = device.serve("ours", capacity, seconds, deadline)
    rows: list[Row] = []
    for most in COUNTS:
        choice = PolicyChoice(lambda cost_model, limits, most=most: CountFifo(most), most, False)  # type: ignore[misc]
        served = device.serve(choice, capacity, seconds, deadline)
        rows.append(
            {
                "documents in a batch, at most": most,
                "tokens/s": served.tokens / seconds,
                "ours over this": ours.tokens / served.tokens,
                "p95 s": served.percentiles([95])[0],
                "p95 s of ours": ours.percentiles([95])[0],
                "computed/real": served.counted.computed / served.counted.real,
                "tokens/s in time": served.tokens_in_time / seconds,
            }
        )
    return rows


def bucket_sets(costs: Costs, seconds: float) -> list[Row]:
    """Return what other sets of buckets would compute, and how much faster that would be."""
    capacities = {}
    rows: list[Row] = []
    for name, lengths in BUCKET_SETS.items():
        device = VirtualDevice(interpolated(costs, lengths))
        served = device.serve("ours", SATURATION * device.estimate(mean_tokens()), seconds, None)
        capacities[name] = served.tokens / seconds
        ratio = served.counted.computed / served.counted.real
        rows.append({"set": name, "buckets": len(lengths), "computed/real": ratio})
    for row in rows:
        row["capacity tokens/s"] = capacities[str(row["set"])]
        row["capacity over nine"] = capacities[str(row["set"])] / capacities["nine"]
    return rows


def compare_buckets(costs: Costs, folder: Path) -> None:
    """Run the same documents through the base model with nine buckets and with the default ones, and report."""
    every = DemoDevice(base_bundle(), costs)
    devices = {"nine": every.with_lengths(NINE_BUCKETS), "default": every}
    rounds: dict[str, list[Served]] = {name: [] for name in devices}
    for _ in range(BUCKET_ROUNDS):
        for name, device in devices.items():
            rounds[name].append(device.process_all(BUCKET_DOCUMENTS))
            print(f"{name}: {rounds[name][-1].seconds:.1f} s", file=sys.stderr, flush=True)
    rows: list[Row] = [
        {
            "set": name,
            "seconds, median": median(served.seconds for served in own),
            "least": min(served.seconds for served in own),
            "most": max(served.seconds for served in own),
            "documents/s, median": BUCKET_DOCUMENTS / median(served.seconds for served in own),
            "computed/real": median(served.counted.computed / served.counted.real for served in own),
        }
        for name, own in rounds.items()
    ]
    ratio = median(
        nine.seconds / default.seconds for nine, default in zip(rounds["nine"], rounds["default"], strict=True)
    )
    note = (
        f"{BUCKET_ROUNDS} rounds, in turns: {BUCKET_DOCUMENTS} documents that all wait from the beginning, by the real "
        f"executor: with the default buckets {ratio:.3f} times the documents per second of the nine (goal 1.12)."
    )
    print(note)
    write_report("serving_base", "Sets of buckets on the base model", rows, [note], folder=folder)


def interpolated(costs: Costs, lengths: Sequence[int]) -> dict[int, dict[int, float]]:
    """Return costs of other buckets: by the padded tokens, on a line between measured buckets of the same attention."""
    made: dict[int, dict[int, float]] = {}
    for length in lengths:
        kind = [bucket for bucket in costs if (bucket <= EDGE) == (length <= EDGE)]
        above = min((bucket for bucket in kind if bucket >= length), default=max(kind))
        below = max((bucket for bucket in kind if bucket <= length), default=above)
        share = 0.0 if above == below else (length - below) / (above - below)
        scale = length / below if above == below else 1.0
        sizes = set(costs[above]) & set(costs[below])
        made[length] = {
            size: scale * (costs[below][size] + share * (costs[above][size] - costs[below][size])) for size in sizes
        }
    return made


def measure(path: Path) -> None:
    """Measure the base model's seconds by bucket and batch size."""
    measured = DemoDevice(base_bundle()).measure()
    costs = {str(bucket): {str(size): seconds for size, seconds in sizes.items()} for bucket, sizes in measured.items()}
    path.write_text(json.dumps({"machine": machine_facts(), "seconds": costs}, indent=2) + "\n", encoding="utf-8")


def read_costs(path: Path) -> dict[int, dict[int, float]]:
    """Return measured seconds by bucket and batch size."""
    seconds = json.loads(path.read_text(encoding="utf-8"))["seconds"]
    return {int(bucket): {int(size): value for size, value in sizes.items()} for bucket, sizes in seconds.items()}


def _row(run: str, load: float, policy: PolicyName, served: Served, capacity: float) -> Row:
    p50, p95, p99 = served.percentiles([50, 95, 99]) or (float("nan"),) * 3
    return {
        "run": run,
        "load": load,
        "policy": policy,
        "tokens/s": served.tokens / served.seconds,
        "tokens/s in time": served.tokens_in_time / served.seconds,
        "capacity tokens/s": capacity * mean_tokens(),
        "p50 s": p50,
        "p95 s": p95,
        "p99 s": p99,
        "computed/real": served.counted.computed / max(served.counted.real, 1),
        "offered": served.offered,
        "answered in time": served.answered_in_time,
        "refused, queue full": served.refused_full,
        "refused, deadline": served.refused_unreachable,
        "dropped": served.dropped,
        "lost": served.lost,
    }


if __name__ == "__main__":
    sys.exit(main())
