"""What a frozen encoder makes of texts: the vector of the first token, which a head for classification reads."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer

from finetuning.forward import Precision
from model_export.checkpoints.checkpoint import CheckpointOptions
from model_export.checkpoints.recognise import read_checkpoint
from model_export.nn.model import BigBird
from model_export.patterns.registry import get_pattern

Vectors = npt.NDArray[np.float32]

_AT_ONCE = 500
_TOKENS_AT_ONCE = 8_192


class Encoder:
    """A BERT made into a BigBird, as `bigbird export` makes it: without random blocks."""

    def __init__(self, folder: Path) -> None:
        """Read the checkpoint in a folder."""
        loaded = read_checkpoint(folder, CheckpointOptions("embed")).load(get_pattern("none"))
        self._model: BigBird = loaded.model.eval()
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def vectors(self, texts: Sequence[str], cache: Path) -> Vectors:
        """Return float32 `[texts, hidden]`, computed in bf16 where the processor has it.

        Args:
            texts: What is longer than the model is cut off.
            cache: Where those of every five hundred texts are kept, so that a run that was ended goes on.
        """
        cache.mkdir(parents=True, exist_ok=True)
        parts = []
        for first in range(0, len(texts), _AT_ONCE):
            file = cache / f"{first:06}.npy"
            if not file.exists():
                unfinished = cache / "unfinished.npy"
                np.save(unfinished, self._compute(texts[first : first + _AT_ONCE]))
                unfinished.replace(file)
            parts.append(np.load(file))
        return np.concatenate(parts)

    def _compute(self, texts: Sequence[str]) -> Vectors:
        config = self._model.config
        ids = [_cut(encoding.ids, config.max_position_embeddings) for encoding in self._tokenizer.encode_batch(texts)]
        order = sorted(range(len(ids)), key=lambda index: len(ids[index]))
        vectors = np.zeros((len(ids), config.hidden_size), dtype=np.float32)
        with torch.inference_mode(), Precision.of("auto", torch.device("cpu")).autocast():
            for group in _groups(order, [len(own) for own in ids], config.full_attention_edge):
                vectors[group] = self._first_tokens([ids[index] for index in group])
        return vectors

    def _first_tokens(self, ids: Sequence[Sequence[int]]) -> Vectors:
        block = self._model.config.block_size
        shape = (len(ids), -(-max(map(len, ids)) // block) * block)
        input_ids, attention_mask = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
        for row, own in enumerate(ids):
            input_ids[row, : len(own)] = torch.tensor(own)
            attention_mask[row, : len(own)] = 1
        embedded = self._model.embeddings(input_ids, torch.zeros_like(input_ids))
        first: Vectors = self._model.encoder(embedded, attention_mask)[:, 0].float().numpy()
        return first


def _cut(ids: list[int], most: int) -> list[int]:
    return ids if len(ids) <= most else [*ids[: most - 1], ids[-1]]


def _groups(order: Sequence[int], lengths: Sequence[int], full_attention: int) -> list[list[int]]:
    """Put texts of about one length together, none with full attention beside one without."""
    groups: list[list[int]] = []
    for index in order:
        group = groups[-1] if groups else []
        one_kind = bool(group) and (lengths[group[0]] <= full_attention) == (lengths[index] <= full_attention)
        if one_kind and (len(group) + 1) * lengths[index] <= _TOKENS_AT_ONCE:
            group.append(index)
        else:
            groups.append([index])
    return groups
