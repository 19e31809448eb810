"""The weights of a model with a LoRA adapter merged into them.

An adapter holds, for each layer that it changes, two narrow matrices whose product is added to the layer's weight, and
whole tensors in place of the base's: a head, biases.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from model_export.checkpoints import pytorch, safetensors_files
from model_export.checkpoints.checkpoint import Weights
from model_export.checkpoints.lora import IN_PYTHON, LoraAdapter
from model_export.checkpoints.source_tensors import SourceTensor, StoredTensors
from model_export.checkpoints.stored_names import without_ignored
from model_export.config import BigBirdConfig
from model_export.errors import CheckpointError, first_few, shortened

_MATRIX = re.compile(
    r"(?P<module>.+)\.lora_(?P<embedding>embedding_)?(?P<side>[AB])(?:\.(?!weight$)[^.]+)?(?:\.weight)?"
)


@dataclass(frozen=True, slots=True)
class LoraWeights:
    """A base's weights with an adapter merged into them.

    Attributes:
        base: The base's.
        adapter: The adapter.
        is_tied: Whether the base's configuration ties a language model's decoder to the word embeddings.
    """

    base: Weights
    adapter: LoraAdapter
    is_tied: bool

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
        file = self.adapter.weights_file
        if file is not None:
            read = (
                safetensors_files.read_tensors(file)
                if file.suffix == ".safetensors"
                else pytorch.read_tensors(file).tensors
            )
            own |= pytorch.own_names(read, file, ()).tensors  # the names are PEFT's own: nothing to speak of
        merged = merge(below, own, self.adapter, is_tied=self.is_tied)
        left = without_ignored(merged.tensors, self.files[0], ignored)
        return StoredTensors(left.tensors, (*base.changes, *merged.changes, *left.changes))


def is_of_lora(name: str) -> bool:
    """Tell whether a tensor is part of an adapter and not of the model."""
    return any(part.startswith("lora_") for part in name.split("."))


def merge(
    base: Mapping[str, torch.Tensor], own: Mapping[str, torch.Tensor], adapter: LoraAdapter, *, is_tied: bool
) -> StoredTensors:
    """Merge an adapter's tensors into its base's; those that it changes become float32.

    Args:
        base: The base's tensors by name.
        own: The adapter's, with the same names for the same modules.
        adapter: Says how much of each product is added.
        is_tied: Whether a decoder that is not there is the word embeddings.

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
            raise CheckpointError(
                f"{where}: {shortened(name)} is not plain LoRA, and only that is merged here; {IN_PYTHON}"
            )
        else:
            merged[name] = tensor
    changed = {f"{module}.weight": module for module in matrices}
    if (
        is_tied
        and pytorch.DECODER_WEIGHT not in base
        and not changed.keys().isdisjoint((pytorch.WORD_EMBEDDINGS, pytorch.DECODER_WEIGHT))
    ):
        # PEFT changes what a layer computes, and one of two layers that have one tensor: from here on they have two.
        merged |= pytorch.decoder_of_its_own(merged)
    strange = sorted(changed.keys() - merged.keys())
    if strange:
        raise CheckpointError(
            f"{where}: changes what its base does not have: {', '.join(first_few(strange))}; give the base that it was "
            f"trained on with --base, or {IN_PYTHON}"
        )
    for weight, module in changed.items():
        merged[weight] = merged[weight].float() + _product(
            matrices[module], module, merged[weight].shape, adapter, where
        )
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
        raise CheckpointError(f"{where}: the two matrices of {shortened(module)} do not belong together")
    changed = [wide.shape[0], narrow.shape[1]]
    changed = changed[::-1] if is_embedding else changed
    if changed != list(shape):  # before they are multiplied: narrow matrices may be of a giant
        raise CheckpointError(f"{where}: {shortened(module)} is changed by {changed}, but its base is {list(shape)}")
    product = wide.float() @ narrow.float() * adapter.scale(module, narrow.shape[0])
    return product.T if is_embedding else product
