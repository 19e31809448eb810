"""Weights that a distributed training left in parts, and the command that puts them together.

Each library has a command for that, which needs the library and often the training's own classes; here they are only
recognised, by the names of their files.
"""

import re
import shlex
from pathlib import Path

from model_export.errors import first_few

EMPTY_TENSORS = (
    "DeepSpeed ZeRO-3 leaves such ones where the weights are not gathered for saving; put the parts of the training "
    "together with `python -m deepspeed.utils.zero_to_fp32 SAVED NEW_FOLDER`, where SAVED is the folder of its `latest`"
)
"""What tensors without elements are, and what to do where the parts are elsewhere."""

# accelerate/utils/fsdp_utils.py, LOCAL_STATE_DICT; and what scripts of one's own call such parts.
_OF_FSDP = re.compile(r"pytorch_model_fsdp(?:_\d+)?_rank\d+\.bin")
_OF_RANK = re.compile(r"(?P<model>(?:.*[-_.])?rank[-_]?)(?P<rank>\d+)(?P<suffix>\.(?:bin|pt|pth|ckpt))")


def parts_of_processes(folder: Path) -> list[str]:
    """Return the files of a folder that hold what each process of a training had of the weights, by their names."""
    named = {path.name: match for path in folder.iterdir() if (match := _OF_RANK.fullmatch(path.name))}
    ranks: dict[tuple[str, str], set[int]] = {}
    for match in named.values():
        ranks.setdefault((match["model"], match["suffix"]), set()).add(int(match["rank"]))
    # One such name may count something else: the best of several.
    return sorted(
        name
        for name, match in named.items()
        if ranks[match["model"], match["suffix"]] >= {0, 1} or _OF_FSDP.fullmatch(name)
    )


def how_to_consolidate(folder: Path) -> str | None:
    """Return what a folder holds and the command that makes a weight file of it; None if it holds nothing like that.

    Args:
        folder: A checkpoint, the folder of a training's step, or the folder of the parts.
    """
    for found in (_deepspeed, _fsdp, _distributed_checkpoint):
        answer = found(folder)
        if answer is not None:
            what, command, made = answer
            return (
                f"{what} saved the weights in parts; put them together with `{command}`, which writes {made}, and "
                f"export {made.parent}"
            )
    parts = parts_of_processes(folder)
    if not parts:
        return None
    return (
        f"{', '.join(first_few(parts))} are what each process of a training had of the weights, and no command puts "
        "them together; load them where the model was trained and save it whole (FSDP: StateDictType.FULL_STATE_DICT, "
        "`fsdp_state_dict_type: FULL_STATE_DICT` for accelerate)"
    )


def _deepspeed(folder: Path) -> tuple[str, str, Path] | None:
    # deepspeed/utils/zero_to_fp32.py; the script of that name in the folder is a copy of some version.
    program = "python -m deepspeed.utils.zero_to_fp32"
    root, command = folder, _command(program, folder, folder)
    of_lightning = next(iter(sorted(folder.glob("*.ckpt/*/*mp_rank_*_model_states.pt"))), None)
    if any(folder.glob("*mp_rank_*_model_states.pt")):
        root = folder.parent
        command = f"{_command(program, root, root)} --tag {shlex.quote(folder.name)}"
    elif of_lightning is not None:
        command = _command(program, of_lightning.parents[1], folder)
    elif not any(folder.glob("*/*mp_rank_*_model_states.pt")) and not (folder / "zero_to_fp32.py").exists():
        return None
    return "DeepSpeed", command, root / "pytorch_model.bin"


def _fsdp(folder: Path) -> tuple[str, str, Path] | None:
    # accelerate/commands/merge.py; SHARDED_STATE_DICT is what transformers' Trainer saves with FSDP.
    parts = next((path for path in sorted(folder.glob("pytorch_model_fsdp_*")) if path.is_dir()), None)
    if parts is None and folder.name.startswith("pytorch_model_fsdp_") and any(folder.glob("*.distcp")):
        parts = folder
    if parts is None:
        return None
    return "FSDP", _command("accelerate merge-weights", parts, parts.parent), parts.parent / "model.safetensors"


def _distributed_checkpoint(folder: Path) -> tuple[str, str, Path] | None:
    # torch/distributed/checkpoint/format_utils.py
    part = next(iter(sorted([*folder.glob("*.distcp"), *folder.glob("*/*.distcp")])), None)
    if part is None:
        return None
    made = folder / "pytorch_model.bin"
    convert = "python -m torch.distributed.checkpoint.format_utils dcp_to_torch"
    return "torch.distributed.checkpoint", _command(convert, part.parent, made), made


def _command(program: str, *paths: Path) -> str:
    return " ".join([program, *(shlex.quote(str(path)) for path in paths)])
