"""Folders of a distributed training, named as DeepSpeed 0.19, accelerate 1.15 and torch 2.13 name their files."""

import shlex
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
import torch.distributed.checkpoint as distributed_checkpoint
from safetensors.torch import save_file

from model_export.checkpoints.files import check_folder
from model_export.checkpoints.recognise import read_checkpoint
from model_export.checkpoints.training_shards import how_to_consolidate
from model_export.errors import CheckpointError
from model_export.patterns.registry import get_pattern
from tests.model_export.checkpoints.exported_fixtures import FIXTURES

ZERO = "python -m deepspeed.utils.zero_to_fp32"
CASES: dict[str, tuple[list[str], str, str, str]] = {
    "DeepSpeed, ZeRO 2": (
        ["latest", "zero_to_fp32.py", "global_step9/mp_rank_00_model_states.pt"],
        ".",
        f"{ZERO} F F",
        "pytorch_model.bin",
    ),
    "DeepSpeed, ZeRO 3": (
        ["latest", "global_step9/zero_pp_rank_0_mp_rank_00_model_states.pt"],
        ".",
        f"{ZERO} F F",
        "pytorch_model.bin",
    ),
    "one step of DeepSpeed": (
        ["global_step9/mp_rank_00_model_states.pt"],
        "global_step9",
        f"{ZERO} F F --tag global_step9",
        "pytorch_model.bin",
    ),
    "FSDP": (
        ["pytorch_model_fsdp_0/.metadata", "pytorch_model_fsdp_0/__0_0.distcp"],
        ".",
        "accelerate merge-weights F/pytorch_model_fsdp_0 F",
        "model.safetensors",
    ),
    "the parts of FSDP": (
        ["pytorch_model_fsdp_0/.metadata", "pytorch_model_fsdp_0/__0_0.distcp"],
        "pytorch_model_fsdp_0",
        "accelerate merge-weights F/pytorch_model_fsdp_0 F",
        "model.safetensors",
    ),
    "DeepSpeed in a folder of Lightning": (
        ["epoch=1.ckpt/latest", "epoch=1.ckpt/checkpoint/zero_pp_rank_0_mp_rank_00_model_states.pt"],
        ".",
        f"{ZERO} F/epoch=1.ckpt F",
        "pytorch_model.bin",
    ),
    "FSDP in a folder of Lightning": (
        ["epoch=1.ckpt/.metadata", "epoch=1.ckpt/__0_0.distcp"],
        ".",
        "python -m torch.distributed.checkpoint.format_utils dcp_to_torch F/epoch=1.ckpt F/pytorch_model.bin",
        "pytorch_model.bin",
    ),
    "torch.distributed.checkpoint": (
        ["step-9/.metadata", "step-9/__0_0.distcp", "step-9/__1_0.distcp"],
        "step-9",
        "python -m torch.distributed.checkpoint.format_utils dcp_to_torch F/step-9 F/step-9/pytorch_model.bin",
        "step-9/pytorch_model.bin",
    ),
}


@pytest.mark.parametrize("has_config", [True, False], ids=["with a configuration", "without one"])
@pytest.mark.parametrize("case", CASES)
def test_weights_in_parts_are_refused_with_the_command_that_joins_them(
    case: str, has_config: bool, tmp_path: Path
) -> None:
    files, given, command, made = CASES[case]
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    folder = tmp_path / given
    if has_config:
        for name in ("config.json", "spiece.model"):
            shutil.copy(FIXTURES / "pytorch" / "qa" / name, folder)
    with pytest.raises(CheckpointError) as refused:
        read_checkpoint(folder)
    message = str(refused.value)
    command = command.replace(" F", f" {tmp_path}")
    assert f"put them together with `{command}`" in message
    assert f"which writes {tmp_path / made}" in message
    assert "\n" not in message


def test_empty_tensors_beside_parts_are_refused_with_the_command(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    (folder / "global_step9").mkdir(parents=True)
    (folder / "global_step9" / "zero_pp_rank_0_mp_rank_00_model_states.pt").touch()
    for name in ("config.json", "spiece.model"):
        shutil.copy(FIXTURES / "pytorch" / "qa" / name, folder)
    save_file({"bert.embeddings.word_embeddings.weight": torch.empty(0)}, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"word_embeddings\.weight is empty; remove that weight file: DeepSpeed"):
        read_checkpoint(folder)


def test_empty_tensors_alone_are_told_where_they_come_from(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(FIXTURES / "pytorch" / "pre-training", tmp_path / "checkpoint"))
    tensors = torch.load(folder / "pytorch_model.bin")
    (folder / "pytorch_model.bin").unlink()
    save_file({name: torch.empty(0) for name in tensors}, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"is empty; DeepSpeed ZeRO-3 leaves such ones .* `python -m deepspeed\."):
        read_checkpoint(folder)


@pytest.mark.parametrize("name", ["pytorch_model_fsdp_rank{}.bin", "pytorch_model_fsdp_1_rank{}.bin", "rank_{}.pt"])
def test_what_each_process_saved_is_called_that(name: str, tmp_path: Path) -> None:
    for file in ("config.json", "spiece.model"):
        shutil.copy(FIXTURES / "pytorch" / "qa" / file, tmp_path)
    parts = [name.format(rank) for rank in (0, 1)]
    for part in parts:
        (tmp_path / part).touch()
    with pytest.raises(CheckpointError, match=rf"{parts[0]}, {parts[1]} are what each process .* FULL_STATE_DICT"):
        read_checkpoint(tmp_path)


def test_a_folder_of_something_else_holds_no_parts(tmp_path: Path) -> None:
    (tmp_path / "config.json").touch()
    assert how_to_consolidate(tmp_path) is None


def test_the_command_for_parts_of_torch_makes_a_checkpoint(tmp_path: Path) -> None:
    source = FIXTURES / "pytorch" / "pre-training"
    folder = Path(shutil.copytree(source, tmp_path / "checkpoint"))
    tensors = torch.load(folder / "pytorch_model.bin")
    (folder / "pytorch_model.bin").unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there is one process
        distributed_checkpoint.save({"model": tensors}, checkpoint_id=folder)
    with pytest.raises(CheckpointError) as refused:
        read_checkpoint(folder)
    command = str(refused.value).split("`")[1].removeprefix("python ")
    subprocess.run([sys.executable, *shlex.split(command)], check=True, capture_output=True)
    check_folder(folder)
    loaded = read_checkpoint(folder).load(get_pattern("none"))
    assert torch.equal(loaded.model.embeddings.word.weight, tensors["bert.embeddings.word_embeddings.weight"].float())
    assert "taken off the tensors' names: model." in loaded.changes
