"""A job on a cluster, top to bottom: one reader cuts the input into ranges, workers make a part of each.

The reader is on this machine, so that only documents must be readable on all of them: of those a range holds the names.
Every part is put in place by this process alone, so that whatever Ray does twice is written once.
"""

import contextlib
import os
import pickle
import warnings
from collections.abc import Callable, Iterator, Set
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from bigbird_inference.bundle import manifest_revision, read_manifest
from bigbird_inference.errors import BundleError
from bigbird_inference.runtime.session import DeviceLost
from bigbird_inference.tasks.registry import TASKS
from bulk.cluster.nodes import NODE_LABEL, Actors, actors_of, check_nodes
from bulk.cluster.part_folder import PartFolder, part_name
from bulk.cluster.part_worker import MadePart, PartWorker, Work
from bulk.cluster.quiet_ray import connected, job_error_of, ray
from bulk.cluster.ranges import input_ranges
from bulk.errors import JobError
from bulk.job import Job, asked, request_maker
from bulk.job_folder import Counts
from bulk.own_files import refuse_own_files
from bulk.progress_line import JobProgress
from bulk.remote_bundle import local_bundle
from bulk.requests import document_field
from bulk.sources.inputs import STANDARD_INPUT, Inputs
from bulk.sources.rows import Position
from documents.parsers import Parsers

_RANGE, _PART = "range", "part"
# A call is tried until its worker is there again: that a machine is dead is known only after some seconds. A range that
# ends its worker again and again is stopped by this.
_RESTARTS = 20


def run_ray_job(work: Work, address: str, *, range_bytes: int, dashboard: bool = False) -> Counts:
    """Do a job on a cluster, or what is left of it.

    Args:
        work: What is asked for; the job's output is a folder.
        address: Of the cluster (`quiet_ray.connected`).
        range_bytes: How much of the input is one part.
        dashboard: Whether a cluster that is started for it has a dashboard.

    Returns:
        What there is in the output.

    Raises:
        JobError: It cannot be done, or not to its end; run again, it goes on where it was.
    """
    job = work.job
    if STANDARD_INPUT in job.inputs:
        raise JobError("- cannot be read with --ray; write standard input to a file first")
    own = f"{job.output}/{part_name(0)}"
    refuse_own_files(f"--output {job.output}", [own], [given for given in job.inputs if not Path(given).is_dir()])
    bundle = local_bundle(work.bundle)
    try:
        manifest, revision = read_manifest(bundle), manifest_revision(bundle)
    except BundleError as error:
        raise JobError(str(error)) from error
    operation = TASKS[manifest.task].operation
    column = request_maker(job, operation).columns[document_field(operation)]
    parsers = Parsers(job.document_limits)
    inputs = Inputs(job.inputs, format=job.input_format, document_column=column, parsers=parsers)
    survey = inputs.survey()
    work = replace(work, located=survey.documents > 0, revision=revision)
    told = asked(job, survey, bundle.resolve().name, revision, manifest.task, work.device)
    with PartFolder(str(job.output)) as folder:
        try:
            folder.open({**told, "bytes of a part": range_bytes}, restart=job.restart)
            counts = sum((notes.counts for notes in folder.notes(sorted(folder.finished))), Counts())
            if folder.complete:
                return counts
            with connected(address, dashboard=dashboard), JobProgress(survey.bytes, counts) as progress:
                check_nodes(work.bundle, revision)
                actors = actors_of(work.device, work.threads)
                folder.hold()
                read = partial(
                    read_ranges, os.getcwd(), inputs, job, *_start(folder), frozenset(folder.finished), range_bytes
                )
                for made in _parts(work, read, actors):
                    folder.put(made.number, made.content, made.notes.runtime)
                    counts += made.notes.counts
                    progress.count(made.notes.counts)
            folder.finish()
        except OSError as error:
            raise JobError(
                f"{error.filename or folder.name}: {error.strerror or error}; nothing that was finished is lost: make "
                "room, and run the same command again to go on"
            ) from error
    return counts


def _start(folder: PartFolder) -> tuple[Position, int]:
    """Return where reading goes on, and the number of the range that begins there."""
    first = folder.unbroken()
    return (next(iter(folder.notes([first - 1]))).after if first else Position()), first


def read_ranges(
    working_folder: str, inputs: Inputs, job: Job, start: Position, first: int, finished: Set[int], range_bytes: int
) -> Iterator[Any]:
    """Yield the ranges whose parts are not there, each as a table of one cell.

    Args:
        working_folder: Of the command, for names that begin there.
        inputs: Of the job.
        job: What is asked for.
        start: Where reading begins.
        first: The number of the range that begins there.
        finished: Ranges that have their parts.
        range_bytes: How much of the input is one part.
    """
    import pyarrow

    with contextlib.suppress(OSError):  # another machine may not have it, nor need it
        os.chdir(working_folder)
    rows = inputs.rows(start, job.shard)
    for own in input_ranges(rows, first, most_bytes=range_bytes, questions=len(job.questions)):
        if own.number not in finished:
            yield pyarrow.table({_RANGE: pyarrow.array([pickle.dumps(own)], pyarrow.large_binary())})


class _Answers:
    """A worker as Ray Data runs it.

    Args:
        work: What it is told.
    """

    def __init__(self, work: Work) -> None:
        self._worker: PartWorker | None = None
        self._problem: JobError | None = None
        try:
            self._worker = PartWorker(work)
        except JobError as error:
            # Raised by a call, it is told as it is; an actor that does not begin is only said to be dead.
            self._problem = error

    def __call__(self, batch: Any) -> dict[str, list[bytes]]:
        """Return the parts of ranges."""
        if self._worker is None:
            raise self._problem or JobError("a worker has no bundle")
        try:
            return {_PART: [pickle.dumps(self._worker.make(pickle.loads(one.as_py()))) for one in batch[_RANGE]]}
        except DeviceLost:
            # The range is given to another process, and this one is started again.
            os._exit(1)


def _parts(work: Work, read: Callable[[], Iterator[Any]], actors: Actors) -> Iterator[MadePart]:
    """Yield the parts as they are made, in any order, each once.

    Raises:
        JobError: A worker or the reader cannot go on.
    """
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    # A block for each range: whoever has made a part takes the next one.
    context.target_max_block_size = 1
    # A part may take a slow machine longer than Ray would wait.
    context.execution_no_progress_timeout_s = -1
    ranges = ray.data.read_datasource(_datasource(read), override_num_blocks=1, num_cpus=0, label_selector=_here())
    with warnings.catch_warnings():
        # There are no named parameters for restarts yet.
        warnings.simplefilter("ignore", category=DeprecationWarning)
        parts = _mapped(ranges, work, actors)
    seen: set[int] = set()
    try:
        for batch in parts.iter_batches(batch_size=None, batch_format="pyarrow"):
            for content in batch[_PART]:
                made: MadePart = pickle.loads(content.as_py())
                if made.number not in seen:
                    seen.add(made.number)
                    yield made
    except Exception as error:  # Ray's own share no base
        told = job_error_of(error)
        raise told or JobError(
            f"the cluster has given the job up: {' '.join(str(error).split()):.300}; run the same command again "
            "to go on"
        ) from error


def _mapped(ranges: Any, work: Work, actors: Actors) -> Any:
    """Return the data set of parts: its workers begin when it is read."""
    room: dict[str, Any] = {"num_gpus": 1, "num_cpus": 0} if actors.gpus else {"num_cpus": actors.cpus}
    return ranges.map_batches(
        _Answers,
        fn_constructor_args=(_on(work, actors),),
        batch_size=1,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=actors.count, initial_size=actors.count),
        max_restarts=_RESTARTS,
        max_task_retries=-1,
        **room,
    )


def _datasource(read: Callable[[], Iterator[Any]]) -> Any:
    """Return the input as Ray Data asks for it: one task, which yields a range after the other."""
    unknown = ray.data.block.BlockMetadata(num_rows=None, size_bytes=None, exec_stats=None, input_files=None)

    class Ranges(ray.data.Datasource):  # type: ignore[misc]
        """The ranges of the input."""

        def estimate_inmemory_data_size(self) -> None:
            return None

        def get_read_tasks(self, parallelism: int, *further: Any, **named: Any) -> list[Any]:
            return [ray.data.ReadTask(read, unknown)]

    return Ranges()


def _here() -> dict[str, str]:
    """Return the label of this machine."""
    return {NODE_LABEL: ray.get_runtime_context().get_node_id()}


def _on(work: Work, actors: Actors) -> Work:
    """Return what a worker is told, with its own share of its machine."""
    return replace(work, device=actors.device, threads=actors.cpus)
