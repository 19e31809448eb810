"""The check of public checkpoints, rehearsed with look-alikes on a local hub."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from bigbird_inference.bundle import open_bundle
from scripts import check_public_checkpoints
from scripts.check_public_checkpoints import TEXTS, TOLERANCE, Outcome, compare_ids, compare_logits, table
from scripts.public_checkpoints import PublicCheckpoint, read_list
from tests.model_export.checkpoints.hub_server import HubServer, Repository, environment
from tests.model_export.look_alikes import safetensors_and_tokenizer_json
from tests.model_export.reference_models import SPECIAL_PIECES, train_spiece_model

GOOD, ABSENT = "vedantM/BigBird-PII", "vedantM/absent"
LIST = "".join(f'[[checkpoint]]\nid = "{model}"\ntask = "ner"\nsources = []\n' for model in (GOOD, ABSENT))


class Rehearsal:
    """A folder to run the check in, and a hub with one of two listed checkpoints."""

    def __init__(self, folder: Path, hub: HubServer) -> None:
        self.folder = folder
        self.hub = hub
        (folder / "list.toml").write_text(LIST)

    def run(self, *options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "scripts.check_public_checkpoints", "--list", str(self.folder / "list.toml")]
        return subprocess.run(
            [*command, "--folder", str(self.folder / "checked"), "--buckets", "112", *options],
            env=environment(self.hub.url, self.folder / "cache"),
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    folder = tmp_path_factory.mktemp("check")
    (folder / "made").mkdir()
    safetensors_and_tokenizer_json(folder / "made")
    with HubServer({GOOD: Repository.of(folder / "made")}) as hub:
        yield Rehearsal(folder, hub)


@pytest.fixture(scope="module")
def whole(rehearsal: Rehearsal) -> subprocess.CompletedProcess[str]:
    return rehearsal.run()


@pytest.mark.integration
def test_each_listed_checkpoint_is_exported_and_compared(whole: subprocess.CompletedProcess[str]) -> None:
    assert whole.returncode == 1, whole.stderr
    _, _, good, absent = whole.stdout.splitlines()
    cells = [cell.strip() for cell in good.strip("|").split("|")]
    assert cells[:2] == [GOOD, "same"] and float(cells[2]) <= TOLERANCE and cells[3] == f"{len(TEXTS)} of {len(TEXTS)}"
    assert absent.startswith(f"| {ABSENT} | **not exported** |") and "the hub has no such model" in absent


@pytest.mark.integration
def test_what_was_exported_is_not_tried_again(rehearsal: Rehearsal, whole: subprocess.CompletedProcess[str]) -> None:
    asked = len(rehearsal.hub.requests)
    again = rehearsal.run("--only", "*/BigBird-*")
    assert again.returncode == 0
    assert again.stdout.splitlines() == whole.stdout.splitlines()[:3]
    assert len(rehearsal.hub.requests) == asked


@pytest.mark.integration
def test_what_differs_is_noticed(rehearsal: Rehearsal, whole: subprocess.CompletedProcess[str], tmp_path: Path) -> None:
    assert whole.returncode == 1
    bundle = open_bundle(rehearsal.folder / "checked" / "bigbird-pii")
    made = rehearsal.folder / "made"
    weights = load_file(made / "model.safetensors")
    weights["classifier.bias"] += 0.1
    for changed, said in ((weights, ""), ({"bert.pooler.bias": torch.zeros(64)}, "transformers finds no ")):
        shutil.copy(made / "config.json", tmp_path)
        save_file(changed, tmp_path / "model.safetensors", {"format": "pt"})
        difference, note = compare_logits(bundle, tmp_path)
        assert note.startswith(said) and (difference is None) == bool(said)
        assert difference is None or difference > 10 * TOLERANCE
    train_spiece_model(tmp_path, user_defined_symbols=["project", *SPECIAL_PIECES[1:]])
    assert compare_ids(bundle, tmp_path)[0] < len(TEXTS)


def test_what_was_exported_is_tried_again_where_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def check(one: PublicCheckpoint, folder: Path, buckets: str | None) -> Outcome:
        tried.append(one.id)
        return Outcome(one.id, one.id == GOOD, 1.0)

    monkeypatch.setattr(check_public_checkpoints, "check", check)
    (tmp_path / "list.toml").write_text(LIST)
    places = ("--list", str(tmp_path / "list.toml"), "--folder", str(tmp_path / "checked"))
    assert check_public_checkpoints.main(places) == 1
    assert check_public_checkpoints.main(places) == 1
    assert tried == [GOOD, ABSENT, ABSENT]
    assert check_public_checkpoints.main((*places, "--only", GOOD, "--again")) == 0
    assert tried[3:] == [GOOD]


@pytest.mark.parametrize(
    ("outcome", "row"),
    [
        (Outcome("a/b", True, 9.6, 2e-6, len(TEXTS)), "| a/b | same | 2e-06 | 8 of 8 | 10 |  |"),
        (Outcome("a/b", True, 9.6, 0.2, len(TEXTS)), "| a/b | **differs** | 0.2 | 8 of 8 | 10 |  |"),
        (Outcome("a/b", True, 9.6, None, 7, "No | class."), r"| a/b | **differs** |  | 7 of 8 | 10 | No \| class. |"),
        (Outcome("a/b", False, 9.6, note="gone"), "| a/b | **not exported** |  |  | 10 | gone |"),
    ],
)
def test_the_table_says_what_became_of_each(outcome: Outcome, row: str) -> None:
    assert table([outcome]).splitlines()[2] == row


def test_bundles_of_the_list_have_names_of_their_own() -> None:
    listed = [one for one in read_list() if not one.problem]
    assert len({one.name for one in listed}) == len({one.id for one in listed}) == len(listed)
    assert all(one.sources for one in read_list())
