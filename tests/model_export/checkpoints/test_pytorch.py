"""Files of `torch.save` as they are read, those that are refused, and the table of names against transformers."""

import argparse
import io
import json
import os
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from model_export.checkpoints.pytorch import find, huggingface_names, own_names
from model_export.config import BigBirdConfig
from model_export.errors import CheckpointError
from model_export.nn.heads import HEADS
from model_export.nn.model import build_model
from model_export.patterns.registry import get_pattern
from tests.model_export.checkpoints.exported_fixtures import FIXTURES
from tests.model_export.reference_models import make_config, make_model


@pytest.fixture(autouse=True)
def nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Every test here runs in an empty folder, in which reading must leave nothing."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    yield
    assert not list(elsewhere.iterdir())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    return folder


def saved(content: object, **options: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream, **options)
    return stream.getvalue()


def read(content: bytes, folder: Path) -> dict[str, torch.Tensor]:
    (folder / "pytorch_model.bin").write_bytes(content)
    weights = find(folder)
    assert weights is not None
    return weights.read().tensors


def refusal(content: bytes, folder: Path) -> str:
    """Return why a file is refused, which is one line that begins with its name."""
    with pytest.raises(CheckpointError) as refused:
        read(content, folder)
    message = str(refused.value)
    assert "\n" not in message
    assert len(message) < 500
    prefix = f"{folder / 'pytorch_model.bin'}: "
    assert message.startswith(prefix)
    return message.removeprefix(prefix)


@pytest.mark.parametrize("is_zip", [True, False], ids=["a zip archive", "the format before torch 1.6"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_tensors_are_read_as_they_are_stored(folder: Path, dtype: torch.dtype, is_zip: bool) -> None:
    tensors = {"bert.a": torch.tensor([[1.5, -2.0]], dtype=dtype), "cls.b": torch.nn.Parameter(torch.ones(3).to(dtype))}
    found = read(saved(tensors, _use_new_zipfile_serialization=is_zip), folder)
    assert found.keys() == tensors.keys()
    for name, tensor in found.items():
        assert tensor.dtype == dtype
        assert not tensor.requires_grad
        assert torch.equal(tensor, tensors[name])


def test_tensors_that_are_views_of_others_are_read(folder: Path) -> None:
    whole = torch.arange(12.0).reshape(3, 4)
    found = read(saved({"bert.a": whole.T, "bert.b": whole[1], "bert.c": whole}), folder)
    assert found["bert.a"].tolist() == whole.T.tolist()
    assert found["bert.b"].tolist() == [4, 5, 6, 7]


def test_shards_are_read_together() -> None:
    weights = find(FIXTURES / "pytorch" / "qa")
    assert weights is not None
    assert [file.name for file in weights.files] == [f"pytorch_model-0000{n}-of-00003.bin" for n in (1, 2, 3)]
    index = json.loads((FIXTURES / "pytorch" / "qa" / "pytorch_model.bin.index.json").read_text())
    assert weights.read().tensors.keys() == index["weight_map"].keys()


def test_the_names_are_those_of_the_hugging_face_table(folder: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(b"")
    weights = find(folder)
    assert weights is not None
    config = BigBirdConfig()
    assert weights.names("qa", config) == huggingface_names("qa", config)


def test_a_folder_without_such_weights_has_none(folder: Path) -> None:
    assert find(folder) is None


class Marker:
    """Runs a program when it is unpickled without care: one that leaves a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.path}",)


HOSTILE: dict[str, Callable[[Marker], bytes]] = {
    "in place of the dictionary": saved,
    "in place of a tensor": lambda marker: saved({"bert.a": torch.ones(1), "bert.b": marker}),
    "in the format before torch 1.6": lambda marker: saved({"bert.a": marker}, _use_new_zipfile_serialization=False),
    "in a bare pickle": pickle.dumps,
    "in a bare pickle of the first protocol": lambda marker: pickle.dumps({"bert.a": marker}, protocol=0),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_pickle_that_runs_a_program_is_refused_and_runs_nothing(case: str, folder: Path, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    content = HOSTILE[case](Marker(marker))
    assert ", and was not run" in refusal(content, folder)
    assert not marker.exists()
    pickle.loads(pickle.dumps(Marker(marker)))
    assert marker.exists(), "the program would have left its marker"


def _archive(compression: int, files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def _npz(**arrays: Any) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def _tar() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("storages"))
    return stream.getvalue()


def _announcing(shape: int, *, in_storage: bool) -> bytes:
    """Return a file whose pickle names a larger size than it stores: of the tensor alone, or of its storage too."""
    written = saved({"bert.a": torch.ones(1000)})
    with zipfile.ZipFile(io.BytesIO(written)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    name = next(name for name in files if name.endswith("data.pkl"))
    thousand, giant = b"M\xe8\x03", b"J" + shape.to_bytes(4, "little")
    start, size, end = files[name].rpartition(thousand)
    assert size
    files[name] = (start.replace(thousand, giant) if in_storage else start) + giant + end
    return _archive(zipfile.ZIP_STORED, files)


def _over_several_disks() -> bytes:
    """Return a file whose locator of the zip64 directory counts two disks."""
    content = bytearray(saved({"bert.a": torch.ones(1000)}))
    content[content.rindex(b"PK\x06\x07") + 16] = 2
    return bytes(content)


WHOLE = saved({"bert.a": torch.ones(1000)})
OLD = saved({"bert.a": torch.ones(1000)}, _use_new_zipfile_serialization=False)
REFUSED: dict[str, tuple[bytes, str]] = {
    "an empty file": (b"", "cannot be read as PyTorch weights: it is empty; download or copy it again"),
    "a text": (
        b"No checkpoint.\n" * 20,
        "was not run; it is a text, 'No checkpoint.', perhaps a server's answer; down",
    ),
    "a cut file": (WHOLE[:-100], f"it is cut off, its end is missing after {len(WHOLE) - 100} bytes; download or copy"),
    "an archive over several disks": (_over_several_disks(), "cannot be read as PyTorch weights"),
    "the beginning of a file": (WHOLE[:50], "cannot be read as PyTorch weights"),
    "a cut file of the older format": (OLD[:-100], "it is cut off, its end is missing after"),
    "arrays of NumPy": (_npz(a=np.ones(3)), "cannot be read as PyTorch weights"),
    "a compressed archive": (
        _archive(zipfile.ZIP_DEFLATED, {"model/data.pkl": b"\0" * 2**20}),
        "its entries are compressed",
    ),
    "an archive without a pickle": (_archive(zipfile.ZIP_STORED, {"model/x": b""}), "cannot be read as PyTorch"),
    "an archive of the oldest format": (_tar(), "cannot be read as PyTorch weights"),
    "a list": (saved([torch.ones(1)]), "holds a list, not a dictionary of tensors"),
    "a tensor": (saved(torch.ones(1)), "holds a Tensor, not a dictionary of tensors"),
    "a training state without weights": (saved({"model": {"bert.a": 1.0}, "step": 3}), "model is a dict, not a tensor"),
    "a training state with settings": (
        saved({"model": {"bert.a": torch.ones(1)}, "args": argparse.Namespace(lr=1)}),
        "it asks for argparse.Namespace, and was not run; save the weights alone where the model was trained",
    ),
    "a whole module": (saved(torch.nn.Linear(1, 1)), "it asks for torch.nn.modules.linear.Linear"),
    "a number for a name": (saved({1: torch.ones(1)}), "1 is not the name of a tensor"),
    "a name of two lines": (saved({"bert.a\nb": torch.ones(1)}), "is not the name of a tensor"),
    "a number among the tensors": (saved({"bert.a": 1.0}), "bert.a is a float, not a tensor"),
    "a sparse tensor": (saved({"bert.a": torch.eye(3).to_sparse()}), "bert.a is not a dense tensor"),
    "a tensor without contents": (saved({"bert.a": torch.ones(9, device="meta")}), "bert.a is not a dense tensor"),
    "one number as a billion": (saved({"bert.a": torch.ones(1).expand(10**9)}), "larger than what is stored of it"),
    "a giant shape": (_announcing(10**9, in_storage=False), "cannot be read as PyTorch weights"),
    "a giant storage": (_announcing(10**9, in_storage=True), "cannot be read as PyTorch weights"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_dictionary_of_tensors_is_refused_in_one_line(case: str, folder: Path) -> None:
    content, reason = REFUSED[case]
    assert reason in refusal(content, folder)


def test_advice_to_read_the_file_without_protection_is_not_passed_on(folder: Path) -> None:
    for content in (saved(torch.nn.Linear(1, 1)), pickle.dumps({1: print}), _tar()):
        assert "weights_only" not in refusal(content, folder)


# What a transformers model holds and the task's head does not read.
UNREAD = {
    "classify": {"bert.pooler.weight", "bert.pooler.bias"},
    "ner": {"bert.pooler.weight", "bert.pooler.bias"},
    "fill-mask": {
        "bert.pooler.weight",
        "bert.pooler.bias",
        "cls.predictions.decoder.weight",
        "cls.predictions.decoder.bias",
    },
}
UNREAD["generate"] = UNREAD["fill-mask"]
UNREAD["next-sentence"] = {
    *(f"cls.predictions.{part}" for part in ("bias", "decoder.weight", "decoder.bias")),
    *(f"cls.predictions.transform.{part}.{kind}" for part in ("dense", "LayerNorm") for kind in ("weight", "bias")),
}


@pytest.mark.parametrize("use_bias", [True, False], ids=["with query, key and value biases", "without them"])
@pytest.mark.parametrize("task", HEADS)
def test_the_names_are_those_of_the_transformers_model_and_of_ours(task: str, use_bias: bool) -> None:
    theirs = make_model(task, make_config(60, use_bias=use_bias, num_labels=2, is_decoder=task == "generate"))
    config = BigBirdConfig.from_dict(theirs.config.to_dict())
    names = huggingface_names(task, config)
    sources = {source.name for source in names.values()}
    stored = own_names(theirs.state_dict(), Path(), ()).tensors
    assert sources == stored.keys() - UNREAD.get(task, set())
    assert len(sources) == len(names)
    assert set(names) == set(build_model(config, task, get_pattern("none")).state_dict())


def test_a_decoder_that_is_not_tied_has_a_matrix_and_a_bias_of_its_own() -> None:
    theirs = make_model("fill-mask", make_config(60, tie_word_embeddings=False))
    names = huggingface_names("fill-mask", BigBirdConfig.from_dict(theirs.config.to_dict()))
    assert names["head.decoder_weight"].name == "cls.predictions.decoder.weight"
    assert names["head.decoder_bias"].name == "cls.predictions.decoder.bias"
