"""A server around a model that fails as its documents ask; `test_prometheus_failures.py` runs it as a process.

A document is words that are token ids:

    666    the run fails (see `FakeSession`)
    667    the run finds no room in memory
    668    the run waits for a line on standard input
    669    the thread that runs the models dies

    python -m tests.deploy.failing_server
"""

import sys

from bigbird_inference.loaded_model import LoadedModel
from bigbird_inference.runtime.session import Batch, OutOfMemory
from service.process.server import serve
from service.settings import Settings
from tests.fake_model import FakeSession, fake_loaded_model

NO_ROOM, STUCK, FATAL = 667, 668, 669
STUCK_AFTER_SECONDS = 2.0


def fail_as_asked(batch: Batch) -> None:
    if (batch.input_ids == NO_ROOM).any():
        raise OutOfMemory
    if (batch.input_ids == STUCK).any():
        sys.stdin.readline()
    if (batch.input_ids == FATAL).any():
        raise SystemExit


def load(settings: Settings) -> dict[str, LoadedModel]:
    return {"fake": fake_loaded_model("classify", "fake", FakeSession(fail_as_asked))}


if __name__ == "__main__":
    settings = Settings(
        port=0,
        # Batch sizes are measured, so that documents that come together run together.
        warm_up_seconds=1,
        stuck_run_seconds=STUCK_AFTER_SECONDS,
        # A run of a fake model takes no time: only the seconds count.
        stuck_run_factor=1e-6,
    )
    sys.exit(serve(settings, load))
