"""`bigbird batch --ray`: what comes of a real cluster is what comes of one machine, whoever dies meanwhile.

One process starts a cluster of two nodes, and everything that a cluster is needed for is done to it.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.documented_commands import link_environment
from tests.foreign_programs import need_package
from tests.reliability.small_bundles import write_small_bundles
from tests.two_ray_nodes import ROOT, TwoNodes, two_ray_nodes

SENTENCE = "The survey of the northern bridges ended in May. 🌉 Maria Okafor led it. "


def environment(**variables: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0", **variables}


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "bigbird_cli", "batch", *map(str, arguments)]


def run(folder: Path, *arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), cwd=folder, env=environment(**variables), capture_output=True, text=True, check=False
    )


def write_documents(folder: Path, count: int, repeats: int = 40) -> None:
    """Write `in.jsonl`, and a folder of documents: one cannot be read."""
    lines = [json.dumps({"text": f"{SENTENCE * (1 + number % repeats)}{number}"}) for number in range(count)]
    lines[3] = "nonsense"
    (folder / "in.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "docs").mkdir()
    for number in range(4):
        (folder / "docs" / f"{number}.txt").write_text(f"{SENTENCE}{number}", encoding="utf-8")
    (folder / "docs" / "latin.txt").write_bytes(b"\xfc")


def tables(folder: Path) -> tuple[Any, Any]:
    parquet = pytest.importorskip("pyarrow.parquet")
    return parquet.read_table(folder / "parts"), parquet.read_table(folder / "out.parquet")


@pytest.mark.integration  # Ray takes long to start
def test_a_cluster_on_this_machine_gives_the_output_of_one_machine(tmp_path: Path) -> None:
    need_package("ray")
    write_small_bundles(tmp_path / "bundles", ["ner"])
    write_documents(tmp_path, 20)
    given = ["in.jsonl", "docs", "--model", "bundles/small-ner", "--threads", "1", "--batch-tokens", "1"]
    assert run(tmp_path, *given, "--output", "out.parquet").returncode == 3
    done = run(tmp_path, *given, "--output", "parts", "--ray", "local", "--part-bytes", "4000")
    assert done.returncode == 3, done.stderr
    own, whole = tables(tmp_path)
    assert own.schema == whole.schema and own.equals(whole)
    assert len(list((tmp_path / "parts").glob("part-*.parquet"))) > 2
    # Complete, it needs no cluster any more.
    assert run(tmp_path, *given, "--output", "parts", "--ray", "127.0.0.1:9", "--part-bytes", "4000").returncode == 3


@pytest.mark.integration
def test_the_commands_of_the_documentation_do_on_ray_what_they_do_without(tmp_path: Path, bundles: Path) -> None:
    need_package("ray")
    (tmp_path / "bundles").symlink_to(bundles)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    link_environment(tmp_path)
    (block,) = re.findall(r"```bash\n(.*?)```", (ROOT / "docs" / "cluster.md").read_text("utf-8"), re.DOTALL)
    done = subprocess.run(
        ["sh", "-e", "-c", block], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    documents = len(list((ROOT / "examples" / "documents").glob("*.txt")))
    assert done.stdout.splitlines()[-1] == f"{documents} rows"


@pytest.mark.integration
@pytest.mark.parametrize(
    ("address", "message"),
    [
        pytest.param("auto", "no cluster that can be used", id="none here"),
        pytest.param("127.0.0.1:9", "no cluster there: Connection refused", id="nobody listens"),
        pytest.param("somewhere", "an address is auto, local or host:port", id="no address"),
        pytest.param("ray://127.0.0.1:9", "run the command on a machine of the cluster", id="of a client"),
    ],
)
def test_an_address_without_a_cluster_is_one_line_and_leaves_nothing(
    tmp_path: Path, small_bundle: Path, address: str, message: str
) -> None:
    need_package("ray")
    (tmp_path / "in.jsonl").write_text('{"text": "a"}\n')
    ended = run(tmp_path, "in.jsonl", "--model", small_bundle, "--output", "parts", "--ray", address)
    assert ended.returncode == 1 and message in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert not (tmp_path / "parts").exists()


@pytest.mark.integration
def test_a_cluster_that_was_killed_is_not_waited_for(tmp_path: Path, small_bundle: Path) -> None:
    need_package("ray")
    (tmp_path / "in.jsonl").write_text('{"text": "a"}\n')
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text("127.0.0.1:9")
    given = ["in.jsonl", "--model", small_bundle, "--output", "parts", "--ray", "auto"]
    ended = run(tmp_path, *given, RAY_TMPDIR=str(tmp_path))
    assert ended.returncode == 1 and len(ended.stderr.splitlines()) == 1
    assert "--ray 127.0.0.1:9: no cluster there: Connection refused" in ended.stderr


@pytest.fixture(scope="module")
def small_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles")
    write_small_bundles(folder, ["ner"])
    return folder / "small-ner"


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[TwoNodes]:
    with two_ray_nodes() as nodes:
        yield nodes


def parts_of(folder: Path) -> dict[str, tuple[int, int]]:
    """Return the parts that are there, each with its file's number and time."""
    found = (folder / "parts").glob("part-*.parquet")
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in found}


def wait_for_parts(running: "subprocess.Popen[str]", folder: Path, count: int) -> None:
    while len(parts_of(folder)) < count:
        assert running.poll() is None, running.communicate()
        time.sleep(0.1)


@pytest.mark.slow  # minutes: an exported model, and nodes that come and go
@pytest.mark.filterwarnings("ignore")
def test_a_node_that_dies_and_a_command_that_is_killed_lose_and_double_nothing(
    tmp_path: Path, bundles: Path, two_nodes: TwoNodes
) -> None:
    write_documents(tmp_path, 120, repeats=30)
    given = ["in.jsonl", "docs", "--model", bundles / "demo-ner", "--cpu-runtime", "onnxruntime", "--threads", "1"]
    assert run(tmp_path, *given, "--output", "out.parquet").returncode == 3
    two_nodes.add()
    on_ray = [*given, "--output", "parts", "--ray", two_nodes.address, "--part-bytes", "5000"]

    def begin() -> "subprocess.Popen[str]":
        return subprocess.Popen(
            command(*on_ray), cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    first = begin()
    wait_for_parts(first, tmp_path, 4)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    kept = parts_of(tmp_path)
    second = begin()
    wait_for_parts(second, tmp_path, len(kept) + 4)
    two_nodes.kill()
    _, printed = second.communicate()
    assert second.returncode == 3, printed
    assert kept.items() <= parts_of(tmp_path).items()
    own, whole = tables(tmp_path)
    assert own.schema == whole.schema and own.equals(whole)
    assert own["row"].to_pylist() == list(range(125))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_node_that_is_unlike_the_others_is_told_in_one_line(
    tmp_path: Path, small_bundle: Path, two_nodes: TwoNodes
) -> None:
    write_documents(tmp_path, 6)
    older = tmp_path / "older" / "bigbird_serve-0.0.1.dist-info"
    older.mkdir(parents=True)
    (older / "METADATA").write_text("Metadata-Version: 2.1\nName: bigbird-serve\nVersion: 0.0.1\n")
    without = tmp_path / "without" / "bulk"
    without.mkdir(parents=True)
    (without / "__init__.py").write_text("raise ModuleNotFoundError(\"No module named 'bulk'\")")
    given = ["in.jsonl", "--output", "parts", "--ray", two_nodes.address]
    for variables, message in (
        ({"PYTHONPATH": f"{older.parent}{os.pathsep}{ROOT}"}, "bigbird-serve 0.0.1 is installed there"),
        ({"PYTHONPATH": f"{without.parent}{os.pathsep}{ROOT}"}, "bigbird-serve is not installed there"),
    ):
        two_nodes.add(**variables)
        ended = run(tmp_path, *given, "--model", small_bundle)
        two_nodes.kill()
        assert ended.returncode == 1 and message in ended.stderr, ended.stderr
        assert len(ended.stderr.splitlines()) == 1
        assert not (tmp_path / "parts").exists()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_machine_without_the_bundle_is_told_in_one_line(
    tmp_path: Path, small_bundle: Path, two_nodes: TwoNodes
) -> None:
    write_documents(tmp_path, 6)
    # What stands for another machine's files: a name that leads elsewhere in each process.
    own = Path("/proc/self/cwd") / "bundle"
    (tmp_path / "bundle").symlink_to(small_bundle)
    ended = run(tmp_path, "in.jsonl", "--output", "parts", "--ray", two_nodes.address, "--model", own)
    assert ended.returncode == 1 and "node " in ended.stderr and "copy the same bundle to all machines" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert not (tmp_path / "parts").exists()
