"""LoRA adapters of PEFT: what `adapter_config.json` says of them, and where the model is that they belong to.

What is more than plain LoRA (DoRA, other kinds of adapters) is refused by name; PEFT itself can merge it.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_export.checkpoints.files import optional_file, read_json
from model_export.checkpoints.hub import resolve
from model_export.errors import CheckpointError, first_few, shortened

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

_LONGEST_PATH = 4096
_LONGEST_NAME = 250
# A pattern that repeats repetitions, or many times, may take for ever; nobody needs such a one to name layers.
_REPEATS, _NESTED = re.compile(r"[*+{?]"), re.compile(r"\)[*+?{]")
_MOST_REPEATS = 2


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
        if not isinstance(named, str) or not 0 < len(named) <= _LONGEST_PATH:
            raise CheckpointError(f"{self.config_file}: names no base model; {self._ways_out()}")
        revision = self.values.get("revision")
        try:
            if given is None and (self.folder / named).is_dir():
                return self.folder / named
            is_here = given is not None or Path(named).exists() or not isinstance(revision, str)
            found = resolve(named if is_here else f"{named}@{revision}")
            if found.is_dir():
                return found
            problem = f"{named!r:.200} is not here"
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
            raise CheckpointError(
                f"{self.config_file}: r of {shortened(module)} is {said:g}, but its matrices are of rank {rank}"
            )
        return alpha / (math.sqrt(rank) if self.values.get("use_rslora") else rank)

    def _of_module(self, patterns: str, module: str, otherwise: str) -> float:
        """Return a number for a module: that of the first pattern which its name ends with, as in PEFT."""
        given = self.values.get(patterns) or {}
        if not isinstance(given, dict):
            raise CheckpointError(f"{self.config_file}: {patterns} is not an object")
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
            except (re.error, OverflowError, RecursionError):
                raise CheckpointError(f"{self.config_file}: {patterns}: {pattern!r:.80} is not a pattern") from None
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 2**31:
            raise CheckpointError(
                f"{self.config_file}: {otherwise} of {shortened(module)} is {value!r:.40}, no positive number"
            )
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
    more = sorted(repr(name) for name, value in values.items() if value and name not in _PLAIN_FIELDS)
    if values.get("init_lora_weights") not in _PLAIN_BEGINNINGS:
        more.append("'init_lora_weights'")
    if more:
        raise CheckpointError(
            f"{config_file}: has {', '.join(first_few(more))}, and only plain LoRA is merged here; {IN_PYTHON}"
        )
    files = (optional_file(folder, name) for name in WEIGHTS_FILES)
    return LoraAdapter(folder, config_file, next((file for file in files if file is not None), None), values)
