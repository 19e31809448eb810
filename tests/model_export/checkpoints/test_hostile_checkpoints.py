"""Broken and hostile checkpoint folders, through the whole export: one line of error, and nothing written anywhere.

What one reader refuses in detail is tested beside that reader; here every kind of spoilt file meets `bigbird export`.
"""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from model_export.checkpoints import flax as flax_files
from model_export.checkpoints import pytorch as pytorch_files
from model_export.checkpoints import safetensors_files
from model_export.checkpoints.checkpoint import CheckpointOptions
from model_export.checkpoints.recognise import read_checkpoint
from model_export.errors import CheckpointError
from model_export.patterns.registry import get_pattern
from model_export.pipeline import export_checkpoint
from model_export.preparation import ExportOptions
from tests.model_export.checkpoints.exported_fixtures import FIXTURES
from tests.model_export.checkpoints.test_pytorch import Marker

WEIGHTS = {
    "model.safetensors": safetensors_files.INDEX_FILE,
    "pytorch_model.bin": pytorch_files.INDEX_FILE,
    "flax_model.msgpack": flax_files.INDEX_FILE,
}


@pytest.fixture(scope="module")
def tensors() -> dict[str, torch.Tensor]:
    """A classifier's weights under the names of Hugging Face PyTorch."""
    checkpoint = read_checkpoint(FIXTURES / "flax" / "classify")
    model = checkpoint.load(get_pattern("transformers")).model
    own = model.state_dict()
    names = safetensors_files.huggingface_names("classify", checkpoint.config)
    return {source.name: own[key].contiguous() for key, source in names.items()}


@pytest.fixture
def folders(tmp_path: Path, tensors: dict[str, torch.Tensor]) -> dict[str, Path]:
    """Checkpoints that can be exported, each with its weights in one format, by the name of the weight file."""
    folders = {}
    for name in WEIGHTS:
        folder = folders[name] = tmp_path / name.partition(".")[2]
        shutil.copytree(FIXTURES / "flax" / "classify", folder)
        if name != "flax_model.msgpack":
            (folder / "flax_model.msgpack").unlink()
    save_file(tensors, folders["model.safetensors"] / "model.safetensors")
    torch.save(tensors, folders["pytorch_model.bin"] / "pytorch_model.bin")
    return folders


def refusal(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Export a folder that cannot be, and see that this leaves no trace."""
    elsewhere, bundles = folder.parent / "elsewhere", folder.parent / "bundles"
    elsewhere.mkdir()
    bundles.mkdir()
    monkeypatch.chdir(elsewhere)
    before = _contents(folder.parent)
    with pytest.raises(CheckpointError) as refused:
        export_checkpoint(folder, bundles / "new", ExportOptions(buckets=(112,)))
    assert "\n" not in str(refused.value)
    assert _contents(folder.parent) == before
    return str(refused.value)


def _contents(folder: Path) -> set[tuple[Path, int]]:
    """Return every path below a folder, and of those that are not folders the time of the last change."""
    return {(path, 0 if path.is_dir() else path.lstat().st_mtime_ns) for path in folder.rglob("*")}


def test_the_folders_are_sound_before_they_are_spoilt(folders: dict[str, Path]) -> None:
    own = [read_checkpoint(folder).load(get_pattern("none")).model.state_dict() for folder in folders.values()]
    assert all(torch.equal(own[0][name], other[name]) for other in own for name in own[0])


@pytest.mark.parametrize("name", WEIGHTS)
def test_a_pickle_that_runs_a_program_runs_nothing_under_any_name(
    folders: dict[str, Path], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, marker = folders[name], tmp_path / "marker"
    torch.save({"bert.pooler.bias": Marker(marker)}, folder / name)
    assert str(folder / name) in refusal(folder, monkeypatch)
    assert not marker.exists()


def test_code_that_a_checkpoint_brings_is_never_run(folders: dict[str, Path], tmp_path: Path) -> None:
    """Hugging Face's `auto_map` names a class in a file of the checkpoint; with `trust_remote_code` it is imported."""
    folder, marker = folders["model.safetensors"], tmp_path / "marker"
    (folder / "modeling_mine.py").write_text(f"open({str(marker)!r}, 'w')\nclass Mine:\n    pass\n")
    (folder / "__init__.py").write_text(f"open({str(marker)!r}, 'w')\n")
    for file in ("config.json", "tokenizer_config.json"):
        path = folder / file
        values = json.loads(path.read_text()) if path.exists() else {}
        named = {name: "modeling_mine.Mine" for name in ("AutoConfig", "AutoModel", "AutoTokenizer")}
        path.write_text(json.dumps({**values, "trust_remote_code": True, "auto_map": named}))
    manifest = export_checkpoint(folder, tmp_path / "bundle", ExportOptions(buckets=(112,)))
    assert manifest.task == "classify"
    assert not marker.exists()
    assert not (folder / "__pycache__").exists()


@pytest.mark.parametrize("kept", [0, 1, 9, 1000, -1], ids=lambda kept: f"cut at {kept}")
@pytest.mark.parametrize("name", WEIGHTS)
def test_cut_weights_are_refused(
    folders: dict[str, Path], name: str, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = folders[name] / name
    file.write_bytes(file.read_bytes()[:kept])
    assert str(file) in refusal(folders[name], monkeypatch)


def _write_npz(path: Path) -> None:
    with path.open("wb") as stream:
        np.savez(stream, weights=np.ones(3))


def _write_text(path: Path) -> None:
    path.write_text("These are not weights.\n" * 10)


def _write_another_format(path: Path) -> None:
    save_file({"bert.pooler.bias": torch.ones(3)}, path.with_suffix(".other"))
    path.with_suffix(".other").rename(path)


def _write_giant_header(path: Path) -> None:
    path.write_bytes((2**62).to_bytes(8, "little") + b"{}")


def _write_zeros(path: Path) -> None:
    path.write_bytes(bytes(10_000))


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(_write_npz, id="arrays of NumPy"),
        pytest.param(_write_text, id="a text"),
        pytest.param(_write_giant_header, id="a header of four exabytes"),
        pytest.param(_write_zeros, id="zeros"),
    ],
)
@pytest.mark.parametrize("name", WEIGHTS)
def test_other_contents_are_refused(
    folders: dict[str, Path], name: str, write: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folders[name] / name)
    assert str(folders[name] / name) in refusal(folders[name], monkeypatch)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "flax_model.msgpack"])
def test_safetensors_under_another_name_are_refused(
    folders: dict[str, Path], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write_another_format(folders[name] / name)
    assert str(folders[name] / name) in refusal(folders[name], monkeypatch)


@pytest.mark.parametrize(
    "header",
    [
        pytest.param({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 99]}}, id="beyond the end"),
        pytest.param({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 16]}}, id="a giant shape"),
        pytest.param({"a": {"dtype": "OBJ", "shape": [4], "data_offsets": [0, 16]}}, id="objects"),
        pytest.param({"a": {"dtype": "F32", "shape": [-4], "data_offsets": [0, 16]}}, id="a negative size"),
        pytest.param({"a": "b"}, id="no description"),
        pytest.param([], id="a list"),
    ],
)
def test_safetensors_with_a_wrong_header_are_refused(
    folders: dict[str, Path], header: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = folders["model.safetensors"] / "model.safetensors"
    text = json.dumps(header).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + bytes(16))
    assert f"{file}: cannot be read as safetensors" in refusal(file.parent, monkeypatch)


@pytest.mark.parametrize("file", ["config.json", "spiece.model", "tokenizer_config.json", *WEIGHTS])
def test_a_link_out_of_the_folder_is_not_followed(
    folders: dict[str, Path], file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the link leads to is what the folder held: reading it would go well."""
    folder = folders.get(file, folders["model.safetensors"])
    (folder / file).touch()
    (folder / file).rename(tmp_path / file)
    (folder / file).symlink_to(tmp_path / file)
    assert refusal(folder, monkeypatch) == (
        f"{folder / file}: leads out of the folder, to {tmp_path / file}; copy the folder with files in place of "
        f"links: cp -rL {folder} NEW_FOLDER, or let `bigbird export --follow-links` read what they lead to"
    )


def test_links_out_of_the_folder_are_followed_where_the_owner_asks_for_it(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = folders["model.safetensors"]
    plain = read_checkpoint(folder).sha256()
    for file in ("config.json", "spiece.model", "model.safetensors"):
        (folder / file).rename(tmp_path / file)
        (folder / file).symlink_to(tmp_path / file)
    checkpoint = read_checkpoint(folder, CheckpointOptions(follow_links=True))
    checkpoint.load(get_pattern("none"))
    assert checkpoint.sha256() == plain
    (folder / "spiece.model").unlink()
    (folder / "spiece.model").symlink_to("/dev/zero")
    with pytest.raises(CheckpointError, match=r"spiece\.model: is not a regular file"):
        read_checkpoint(folder, CheckpointOptions(follow_links=True))
    with pytest.raises(CheckpointError, match="leads out of the folder"):
        read_checkpoint(folder)
    (folder / "spiece.model").unlink()
    (folder / "spiece.model").symlink_to(tmp_path / "nothing")
    with pytest.raises(CheckpointError, match=r"spiece\.model: is a link that leads nowhere, to '.*/nothing'; copy"):
        read_checkpoint(folder, CheckpointOptions(follow_links=True))


def test_a_tokenizer_json_that_leads_out_of_the_folder_is_not_followed(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folders["model.safetensors"]
    (folder / "spiece.model").unlink()
    (tmp_path / "tokenizer.json").write_text("{}")
    (folder / "tokenizer.json").symlink_to(tmp_path / "tokenizer.json")
    assert "tokenizer.json: leads out of the folder" in refusal(folder, monkeypatch)


def test_a_giant_vocabulary_is_not_read_to_its_end(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folders["model.safetensors"]
    os.truncate(folder / "spiece.model", 2**40)
    assert refusal(folder, monkeypatch) == f"{folder}/spiece.model: is larger than 67108864 bytes"


@pytest.mark.parametrize("file", ["config.json", "spiece.model", *WEIGHTS])
def test_a_pipe_is_not_waited_for(folders: dict[str, Path], file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folders.get(file, folders["model.safetensors"])
    (folder / file).unlink()
    os.mkfifo(folder / file)
    assert refusal(folder, monkeypatch) == f"{folder / file}: is not a regular file"


@pytest.mark.parametrize(
    ("shard", "reason"),
    [
        pytest.param("absent", "shards named in {index} are missing: absent", id="missing"),
        pytest.param("../outside", "'../outside' is not a file beside it", id="in the folder above"),
        pytest.param("a\0b", "'a\\x00b' is not a file beside it", id="a NUL"),
        pytest.param("x" * 256, "is not a file beside it", id="a name that no file system takes"),
        pytest.param(["link"], "['link'] is not a file beside it", id="no name"),
        pytest.param("/etc/hostname", "'/etc/hostname' is not a file beside it", id="anywhere"),
        pytest.param("link", "link: leads out of the folder", id="a link out of the folder"),
    ],
)
@pytest.mark.parametrize("name", WEIGHTS)
def test_an_index_names_only_files_of_the_folder(
    folders: dict[str, Path], name: str, shard: object, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, index = folders[name], WEIGHTS[name]
    (folder / name).rename(tmp_path / "outside")
    (folder / "link").symlink_to("../outside")
    (folder / index).write_text(json.dumps({"weight_map": {"bert.pooler.bias": shard}}))
    assert reason.format(index=index) in refusal(folder, monkeypatch)
