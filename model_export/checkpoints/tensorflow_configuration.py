"""The configuration of a TensorFlow checkpoint: a file beside it where there is one, tensor shapes, and assumptions.

TensorFlow checkpoints hold no configuration. What a file beside them says is taken; what it leaves out is read off the
tensors' shapes; what shapes cannot tell is assumed to be as in the released models, and every such assumption is told
to the person who exports.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_export.checkpoints.checkpoint import instead_of_a_head
from model_export.checkpoints.files import optional_file, read_json
from model_export.errors import ConfigError

# Fields that only a configuration in Hugging Face's form has: there "gelu" is the exact function.
_HUGGINGFACE_FIELDS = {"model_type", "num_random_blocks", "rescale_embeddings"}


@dataclass(frozen=True, slots=True)
class GivenConfiguration:
    """What a configuration file says.

    Attributes:
        file: The file; None if there is none.
        values: Its fields, under our names.
    """

    file: Path | None
    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a source writes down its configuration.

    Attributes:
        file_names: Files to look for; the first that is there is read.
        fields: Names of its fields where they differ from ours: theirs to ours.
        activations: Names of its activations: theirs to ours.
        refused: Fields with the only value that can be exported.
    """

    file_names: tuple[str, ...]
    fields: Mapping[str, str]
    activations: Mapping[str | None, str]
    refused: Mapping[str, object]

    def read(self, folder: Path) -> GivenConfiguration:
        """Read the configuration of a folder.

        Raises:
            CheckpointError: The file cannot be read.
            ConfigError: It describes a model that cannot be exported; the message names the field.
        """
        file = next((found for name in self.file_names if (found := optional_file(folder, name))), None)
        if file is None:
            return GivenConfiguration(None, {})
        return GivenConfiguration(file, self.translate(read_json(file)))

    def translate(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields of a file under our names, its activation too.

        Raises:
            ConfigError: A field has a value that cannot be exported.
        """
        for name, allowed in self.refused.items():
            if values.get(name, allowed) not in (allowed, None):
                raise ConfigError(f"{name}: {values[name]!r} cannot be exported, only {allowed!r} can")
        ours = {self.fields.get(name, name): value for name, value in values.items()}
        if "hidden_act" in ours and not _HUGGINGFACE_FIELDS & values.keys():
            name = ours["hidden_act"]
            if not isinstance(name, str | None) or name not in self.activations:
                known = ", ".join(sorted(str(known) for known in self.activations if known))
                raise ConfigError(f"hidden_act: {name!r} is not known; known are {known}")
            ours["hidden_act"] = self.activations[name]
        return ours


def settle(
    given: Mapping[str, Any], measured: Mapping[str, Any], assumed: Mapping[str, tuple[Any, str]]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Put a configuration together.

    Args:
        given: What a file says; it comes first.
        measured: What shapes tell.
        assumed: What is assumed if nothing else tells: value and reason by field.

    Returns:
        The values, and a line for each assumption that was needed.
    """
    needed = {name: entry for name, entry in assumed.items() if name not in given and name not in measured}
    values = {**{name: value for name, (value, _) in needed.items()}, **measured, **given}
    return values, tuple(f"{name}: {value} ({reason})" for name, (value, reason) in needed.items())


def choose_task(asked: str | None, held: Sequence[str], place: Path) -> str:
    """Return the task to export.

    Args:
        asked: The task that was asked for; None for the first one held.
        held: Tasks that the checkpoint has weights for.
        place: The checkpoint, for the message.

    Raises:
        ConfigError: The checkpoint has no weights for that task.
    """
    if asked is not None and asked not in held:
        raise ConfigError(
            f"task: {place} has no head for {asked}, only for {', '.join(held)}; {instead_of_a_head(asked)}"
        )
    return asked or held[0]
