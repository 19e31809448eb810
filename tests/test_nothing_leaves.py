"""Nothing leaves the machine: serve, export, measure, evaluate and bulk work on Ray under strace, with a fresh home.

Every call that opens a connection, sends to an address or makes a file is looked at. onnxruntime's own telemetry needs
half a minute to begin, so servers are watched for that long: they run beside the other tests, and are asked about last.
Where OpenVINO is installed, an export measures it.
"""

import ipaddress
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from benchmarks.running_server import listening_port
from bigbird_inference.bundle import read_manifest
from tests import tokenizer_files
from tests.cpu_runtimes import need_openvino, openvino_is_installed
from tests.foreign_programs import find_program, need_package
from tests.model_export.reference_models import make_config, make_model

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[1]
CHECKPOINT = ROOT / "examples" / "checkpoints" / "demo-classify"
DATA = ROOT / "examples" / "finetune" / "types-eval.tsv"
WATCHED_SECONDS = 45
_PATHS = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
_ADDRESS = re.compile(r'sin6?_port=htons\((\d+)\).*?(?:inet_addr\("([^"]+)"\)|inet_pton\(AF_INET6, "([^"]+)")')
_WRITTEN = re.compile(r'open(?:at)?\((?:AT_FDCWD, )?"([^"]+)", [^)]*O_(?:WRONLY|RDWR|CREAT)')


def _is_here(address: str) -> bool:
    parsed = ipaddress.ip_address(address)
    return (getattr(parsed, "ipv4_mapped", None) or parsed).is_loopback


class Traced:
    """A command of `bigbird` under strace.

    Args:
        folder: An empty folder; a home is made in it.
        arguments: Of the command.
        settings: The variables `BIGBIRD_...`.
    """

    def __init__(self, folder: Path, arguments: Sequence[str], **settings: str) -> None:
        find_program("strace", package="strace")
        self.home = folder / "home"
        self.home.mkdir()
        self.folder = folder
        self._log = folder / "strace.log"
        calls = "connect,sendto,sendmsg,sendmmsg,open,openat"
        watched = ["strace", "-f", "-qq", "-e", f"trace={calls}", "-o", str(self._log)]
        self._began = time.monotonic()
        self.process = subprocess.Popen(
            [*watched, sys.executable, "-m", "bigbird_cli", *arguments],
            cwd=folder,
            env={"PATH": os.environ["PATH"], "HOME": str(self.home), "PYTHONPATH": _PATHS, **settings},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def finish(self) -> None:
        assert self.process.wait(900) == 0

    def wait_until_watched(self, seconds: float) -> None:
        """Wait until it has run for so long."""
        time.sleep(max(0.0, self._began + seconds - time.monotonic()))

    def addresses(self) -> set[str]:
        """Return the addresses elsewhere that anything was sent to, look-ups included."""
        found = {match[2] or match[3] for match in _ADDRESS.finditer(self._log.read_text(errors="replace"))}
        return {address for address in found if not (_is_here(address) or ipaddress.ip_address(address).is_unspecified)}

    def look_ups(self) -> int:
        """Return how often a name of a host was looked up: by a question to a resolver, or in its files."""
        text = self._log.read_text(errors="replace")
        files = len(re.findall(r'open(?:at)?\([^\n]*"/etc/(?:hosts|resolv\.conf)"', text))
        resolved = len(re.findall(r"connect\([^\n]*systemd/resolve", text))
        return files + resolved + sum(match[1] == "53" for match in _ADDRESS.finditer(text))

    def files_at_home(self) -> list[str]:
        """Return what was made under the home."""
        written = _WRITTEN.findall(self._log.read_text(errors="replace"))
        return [*(name for name in written if name.startswith(str(self.home))), *map(str, self.home.rglob("*"))]

    def opened(self, part: str) -> bool:
        """Tell whether a file was opened whose path contains something."""
        found = re.findall(
            r'open(?:at)?\((?:AT_FDCWD, )?"([^"]+)", [^\n]*\) = [0-9]', self._log.read_text(errors="replace")
        )
        return any(part in path for path in found)

    def assert_silent(self) -> None:
        assert self._log.stat().st_size > 0
        assert self.addresses() == set()
        assert self.look_ups() == 0
        assert self.files_at_home() == []
        assert not self.opened("/openvino_telemetry/"), "it was imported"


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Traced:
    """The export of a bundle, which has ended."""
    folder = tmp_path_factory.mktemp("export")
    traced = Traced(folder, ["export", str(CHECKPOINT), "--buckets", "704", "--output", "bundles/classify"])
    traced.finish()
    return traced


@pytest.fixture(scope="module")
def bundle(export: Traced) -> Path:
    return export.folder / "bundles" / "classify"


@pytest.fixture(scope="module", autouse=True)
def servers(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Traced]]:
    """A server of the bundle for each runtime, from the first of these tests to the last."""
    command = ["serve", "--models", str(bundle.parent), "--port", "0"]
    running = {
        runtime: Traced(tmp_path_factory.mktemp(runtime), command, BIGBIRD_CPU_RUNTIME=runtime)
        for runtime in ("onnxruntime", "openvino")
        if runtime == "onnxruntime" or openvino_is_installed()
    }
    try:
        yield running
    finally:
        for traced in running.values():
            traced.process.kill()
            traced.process.wait()


def test_export_and_evaluate_call_nobody_and_leave_nothing_at_home(
    export: Traced, bundle: Path, tmp_path: Path
) -> None:
    export.assert_silent()
    evaluate = Traced(tmp_path, ["evaluate", str(bundle), "--task", "classify", "--data", str(DATA)])
    evaluate.finish()
    evaluate.assert_silent()


def test_a_tokenizer_json_calls_nobody_either(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint"
    pipeline = tokenizer_files.word_piece()
    tokenizer_files.save(pipeline, checkpoint)
    config = make_config(pipeline.get_vocab_size(), attention_type="original_full", pad_token_id=0)
    make_model("classify", config).save_pretrained(checkpoint)
    traced = Traced(tmp_path, ["export", str(checkpoint), "--buckets", "256", "--output", str(tmp_path / "bundle")])
    traced.finish()
    traced.assert_silent()


def test_a_job_on_ray_calls_nobody(bundle: Path, tmp_path: Path) -> None:
    """Ray reads this machine's own names, and keeps its logs below /tmp.

    To learn this machine's address it connects a UDP socket, over which nothing is sent.
    """
    need_package("ray")
    (tmp_path / "in.jsonl").write_text('{"text": "The survey of the northern bridges ended in May."}\n')
    job = ["batch", "in.jsonl", "--model", str(bundle), "--output", "parts", "--ray", "local"]
    traced = Traced(tmp_path, job)
    traced.finish()
    assert (tmp_path / "parts" / "part-00000000.parquet").exists()
    assert traced.addresses() <= {"8.8.8.8"}
    assert traced.files_at_home() == []


@pytest.mark.parametrize("command", ["export", "measure"])
def test_measuring_openvino_calls_nobody_and_leaves_nothing_at_home(
    export: Traced, bundle: Path, tmp_path: Path, command: str
) -> None:
    need_openvino()
    traced = export
    if command == "measure":
        # Not the one that is served.
        bundle = shutil.copytree(bundle, tmp_path / "classify")
        traced = Traced(tmp_path, ["measure", str(bundle)])
        traced.finish()
    assert len(read_manifest(bundle).cpu_runs) == 2
    assert traced.opened("libopenvino")
    traced.assert_silent()


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_server_calls_nobody_and_leaves_nothing_at_home(servers: Mapping[str, Traced], runtime: str) -> None:
    if runtime == "openvino":
        need_openvino()
    traced = servers[runtime]
    traced.wait_until_watched(WATCHED_SECONDS)
    own = Path(f"/proc/{traced.process.pid}/task/{traced.process.pid}/children")
    server = int(own.read_text().split()[0])
    assert listening_port(server) > 0
    os.kill(server, signal.SIGTERM)
    traced.process.wait(60)
    assert traced.opened("libopenvino") == (runtime == "openvino")
    traced.assert_silent()
