"""Checkpoints by their hub id, each case in a process of its own, with a stand-in for the hub on the loopback."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from model_export.checkpoints.files import regular_file
from model_export.checkpoints.hub import resolve
from model_export.checkpoints.recognise import read_checkpoint
from model_export.errors import CheckpointError
from tests.model_export.checkpoints.exported_fixtures import FIXTURES
from tests.model_export.checkpoints.hub_server import COMMIT, HubServer

MODEL = "someone/tiny-bigbird"
FILES = {
    "config.json": b"{}",
    "spiece.model": b"pieces",
    "README.md": b"# Tiny",
    "modeling.py": b"raise SystemExit('downloaded and run')",
    "model.safetensors": b"weights 1",
    "pytorch_model.bin": b"weights 2",
    "flax_model.msgpack": b"weights 3",
    "training_args.bin": b"a pickle",
    "onnx/model.onnx": b"a graph",
}
PROGRAM = """
import sys
from model_export.checkpoints.hub import resolve
from model_export.errors import CheckpointError
assert "huggingface_hub" not in sys.modules, "imported before it is needed"
if sys.argv[2] == "without the library":
    sys.modules["huggingface_hub"] = None
try:
    print(resolve(sys.argv[1]))
except CheckpointError as error:
    print("refused:", error)
"""


class Machine:
    """Runs the program as on a machine with a cache of its own, whose hub is the stand-in."""

    def __init__(self, cache: Path) -> None:
        self.cache = cache

    def resolve(self, checkpoint: str, endpoint: str, *, library: str = "with the library", **variables: str) -> str:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
        environment = {**kept, "HF_ENDPOINT": endpoint, "HF_HOME": str(self.cache), "NO_PROXY": "127.0.0.1"}
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, checkpoint, library],
            env={**environment, **variables},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert done.stdout.count("\n") == 1, "the answer, or an error, is one line"
        assert not done.stderr.removeprefix(f"{checkpoint}: no folder of that name; asking the Hugging Face hub\n")
        return done.stdout.removesuffix("\n")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "cache")


@pytest.fixture
def nowhere() -> str:
    """An address of this machine where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def test_only_the_files_that_an_export_reads_are_downloaded(machine: Machine) -> None:
    with HubServer(MODEL, FILES) as hub:
        folder = Path(machine.resolve(MODEL, hub.url))
        assert hub.downloaded() == ["config.json", "model.safetensors", "spiece.model"]
        assert not [request for request in hub.requests if MODEL not in request], "nothing else is asked for"
    assert sorted(file.name for file in folder.iterdir()) == hub.downloaded()
    for name in hub.downloaded():
        assert regular_file(folder, name).read_bytes() == FILES[name]


def test_what_was_downloaded_is_a_checkpoint(machine: Machine) -> None:
    """The cache keeps contents apart and links to them: the reader follows those links."""
    original = FIXTURES / "flax" / "ner"
    with HubServer(MODEL, {file.name: file.read_bytes() for file in original.iterdir()}) as hub:
        folder = Path(machine.resolve(MODEL, hub.url))
    assert (folder / "config.json").is_symlink()
    theirs, ours = (read_checkpoint(path) for path in (original, folder))
    assert ours.sha256() == theirs.sha256()
    assert ours.weights.read().tensors.keys() == theirs.weights.read().tensors.keys()


@pytest.mark.parametrize(
    ("present", "downloaded"),
    [
        pytest.param(["pytorch_model.bin", "flax_model.msgpack"], ["pytorch_model.bin"], id="no safetensors"),
        pytest.param(["flax_model.msgpack"], ["flax_model.msgpack"], id="Flax alone"),
        pytest.param(
            ["model.safetensors.index.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"],
            ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"],
            id="shards",
        ),
    ],
)
def test_one_format_of_the_weights_is_downloaded(machine: Machine, present: list[str], downloaded: list[str]) -> None:
    files = {name: name.encode() for name in ("config.json", "spiece.model", *present)}
    with HubServer(MODEL, files) as hub:
        machine.resolve(MODEL, hub.url)
        assert hub.downloaded() == sorted(["config.json", "spiece.model", *downloaded])


def test_what_is_in_the_cache_is_not_downloaded_again(machine: Machine, nowhere: str) -> None:
    files = {name: FILES[name] for name in ("config.json", "spiece.model", "flax_model.msgpack")}
    with HubServer(MODEL, files) as hub:
        folder = machine.resolve(MODEL, hub.url)
        first = hub.downloaded()
        assert machine.resolve(MODEL, hub.url) == folder
        assert hub.downloaded() == first
    assert machine.resolve(MODEL, nowhere) == folder
    assert machine.resolve(MODEL, nowhere, HF_HUB_OFFLINE="1") == folder


def test_a_revision_may_be_named(machine: Machine) -> None:
    with HubServer(MODEL, FILES) as hub:
        by_branch = machine.resolve(f"{MODEL}@main", hub.url)
        assert machine.resolve(f"{MODEL}@{COMMIT}", hub.url) == by_branch
        assert machine.resolve(f"{MODEL}@v2", hub.url) == _refusal(
            f"{MODEL}@v2", "the hub has the model, but not this revision"
        )


def test_requests_do_not_describe_the_machine(machine: Machine) -> None:
    with HubServer(MODEL, FILES) as hub:
        machine.resolve(MODEL, hub.url)
    assert hub.user_agents
    for agent in hub.user_agents:
        assert "torch" not in agent and "session_id" not in agent and "agent/" not in agent, agent


@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [
        pytest.param(401, "RepoNotFound", "the hub has no such model, or it is private", id="unknown"),
        pytest.param(
            403,
            "GatedRepo",
            "the hub gives this model only to accounts that accepted its terms (log in with `hf auth login`)",
            id="gated",
        ),
        pytest.param(418, "", "the hub answered with status 418", id="out of order"),
    ],
)
def test_a_refusal_of_the_hub_is_told_with_the_alternative(
    machine: Machine, status: int, code: str, reason: str
) -> None:
    with HubServer(MODEL, FILES, refusal=(status, code)) as hub:
        assert machine.resolve(MODEL, hub.url) == _refusal(MODEL, reason)


def test_a_hub_that_cannot_be_reached_is_told_with_the_alternative(machine: Machine, nowhere: str) -> None:
    reason = "the hub cannot be reached and the model is not in the cache"
    assert machine.resolve(MODEL, nowhere) == _refusal(MODEL, reason)


def test_offline_is_told_with_the_alternative(machine: Machine, nowhere: str) -> None:
    reason = "HF_HUB_OFFLINE is set and the model is not in the cache"
    assert machine.resolve("tiny-bigbird", nowhere, HF_HUB_OFFLINE="1") == _refusal("tiny-bigbird", reason)


def test_a_missing_library_is_told_with_the_extra_that_brings_it(machine: Machine, nowhere: str) -> None:
    reason = f"the Hugging Face hub needs the extra `hub`: pip install '{Path(__file__).resolve().parents[3]}[hub]'"
    assert machine.resolve(MODEL, nowhere, library="without the library") == _refusal(MODEL, reason)


def test_a_name_that_the_hub_cannot_have_is_refused(machine: Machine, nowhere: str) -> None:
    assert machine.resolve("some--one/x", nowhere) == _refusal("some--one/x", "this cannot be a model's id on the hub")


def test_a_folder_that_exists_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / MODEL).mkdir(parents=True)
    assert resolve(MODEL) == Path(MODEL)


@pytest.mark.parametrize(
    "path", ["/absent", "./absent", "../absent", "a/b/c", "~/models", "", ".", "a b", "a@..", "a@"]
)
def test_what_cannot_be_a_hub_id_is_a_path(path: str) -> None:
    assert resolve(path) == Path(path)


def test_a_refusal_is_an_error_of_the_export(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(CheckpointError, match=r"^absent/model: is not a folder, and .* given by its path$"):
        resolve("absent/model")


def _refusal(checkpoint: str, reason: str) -> str:
    alternative = "a folder that you download yourself can be given by its path"
    return f"refused: {checkpoint}: is not a folder, and {reason}; {alternative}"
