"""Exports that are killed at random moments and at the worst ones, and what lies there afterwards.

    python -m tests.reliability.killed_exports FOLDER KILLS ROUNDS SEED

Every export is a child of this process, forked when everything is imported and the graph is traced, so it takes a
second and the moments spread over what an export does with files: writing, verifying, renaming. A third of the kills
waits for the renaming. After each, whatever is visible must be a whole bundle with the right answers, and the next
export must work.
"""

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import onnx_ir as ir

from model_export import pipeline
from model_export.checkpoints.recognise import read_checkpoint
from model_export.errors import ExportError
from model_export.export import placement
from model_export.export.buckets import plan_graphs
from model_export.export.signature import signature
from model_export.export.trace import trace
from model_export.patterns.registry import get_pattern
from model_export.pipeline import export_checkpoint
from model_export.preparation import ExportOptions

CHECKPOINT = Path(__file__).parents[1] / "fixtures" / "flax" / "classify"
ATTENTION, BUCKET = "full", 112
_NAME = "classifier"
_TOGETHER = 3
_LOST_A_RACE = 7


class KilledExports:
    """Exports into one folder, each time under another name in the manifest, by which they can be told apart.

    Args:
        folder: Where the bundles go; it is made.
        chance: Chooses the moments.
    """

    def __init__(self, folder: Path, chance: random.Random) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.output = folder / _NAME
        self.failures: list[str] = []
        self.kills = {"while building": 0, "while renaming": 0, "too late": 0}
        self._chance = chance
        self._number = 0
        checkpoint = read_checkpoint(CHECKPOINT)
        model = checkpoint.load(get_pattern("transformers")).model
        self._graph = folder.parent / "traced.onnx"
        plan = next(plan for plan in plan_graphs(model.config) if plan.attention == ATTENTION)
        ir.save(trace(model, signature("classify", model.config), [plan]), self._graph)

    def kill_one(self, seconds: float, *, overwrite: bool, in_renaming: bool) -> None:
        """Start an export, kill it, and look; then let one finish, and look again."""
        before = self._revision_there()
        if not overwrite:
            _remove(self.output)
        name, started = self._start(overwrite=overwrite)
        status = self._kill(started, seconds, in_renaming=in_renaming)
        allowed = {name, before if overwrite else None}
        if (found := self._look()) not in allowed:
            self.failures.append(f"after a kill, {found} is there and not one of {allowed}")
        if status == 0:
            self.kills["too late"] += 1
        self._finish(overwrite=self.output.exists())

    def race(self) -> None:
        """Let several export to the same place at once, and kill one of them."""
        overwrite = self._chance.random() < 0.5
        if not overwrite:
            _remove(self.output)
        racers = [self._start(overwrite=overwrite) for _ in range(_TOGETHER)]
        time.sleep(self._chance.uniform(0, 0.8))
        os.kill(racers[0][1][0], signal.SIGKILL)
        statuses = [_wait(process) for _, (process, _) in racers][1:]
        for _, (_, reading) in racers:
            os.close(reading)
        if not set(statuses) <= {0, _LOST_A_RACE} or (overwrite and set(statuses) != {0}):
            self.failures.append(f"of exports to one place, {statuses} were the ends")
        if (found := self._look()) not in {name for name, _ in racers}:
            self.failures.append(f"after a race, {found} is there")

    def seconds_of_one(self) -> float:
        """Export once undisturbed; return how long that took."""
        began = time.monotonic()
        self._finish(overwrite=self.output.exists())
        return time.monotonic() - began

    def _start(self, *, overwrite: bool) -> tuple[str, tuple[int, int]]:
        """Fork an export; return its name, its process and what it writes to when it begins to rename."""
        self._number += 1
        name = f"export-{self._number}"
        reading, writing = os.pipe()
        process = os.fork()
        if process == 0:
            os._exit(self._export(name, writing, overwrite=overwrite))
        os.close(writing)
        return name, (process, reading)

    def _export(self, name: str, announce: int, *, overwrite: bool) -> int:
        """Be the export; return the status to end with."""
        rename, sync = placement._renameat2, os.fsync

        def announced(function: Callable[..., object]) -> Callable[..., object]:
            def call(*arguments: object) -> object:
                os.write(announce, b"x")
                return function(*arguments)

            return call

        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # its progress
        with (
            mock.patch.object(pipeline, "trace", lambda *_: ir.load(self._graph)),
            mock.patch.object(placement, "_renameat2", announced(rename)),
            mock.patch.object(os, "fsync", announced(sync)),
        ):
            try:
                export_checkpoint(
                    CHECKPOINT, self.output, ExportOptions(buckets=(BUCKET,)), overwrite=overwrite, name=name
                )
            except ExportError as error:
                return _LOST_A_RACE if "exists already" in str(error) else 1
            except BaseException:
                return 2
        return 0

    def _kill(self, started: tuple[int, int], seconds: float, *, in_renaming: bool) -> int:
        process, reading = started
        if in_renaming:
            for _ in range(self._chance.randrange(1, 8)):  # four files, the folder, the renaming, the parent
                os.read(reading, 1)
            time.sleep(self._chance.choice((0, 0, 0.0005, 0.002)))
        else:
            time.sleep(seconds)
        os.kill(process, signal.SIGKILL)
        os.close(reading)
        self.kills["while renaming" if in_renaming else "while building"] += 1
        return _wait(process)

    def _finish(self, *, overwrite: bool) -> None:
        """Let an export finish; it must, and must leave nothing else there."""
        name, (process, reading) = self._start(overwrite=overwrite)
        status = _wait(process)
        os.close(reading)
        if status != 0 or self._look() != name:
            self.failures.append(f"the next export ended with {status}, and {self._revision_there()} is there")
        others = sorted(path.name for path in self.folder.iterdir() if path != self.output)
        if others:
            self.failures.append(f"the next export left {others}")

    def _revision_there(self) -> str | None:
        """Return which export's bundle the manifest says is there."""
        manifest = self.output / "manifest.json"
        return json.loads(manifest.read_text())["source"]["name"] if manifest.exists() else None

    def _look(self) -> str | None:
        """Load what is visible as the service would, and ask it; return whose it is, None if nothing is there."""
        visible = [path for path in self.folder.iterdir() if not path.name.startswith(".")]
        if not visible:
            return None
        reader = os.fork()
        if reader == 0:
            os._exit(_check(visible))
        status = _wait(reader)
        if status != 0:
            self.failures.append(f"a bundle that is there cannot be served: {visible}")
        return self._revision_there()


def _check(folders: list[Path]) -> int:
    """Serve each folder's known answer; a status, because sessions must not be opened before a fork."""
    from bigbird_inference.bundle import open_bundle
    from bigbird_inference.errors import BundleError
    from bigbird_inference.known_answer import check_known_answer
    from bigbird_inference.runtime.onnx_session import open_session
    from bigbird_inference.tokenization.tokenizer import Tokenizer

    try:
        for folder in folders:
            bundle = open_bundle(folder)
            Tokenizer.from_bundle(bundle)
            graph = bundle.path(f"graph-{ATTENTION}.onnx")
            session = open_session(graph, bundle.manifest, device="cpu", threads=1)
            check_known_answer(bundle.manifest, {ATTENTION: session})
    except BundleError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _wait(process: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def _remove(folder: Path) -> None:
    if folder.exists():
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()


def main(folder: Path, kills: int, races: int, seed: int) -> dict[str, object]:
    """Kill and race; return what `kill_nine` wants to know."""
    chance = random.Random(seed)
    exports = KilledExports(folder / "models", chance)
    whole = exports.seconds_of_one()
    for number in range(kills):
        seconds = whole * (number + chance.random()) / kills
        exports.kill_one(seconds, overwrite=number % 4 != 0, in_renaming=number % 3 == 0)
    for _ in range(races):
        exports.race()
    exports.seconds_of_one()
    return {"failures": exports.failures, "kills": exports.kills, "seconds": whole, "bundle": str(exports.output)}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), *map(int, sys.argv[2:5]))))
