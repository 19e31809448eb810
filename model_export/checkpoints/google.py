"""Checkpoints of google-research/bigbird: TensorFlow 1 variables `bert/...`.

The model's own flags stand in `classifier.config` or `pretrain.config`, which its training scripts leave beside the
checkpoint, or in a `config.json` or `bert_config.json` that somebody put there. Released checkpoints have neither.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from model_export.checkpoints import tensorflow_files
from model_export.checkpoints.checkpoint import Checkpoint, CheckpointOptions
from model_export.checkpoints.checkpoint_tokenizer import FoundTokenizer
from model_export.checkpoints.google_names import WORD_EMBEDDINGS, GoogleNames
from model_export.checkpoints.harmless_faults import put_right
from model_export.checkpoints.source_tensors import SourceTensor, StoredTensors
from model_export.checkpoints.stored_names import without_ignored
from model_export.checkpoints.tensorflow_configuration import Dialect, choose_task, settle
from model_export.checkpoints.tensorflow_files import TensorFlowFiles
from model_export.config import BigBirdConfig
from model_export.errors import CheckpointError, ConfigError

DIALECT = Dialect(
    file_names=("config.json", "bert_config.json", "classifier.config", "pretrain.config"),
    fields={"num_rand_blocks": "num_random_blocks", "rescale_embedding": "rescale_embeddings"},
    # core/utils.py: get_activation; its "gelu" is the tanh form.
    activations={"gelu": "gelu_new", "relu": "relu", "tanh": "tanh", "linear": "linear", "": "linear", None: "linear"},
    refused={"norm_type": "postnorm"},
)
# core/modeling.py: an encoder for at most so many tokens uses full attention.
_LONGEST_FULL = 512
_RELEASED_HEAD_DIM = 64
_LAYER_NAME = re.compile(r"encoder/layer_(\d+)/attention/self/query/kernel")


@dataclass(frozen=True, slots=True)
class GoogleWeights:
    """The variables of a google-research checkpoint, not read yet.

    Attributes:
        source: The files.
        variables: Their names.
        config: What the model is like; says how much of the token-type table is used, and which biases it lacks.
    """

    source: TensorFlowFiles
    variables: GoogleNames
    config: BigBirdConfig
    kind: str = "google-research"

    @property
    def files(self) -> tuple[Path, ...]:
        return self.source.files

    @property
    def ignorable(self) -> tuple[str, ...]:
        return self.variables.ignorable

    def names(self, task: str, config: BigBirdConfig) -> Mapping[str, SourceTensor]:
        """Return where each tensor of our model stands."""
        return self.variables.table(task, config)

    def read(self, ignored: Sequence[str] = ()) -> StoredTensors:
        """Return all variables by name; the token-type table is cut to the configuration's rows.

        Raises:
            CheckpointError: The checkpoint cannot be read, or a pattern fits no variable.
        """
        tensors = self.source.tensors()
        types = self.variables.at("embeddings/token_type_embeddings")
        if types in tensors:
            tensors[types] = tensors[types][: self.config.type_vocab_size]
        for name in self.variables.without_bias(self.config):
            tensors[name] = torch.zeros(self.config.hidden_size)
        return without_ignored(tensors, self.source.prefix, ignored)


def recognises(folder: Path) -> bool:
    """Tell whether the folder holds a TensorFlow checkpoint that TensorFlow 2 did not write as a graph of objects."""
    names = tensorflow_files.indexes(folder)
    return bool(names) and not any(tensorflow_files.holds_object_graph(folder, name) for name in names)


def read(folder: Path, options: CheckpointOptions) -> Checkpoint:
    """Read the configuration and the shapes of the variables.

    Args:
        folder: The checkpoint.
        options: What is said about it.

    Raises:
        CheckpointError: A file is missing or unreadable, or holds another model's variables.
        ConfigError: The configuration cannot work, or there are no weights for the task.
    """
    source = tensorflow_files.find(folder)
    found = FoundTokenizer.find(folder, options.tokenizer)
    given = DIALECT.read(folder)
    variables = find_variables(source.prefix, source.shapes())
    chosen = choose_task(options.task, variables.tasks, source.prefix)
    config, assumptions = configure(given.values, variables)
    weights = GoogleWeights(source, variables, config)
    tokenizer = found.read(options.text_pieces, config.vocab_size)
    return Checkpoint(
        folder=folder,
        config=config,
        task=chosen,
        weights=weights,
        tokenizer=tokenizer,
        files=(*((given.file,) if given.file else ()), *weights.files, *tokenizer.files),
        changes=tokenizer.changes,
        default_pattern="google",
        assumptions=assumptions,
        ignore_weights=options.ignore_weights,
    )


def find_variables(prefix: Path, shapes: Mapping[str, tuple[int, ...]]) -> GoogleNames:
    """Find the encoder among the variables.

    Raises:
        CheckpointError: There is none, or it is part of a model that cannot be exported.
    """
    ends = [name for name in shapes if name.endswith(f"/{WORD_EMBEDDINGS}") or name == WORD_EMBEDDINGS]
    if len(ends) != 1:
        others = f"has none, but for example {next(iter(shapes))!r}" if shapes else "has no variables"
        found = f"has {len(ends)}" if ends else others
        raise CheckpointError(f"{prefix}: needs one variable .../{WORD_EMBEDDINGS}, {found}")
    variables = GoogleNames(ends[0].removesuffix(WORD_EMBEDDINGS).removesuffix("/"), shapes)
    decoder = next((name for name in shapes if name.startswith(variables.at("decoder/")) or "/encdec" in name), None)
    if decoder:
        raise CheckpointError(f"{prefix}: {decoder!r} is part of a decoder; encoder-decoder models cannot be exported")
    before = next((name for name in shapes if name.endswith("/attention/self/LayerNorm/gamma")), None)
    if before:
        raise ConfigError(f"norm_type: 'prenorm' cannot be exported, and {prefix} has {before!r}")
    return variables


def configure(given: Mapping[str, object], variables: GoogleNames) -> tuple[BigBirdConfig, tuple[str, ...]]:
    """Put the configuration together from a file's values and the variables' shapes.

    Returns:
        The configuration, and a line for each assumption.

    Raises:
        ConfigError: It cannot work, or cannot be told; the message names the field.
    """
    measured = _measured(variables)
    hidden = measured["hidden_size"]
    notes: list[str] = []
    if "num_attention_heads" not in {**measured, **given} and hidden % _RELEASED_HEAD_DIM:
        raise ConfigError(
            f"num_attention_heads: cannot be told from the checkpoint, hidden_size {hidden} is not a multiple of "
            f"{_RELEASED_HEAD_DIM}; put a config.json beside it"
        )
    assumed: dict[str, tuple[object, str]] = {
        "num_attention_heads": (hidden // _RELEASED_HEAD_DIM, f"hidden_size / {_RELEASED_HEAD_DIM}"),
        "block_size": (64, "as in the released models"),
        "num_random_blocks": (3, "as in the released models"),
        "hidden_act": ("gelu_new", "GELU in the tanh form, as in the released models"),
        "rescale_embeddings": (False, "as in the released models"),
        "attention_type": ("block_sparse", "as in the released models"),
    }
    values, assumptions = settle(given, measured, assumed)
    longest = values.get("max_encoder_length")
    if isinstance(longest, int) and longest <= _LONGEST_FULL and values["attention_type"] == "block_sparse":
        values["attention_type"] = "original_full"
        notes.append(f"attention_type: original_full (max_encoder_length {longest} is at most {_LONGEST_FULL})")
    rows, types = measured["type_vocab_size"], values["type_vocab_size"]
    if isinstance(types, int) and types < rows:
        notes.append(f"type_vocab_size: {types} of {rows} rows are kept (the configuration says {types})")
    values["classifier_activation"] = "tanh"  # that of the pooler, core/modeling.py
    values, faults = put_right(values)
    return BigBirdConfig.from_dict(values), (*assumptions, *notes, *faults)


def _measured(variables: GoogleNames) -> dict[str, int]:
    """Return what shapes tell.

    Raises:
        ConfigError: A variable that must tell something is not there.
    """
    shapes = variables.shapes
    layers = [match[1] for name in shapes if (match := _LAYER_NAME.fullmatch(name.removeprefix(variables.at(""))))]
    vocab_size, hidden_size = _shape(variables, WORD_EMBEDDINGS, 2)
    measured = {
        "vocab_size": vocab_size,
        "hidden_size": hidden_size,
        "num_hidden_layers": len(layers),
        "max_position_embeddings": _shape(variables, "embeddings/position_embeddings", 2)[0],
        "type_vocab_size": _shape(variables, "embeddings/token_type_embeddings", 2)[0],
        "intermediate_size": _shape(variables, "encoder/layer_0/intermediate/dense/kernel", 2)[1],
        "use_bias": variables.at("encoder/layer_0/attention/self/query/bias") in shapes,
    }
    query = shapes.get(variables.at("encoder/layer_0/attention/self/query/kernel"), ())
    if len(query) == 3:
        measured["num_attention_heads"] = query[1]
    classifier = shapes.get(variables.at("classifier/kernel"), ())
    if len(classifier) == 2:
        measured["num_labels"] = classifier[1]
    return measured


def _shape(variables: GoogleNames, place: str, rank: int) -> tuple[int, ...]:
    name = variables.at(place)
    shape = variables.shapes.get(name, ())
    if len(shape) != rank:
        raise ConfigError(f"{name}: should have {rank} dimensions, is {list(shape) if shape else 'missing'}")
    return shape
