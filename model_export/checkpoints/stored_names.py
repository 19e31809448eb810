"""The names of a checkpoint's tensors without what was around the model when it was saved.

Trainers save a model as a part of themselves: `module.` (DataParallel), `_orig_mod.` (torch.compile), `model.`
(Lightning), `base_model.model.` (PEFT), in any order and nesting. Which of it belongs to the model is told by where the
encoder is (`encoder_names`): what stands before that, or beside it, leads to the head. Nothing here decides whether the
tensors fit; `source_tensors.load_strictly` does.
"""

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import torch

from model_export.checkpoints.encoder_names import ENCODER, Parts, begins, find_encoder, is_of
from model_export.checkpoints.source_tensors import StoredTensors
from model_export.errors import CheckpointError, first_few, shortened

# Names that early models have from TensorFlow; transformers renames them in the same way.
_OLD_ENDINGS: dict[Parts, str] = {("LayerNorm", "gamma"): "weight", ("LayerNorm", "beta"): "bias"}
_PEFT = ("base_model", "model")
_COPY, _ORIGINAL = "modules_to_save", "original_module"
# Buffers and weights of a loss: whatever is below a part of such a name serves training only.
_LOSSES = {
    *("loss", "loss_fct", "loss_fn", "loss_func", "loss_function", "criterion", "class_weight", "class_weights"),
    *("loss_weight", "loss_weights", "pos_weight"),
}
_COUNTERS = {"num_batches_tracked", "n_averaged", "num_updates"}


def under_own_names(
    tensors: Mapping[str, torch.Tensor], where: Path, *, separator: str = ".", ignored: Sequence[str] = ()
) -> StoredTensors:
    """Return a checkpoint's tensors under the names that they have in the model itself, the encoder's below `bert`.

    Args:
        tensors: By their names in the files.
        where: The file or folder that they are from, for messages.
        separator: Between the parts of a name.
        ignored: Patterns of tensors to leave out, for the names in the files or those of the model.

    Raises:
        CheckpointError: There are several encoders, or two tensors of the same name; or a pattern fits none.
    """
    kept = [name for name in tensors if not _fits(name, ignored)]
    renaming = _Renaming(where, separator)
    sources = renaming.apply(kept)
    left_out = {name for name in sources if _fits(name, ignored)}
    leftovers = {name for name in sources.keys() - left_out if _is_leftover(tuple(name.split(separator)))}
    unwanted = left_out | leftovers
    own = {name: tensors[source] for name, source in sources.items() if name not in unwanted}
    changes = renaming.changes
    if leftovers:
        changes.append(f"left out, of the training only: {', '.join(first_few(sorted(leftovers)))}")
    asked = left_out | (tensors.keys() - set(kept))
    _check_patterns(ignored, [*tensors, *sources], where)
    if asked:
        changes.append(f"left out with --ignore-weights: {', '.join(first_few(sorted(asked)))}")
    return StoredTensors(own, tuple(changes))


def without_ignored(tensors: dict[str, torch.Tensor], where: Path, ignored: Sequence[str]) -> StoredTensors:
    """Return the tensors without those that patterns name, for sources whose names are told otherwise.

    Raises:
        CheckpointError: A pattern fits none.
    """
    left_out = {name for name in tensors if _fits(name, ignored)}
    _check_patterns(ignored, tensors, where)
    changes = (f"left out with --ignore-weights: {', '.join(first_few(sorted(left_out)))}",) if left_out else ()
    return StoredTensors({name: tensor for name, tensor in tensors.items() if name not in left_out}, changes)


def _fits(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _check_patterns(patterns: Sequence[str], names: Iterable[str], where: Path) -> None:
    every = list(names)
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in every):
            raise CheckpointError(
                f"{where}: --ignore-weights {pattern!r:.80} fits no tensor; the last of them is "
                f"{shortened(max(every, default='none'))}"
            )


class _Renaming:
    """Takes wrappers off the names of one checkpoint, and notes what it did."""

    def __init__(self, where: Path, separator: str) -> None:
        self.changes: list[str] = []
        self._where = where
        self._separator = separator

    def apply(self, names: Sequence[str]) -> dict[str, str]:
        """Return the name in the files by the model's own name.

        Raises:
            CheckpointError: There are several encoders, or two tensors of the same name.
        """
        parts = self._without_modules({name: tuple(name.split(self._separator)) for name in names})
        parts = self._without_copies(parts)
        old = [name for name, own in parts.items() if own[-2:] in _OLD_ENDINGS]
        if old:
            self.changes.append("LayerNorm.gamma and LayerNorm.beta are read as LayerNorm.weight and LayerNorm.bias")
        parts |= {name: (*parts[name][:-1], _OLD_ENDINGS[parts[name][-2:]]) for name in old}
        return self._by_own_name(self._below_encoder(parts))

    def _joined(self, parts: Parts) -> str:
        return self._separator.join(parts)

    def _without_modules(self, names: dict[str, Parts]) -> dict[str, Parts]:
        """Take off what no model of transformers calls a part of itself, wherever it stands."""
        found: dict[str, None] = {}
        inner = {}
        for name, parts in names.items():
            found |= dict.fromkeys(part for part in parts[:-1] if _is_wrapper(part))
            own = tuple(part for part in parts[:-1] if not _is_wrapper(part)) + parts[-1:]
            if own[:2] == _PEFT and len(own) > 2:
                found[self._joined(_PEFT)] = None
                own = own[2:]
            inner[name] = own
        if found:
            taken = first_few([f"{part}{self._separator}" for part in found])
            self.changes.append(f"taken off the tensors' names: {', '.join(taken)}")
        return inner

    def _without_copies(self, names: dict[str, Parts]) -> dict[str, Parts]:
        """Take the copy of a module that PEFT trained in place of the module, and the base of a layer as the layer.

        Of a module, PEFT keeps `original_module` and `modules_to_save.<adapter>`. What it saved of an adapter alone has
        the copy under the module's own name; with `bias="all"` there are biases of both besides.
        """
        inner = {name: tuple(part for part in parts if part != "base_layer") for name, parts in names.items()}
        trained = {parts for parts in inner.values() if _COPY not in parts and _ORIGINAL not in parts}
        copies: dict[str, None] = {}
        for name, parts in list(inner.items()):
            if _COPY in parts[:-1]:
                at = parts.index(_COPY)
                copies[self._joined(parts[:at])] = None
                inner[name] = parts[:at] + parts[at + 2 :]
                if not trained.isdisjoint((inner[name], parts[:at] + parts[at + 1 :])):
                    del inner[name]
        trained = {parts for parts in inner.values() if _ORIGINAL not in parts}
        for name, parts in list(inner.items()):
            if _ORIGINAL in parts[:-1]:
                at = parts.index(_ORIGINAL)
                inner[name] = parts[:at] + parts[at + 1 :]
                if inner[name] in trained:
                    del inner[name]
        if copies:
            self.changes.append(f"of {', '.join(first_few(list(copies)))}: the copy that PEFT trained is used")
        return inner

    def _below_encoder(self, names: dict[str, Parts]) -> dict[str, Parts]:
        """Put the encoder below `bert`, and take off what leads to it and to the head beside it."""
        encoder = find_encoder(names, self._where, self._separator)
        if encoder is None or encoder == (ENCODER,):
            return names
        below = f"{shortened(self._joined(encoder))}{self._separator}"
        if encoder[-1:] == (ENCODER,):
            # The head stands beside the encoder.
            heads = [encoder[:-1]]
            self.changes.append(f"taken off the tensors' names: {shortened(self._joined(heads[0]))}{self._separator}")
        else:
            # Beside it as well, or the encoder is all that was wrapped, and what else it has is below it.
            heads = [encoder, encoder[:-1]]
            if encoder:
                self.changes.append(f"{below} is read as {ENCODER}{self._separator}")
        own = {}
        for name, parts in names.items():
            if is_of(parts, encoder):
                own[name] = (ENCODER, *parts[len(encoder) :])
            else:
                own[name] = next((parts[len(head) :] for head in heads if begins(parts, head)), parts)
        return own

    def _by_own_name(self, names: Mapping[str, Parts]) -> dict[str, str]:
        sources: dict[str, str] = {}
        for name, parts in names.items():
            own = self._joined(parts)
            if own in sources:
                both = " and ".join(map(shortened, (sources[own], name)))
                raise CheckpointError(
                    f"{self._where}: {both} are both {shortened(own)}; leave one of them out with --ignore-weights"
                )
            sources[own] = name
        return sources


def _is_wrapper(part: str) -> bool:
    # _orig_mod, _fsdp_wrapped_module, _checkpoint_wrapped_module, _forward_module, _module ...
    return part == "module" or part.startswith("_")


def _is_leftover(parts: Parts) -> bool:
    return parts[-1] in _COUNTERS or not _LOSSES.isdisjoint(parts)
