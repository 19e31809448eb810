"""Checkpoints by their hub id, in processes of their own, with a stand-in for the hub on the loopback."""

import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from model_export.checkpoints.files import regular_file
from model_export.checkpoints.hub import resolve
from model_export.checkpoints.recognise import read_checkpoint
from model_export.errors import CheckpointError
from tests.model_export.checkpoints.exported_fixtures import FIXTURES
from tests.model_export.checkpoints.hub_server import Answer, HubServer, Repository, always, environment

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
if sys.argv[1] == "without the library":
    sys.modules["huggingface_hub"] = None
for checkpoint in sys.argv[2:]:
    try:
        print(resolve(checkpoint, weights=sys.argv[1] != "without weights"))
    except CheckpointError as error:
        print("refused:", error)
"""


class Machine:
    """Runs the program as on a machine with a cache of its own, whose hub is the stand-in."""

    def __init__(self, cache: Path) -> None:
        self.cache = cache

    def resolve(self, checkpoint: str, endpoint: str, **settings: str) -> str:
        return self.resolve_all([checkpoint], endpoint, **settings)[0]

    def resolve_all(
        self, checkpoints: Sequence[str], endpoint: str, *, how: str = "", talks: bool = False, **variables: str
    ) -> list[str]:
        """Return the folder or the refusal of each; what the library says is expected, or nothing."""
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, how, *checkpoints],
            env=environment(endpoint, self.cache) | variables,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        answers = done.stdout.splitlines()
        assert len(answers) == len(checkpoints), "each answer, or error, is one line"
        asking = {f"{checkpoint}: no folder of that name; asking the Hugging Face hub" for checkpoint in checkpoints}
        assert talks or set(done.stderr.splitlines()) <= asking
        for secret in (variables.get("HF_TOKEN", "no token"), "Signature="):
            assert secret not in done.stdout + done.stderr
        return answers


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "cache")


@pytest.fixture
def nowhere() -> str:
    """An address of this machine where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def hub_with(*names: str, **repository: object) -> HubServer:
    """Return a hub that has the model, with some of its files."""
    files = {name: FILES.get(name, name.encode()) for name in names or FILES}
    return HubServer({MODEL: Repository(files, **repository)})  # type: ignore[arg-type]


def test_only_the_files_that_an_export_reads_are_downloaded(machine: Machine) -> None:
    with hub_with() as hub:
        folder = Path(machine.resolve(MODEL, hub.url))
        assert hub.downloaded() == ["config.json", "model.safetensors", "spiece.model"]
        assert not [request for request in hub.requests if MODEL not in request], "nothing else is asked for"
    assert sorted(file.name for file in folder.iterdir()) == hub.downloaded()
    for name in hub.downloaded():
        assert regular_file(folder, name).read_bytes() == FILES[name]


def test_every_kind_of_tokenizer_and_configuration_is_downloaded(machine: Machine) -> None:
    read = [
        *("added_tokens.json", "config.json", "generation_config.json", "merges.txt", "special_tokens_map.json"),
        *("spiece.model", "tokenizer.json", "tokenizer_config.json", "vocab.json", "vocab.txt"),
    ]
    with hub_with(*read, "pytorch_model.bin", "tokenizer.py", "trainer_state.json", "optimizer.pt") as hub:
        folder = Path(machine.resolve(MODEL, hub.url, how="without weights"))
        assert hub.downloaded() == read
        assert machine.resolve(MODEL, hub.url) == str(folder)
        assert hub.downloaded() == sorted([*read, "pytorch_model.bin"])


def test_what_was_downloaded_is_a_checkpoint(machine: Machine) -> None:
    """The cache keeps contents apart and links to them: the reader follows those links."""
    original = FIXTURES / "flax" / "ner"
    with HubServer({MODEL: Repository.of(original)}) as hub:
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
        pytest.param(
            ["adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"],
            ["adapter_config.json", "adapter_model.safetensors"],
            id="an adapter",
        ),
    ],
)
def test_one_format_of_the_weights_is_downloaded(machine: Machine, present: list[str], downloaded: list[str]) -> None:
    with hub_with("config.json", "spiece.model", *present) as hub:
        machine.resolve(MODEL, hub.url)
        assert hub.downloaded() == sorted(["config.json", "spiece.model", *downloaded])


def test_what_is_in_the_cache_is_not_downloaded_again(machine: Machine, nowhere: str) -> None:
    with hub_with("config.json", "spiece.model", "flax_model.msgpack") as hub:
        folder = machine.resolve(MODEL, hub.url)
        first = hub.downloaded()
        assert machine.resolve(MODEL, hub.url) == folder
        assert hub.downloaded() == first
    assert machine.resolve(MODEL, nowhere) == folder
    assert machine.resolve(MODEL, nowhere, HF_HUB_OFFLINE="1") == folder


@pytest.mark.parametrize("variable", ["HF_HOME", "HF_HUB_CACHE"])
def test_a_cache_that_transformers_filled_is_used(
    machine: Machine, nowhere: str, tmp_path: Path, variable: str
) -> None:
    """As its `from_pretrained` leaves it: a branch, its commit's folder, and no listing of what else there is."""
    root = tmp_path / "theirs"
    model = (root / "hub" if variable == "HF_HOME" else root) / "models--someone--tiny-bigbird"
    commit = "c0ffee" + 34 * "0"
    snapshot = model / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text(commit)
    for name in ("config.json", "tokenizer.json", "pytorch_model.bin"):
        (snapshot / name).write_bytes(b"")
    assert machine.resolve(MODEL, nowhere, HF_HUB_OFFLINE="1", **{variable: str(root)}) == str(snapshot)


def test_a_branch_a_tag_and_a_commit_may_be_named(machine: Machine) -> None:
    revisions = {"v1.0": {"config.json": b"old"}, "refs/pr/1": {"config.json": b"new"}}
    with hub_with(revisions=revisions) as hub:
        commit = hub.models[MODEL].commit("v1.0")
        main, tag, same, request, absent = machine.resolve_all(
            [MODEL, *(f"{MODEL}@{revision}" for revision in ("v1.0", commit, "refs/pr/1", "v2"))], hub.url
        )
    assert same == tag and len({main, tag, request}) == 3
    assert [(Path(folder) / "config.json").read_bytes() for folder in (main, tag, request)] == [b"{}", b"old", b"new"]
    assert absent == _refusal(f"{MODEL}@v2", "the hub has the model, but not this revision")


def test_a_folder_in_the_model_may_be_named(machine: Machine) -> None:
    files = ["config.json", "spiece.model", "runs/best/config.json", "runs/best/model.safetensors", "runs/best/x.py"]
    with hub_with(*files, revisions={"v1": {"a/config.json": b"old"}}) as hub:
        inside, older, absent = machine.resolve_all(
            [f"{MODEL}:runs/best", f"{MODEL}@v1:a", f"{MODEL}:runs/worst"], hub.url, talks=True
        )
        assert hub.downloaded() == ["a/config.json", "runs/best/config.json", "runs/best/model.safetensors"]
    assert inside.endswith("/runs/best") and sorted(file.name for file in Path(inside).iterdir()) == [
        "config.json",
        "model.safetensors",
    ]
    assert regular_file(Path(inside), "model.safetensors").read_bytes() == b"runs/best/model.safetensors"
    assert regular_file(Path(older), "config.json").read_bytes() == b"old"
    reason = "the hub has the model, but no folder runs/worst with files that it reads in it"
    assert absent == _refusal(f"{MODEL}:runs/worst", reason)


def test_requests_do_not_describe_the_machine(machine: Machine) -> None:
    with hub_with() as hub:
        machine.resolve(MODEL, hub.url)
    assert hub.headers and hub.store_headers
    for headers in [*hub.headers, *hub.store_headers]:
        agent = headers["user-agent"]
        assert "torch" not in agent and "session_id" not in agent and "agent/" not in agent, agent


def test_a_token_opens_what_is_private_and_goes_to_the_hub_alone(machine: Machine) -> None:
    models = [f"someone/{access}" for access in ("private", "gated")]
    repositories = {model: Repository(FILES, access=model.split("/")[1]) for model in models}  # type: ignore[arg-type]
    with HubServer(repositories) as hub:
        folders = machine.resolve_all(models, hub.url, HF_TOKEN=hub.token)
    assert all((Path(folder) / "model.safetensors").read_bytes() == b"weights 1" for folder in folders)
    assert {headers.get("authorization") for headers in hub.headers} == {f"Bearer {hub.token}"}
    assert hub.store_headers and not any("authorization" in headers for headers in hub.store_headers)


def test_a_token_that_the_hub_does_not_know_is_told(machine: Machine) -> None:
    with hub_with() as hub:
        said = machine.resolve(MODEL, hub.url, HF_TOKEN="hf_expired")
    assert said == _refusal(
        MODEL, "the hub does not know the token that it was sent (renew HF_TOKEN, or `hf auth login`)"
    )


_LOG_IN = "log in with `hf auth login`, or set HF_TOKEN"
REFUSALS = {
    "someone/absent": f"the hub has no such model, or it is private ({_LOG_IN})",
    "someone/private": f"the hub has no such model, or it is private ({_LOG_IN})",
    "someone/gated": "the hub gives this model only to accounts that accepted its terms (accept them on its page, then "
    f"{_LOG_IN})",
    "someone/forbidden": "the hub refuses with status 403 (the token must have the right to read this model)",
    "someone/limited": "the hub was asked too often from here (try again in 70 seconds; who is logged in may ask more "
    "often)",
    "someone/down": "the hub answered with status 503 (try again later)",
    "someone/elsewhere": "what answers there is no hub (look at HF_ENDPOINT and at the proxy)",
    "someone/teapot": "the hub answered with status 418",
    "someone/programs": "the hub has the model, but no file that an export reads in it",
    "some--one/x": "this cannot be a model's id on the hub",
}


@pytest.fixture(scope="module")
def refusals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    models = {
        "someone/private": Repository(FILES, access="private"),
        "someone/gated": Repository(FILES, access="gated"),
        "someone/programs": Repository({"modeling.py": b""}),
        "someone/elsewhere": Repository(FILES),
    }
    instead = [
        *always("someone/forbidden", Answer(403)),
        *always("someone/limited", Answer(429, {"Retry-After": "70"})),
        *always("someone/down", Answer(503)),
        *always("someone/elsewhere/resolve", Answer(200, {}, b"<html>Welcome to our network")),
        *always("someone/teapot", Answer(418)),
    ]
    with HubServer(models, instead=instead) as hub:
        said = Machine(tmp_path_factory.mktemp("refusals")).resolve_all(list(REFUSALS), hub.url, talks=True)
    return dict(zip(REFUSALS, said, strict=True))


@pytest.mark.parametrize("checkpoint", REFUSALS)
def test_a_refusal_of_the_hub_is_told_with_what_to_do(refusals: dict[str, str], checkpoint: str) -> None:
    assert refusals[checkpoint] == _refusal(checkpoint, REFUSALS[checkpoint])


def test_what_goes_wrong_once_is_tried_again(machine: Machine) -> None:
    whole = FILES["model.safetensors"]
    with hub_with() as hub:
        hub.instead = [
            ("/resolve/.*/config.json", Answer(503)),
            ("/store/.*/model.safetensors", Answer(429, {"Retry-After": "0"})),
            ("/store/.*/model.safetensors", Answer(200, {"Content-Length": str(len(whole))}, whole[:4])),
        ]
        folder = Path(machine.resolve(MODEL, hub.url, talks=True))
    assert not hub.instead
    assert (folder / "model.safetensors").read_bytes() == whole


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        pytest.param(b"weights X", "model.safetensors is not what the hub has: its hash is another one", id="other"),
        pytest.param(
            b"weig", "it could not be downloaded from the hub (try again): OSError: Consistency", id="shorter"
        ),
    ],
)
def test_contents_that_are_not_what_the_hub_announced_are_refused(machine: Machine, sent: bytes, said: str) -> None:
    with hub_with() as hub:
        hub.instead = [("/store/.*/model.safetensors", Answer(200, {}, sent))]
        refused = machine.resolve(MODEL, hub.url)
        assert said in refused
        if "; remove " in refused:
            Path(refused.partition("; remove ")[2].partition(" and try again")[0]).unlink()
        assert (Path(machine.resolve(MODEL, hub.url)) / "model.safetensors").read_bytes() == b"weights 1"


def test_contents_that_changed_in_the_cache_are_refused(machine: Machine) -> None:
    with hub_with() as hub:
        weights = Path(machine.resolve(MODEL, hub.url)) / "model.safetensors"
        weights.write_bytes(b"weights X")
        assert f"its hash is another one; remove {weights.resolve()} and" in machine.resolve(MODEL, hub.url)


def test_a_hub_that_cannot_be_reached_is_told_with_the_alternative(machine: Machine, nowhere: str) -> None:
    reason = "the hub cannot be reached and the model is not in the cache, or not whole"
    assert machine.resolve(MODEL, nowhere) == _refusal(MODEL, reason)


def test_offline_is_told_with_the_alternative(machine: Machine, nowhere: str) -> None:
    reason = "HF_HUB_OFFLINE is set and the model is not in the cache, or not whole (download it once without)"
    assert machine.resolve("tiny-bigbird", nowhere, HF_HUB_OFFLINE="1") == _refusal("tiny-bigbird", reason)
    with hub_with("config.json", "spiece.model", "flax_model.msgpack") as hub:
        machine.resolve(MODEL, hub.url, how="without weights")
    assert machine.resolve(MODEL, nowhere, HF_HUB_OFFLINE="1") == _refusal(MODEL, reason)


def test_a_missing_library_is_told_with_the_extra_that_brings_it(machine: Machine, nowhere: str) -> None:
    reason = f"the Hugging Face hub needs the extra `hub`: pip install '{Path(__file__).resolve().parents[3]}[hub]'"
    assert machine.resolve(MODEL, nowhere, how="without the library") == _refusal(MODEL, reason)


def test_a_folder_that_exists_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (MODEL, f"{MODEL}:runs"):
        (tmp_path / name).mkdir(parents=True)
        assert resolve(name) == Path(name)


@pytest.mark.parametrize(
    "path",
    [
        "/absent",
        "./absent",
        "../absent",
        "a/b/c",
        "~/models",
        "",
        ".",
        "a b",
        "a@..",
        "a@",
        "a:",
        "a:/b",
        "a:../b",
        "a:b:c",
    ],
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
