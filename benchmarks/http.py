"""How much of the device's speed the whole server delivers, and how long an idle server takes for itself.

    python -m benchmarks.http            base and demo model; a table and a plot in benchmarks/results
    python -m benchmarks.http --quick    the demo model only, few requests

At saturation: a load generator in a process of its own keeps more requests under way than the server runs at once. The
server writes down the batches that it ran, and a third process runs the same batches in a bare loop over sessions that
are set up in the same way. Both take turns, round after round; the first round of each is not counted.

Idle: one request at a time; each document is also run bare, by turns. What the server adds is the time of the request
less that of the session's run within the server, so that the noise of long runs cancels out.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median

import numpy as np
from matplotlib.figure import Figure

from benchmarks.base_checkpoint import NINE_BUCKETS, base_bundle
from benchmarks.http_load import Load, LoadGenerator
from benchmarks.recording_server import RecordedRun, RecordingServer, recording_server
from benchmarks.report import QUICK_RESULTS, RESULTS, Row, write_report
from benchmarks.traffic import document_lengths
from benchmarks.worker import Worker
from bigbird_inference.bundle import Bundle, open_bundle
from bigbird_inference.runtime.cores import available_cores
from bigbird_inference.runtime.cpu_runtime_choice import CpuDevice
from bigbird_inference.runtime.session import Batch
from bigbird_inference.tokenization.tokenizer import Tokenizer

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = ROOT / "examples" / "documents"
ENDPOINT = "/classify"
IDLE_TOKENS = (128, 900, 3600)
IDLE_GOAL_MS = 3.0


@dataclass(frozen=True, slots=True)
class Case:
    """A model, and how much is asked of it.

    Attributes:
        name: In the report.
        bundle: Folder of a bundle for `classify`.
        rounds: How often server and bare loop take turns, after the round that is not counted.
        requests: In a round.
        connections: Requests under way at any time.
        idle_requests: Of each length.
        goal: Least share of the bare loop's tokens per second.
    """

    name: str
    bundle: Path
    rounds: int
    requests: int
    connections: int
    idle_requests: int
    goal: float


class BareLoop:
    """Runs batches on sessions, without a server.

    Args:
        bundle: Whose sessions.
    """

    def __init__(self, bundle: Path) -> None:
        # As the server opens them, in whatever runtime it chooses.
        opened = CpuDevice(available_cores()).open(open_bundle(bundle))
        self._sessions = {bucket.length: opened.sessions[bucket.attention] for bucket in opened.manifest.buckets}

    def run(self, runs: Sequence[RecordedRun]) -> float:
        """Run batches of the recorded shapes one after the other and return the seconds; making them is not timed."""
        batches = [(self._sessions[run.bucket], make_batch(run)) for run in runs]
        start = time.perf_counter()
        for session, batch in batches:
            session.run(batch)
        return time.perf_counter() - start


def make_batch(run: RecordedRun) -> Batch:
    """Return a batch of the same shape; the time of a run does not depend on which tokens they are."""
    mask = (np.arange(run.bucket) < np.array(run.lengths)[:, None]).astype(np.int64)
    return Batch(mask * 7, mask, np.zeros_like(mask))


def texts_of(bundle: Bundle, lengths: Sequence[int]) -> list[str]:
    """Return texts that are so many tokens long for this bundle, special tokens included."""
    source = "\n".join(path.read_text(encoding="utf-8") for path in sorted(DOCUMENTS.glob("*.txt")))
    tokenizer = Tokenizer.from_bundle(bundle)
    tokens = tokenizer.tokenize(source)
    while len(tokens) < max(lengths):
        source = f"{source}\n{source}"
        tokens = tokenizer.tokenize(source)
    return [source[: tokens.ends[max(length - 3, 0)]] for length in lengths]


@dataclass(frozen=True, slots=True)
class Round:
    """The same batches served and run bare."""

    load: Load
    runs: list[RecordedRun]
    bare_seconds: float

    @property
    def tokens(self) -> int:
        """Real tokens of all documents."""
        return sum(sum(run.lengths) for run in self.runs)

    @property
    def share(self) -> float:
        """The server's tokens per second by the bare loop's."""
        return self.bare_seconds / self.load.seconds


def measure_saturation(case: Case, server: RecordingServer, bare: Worker) -> list[Round]:
    """Load the server and run its batches again without it, by turns."""
    texts = texts_of(open_bundle(case.bundle), document_lengths(case.requests).tolist())
    bodies = [json.dumps({"text": text}).encode() for text in texts]
    rounds = []
    with Worker("load generator", LoadGenerator, "127.0.0.1", server.port, ENDPOINT, bodies) as generator:
        generator.wait_until_made()
        for _ in range(case.rounds + 1):
            load = generator.call("closed_loop", case.connections)
            runs = server.new_runs()
            rounds.append(Round(load, runs, bare.call("run", runs)))
    return rounds[1:]


@dataclass(frozen=True, slots=True)
class IdleRequest:
    """A request to an idle server, in milliseconds: all of it, the session's run within it, and the same run bare."""

    request: float
    run: float
    bare: float


def measure_idle(case: Case, server: RecordingServer, bare: Worker, tokens: int) -> list[IdleRequest]:
    """Send the same document again and again, each time after the answer to the one before."""
    text = texts_of(open_bundle(case.bundle), [tokens])[0]
    measured = []
    with Worker(
        "load generator", LoadGenerator, "127.0.0.1", server.port, ENDPOINT, [json.dumps({"text": text}).encode()]
    ) as generator:
        generator.wait_until_made()
        for _ in range(case.idle_requests + 1):
            seconds = generator.call("one_by_one", 0)
            runs = server.new_runs()
            bare_seconds = bare.call("run", runs)
            measured.append(IdleRequest(seconds * 1000, sum(run.seconds for run in runs) * 1000, bare_seconds * 1000))
    return measured[1:]


def saturation_row(case: Case, rounds: Sequence[Round]) -> Row:
    """Return medians over the rounds."""
    latencies = [latency for each in rounds for latency in each.load.latencies]
    p50, p95 = np.percentile(latencies, [50, 95])
    items = [len(run.lengths) for each in rounds for run in each.runs]
    return {
        "model": case.name,
        "load": f"{case.connections} connections, {case.requests} documents",
        "requests/s": median(len(each.load.latencies) / each.load.seconds for each in rounds),
        "tokens/s": median(each.tokens / each.load.seconds for each in rounds),
        "bare loop, tokens/s": median(each.tokens / each.bare_seconds for each in rounds),
        "server / bare": median(each.share for each in rounds),
        "goal": f">= {case.goal}",
        "documents in a batch, mean": fmean(items),
        "latency p50, ms": float(p50) * 1000,
        "latency p95, ms": float(p95) * 1000,
        "generator, cores": median(each.load.processor_seconds / each.load.seconds for each in rounds),
    }


def idle_row(case: Case, tokens: int, measured: Sequence[IdleRequest]) -> Row:
    """Return medians over the requests."""
    return {
        "model": case.name,
        "load": f"idle, {tokens} tokens",
        "latency p50, ms": median(each.request for each in measured),
        "bare run p50, ms": median(each.bare for each in measured),
        "added p50, ms": median(each.request - each.run for each in measured),
        "goal": f"<= {IDLE_GOAL_MS:.0f} ms",
    }


def plot(saturation: Sequence[Row], idle: Sequence[Row]) -> Figure:
    """Draw the server's share of the bare loop's speed, and what an idle server adds."""
    figure = Figure(figsize=(10, 4))
    left, right = figure.subplots(1, 2)
    left.bar([str(row["model"]) for row in saturation], [float(str(row["server / bare"])) for row in saturation])
    left.set_ylim(0, 1.1)
    left.axhline(1, color="grey", linewidth=0.8)
    left.set_ylabel("tokens/s, server by bare loop")
    left.set_title("at saturation")
    labels = [f"{row['model']}\n{row['load']}".replace("idle, ", "") for row in idle]
    right.bar(labels, [float(str(row["added p50, ms"])) for row in idle])
    right.axhline(IDLE_GOAL_MS, color="grey", linewidth=0.8)
    right.tick_params(axis="x", labelsize=7)
    right.set_ylabel("added at p50, ms")
    right.set_title("idle")
    figure.tight_layout()
    return figure


NOTES = (
    "`server / bare`: real tokens per second of the server by those of a loop that does nothing but run the same "
    "batches on the same sessions; each round of one is followed by a round of the other; medians over rounds.",
    "`generator, cores`: processor time of the load generator by the time of the round. It sends prepared bytes, keeps "
    "its connections open, and runs on the same cores as the server, so what it takes counts against the server; far "
    "below 1, it is not what limits the rate.",
    "`added p50`: time of a request, seen by the client, less the session's run inside the server: HTTP, JSON, "
    "tokenising, queue, threads, decoding.",
    "Documents: log-normal lengths with a median of 900 tokens, cut to 4,096; fixed seed.",
)


def measure(case: Case) -> tuple[Row, list[Row]]:
    """Measure a model; the server and the bare loop map the same weights."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "model").symlink_to(case.bundle.resolve())
        server = stack.enter_context(recording_server(folder))
        bare = stack.enter_context(Worker("bare loop", BareLoop, case.bundle))
        bare.wait_until_made()
        rounds = measure_saturation(case, server, bare)
        idle = [idle_row(case, tokens, measure_idle(case, server, bare, tokens)) for tokens in IDLE_TOKENS]
    return saturation_row(case, rounds), idle


def main() -> None:
    """Measure and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=ROOT / "bundles", help="folder with the bundle demo-classify")
    parser.add_argument("--quick", action="store_true", help="the demo model only, few requests")
    arguments = parser.parse_args()
    demo = arguments.models / "demo-classify"
    if arguments.quick:
        cases = [Case("demo", demo, rounds=2, requests=200, connections=64, idle_requests=20, goal=0.7)]
    else:
        # The buckets of `benchmarks.models`: the export is there already.
        base = base_bundle(buckets=NINE_BUCKETS)
        cases = [
            Case("demo", demo, rounds=3, requests=600, connections=64, idle_requests=60, goal=0.7),
            Case("base", base, rounds=2, requests=32, connections=16, idle_requests=5, goal=0.95),
        ]
    measured = [measure(case) for case in cases]
    saturation = [row for row, _ in measured]
    idle = [row for _, rows in measured for row in rows]
    folder = QUICK_RESULTS if arguments.quick else RESULTS
    write_report("http", "The whole server", [*saturation, *idle], NOTES, plot(saturation, idle), folder)


if __name__ == "__main__":
    main()
