"""The model's configuration: Hugging Face field names, checked once, frozen.

Everything after this module may rely on a `BigBirdConfig` describing a model that can be built (whether its
activation is known, `nn.activations` tells when the model is built).
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from bigbird_inference.manifest import MOST_LABELS, ProblemType, TokenTypes
from bigbird_inference.tokenization.letter_case import CASE_TYPES
from model_export.errors import ConfigError

AttentionType = Literal["block_sparse", "original_full"]


@dataclass(frozen=True, slots=True)
class BigBirdConfig:
    """A BigBird encoder's shape; names and defaults are those of transformers' `BigBirdConfig`.

    Attributes:
        block_size: Tokens in one attention block.
        num_random_blocks: Random blocks that each middle row attends to; 0 is allowed.
        is_decoder: A causal language model; every length uses full attention, whatever `attention_type` says.
        tie_word_embeddings: Whether a language-model head multiplies with the word embeddings.
        eos_token_id: Ends a generated text, or several of which each does; None if nothing does.
        classifier_dropout: Dropout before classification heads; None means `hidden_dropout_prob`.
        classifier_activation: Activation of the classification head; None means `hidden_act`. Not a field of
            transformers: other sources have tanh there.
        qa_feed_forward: Whether the question-answering head has a feed-forward layer before its logits, as in
            transformers. Not a field of transformers.
        qa_layer_norm_eps: Epsilon of that layer's LayerNorm; None means `layer_norm_eps`. Not a field of transformers.
        has_answer_types: Whether the question-answering head tells the kind of answer, too, as models for Natural
            Questions do. Not a field of transformers.
        has_pooler: Whether an encoder alone has a pooler. Not a field of transformers.
        token_types: What token types tell: segments of a pair, or the case of a single text's words. Not a field of
            transformers.
        labels: Names in the order of the logits' last axis; empty ones where the files have none. How many a head has,
            and what those without a name are called, is settled when its weights are read (`checkpoints.labels`).
        problem_type: How classification logits are read; None lets the number of labels decide.
    """

    vocab_size: int = 50358
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu_new"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 4096
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    attention_type: AttentionType = "block_sparse"
    use_bias: bool = True
    rescale_embeddings: bool = False
    block_size: int = 64
    num_random_blocks: int = 3
    is_decoder: bool = False
    tie_word_embeddings: bool = True
    classifier_dropout: float | None = None
    classifier_activation: str | None = None
    qa_feed_forward: bool = True
    qa_layer_norm_eps: float | None = None
    has_answer_types: bool = False
    has_pooler: bool = True
    token_types: TokenTypes = "segments"
    pad_token_id: int = 0
    eos_token_id: int | tuple[int, ...] | None = 2
    labels: tuple[str, ...] = ("LABEL_0", "LABEL_1")
    problem_type: ProblemType | None = None

    def __post_init__(self) -> None:
        """Refuse what no model can be built from."""
        for name in _POSITIVE_FIELDS:
            _require(getattr(self, name) > 0, name, f"must be positive, is {getattr(self, name)}")
        for name in ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout"):
            value = getattr(self, name)
            _require(value is None or 0 <= value < 1, name, f"must be at least 0 and below 1, is {value}")
        _require(self.num_hidden_layers <= _MOST_LAYERS, "num_hidden_layers", f"must be at most {_MOST_LAYERS}")
        _require(self.num_random_blocks >= 0, "num_random_blocks", f"must not be negative, is {self.num_random_blocks}")
        _require(
            self.hidden_size % self.num_attention_heads == 0,
            "hidden_size",
            f"{self.hidden_size} is not divisible by num_attention_heads {self.num_attention_heads}",
        )
        _require_choice(self.attention_type, get_args(AttentionType), "attention_type")
        if self.problem_type is not None:
            _require_choice(self.problem_type, get_args(ProblemType), "problem_type")
        _require(
            0 <= self.pad_token_id < self.vocab_size,
            "pad_token_id",
            f"{self.pad_token_id} is outside the vocabulary of {self.vocab_size}",
        )
        _require(len(self.labels) > 0, "id2label", "must name at least one label")
        _require_choice(self.token_types, get_args(TokenTypes), "token_types")
        _require(
            self.token_types != "case" or self.type_vocab_size >= CASE_TYPES,
            "type_vocab_size",
            f"must be at least {CASE_TYPES} for token_types case, is {self.type_vocab_size}",
        )

    def require_task(self, task: str) -> None:
        """Make sure that the token types are those of a task: their rows cannot tell case and segments at once.

        Raises:
            ConfigError: They tell the case of single texts, which only entity recognition gives them here.
        """
        _require(
            self.token_types != "case" or task == "ner",
            "token_types",
            f"case is for single texts in the task ner, not for {task}; take --task ner, or a checkpoint without case",
        )

    @property
    def head_dim(self) -> int:
        return self.hidden_size // self.num_attention_heads

    @property
    def always_full(self) -> bool:
        """Whether documents of every length use full attention: by configuration, or because none is long enough."""
        never_sparse = self.is_decoder or self.attention_type == "original_full"
        return never_sparse or self._longest_full >= self.max_position_embeddings

    @property
    def full_attention_edge(self) -> int:
        """Longest document, in tokens, that uses full attention (the whole range if it always does)."""
        return self.max_length if self.always_full else min(self._longest_full, self.max_length)

    @property
    def max_length(self) -> int:
        """Longest model input in tokens: whole blocks only, unless every length uses full attention."""
        if self.always_full:
            return self.max_position_embeddings
        return self.max_position_embeddings // self.block_size * self.block_size

    @property
    def end_ids(self) -> tuple[int, ...]:
        """Every id that ends a generated text."""
        if self.eos_token_id is None:
            return ()
        return (self.eos_token_id,) if isinstance(self.eos_token_id, int) else self.eos_token_id

    @property
    def _longest_full(self) -> int:
        return (5 + 2 * self.num_random_blocks) * self.block_size

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "BigBirdConfig":
        """Read the contents of a Hugging Face `config.json`; fields that are not ours are left aside.

        Raises:
            ConfigError: A field has the wrong type or a value that cannot work.
        """
        model_type = values.get("model_type", "big_bird")
        _require(
            model_type == "big_bird", "model_type", f"is {model_type!r:.80}; only big_bird and bert can be exported"
        )
        _require(
            not values.get("add_cross_attention", False),
            "add_cross_attention",
            "encoder-decoder models cannot be exported",
        )
        known = {field.name: field for field in fields(cls) if field.name != "labels"}
        chosen: dict[str, Any] = {
            name: _typed(name, values[name], field.type) for name, field in known.items() if name in values
        }
        return cls(**chosen, labels=_labels(values))

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as they stand in a Hugging Face `config.json`."""
        own = {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if field.name != "labels" and not (field.name in _OWN_FIELDS and getattr(self, field.name) == field.default)
        }
        if isinstance(self.eos_token_id, tuple):
            own["eos_token_id"] = list(self.eos_token_id)
        return {
            "model_type": "big_bird",
            **own,
            "id2label": {str(index): label for index, label in enumerate(self.labels)},
            "label2id": {label: index for index, label in enumerate(self.labels)},
        }


# Mistakes or malice beyond this: layers are objects, before any weight is missed.
_MOST_LAYERS = 1000
# Of any number: sizes beyond it could not be indexed, and infinity is none.
_LARGEST = 2**31 - 1
# Unknown to transformers: written only where they differ from what transformers does.
_OWN_FIELDS = (
    "classifier_activation",
    "qa_feed_forward",
    "qa_layer_norm_eps",
    "has_answer_types",
    "has_pooler",
    "token_types",
)
# Of transformers: it writes none where there are two without names.
_USUAL_LABELS = 2
_POSITIVE_FIELDS = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
    "type_vocab_size",
    "layer_norm_eps",
    "block_size",
)


def _require(condition: bool, field: str, problem: str) -> None:
    if not condition:
        raise ConfigError(f"{field}: {problem}")


def _require_choice(value: str, choices: tuple[str, ...], field: str) -> None:
    _require(value in choices, field, f"{value!r:.80} is not one of {', '.join(choices)}")


def _typed(name: str, value: object, annotation: object) -> object:
    """Check a JSON value against the field's annotation; integers are taken where floats are expected."""
    if value is None:
        if annotation in (float | None, str | None, ProblemType | None, int | tuple[int, ...] | None):
            return None
        if name == "pad_token_id":
            return 0
    elif annotation in (float, float | None):
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST:
            return float(value)
    elif annotation is bool:
        if isinstance(value, bool):
            return value
    elif annotation == int | tuple[int, ...] | None:
        ends = value if isinstance(value, list) else [value]
        if all(_is_whole(end) for end in ends):
            return ends[0] if len(ends) == 1 else tuple(ends)
    elif annotation is int:
        if _is_whole(value):
            return value
    elif isinstance(value, str):
        return value
    raise ConfigError(f"{name}: {value!r:.80} has the wrong type")


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _LARGEST


def _labels(values: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the labels as far as the fields name them, in the order of their numbers; the others are empty."""
    names = _numbered(values, "id2label")
    if values.get("label2id"):
        # Whoever writes a configuration by hand may fill in one of the two; transformers reads `id2label`.
        names = _numbered(values, "label2id") | names
    if not names:
        count = values.get("num_labels")
        if count is not None and (not _is_whole(count) or count > MOST_LABELS):
            raise ConfigError(f"num_labels: {count!r:.80} has the wrong type")
        return ("",) * max(count or _USUAL_LABELS, 1)
    return tuple(names.get(number, "") for number in range(max(names) + 1))


def _numbered(values: Mapping[str, Any], field: str) -> dict[int, str]:
    """Return the names that a field has for label numbers, without blank ones."""
    given = values.get(field)
    if given is None:
        return {}
    try:
        pairs = given.items() if field == "id2label" else [(number, name) for name, number in given.items()]
        names = {int(number): "" if name is None else str(name).strip() for number, name in pairs}
    except (AttributeError, TypeError, ValueError, OverflowError):
        problem = "label numbers to names" if field == "id2label" else "names to label numbers"
        raise ConfigError(f"{field}: must map {problem}; name the labels with --labels") from None
    if any("\ud800" <= character <= "\udfff" for name in names.values() for character in name):
        raise ConfigError(f"{field}: holds a name that is not valid Unicode")
    stray = next((number for number in names if not 0 <= number < MOST_LABELS), None)
    if stray is not None:
        raise ConfigError(f"{field}: {stray} is not an output's number, which is 0 to {MOST_LABELS - 1}")
    return {number: name for number, name in names.items() if name}
