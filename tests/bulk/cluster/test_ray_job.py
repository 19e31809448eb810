"""What a job asks of a cluster, of a Ray that says that it has GPUs; real ones: tests/end_to_end/test_ray.py."""

import json
import os
import pickle
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bulk.cluster.part_folder import PartNotes
from bulk.cluster.part_worker import MadePart, Work
from bulk.job import Job
from bulk.job_folder import Counts
from bulk.sources.inputs import Inputs
from bulk.sources.rows import Position
from tests.foreign_programs import need_package
from tests.two_ray_nodes import ROOT, SILENT

# Ray takes long to start, and warns of what is to come.
pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore")]

WORKERS = 2
_PATIENCE = 120.0


class Noting:
    """A worker that only notes what it was given, into the folder that stands for its bundle, and waits for the other.

    Args:
        work: What it is told.
    """

    def __init__(self, work: Work) -> None:
        import ray

        context = ray.get_runtime_context()
        own = {
            "room": {name: room for name, room in context.get_assigned_resources().items() if room},
            "visible": os.environ.get("CUDA_VISIBLE_DEVICES"),
            "told": (work.device, work.threads),
        }
        folder = Path(work.bundle)
        (folder / f"{os.getpid()}.new").write_text(json.dumps(own))
        (folder / f"{os.getpid()}.new").rename(folder / f"{os.getpid()}.json")
        end = time.monotonic() + _PATIENCE
        while len(list(folder.glob("*.json"))) < WORKERS and time.monotonic() < end:
            time.sleep(0.1)

    def __call__(self, batch: Any) -> Mapping[str, list[bytes]]:
        numbers = [pickle.loads(one.as_py()).number for one in batch["range"]]
        return {"part": [pickle.dumps(MadePart(own, b"", PartNotes(Counts(), Position(), ""))) for own in numbers]}


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """A cluster of one machine with four cores and, as it says, two GPUs."""
    need_package("ray")
    with pytest.MonkeyPatch.context() as patched:
        # Without a key, of which Ray would keep a copy at home.
        for name, value in {**SILENT, "PYTHONPATH": str(ROOT), "RAY_AUTH_MODE": "disabled"}.items():
            patched.setenv(name, value)
        from bulk.cluster.quiet_ray import ray

        ray.init(address="local", num_cpus=4, num_gpus=WORKERS, include_dashboard=False, log_to_driver=False)
        yield
        ray.shutdown()


@pytest.mark.parametrize(
    ("device", "threads", "room", "visible", "told"),
    [
        pytest.param("auto", 0, {"GPU": 1.0}, ["0", "1"], ["cuda", 0], id="a GPU each"),
        pytest.param("cpu", 2, {"CPU": 2.0}, None, ["cpu", 2], id="its share of the cores"),
    ],
)
def test_a_worker_has_one_gpu_and_sees_no_other_or_as_many_cores_as_it_runs_threads(
    tmp_path: Path,
    cluster: None,
    monkeypatch: pytest.MonkeyPatch,
    device: str,
    threads: int,
    room: Mapping[str, float],
    visible: list[str] | None,
    told: list[Any],
) -> None:
    from bulk.cluster import ray_job
    from bulk.cluster.nodes import actors_of

    monkeypatch.setattr(ray_job, "_Answers", Noting)
    (tmp_path / "noted").mkdir()
    (tmp_path / "in.jsonl").write_text('{"text": "a"}\n' * 6)
    job = Job([str(tmp_path / "in.jsonl")], tmp_path / "parts")
    read = partial(ray_job.read_ranges, str(tmp_path), Inputs(job.inputs), job, Position(), 0, frozenset(), 1)
    work = Work(job, str(tmp_path / "noted"), device, threads)
    made = list(ray_job._parts(work, read, actors_of(device, threads)))
    assert sorted(own.number for own in made) == list(range(6))
    noted = [json.loads(path.read_text()) for path in (tmp_path / "noted").glob("*.json")]
    assert [own["room"] for own in noted] == [room] * WORKERS
    assert [own["told"] for own in noted] == [told] * WORKERS
    if visible is not None:
        assert sorted(own["visible"] for own in noted) == visible
