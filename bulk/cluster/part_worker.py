"""What a worker of a cluster does: loads the bundle once, and makes a part of the output of each range of the input.

It is the one-machine job without its files: the same requests, windows, batches, answers and rows.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field

from bigbird_inference.runtime.cpu_runtime_choice import CpuChoice
from bigbird_inference.version import service_version
from bulk.answering import PartAnswering
from bulk.cluster.part_folder import PartNotes
from bulk.cluster.ranges import InputRange
from bulk.devices import DeviceThreads
from bulk.errors import JobError
from bulk.job import BATCH_ITEMS, Job, batch_tokens, describe_runtime, part_row, request_maker
from bulk.job_folder import Counts, PartRow
from bulk.model import load
from bulk.parquet_output import write_parquet
from bulk.parts import encoded_parts
from bulk.remote_bundle import local_bundle
from bulk.requests import ItemKey
from bulk.result_rows import ResultRows


@dataclass(frozen=True, slots=True)
class Work:
    """What every worker of a job is told.

    Attributes:
        job: What is asked for.
        bundle: The bundle's folder, by the name that it has on every machine, or its name in an object store.
        device: As `bigbird serve` takes it.
        threads: Threads of a run on the CPU.
        cpu: What runs it on the CPU.
        located: Whether there are documents among the inputs, so that spans have pages and boxes.
        revision: Of the bundle on the machine of the command; empty if it does not matter.
        version: Of this package there.
    """

    job: Job
    bundle: str
    device: str = "auto"
    threads: int = 0
    cpu: CpuChoice | None = None
    located: bool = False
    revision: str = ""
    version: str = field(default_factory=service_version)


@dataclass(frozen=True, slots=True)
class MadePart:
    """A part of the output.

    Attributes:
        number: Of its range.
        content: Parquet.
        notes: What it says of itself.
    """

    number: int
    content: bytes
    notes: PartNotes


class PartWorker:
    """Answers ranges, one after the other.

    Args:
        work: What it is told.

    Raises:
        JobError: The bundle cannot be used here, or is another, or the package is: the machine may have joined late.
    """

    def __init__(self, work: Work) -> None:
        self._job, self._located = work.job, work.located
        if work.version != service_version():
            raise JobError(f"a machine that has joined has bigbird-serve {service_version()}, and not {work.version}")
        self._model = load(local_bundle(work.bundle), device=work.device, threads=work.threads, cpu=work.cpu)
        if work.revision not in ("", self._model.revision):
            raise JobError(f"a machine that has joined has another bundle as {work.bundle}; copy the same to all")
        operation = self._model.task.operation
        self._maker = request_maker(work.job, operation)
        self._rows = ResultRows(operation, keep_text=work.job.keep_text)
        self._devices = DeviceThreads(len(self._model.devices.names))
        self._answering = PartAnswering(
            self._model.task,
            self._model.buckets(),
            self._devices,
            max_batch_tokens=batch_tokens(work.job, self._model),
            max_batch_items=BATCH_ITEMS,
        )

    def make(self, given: InputRange) -> MadePart:
        """Return the part of a range.

        Raises:
            DeviceLost: A device has failed for good.
        """
        rows: dict[ItemKey, PartRow] = {}
        parts = encoded_parts(iter(given.rows), self._maker, self._model.task, self._model.manifest, frozenset())
        for part in parts:
            for answers in self._answering.answers(part):
                for finished in answers.finished:
                    rows[finished.item.key] = part_row(finished, self._rows)
        counts = sum((row.counts for row in rows.values()), Counts(input_bytes=given.bytes))
        notes = PartNotes(counts, given.after, describe_runtime(self._model))
        return MadePart(given.number, self._parquet(rows, notes), notes)

    def _parquet(self, rows: Mapping[ItemKey, PartRow], notes: PartNotes) -> bytes:
        made = io.BytesIO()
        lines = (rows[key].content for key in sorted(rows))
        write_parquet(
            lines,
            made,
            self._model.task.operation,
            keep_text=self._job.keep_text,
            located=self._located,
            notes=notes.as_metadata(),
        )
        return made.getvalue()
