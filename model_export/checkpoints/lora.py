"""LoRA adapters of PEFT: `adapter_config.json` with `adapter_model.safetensors` or `.bin`, merged into their base.

An adapter holds, for each layer that it changes, two narrow matrices whose product is added to the layer's weight, and
whole tensors in place of the base's: a head, biases. What is more than that (DoRA, other kinds of adapters) PEFT itself
can merge.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from model_export.checkpoints import pytorch, safetensors_files
from model_export.checkpoints.checkpoint import Weights
from model_export.checkpoints.files import optional_file, read_json
from model_export.checkpoints.hub import resolve
from model_export.checkpoints.source_tensors import SourceTensor, StoredTensors
from model_export.checkpoints.stored_names import without_ignored
from model_export.config import BigBirdConfig
from model_export.errors import CheckpointError, first_few

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILES = ("adapter_model.safetensors", "adapter_model.bin")
IN_PYTHON = "merge it in Python and save the result: PeftModel.from_pretrained(BASE, ADAPTER).merge_and_unload()"

_TASKS = {
    "SEQ_CLS": "classify",
    "TOKEN_CLS": "ner",
    "QUESTION_ANS": "qa",
    "CAUSAL_LM": "generate",
    "FEATURE_EXTRACTION": "embed",
}
# What else an adapter_config.json may say of plain LoRA: how it was trained, or what is read here.
_PLAIN_FIELDS = {
    *("alpha_pattern", "auto_mapping", "base_model_name_or_path", "bias", "exclude_modules", "fan_in_fan_out"),
    *("inference_mode", "init_lora_weights", "layers_pattern", "layers_to_transform", "lora_alpha", "lora_dropout"),
    *("megatron_core", "modules_to_save", "peft_type", "peft_version", "qalora_group_size", "r", "rank_pattern"),
    *("revision", "target_modules", "task_type", "use_rslora"),
}
# Other ways to begin change the base, too.
_PLAIN_BEGINNINGS = (True, False, None, "gaussian", "orthogonal")

_LONGEST_NAME = 500
# A pattern that repeats repetitions, or many times, may take for ever; nobody needs such a one to name layers.
_REPEATS, _NESTED = re.compile(r"[*+{]"), re.compile(r"\)[*+?{]")
_MOST_REPEATS = 2

_MATRIX = re.compile(
    r"(?P<module>.+)\.lora_(?P<embedding>embedding_)?(?P<side>[AB])(?:\.(?!weight$)[^.]+)?(?:\.weight)?"
)


@dataclass(frozen=True, slots=True)
class LoraAdapter:
    """An adapter that was found; its weights are not read yet.

    Attributes:
        folder: Where it is.
        config_file: Its configuration.
        weights_file: Its weights; None where they stand among those of the whole model.
        values: Its configuration.
    """

    folder: Path
    config_file: Path
    weights_file: Path | None
    values: Mapping[str, Any]

    @property
    def task(self) -> str | None:
        """The task that it was made for, if it says so."""
        return _TASKS.get(str(self.values.get("task_type")))

    @property
    def named_base(self) -> object:
        """What it calls its base: a folder or an id on the hub."""
        return self.values.get("base_model_name_or_path")

    def base_folder(self, given: str | None) -> Path:
        """Return the folder of the model that the adapter belongs to.

        Args:
            given: A folder or an id on the hub in place of what the adapter names.

        Raises:
            CheckpointError: It is not at hand.
        """
        named = given or self.named_base
        if not isinstance(named, str) or not 0 < len(named) <= _LONGEST_NAME:
            raise CheckpointError(f"{self.config_file}: names no base model; {self._ways_out()}")
        revision = self.values.get("revision")
        try:
            if given is None and (self.folder / named).is_dir():
                return self.folder / named
            is_here = given is not None or Path(named).exists() or not isinstance(revision, str)
            found = resolve(named if is_here else f"{named}@{revision}")
            if found.is_dir():
                return found
            problem = f"{named} is not here"
        except (CheckpointError, OSError) as error:
            problem = str(error)
        raise CheckpointError(f"{self.folder}: is an adapter, and its base {problem}; {self._ways_out()}")

    def _ways_out(self) -> str:
        return f"give the base with --base FOLDER_OR_ID, or {IN_PYTHON}"

    def scale(self, module: str, rank: int) -> float:
        """Return what the product of a module's two matrices is multiplied with.

        Args:
            module: The module's name in the base.
            rank: The inner size of its matrices.

        Raises:
            CheckpointError: The configuration says otherwise.
        """
        said = self._of_module("rank_pattern", module, "r")
        alpha = self._of_module("alpha_pattern", module, "lora_alpha")
        if said != rank:
            raise CheckpointError(f"{self.config_file}: r of {module} is {said:g}, but its matrices are of rank {rank}")
        return alpha / (math.sqrt(rank) if self.values.get("use_rslora") else rank)

    def _of_module(self, patterns: str, module: str, otherwise: str) -> float:
        """Return a number for a module: that of the first pattern which its name ends with, as in PEFT."""
        given = self.values.get(patterns) or {}
        if not isinstance(given, dict):
            raise CheckpointError(f"{self.config_file}: {patterns} is no object")
        value = self.values.get(otherwise, 8)
        for pattern, number in given.items():
            if (
                len(pattern) > _LONGEST_NAME
                or len(_REPEATS.findall(pattern)) > _MOST_REPEATS
                or _NESTED.search(pattern)
            ):
                raise CheckpointError(f"{self.config_file}: {patterns}: {pattern!r:.80} is too intricate; {IN_PYTHON}")
            try:
                if re.fullmatch(rf"(.*\.)?({pattern})", module[-_LONGEST_NAME:]):
                    value = number
                    break
            except re.error:
                raise CheckpointError(f"{self.config_file}: {patterns}: {pattern!r:.80} is no pattern") from None
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 2**31:
            raise CheckpointError(f"{self.config_file}: {otherwise} of {module} is {value!r:.40}, no positive number")
        return value


def find(folder: Path) -> LoraAdapter | None:
    """Return the adapter of a folder, None if it holds none.

    Raises:
        CheckpointError: It is another kind of adapter, or a file cannot be read.
    """
    config_file = optional_file(folder, CONFIG_FILE)
    if config_file is None:
        return None
    values = read_json(config_file)
    kind = values.get("peft_type")
    if kind != "LORA":
        raise CheckpointError(f"{config_file}: peft_type is {kind!r:.40}, and only LORA is merged here; {IN_PYTHON}")
    more = sorted(name for name, value in values.items() if value and name not in _PLAIN_FIELDS)
    if values.get("init_lora_weights") not in _PLAIN_BEGINNINGS:
        more.append("init_lora_weights")
    if more:
        raise CheckpointError(
            f"{config_file}: has {', '.join(first_few(more))}, and only plain LoRA is merged here; {IN_PYTHON}"
        )
    files = (optional_file(folder, name) for name in WEIGHTS_FILES)
    return LoraAdapter(folder, config_file, next((file for file in files if file is not None), None), values)


@dataclass(frozen=True, slots=True)
class LoraWeights:
    """A base's weights with an adapter merged into them."""

    base: Weights
    adapter: LoraAdapter

    @property
    def kind(self) -> str:
        return f"{self.base.kind}+lora"

    @property
    def files(self) -> tuple[Path, ...]:
        own = (self.adapter.config_file, self.adapter.weights_file)
        return (*self.base.files, *(file for file in own if file is not None))

    @property
    def ignorable(self) -> tuple[str, ...]:
        return self.base.ignorable

    def names(self, task: str, config: BigBirdConfig) -> Mapping[str, SourceTensor]:
        """Return where each tensor of our model stands."""
        return self.base.names(task, config)

    def read(self, ignored: Sequence[str] = ()) -> StoredTensors:
        """Return the base's tensors, with what the adapter adds to them or puts in their place.

        Raises:
            CheckpointError: A file cannot be read, or the adapter does not fit the base.
        """
        base = self.base.read()
        own = {name: tensor for name, tensor in base.tensors.items() if is_of_lora(name)}
        below = {name: tensor for name, tensor in base.tensors.items() if name not in own}
        changes = base.changes
        file = self.adapter.weights_file
        if file is not None:
            read = (
                safetensors_files.read_tensors(file)
                if file.suffix == ".safetensors"
                else pytorch.read_tensors(file).tensors
            )
            stored = pytorch.own_names(read, file, ())
            own |= stored.tensors
            changes += tuple(change for change in stored.changes if change not in changes)
        merged = merge(below, own, self.adapter)
        left = without_ignored(merged.tensors, self.files[0], ignored)
        return StoredTensors(left.tensors, (*changes, *merged.changes, *left.changes))


def is_of_lora(name: str) -> bool:
    """Tell whether a tensor is part of an adapter and not of the model."""
    return any(part.startswith("lora_") for part in name.split("."))


def merge(base: Mapping[str, torch.Tensor], own: Mapping[str, torch.Tensor], adapter: LoraAdapter) -> StoredTensors:
    """Merge an adapter's tensors into its base's; those that it changes become float32.

    Args:
        base: The base's tensors by name.
        own: The adapter's, with the same names for the same modules.
        adapter: Says how much of each product is added.

    Raises:
        CheckpointError: Matrices are of no layer of the base or do not fit it.
    """
    where = adapter.weights_file or adapter.config_file
    matrices: dict[str, dict[str, torch.Tensor]] = {}
    merged = dict(base)
    for name, tensor in own.items():
        match = _MATRIX.fullmatch(name)
        if match is not None:
            side = f"{match['side']}{' of embedding' if match['embedding'] else ''}"
            if side in matrices.setdefault(match["module"], {}):
                raise CheckpointError(f"{where}: holds several adapters; save the one to serve: {IN_PYTHON}")
            matrices[match["module"]][side] = tensor
        elif is_of_lora(name) or ".token_adapter." in name:
            raise CheckpointError(f"{where}: {name} is not plain LoRA, and only that is merged here; {IN_PYTHON}")
        else:
            merged[name] = tensor
    strange = sorted(f"{module}.weight" for module in matrices if f"{module}.weight" not in base)
    if strange:
        raise CheckpointError(f"{where}: changes what its base does not have: {', '.join(first_few(strange))}")
    for module, sides in matrices.items():
        weight = f"{module}.weight"
        merged[weight] = merged[weight].float() + _product(sides, module, base[weight].shape, adapter, where)
    saved = [name for name in own if _MATRIX.fullmatch(name) is None]
    changes = [f"merged from the LoRA adapter: {len(matrices)} layers"] if matrices else []
    if saved:
        changes.append(f"from the adapter in place of the base's: {', '.join(first_few(saved))}")
    return StoredTensors(merged, tuple(changes))


def _product(
    sides: Mapping[str, torch.Tensor], module: str, shape: torch.Size, adapter: LoraAdapter, where: Path
) -> torch.Tensor:
    """Return what is added to a weight, of its shape."""
    is_embedding = "A of embedding" in sides
    names = ("A of embedding", "B of embedding") if is_embedding else ("A", "B")
    narrow, wide = (sides.get(name) for name in names)
    if narrow is None or wide is None or narrow.ndim != 2 or wide.ndim != 2 or narrow.shape[0] != wide.shape[1]:
        raise CheckpointError(f"{where}: the two matrices of {module} do not belong together")
    product = wide.float() @ narrow.float()
    product = product.T if is_embedding else product
    if product.shape != shape:
        raise CheckpointError(f"{where}: {module} is changed by {list(product.shape)}, but its base is {list(shape)}")
    return product * adapter.scale(module, narrow.shape[0])
