"""What the host does for each document while a device computes: JSON, tokenising, collating, decoding, HTTP.

    python -m benchmarks.host_work                        the demo checkpoints' vocabulary
    python -m benchmarks.host_work --quick                few repeats
    python -m benchmarks.host_work --vocabulary FILE      another SentencePiece model, for example the released one

Documents of 4,096 tokens, no two of them alike. First every step alone, and whether other threads can run Python
meanwhile. Then the whole server, with sessions that answer at once with noise in place of a model: the documents that
one process serves in a second are what the fastest device could be given.
"""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import numpy as np

from benchmarks.http_load import LoadGenerator
from benchmarks.report import QUICK_RESULTS, RESULTS, Row, write_report
from benchmarks.worker import Worker
from bigbird_inference.batch_run import run_batch
from bigbird_inference.buckets import ServedBucket
from bigbird_inference.loaded_model import LoadedModel
from bigbird_inference.manifest import (
    FORMAT_VERSION,
    Bucket,
    Graph,
    HashedFile,
    Manifest,
    Parity,
    Source,
    TaskName,
    Tensor,
    TokenizerFile,
)
from bigbird_inference.runtime.session import Batch, Outputs, RunControl
from bigbird_inference.tasks.base import Task
from bigbird_inference.tasks.classification import ClassificationRequest
from bigbird_inference.tasks.entity_recognition import EntityRequest
from bigbird_inference.tasks.question_answering import QuestionRequest
from bigbird_inference.tasks.registry import TASKS, create_task
from bigbird_inference.tokenization.tokenizer import Tokenizer
from model_export.checkpoints.checkpoint_tokenizer import SENTENCEPIECE_FILE
from model_export.export.tokenizer import write_tokenizer
from service.api.json_body import parse_json
from service.api.task_bodies import TaskBodies
from service.process.server import serve
from service.request_run import ItemResult, Usage
from service.settings import load_settings

ROOT = Path(__file__).resolve().parents[1]
VOCABULARY = ROOT / "examples" / "checkpoints" / "demo-qa" / SENTENCEPIECE_FILE
DOCUMENTS = ROOT / "examples" / "documents"
TOKENS = 4096
WIDTH = 768
"""Of the base configuration's vectors."""
QUESTION = "What does the report say about the budget?"
LABELS: dict[TaskName, list[str]] = {"classify": ["a", "b"], "ner": ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]}
BODIES: dict[TaskName, TaskBodies] = {task: TaskBodies(TASKS[task].operation) for task in ("classify", "qa", "ner")}
_DOCUMENTS = 30
_REQUESTS = 300
_ROUNDS = 5
_MOST_VALUES = 1000
# In standard deviations of the noise: some hundred entities in a document.
_OUTSIDE = 4.5
_CONNECTIONS = 64
_READY_SECONDS = 60
_PIECES = {"cls": "[CLS]", "sep": "[SEP]", "pad": "<pad>", "mask": "[MASK]"}


class NoiseSession:
    """Answers at once with the same noise for every sequence.

    Args:
        shape: Of one sequence's logits.
        task: Most tokens of `ner` are not entities.
    """

    def __init__(self, shape: tuple[int, ...], task: TaskName) -> None:
        self._noise = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
        if task == "ner":
            self._noise[:, 0] += _OUTSIDE
        self._output = _output_of(task)

    def run(self, batch: Batch, control: RunControl | None = None) -> Outputs:
        return {self._output: np.broadcast_to(self._noise, (len(batch.input_ids), *self._noise.shape))}


def _output_of(task: TaskName) -> str:
    return "hidden" if task == "embed" else "logits"


def noise_model(task: TaskName, vocabulary: Path, folder: Path) -> LoadedModel:
    """Return a model with the vocabulary whose session is noise; its tokenizer is written to the folder."""
    file = folder / "tokenizer.model"
    ids = write_tokenizer(vocabulary.read_bytes(), vocabulary, file, _PIECES, vocab_size=2**20)
    tokenizer = Tokenizer(file, ids.cls, ids.sep, 0, ids.mask).load()
    labels = LABELS.get(task, [])
    last = WIDTH if task == "embed" else len(labels) or 2
    shape: list[int | str] = ["batch", last] if task == "classify" else ["batch", "length", last]
    nothing = "0" * 64
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        task=task,
        labels=labels,
        problem_type=None,
        pattern="transformers",
        precision="fp32",
        pair_types="segments",
        block_size=64,
        max_length=TOKENS,
        max_batch_items=None,
        tokenizer=TokenizerFile(file.name, 0, nothing, ids.cls, ids.sep, 0, ids.mask, None),
        weights=HashedFile("weights.bin", 0, nothing),
        inputs=[Tensor(name, "int64", ["batch", "length"]) for name in ("input_ids", "attention_mask")],
        outputs=[Tensor(_output_of(task), "float32", shape)],
        graphs=[Graph("graph.onnx", 0, nothing, "full", "composed", 1, TOKENS, 1)],
        buckets=[Bucket(TOKENS, "full", [Parity("composed", 0, 0, 1, 1, None, 1, [TOKENS])], None, False)],
        source=Source("noise", "none", nothing, []),
        model={
            "attention_type": "original_full",
            "hidden_size": WIDTH,
            "num_attention_heads": 1,
            "num_hidden_layers": 1,
            "num_random_blocks": 3,
            "type_vocab_size": 2,
            "vocab_size": 2**20,
        },
        versions={},
    )
    session = NoiseSession((last,) if task == "classify" else (TOKENS, last), task)
    return LoadedModel(task, manifest, create_task(manifest, tokenizer), {"full": [session]})


def documents(task: Task[Any, Any], reserved: int, length: int = TOKENS) -> list[str]:
    """Return texts of so many tokens, less those reserved; each begins at another line.

    The usual length is what the model takes in one window.
    """
    lines = "\n".join(path.read_text(encoding="utf-8") for path in sorted(DOCUMENTS.glob("*.txt"))).splitlines()
    step = len(lines) // _DOCUMENTS
    return [
        _cut(task, "\n".join([*lines[first:], *lines[:first]]), length - reserved)
        for first in range(0, step * _DOCUMENTS, step)
    ]


def _cut(task: Task[Any, Any], source: str, length: int) -> str:
    """Return the beginning of a text, over and over if it is short, that has so many tokens."""
    tokens = task.tokenizer.tokenize(source)
    while len(tokens) < length:
        source = f"{source}\n{source}"
        tokens = task.tokenizer.tokenize(source)
    return source[: tokens.ends[length - 1]]


def request_of(task: TaskName, text: str) -> tuple[Any, bytes]:
    """Return a request as the task takes it, and as it is sent."""
    match task:
        case "qa":
            sent = {"question": QUESTION, "context": text}
            return QuestionRequest(question=QUESTION, context=text), json.dumps(sent).encode()
        case "ner":
            return EntityRequest(text=text), json.dumps({"text": text}).encode()
        case _:
            return ClassificationRequest(text=text), json.dumps({"text": text}).encode()


def milliseconds(steps: Sequence[Callable[[], object]]) -> float:
    """Return the median processor time of steps on one thread; a busy machine does not change it much."""
    for step in steps:
        step()
    seconds = []
    for step in steps:
        start = time.thread_time()
        step()
        seconds.append(time.thread_time() - start)
    return median(seconds) * 1000


def lets_others_run(step: Callable[[], object]) -> bool:
    """Tell whether another thread can run Python while the step computes.

    The interpreter is told never to take itself away from a running thread: the other one then runs before the end of
    the step only if the step lets go of it.
    """
    ended = False
    begun = threading.Lock()

    def run() -> None:
        nonlocal ended
        begun.release()
        step()
        ended = True

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    try:
        begun.acquire()
        thread = threading.Thread(target=run)
        thread.start()
        begun.acquire()
        before_the_end = not ended
        thread.join()
        return before_the_end
    finally:
        sys.setswitchinterval(interval)


def steps_of(model: LoadedModel, text: str) -> dict[str, Callable[[], object]]:
    """Return what is done for a document, step by step."""
    task = model.manifest.task
    request, body = request_of(task, text)
    encoded = model.task.encode(request)
    bucket: ServedBucket = model.buckets()[0]
    sequences = [window.sequence for window in encoded.windows]
    assert len(sequences) == 1
    outputs = run_batch(bucket, sequences, time.perf_counter).outputs
    result = ItemResult(
        model.task.answer(encoded, outputs), Usage(len(sequences[0]), 1, [TOKENS], 0, 1.0, 1.0, model.revision)
    )
    return {
        "parse and check the JSON": lambda: BODIES[task].request.model_validate(parse_json(body, _MOST_VALUES)),
        "encode": partial(model.task.encode, request),
        "collate and cut": partial(run_batch, bucket, sequences, time.perf_counter),
        "decode": partial(model.task.answer, encoded, outputs),
        "write": partial(BODIES[task].write, model.name, result),
    }


def measure_steps(model: LoadedModel, texts: Sequence[str]) -> list[Row]:
    """Measure each step of the documents by itself."""
    documents = [steps_of(model, text) for text in texts]
    return [
        {
            "task": model.manifest.task,
            "step": name,
            "ms": milliseconds([steps[name] for steps in documents]),
            "other threads run meanwhile": "yes" if lets_others_run(documents[0][name]) else "no",
        }
        for name in documents[0]
    ]


def measure_server(task: TaskName, vocabulary: Path, texts: Sequence[str], rounds: int) -> Row:
    """Measure one process under load from another, after a round that is not counted; medians of the rounds."""
    bodies = list(islice(cycle(request_of(task, text)[1] for text in texts), _REQUESTS))
    loads, used = [], []
    with (
        noise_server(task, vocabulary) as (port, process),
        Worker("load generator", LoadGenerator, "127.0.0.1", port, f"/{task}", bodies) as generator,
    ):
        generator.wait_until_made()
        for _ in range(rounds + 1):
            before = processor_seconds(process.pid)
            loads.append(generator.call("closed_loop", _CONNECTIONS))
            used.append(processor_seconds(process.pid) - before)
    pairs = list(zip(loads, used, strict=True))[1:]
    return {
        "task": task,
        "step": "the whole server",
        "ms": median(seconds for _, seconds in pairs) / _REQUESTS * 1000,
        "documents/s": median(_REQUESTS / load.seconds for load, _ in pairs),
        "server, cores": median(seconds / load.seconds for load, seconds in pairs),
        "generator, cores": median(load.processor_seconds / load.seconds for load, _ in pairs),
    }


def processor_seconds(process: int) -> float:
    """Return the processor time that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def noise_server(task: TaskName, vocabulary: Path) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """Serve a model of noise on a free loopback port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    command = [sys.executable, "-m", "benchmarks.host_work", "--serve", task, "--vocabulary", str(vocabulary)]
    settings = {"BIGBIRD_PORT": str(port), "BIGBIRD_WARM_UP_SECONDS": "0", "BIGBIRD_LOG_LEVEL": "error"}
    process = subprocess.Popen(command, env={**os.environ, **settings})
    try:
        deadline = time.monotonic() + _READY_SECONDS
        while not _is_ready(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the server does not become ready")
            time.sleep(0.1)
        yield port, process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def _is_ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health/ready").status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


NOTES = (
    "Documents of 4,096 tokens, one window each, no two alike. `ms` is processor time: of one thread for a step "
    "(median of the documents), of all threads of the server's process for each document (median of the rounds).",
    "`documents/s`: what one server process serves if the model takes no time, with the load generator on the same "
    "cores.",
)


def main() -> None:
    """Measure and write the report, or serve noise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vocabulary", type=Path, default=VOCABULARY, help="a SentencePiece model")
    parser.add_argument("--quick", action="store_true", help="few repeats")
    parser.add_argument("--serve", choices=list(BODIES), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        if arguments.serve:
            model = noise_model(arguments.serve, arguments.vocabulary, Path(made))
            sys.exit(serve(load_settings(), lambda settings: {model.name: model}))
        rows: list[Row] = []
        for task in BODIES:
            model = noise_model(task, arguments.vocabulary, Path(made))
            # Room for the special tokens and the question.
            texts = documents(model.task, 3 + len(model.task.tokenizer.tokenize(QUESTION)) if task == "qa" else 2)
            rows += measure_steps(model, texts[:3] if arguments.quick else texts)
            rows.append(measure_server(task, arguments.vocabulary, texts, 1 if arguments.quick else _ROUNDS))
    folder = QUICK_RESULTS if arguments.quick else RESULTS
    write_report("host_work", "What the host does for each document", rows, NOTES, folder=folder)


if __name__ == "__main__":
    main()
