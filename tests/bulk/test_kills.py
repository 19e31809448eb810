"""kill -9 at any write, and at any time: the output is that of a job which nobody disturbed."""

import json
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from documents.limits import Limits
from documents.reading import read_document

ROOT = Path(__file__).resolve().parents[2]
KILLED = -9


def run(folder: Path, bundle: Path, number: int = -1, seconds: float | None = None) -> tuple[int, str]:
    """Run the job; return its status and what it printed."""
    command = [str(bundle), str(folder / "rows.jsonl"), str(folder / "out.jsonl"), str(number)]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bulk.killed_job", *command], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        printed, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        printed, _ = process.communicate()
    return process.returncode, printed


def written(folder: Path) -> Path:
    """Write an input with rows of all lengths, and some that have no answer."""
    chosen = random.Random(3)
    folder.mkdir(parents=True)
    lines = [json.dumps({"id": row, "context": "who is it " * chosen.choice([1, 4, 40, 300])}) for row in range(30)]
    lines[7], lines[20] = '{"id": 7}', json.dumps({"id": 20, "context": " "})
    (folder / "rows.jsonl").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, small_bundles: Path) -> tuple[bytes, Sequence[int]]:
    """What the job gives, and what it says of it: its changes of files, and its counts."""
    folder = written(tmp_path_factory.mktemp("kills") / "undisturbed")
    status, printed = run(folder, small_bundles / "small-qa")
    assert status == 0
    rows = (folder / "out.jsonl").read_bytes()
    assert rows.count(b"\n") == 60 and rows.count(b'"error":null') == 56
    return rows, list(map(int, printed.split()))


def check_kills(folder: Path, bundle: Path, moments: Sequence[int], undisturbed: tuple[bytes, Sequence[int]]) -> None:
    """Kill a job at each of the moments, one after the other, and let it come to its end."""
    rows, (_, *counts) = undisturbed
    for moment in moments:
        status, printed = run(folder, bundle, moment)
        assert status == (KILLED if not printed else 0)
    status, printed = run(folder, bundle)
    assert status == 0
    assert (folder / "out.jsonl").read_bytes() == rows
    assert [int(number) for number in printed.split()[1:]] == counts
    assert {path.name for path in (folder / "out.jsonl.job").iterdir()} == {"job.json", "lock"}


def test_a_job_that_is_killed_at_its_writes_gives_the_same_rows(
    tmp_path: Path, small_bundles: Path, undisturbed: tuple[bytes, Sequence[int]]
) -> None:
    moments = random.Random(1).sample(range(5, undisturbed[1][0]), 2)
    check_kills(written(tmp_path / "job"), small_bundles / "small-qa", moments, undisturbed)


@pytest.mark.slow
def test_copies_with_marks_are_whole_whenever_their_job_is_killed(tmp_path: Path, small_bundles: Path) -> None:
    original = (ROOT / "examples" / "contracts" / "supply-agreement.pdf").read_bytes()
    (tmp_path / "in").mkdir()
    for number in range(5):
        (tmp_path / "in" / f"{number}.pdf").write_bytes(original)

    def run_marking(name: str, moment: int) -> str:
        place = tmp_path / name
        command = [str(small_bundles / "small-qa"), str(tmp_path / "in"), f"{place}.jsonl", str(moment), str(place)]
        return subprocess.run(
            [sys.executable, "-m", "tests.bulk.killed_job", *command], cwd=ROOT, stdout=subprocess.PIPE, text=True,
        ).stdout  # fmt: skip

    changes = int(run_marking("undisturbed", -1).split()[0])
    for moment in random.Random(7).sample(range(5, changes), 8):
        run_marking("killed", moment)
    assert run_marking("killed", -1)
    assert (tmp_path / "killed.jsonl").read_bytes() == (tmp_path / "undisturbed.jsonl").read_bytes()
    copies = sorted((tmp_path / "killed").iterdir())
    assert [copy.name for copy in copies] == [f"{number}-{number}.pdf" for number in range(5)]
    for copy in copies:
        assert copy.read_bytes().startswith(original)
        assert read_document(copy, "pdf", Limits()).text == read_document(original, "pdf", Limits()).text


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_fifty_kills_give_the_same_rows(
    tmp_path: Path, small_bundles: Path, undisturbed: tuple[bytes, Sequence[int]], seed: int
) -> None:
    moments = random.Random(seed).sample(range(undisturbed[1][0]), 5)
    check_kills(written(tmp_path / "job"), small_bundles / "small-qa", moments, undisturbed)


@pytest.mark.slow
def test_kills_at_random_times_give_the_same_rows(
    tmp_path: Path, small_bundles: Path, undisturbed: tuple[bytes, Sequence[int]]
) -> None:
    folder, chosen = written(tmp_path / "job"), random.Random(5)
    for _ in range(10):
        run(folder, small_bundles / "small-qa", seconds=chosen.uniform(0.5, 5.0))
    check_kills(folder, small_bundles / "small-qa", [], undisturbed)
