"""A BERT encoder, made into a BigBird: the weights as they are, the positions repeated to the asked number.

BigBird is BERT with another attention and more positions, and below `(5 + 2r)` blocks its attention is BERT's. So up to
its own number of positions the model answers as BERT does. Beyond, position `p` takes BERT's row `p mod n`, as the
authors of BigBird and Longformer (Beltagy et al. 2020, section 5) began their own training; here nothing is trained.

The configuration becomes a BigBird's first (`as_big_bird`), and everything after it reads that.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from model_export.checkpoints.checkpoint import Weights
from model_export.checkpoints.huggingface_configuration import LABEL_FIELDS, NOTE_FIELD, PAIR_TYPES_FIELD, PATTERN_FIELD
from model_export.checkpoints.pytorch import huggingface_names
from model_export.checkpoints.source_tensors import SourceTensor, StoredTensors
from model_export.config import BigBirdConfig
from model_export.errors import CheckpointError, ConfigError

MODEL_TYPE = "bert"
USUAL_POSITIONS = 4096
"""How many a BigBird made of a BERT has unless somebody asks for another number; as many as the released ones."""
_BLOCK_SIZE = 64

# Fields of transformers' `BertConfig`, with its defaults where they are not a BigBird's.
_FIELDS = (
    *("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "hidden_dropout_prob"),
    *("attention_probs_dropout_prob", "type_vocab_size", "initializer_range", "layer_norm_eps", "pad_token_id"),
    *("classifier_dropout", "tie_word_embeddings", "problem_type", "architectures", "tokenizer_class", "token_types"),
    NOTE_FIELD,
    *LABEL_FIELDS,
)
_DEFAULTS = {"vocab_size": 30522, "max_position_embeddings": 512, "hidden_act": "gelu"}

_POSITION_EMBEDDINGS = "bert.embeddings.position_embeddings.weight"
_POOLER = {"head.pooler": "bert.pooler.dense"}
# Own module -> that of transformers' BERT, for the heads that are not a BigBird's.
_HEAD_MODULES = {
    "qa": {"head.output": "qa_outputs"},
    "classify": {"head.dense": "bert.pooler.dense", "head.output": "classifier"},
    "next-sentence": {**_POOLER, "head.output": "cls.seq_relationship"},
    "multiple-choice": {**_POOLER, "head.output": "classifier"},
    "embed": _POOLER,
}


def as_big_bird(values: Mapping[str, Any], positions: int | None) -> dict[str, Any]:
    """Return the fields of a BERT's configuration as those of the BigBird that is made of it.

    Args:
        values: The fields of `config.json`.
        positions: How many there are to be; None for the usual number, or the BERT's own if it has more.

    Raises:
        ConfigError: It is not an encoder, or has no table of positions.
    """
    for name in ("is_decoder", "add_cross_attention"):
        if values.get(name):
            raise ConfigError(f"{name}: is {values[name]!r:.80}; of BERT, only encoders can be exported")
    kind = values.get("position_embedding_type")
    if kind not in (None, "absolute"):
        raise ConfigError(f"position_embedding_type: is {kind!r:.80}; only absolute positions can be repeated")
    own = _own_positions(values)
    return {
        **{name: values[name] for name in _FIELDS if name in values},
        **{name: values.get(name, default) for name, default in _DEFAULTS.items()},
        "model_type": "big_bird",
        "max_position_embeddings": positions or max(own, USUAL_POSITIONS),
        "block_size": _BLOCK_SIZE,
        "classifier_activation": "tanh",  # that of the pooler, modeling_bert.py
        "qa_feed_forward": False,
        PATTERN_FIELD: "none",
        PAIR_TYPES_FIELD: "segments",  # BERT's tokenizer gives the second text ones
    }


def bert_weights(base: Weights, values: Mapping[str, Any], positions: int) -> "BertWeights":
    """Return the weights of a BERT with as many positions as there are to be.

    Args:
        base: Those in the files.
        values: The fields of its own configuration.
        positions: Of the BigBird.

    Raises:
        CheckpointError: Their format is not read for BERT.
    """
    if base.kind.startswith("flax"):
        raise CheckpointError(
            f"{base.files[0]}: of BERT, only PyTorch weights are read; save it again in Python: "
            "AutoModel.from_pretrained(FOLDER, from_flax=True).save_pretrained(NEW_FOLDER) with transformers 4"
        )
    return BertWeights(base, _own_positions(values), positions)


def _own_positions(values: Mapping[str, Any]) -> int:
    """Return how many positions a BERT has, by its configuration.

    Raises:
        ConfigError: That is not a number of positions.
    """
    field = "max_position_embeddings"
    return BigBirdConfig.from_dict({field: values.get(field, _DEFAULTS[field])}).max_position_embeddings


@dataclass(frozen=True, slots=True)
class BertWeights:
    """The weights of a BERT, with as many positions as the BigBird has that is made of it.

    Attributes:
        base: Those in the files.
        own_positions: How many the BERT has.
        positions: How many there are to be.
    """

    base: Weights
    own_positions: int
    positions: int

    @property
    def kind(self) -> str:
        return f"bert, {self.base.kind}"

    @property
    def files(self) -> tuple[Path, ...]:
        return self.base.files

    @property
    def ignorable(self) -> tuple[str, ...]:
        return (*self.base.ignorable, "qa_outputs.")

    def names(self, task: str, config: BigBirdConfig) -> Mapping[str, SourceTensor]:
        """Return where each tensor of our model stands."""
        if task not in _HEAD_MODULES:
            return huggingface_names(task, config)
        names = huggingface_names("embed", replace(config, has_pooler=False))
        if task != "embed" or config.has_pooler:
            for own, source in _HEAD_MODULES[task].items():
                names |= {f"{own}.{part}": SourceTensor(f"{source}.{part}") for part in ("weight", "bias")}
        return names

    def read(self, ignored: Sequence[str] = ()) -> StoredTensors:
        """Return all tensors under the names of the table, and of the positions as many as there are to be.

        Raises:
            CheckpointError: As for any weights, or there are more or fewer positions than the configuration says.
        """
        stored = self.base.read(ignored)
        table = stored.tensors.get(_POSITION_EMBEDDINGS)
        if table is None or table.ndim != 2:  # told with everything else that does not fit
            return stored
        if len(table) != self.own_positions:
            raise CheckpointError(
                f"{self.files[0]}: has {len(table)} positions, but max_position_embeddings is {self.own_positions}; "
                "write the weights' number into config.json"
            )
        repeated = table[torch.arange(self.positions) % len(table)]
        return StoredTensors({**stored.tensors, _POSITION_EMBEDDINGS: repeated}, (*stored.changes, self._change()))

    def _change(self) -> str:
        whole, rest = divmod(self.positions, self.own_positions)
        if self.positions <= self.own_positions:
            kept = f"the first {self.positions} of its {self.own_positions} positions"
        else:
            kept = f"its {self.own_positions} positions repeated {whole} times"
            kept += f" and the first {rest} of them once more" if rest else ""
        return f"a BigBird is made of a BERT encoder: {kept}, blocks of {_BLOCK_SIZE}"
