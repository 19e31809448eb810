"""Checkpoints of TensorFlow Model Garden: its BigBird encoders, alone or with a head, as TensorFlow 2 objects.

A folder with an object checkpoint, or a SavedModel (the form in which google-research released its TriviaQA model).
No configuration belongs to the format; a `config.json` with Model Garden's names or Hugging Face's may lie beside it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from model_export.checkpoints import tensorflow_files
from model_export.checkpoints.checkpoint import Checkpoint, CheckpointOptions
from model_export.checkpoints.checkpoint_tokenizer import FoundTokenizer
from model_export.checkpoints.harmless_faults import put_right
from model_export.checkpoints.model_garden_names import ModelGardenNames, find_encoders
from model_export.checkpoints.source_tensors import SourceTensor, StoredTensors
from model_export.checkpoints.stored_names import without_ignored
from model_export.checkpoints.tensorflow_configuration import Dialect, choose_task, settle
from model_export.checkpoints.tensorflow_files import TensorFlowFiles
from model_export.config import BigBirdConfig
from model_export.errors import CheckpointError, ConfigError

_ACTIVATIONS = ("relu", "relu6", "selu", "elu", "swish", "silu", "mish", "tanh", "sigmoid", "linear")
DIALECT = Dialect(
    file_names=("config.json",),
    fields={
        "num_layers": "num_hidden_layers",
        "num_rand_blocks": "num_random_blocks",
        "activation": "hidden_act",
        "hidden_activation": "hidden_act",
        "dropout_rate": "hidden_dropout_prob",
        "attention_dropout_rate": "attention_probs_dropout_prob",
        "num_classes": "num_labels",
    },
    # official/modeling/activations/gelu.py is the tanh form; serialised, it is called Text>gelu.
    activations={
        "gelu": "gelu_new",
        "Text>gelu": "gelu_new",
        "identity": "linear",
        **{name: name for name in _ACTIVATIONS},
    },
    refused={"norm_first": False},
)
# official/projects/triviaqa/modeling.py leaves the head's normalisation at Keras' default.
_TRIVIA_QA_EPSILON = 1e-3


@dataclass(frozen=True, slots=True)
class ModelGardenWeights:
    """The variables of a Model Garden checkpoint, not read yet.

    Attributes:
        source: The files.
        variables: Their names.
        type_vocab_size: Rows of the token-type table that are kept.
    """

    source: TensorFlowFiles
    variables: ModelGardenNames
    type_vocab_size: int
    kind: str = "model-garden"

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
        """Return all variables by path; the token-type table is cut to the configuration's rows.

        Raises:
            CheckpointError: The checkpoint cannot be read, or a pattern fits no variable.
        """
        tensors = self.source.tensors()
        types = self.variables.type_embeddings
        if types in tensors:
            tensors[types] = tensors[types][: self.type_vocab_size]
        return without_ignored(tensors, self.source.prefix, ignored)


def recognises(folder: Path) -> bool:
    """Tell whether the folder holds a checkpoint that TensorFlow 2 wrote as a graph of objects."""
    return any(tensorflow_files.holds_object_graph(folder, name) for name in tensorflow_files.indexes(folder))


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
    config, assumptions = configure(given.values, variables, chosen)
    weights = ModelGardenWeights(source, variables, config.type_vocab_size)
    tokenizer = found.read(options.text_pieces, config.vocab_size)
    return Checkpoint(
        folder=folder,
        config=config,
        task=chosen,
        weights=weights,
        tokenizer=tokenizer,
        files=(*((given.file,) if given.file else ()), *weights.files, *tokenizer.files),
        changes=tokenizer.changes,
        default_pattern="model-garden",
        assumptions=assumptions,
        ignore_weights=options.ignore_weights,
    )


def find_variables(prefix: Path, shapes: Mapping[str, tuple[int, ...]]) -> ModelGardenNames:
    """Find the encoder among the variables.

    Raises:
        CheckpointError: There is none, or more than one.
        ConfigError: Its embeddings are narrower than its layers.
    """
    projected = next((name for name in shapes if name.endswith("layer_with_weights-5/_attention_layer_norm/gamma")), "")
    start = projected.removesuffix("5/_attention_layer_norm/gamma")
    table = shapes.get(f"{start}0/embeddings", ())
    if projected and f"{start}4/kernel" in shapes and len(table) == 2:
        raise ConfigError(
            f"embedding_width: {table[1]} differs from hidden_size {', '.join(map(str, shapes[projected]))}; "
            "an encoder that projects its embeddings cannot be exported"
        )
    encoders = find_encoders(shapes)
    if len(encoders) != 1:
        others = f"holds none, but for example {next(iter(shapes))!r}" if shapes else "holds no variables"
        found = f"holds {len(encoders)}" if encoders else others
        raise CheckpointError(f"{prefix}: needs one BigBird encoder of Model Garden, {found}")
    return encoders[0]


def configure(
    given: Mapping[str, object], variables: ModelGardenNames, task: str
) -> tuple[BigBirdConfig, tuple[str, ...]]:
    """Put the configuration together from a file's values, the variables' shapes, and what the task's head is like.

    Returns:
        The configuration, and a line for each assumption.

    Raises:
        ConfigError: It cannot work, or cannot be told; the message names the field.
    """
    measured = _measured(variables, task)
    width = given.get("embedding_width")
    if width not in (None, measured["hidden_size"]):
        raise ConfigError(f"embedding_width: {width!r} differs from hidden_size {measured['hidden_size']}")
    assumed: dict[str, tuple[object, str]] = {
        "block_size": (64, "Model Garden's default"),
        "num_random_blocks": (3, "Model Garden's default"),
        "hidden_act": ("gelu_new", "GELU in the tanh form, Model Garden's default"),
    }
    values, assumptions = settle(given, measured, assumed)
    notes: list[str] = []
    rows, types = measured["type_vocab_size"], values["type_vocab_size"]
    if isinstance(types, int) and types < rows:
        notes.append(f"type_vocab_size: {types} of {rows} rows are kept (the configuration says {types})")
    if task == "fill-mask":
        notes.append(f"activation of the masked LM: {values['hidden_act']} (the encoder's)")
    if task == "classify" and measured.get("num_labels") == 1 and "problem_type" not in given:
        values["problem_type"] = "regression"
        notes.append("problem_type: regression (one output, as Model Garden's BertClassifier takes it)")
    values, faults = put_right(values)
    config = replace(
        BigBirdConfig.from_dict(values),
        classifier_activation="tanh",  # official/nlp/modeling/layers/cls_head.py, and that of the encoder's pooler
    )
    if task == "qa":
        has_feed_forward = variables.has_trivia_qa_head
        epsilon = _TRIVIA_QA_EPSILON if has_feed_forward else None
        config = replace(config, qa_feed_forward=has_feed_forward, qa_layer_norm_eps=epsilon)
    return config, (*assumptions, *notes, *faults)


def _measured(variables: ModelGardenNames, task: str) -> dict[str, int]:
    """Return what shapes tell.

    Raises:
        ConfigError: A variable that must tell something is not there.
    """
    vocab_size, hidden_size = _shape(variables, variables.word_embeddings, 2)
    query = _shape(variables, variables.transformer(0, "_attention_layer/_query_dense/kernel"), 3)
    measured = {
        "vocab_size": vocab_size,
        "hidden_size": hidden_size,
        "num_hidden_layers": variables.layers,
        "num_attention_heads": query[1],
        "max_position_embeddings": _shape(variables, variables.position_embeddings, 2)[0],
        "type_vocab_size": _shape(variables, variables.type_embeddings, 2)[0],
        "intermediate_size": _shape(variables, variables.transformer(0, "_intermediate_dense/kernel"), 2)[1],
    }
    if task in ("classify", "ner"):
        logits = variables.table(task, BigBirdConfig())["head.output.weight"].name
        measured["num_labels"] = _shape(variables, logits, 2)[1]
    return measured


def _shape(variables: ModelGardenNames, name: str, rank: int) -> tuple[int, ...]:
    shape = variables.shapes.get(name, ())
    if len(shape) != rank:
        raise ConfigError(f"{name}: should have {rank} dimensions, is {list(shape) if shape else 'missing'}")
    return shape
