import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from model_export.checkpoints import google, model_garden, tensorflow_process
from model_export.checkpoints.recognise import read_checkpoint
from model_export.checkpoints.tensorflow_files import TensorFlowFiles, find, indexes
from model_export.errors import CheckpointError
from tests.model_export.checkpoints.exported_fixtures import FIXTURES

ROOT = Path(__file__).resolve().parents[3]
GOOGLE, GARDEN = FIXTURES / "google" / "pretrained", FIXTURES / "model_garden" / "classifier"
INDEX, DATA = "model.ckpt-0.index", "model.ckpt-0.data-00000-of-00001"


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A google-research checkpoint that may be broken."""
    return Path(shutil.copytree(GOOGLE, tmp_path / "checkpoint"))


def cut(path: Path, share: float) -> None:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 0xFF
    path.write_bytes(content)


def test_tensorflow_1_variables_are_read_without_what_training_left() -> None:
    files = find(GOOGLE)
    shapes, tensors = files.shapes(), files.tensors()
    assert shapes["bert/encoder/layer_0/attention/self/query/kernel"] == (32, 32)
    assert {name: tuple(tensor.shape) for name, tensor in tensors.items()} == shapes
    assert not [name for name in shapes if "Adam" in name or "global_step" in name]
    assert (GOOGLE / INDEX).read_bytes().count(b"AdamWeightDecayOptimizer") > 0


def test_tensorflow_2_variables_are_read_by_their_path_of_objects() -> None:
    shapes = find(GARDEN).shapes()
    assert shapes["model/layer_with_weights-0/layer_with_weights-4/_attention_layer/_query_dense/kernel"] == (32, 2, 16)
    assert shapes["model/layer_with_weights-1/out_proj/kernel"] == (32, 3)
    assert not [name for name in shapes if "optimizer" in name or "OPTIMIZER" in name or "step" in name]


def test_a_saved_model_is_found_below_its_folder_and_its_variables_get_their_paths() -> None:
    files = find(FIXTURES / "model_garden" / "trivia_qa")
    assert [file.name for file in files.files] == ["variables.index", "variables.data-00000-of-00001"]
    assert files.shapes()["layer_with_weights-1/_logits_dense/kernel"] == (32, 2)


def test_each_world_recognises_its_own_folders_only(tmp_path: Path) -> None:
    assert (google.recognises(GOOGLE), model_garden.recognises(GOOGLE)) == (True, False)
    assert (google.recognises(GARDEN), model_garden.recognises(GARDEN)) == (False, True)
    assert (google.recognises(tmp_path), model_garden.recognises(tmp_path)) == (False, False)


# Which checkpoint of a folder


def test_the_state_file_names_the_checkpoint_even_with_a_path_of_the_machine_that_trained(copied: Path) -> None:
    for name in (INDEX, DATA):
        shutil.copy(copied / name, copied / name.replace("-0.", "-7."))
    (copied / "checkpoint").write_text('model_checkpoint_path: "/home/somebody/run/model.ckpt-0"\n')
    assert find(copied).prefix.name == "model.ckpt-0"
    (copied / "checkpoint").write_text('model_checkpoint_path: "../elsewhere/model.ckpt-9"\n')
    assert find(copied).prefix.name == "model.ckpt-7"


def test_the_newest_of_numbered_checkpoints_is_taken_by_number(copied: Path) -> None:
    for number in (9, 10):
        for name in (INDEX, DATA):
            shutil.copy(copied / name, copied / name.replace("-0.", f"-{number}."))
    assert find(copied).prefix.name == "model.ckpt-10"


def test_several_checkpoints_without_a_way_to_choose_are_listed(copied: Path) -> None:
    for name in (INDEX, DATA):
        shutil.copy(copied / name, copied / name.replace("model.ckpt-0.", "best."))
    with pytest.raises(CheckpointError, match=r"several TensorFlow checkpoints: 'best', 'model.ckpt-0'; keep one"):
        find(copied)


# Broken and hostile folders: one line, before TensorFlow sees anything


def link_out(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        outside = folder.parent / "outside"
        outside.mkdir()
        shutil.move(folder / name, outside / name)
        (folder / name).symlink_to(outside / name)

    return change


BROKEN = [
    pytest.param(lambda folder: cut(folder / INDEX, 0.5), "is not an index of a TensorFlow", id="the index is cut"),
    pytest.param(
        lambda folder: (folder / INDEX).write_bytes(b""), "is not an index of a TensorFlow", id="the index is empty"
    ),
    pytest.param(
        lambda folder: (folder / INDEX).write_bytes(b"\x80\x04" * 400),
        "is not an index of a TensorFlow",
        id="another format",
    ),
    pytest.param(lambda folder: (folder / DATA).unlink(), "data-*: missing", id="the data are missing"),
    pytest.param(
        lambda folder: (folder / DATA).rename(folder / "model.ckpt-0.data-00000-of-00002"),
        "data-00001-of-00002: missing",
        id="a data file of two is missing",
    ),
    pytest.param(
        lambda folder: shutil.copy(folder / DATA, folder / "model.ckpt-0.data-00000-of-00002"),
        "of more than one checkpoint",
        id="data files of two checkpoints",
    ),
    pytest.param(link_out(INDEX), "leads out of the folder", id="the index is a link out of the folder"),
    pytest.param(link_out(DATA), "leads out of the folder", id="the data are a link out of the folder"),
    pytest.param(link_out("spiece.model"), "leads out of the folder", id="the vocabulary is a link out of the folder"),
    pytest.param(lambda folder: (folder / "spiece.model").unlink(), "spiece.model: missing", id="no vocabulary"),
]


@pytest.mark.parametrize(("damage", "message"), BROKEN)
def test_a_broken_folder_is_refused_in_one_line(
    damage: Callable[[Path], object], message: str, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("subprocess.run", None)  # nothing may start
    damage(copied)
    with pytest.raises(CheckpointError) as raised:
        read_checkpoint(copied)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


# Broken files that only TensorFlow can tell


DAMAGED = [
    pytest.param(lambda folder: cut(folder / DATA, 0.5), "announces", id="the data are cut"),
    pytest.param(
        lambda folder: flip(folder / INDEX, 200),
        "cannot be read as a TensorFlow",
        id="a byte of the index",
        marks=pytest.mark.integration,
    ),
    pytest.param(
        lambda folder: (folder / INDEX).write_bytes(bytes(4000) + (folder / INDEX).read_bytes()[-48:]),
        "cannot be read as a TensorFlow",
        id="an index of nothing",
        marks=pytest.mark.integration,
    ),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGED)
def test_a_damaged_file_is_one_line_and_silent(
    damage: Callable[[Path], object], message: str, copied: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    damage(copied)
    with pytest.raises(CheckpointError) as raised:
        read_checkpoint(copied)
    assert str(raised.value).startswith(str(copied / "model.ckpt-0"))
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
    assert capfd.readouterr() == ("", "")


def test_changed_weights_do_not_match_their_checksum(copied: Path) -> None:
    flip(copied / DATA, 1000)
    with pytest.raises(CheckpointError, match="cannot be read as a TensorFlow checkpoint"):
        find(copied).tensors()


def test_a_crash_of_tensorflow_is_an_error_of_the_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "aborts.py"
    script.write_text("import os\nos.abort()\n")
    monkeypatch.setattr(tensorflow_process, "__file__", str(script))
    with pytest.raises(CheckpointError, match=r"TensorFlow ended with status -6$"):
        find(GOOGLE).shapes()


def test_without_tensorflow_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(CheckpointError) as raised:
        read_checkpoint(GOOGLE)
    assert str(raised.value).endswith(
        f"needs TensorFlow, which is not installed: pip install '{ROOT}[export,cpu,tensorflow]'"
    )


def test_an_installed_tensorflow_that_does_not_import_is_an_error_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tensorflow.py").write_text("raise ImportError('built for another processor')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(CheckpointError, match=r"TensorFlow checkpoint: built for another processor$"):
        find(GOOGLE).shapes()


def test_nothing_is_imported_from_the_folder_of_the_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside it stands `google.py`, the name of the package that protobuf is in."""
    script = tmp_path / "script.py"
    (tmp_path / "json.py").write_text("raise SystemExit(3)\n")
    script.write_text(
        "import json, pathlib, sys\npathlib.Path(sys.argv[2], 'result.json').write_text(json.dumps({'shapes': {}}))\n"
    )
    monkeypatch.setattr(tensorflow_process, "__file__", str(script))
    assert TensorFlowFiles(GOOGLE / "model.ckpt-0", find(GOOGLE).files).shapes() == {}


def test_a_folder_without_index_has_none(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.index.json").touch()
    assert indexes(tmp_path) == []
    assert indexes(tmp_path / "absent") == []
    with pytest.raises(CheckpointError, match=r"holds no \.index file"):
        find(tmp_path)
