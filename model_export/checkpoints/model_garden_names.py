"""Where each of our tensors stands in a checkpoint of TensorFlow Model Garden, as one table.

Names are paths of objects: Keras numbers the layers of a model that have weights. An encoder's are word, position and
type embeddings, their normalisation, one for each transformer layer and, in the encoders that Model Garden builds from
its configuration files (`EncoderScaffold`), the pooler. A head stands beside the encoder, or on it by a name.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from model_export.checkpoints.source_tensors import SourceTensor
from model_export.config import BigBirdConfig

Kind = Literal["dense", "into heads", "out of heads", "norm"]
_Modules = dict[str, tuple[Kind, str]]

# Numbers of an encoder's layers.
_WORD, _POSITION, _TYPE, _NORM, _FIRST_TRANSFORMER = range(5)

# Own module -> what it is, and its place in a transformer layer.
_LAYER: _Modules = {
    "attention.query": ("into heads", "_attention_layer/_query_dense"),
    "attention.key": ("into heads", "_attention_layer/_key_dense"),
    "attention.value": ("into heads", "_attention_layer/_value_dense"),
    "attention.output": ("out of heads", "_attention_layer/_output_dense"),
    "attention.norm": ("norm", "_attention_layer_norm"),
    "feed_forward.widen": ("dense", "_intermediate_dense"),
    "feed_forward.narrow": ("dense", "_output_dense"),
    "feed_forward.norm": ("norm", "_output_layer_norm"),
}
# The same for the layers of the heads.
_SPAN_LABELER: _Modules = {"head.output": ("dense", "layer_with_weights-0")}
_TRIVIA_QA: _Modules = {
    "head.feed_forward.widen": ("dense", "_intermediate_dense"),
    "head.feed_forward.narrow": ("dense", "_output_dense"),
    "head.feed_forward.norm": ("norm", "_output_layer_norm"),
    "head.output": ("dense", "_logits_dense"),
}
_TOKEN_CLASSIFIER: _Modules = {"head.output": ("dense", "")}
_CLASSIFIER: _Modules = {"head.dense": ("dense", "dense"), "head.output": ("dense", "out_proj")}
_MASKED_LM: _Modules = {"head.transform.dense": ("dense", "dense"), "head.transform.norm": ("norm", "layer_norm")}
_MASKED_LM_BIAS = "output_bias/bias"
_EMBEDDING_TABLE = "embedding_table"  # the masked LM's own way to the word embeddings

# By these variables, outside the encoder, a head is known: what stands before is the head's place.
_MARKS: dict[str, re.Pattern[str]] = {
    "classify": re.compile(r"(.*layer_with_weights-\d+|.*classifier)/out_proj/kernel"),
    "trivia-qa": re.compile(r"(.*)/_logits_dense/kernel"),
    "qa": re.compile(r"(.*layer_with_weights-1|.*span_labeling)/layer_with_weights-0/kernel"),
    "ner": re.compile(r"(.*layer_with_weights-1|.*classifier)/kernel"),
    "fill-mask": re.compile(rf"(.*)/{_MASKED_LM_BIAS}"),
}
_ENCODER_MARK = re.compile(rf"(.*?)/?layer_with_weights-{_FIRST_TRANSFORMER}/_attention_layer/_query_dense/kernel")


@dataclass(frozen=True, slots=True)
class ModelGardenNames:
    """The names of one checkpoint's variables.

    Attributes:
        encoder: The encoder's place; empty if it is the root.
        shapes: Shapes of all variables.
    """

    encoder: str
    shapes: Mapping[str, tuple[int, ...]]

    @property
    def layers(self) -> int:
        """Number of transformer layers."""
        number = 0
        while self.transformer(number, "_attention_layer/_query_dense/kernel") in self.shapes:
            number += 1
        return number

    @property
    def heads(self) -> dict[str, str]:
        """Places of the heads, by the names in `_MARKS`."""
        outside = [name for name in self.shapes if not self._is_in_encoder(name)]
        return {head: match[1] for head, mark in _MARKS.items() for name in outside if (match := mark.fullmatch(name))}

    @property
    def tasks(self) -> tuple[str, ...]:
        """Tasks that there are weights for, the one to take if none is asked for first."""
        heads = dict.fromkeys("qa" if head == "trivia-qa" else head for head in self.heads)
        if "classify" in heads and self._classifier_dense is None:
            del heads["classify"]
        return (*heads, "embed")

    @property
    def has_trivia_qa_head(self) -> bool:
        return "trivia-qa" in self.heads

    @property
    def pooler(self) -> str:
        """Place of the encoder's pooler, whether it has one or not."""
        return self.at(_FIRST_TRANSFORMER + self.layers)

    @property
    def has_pooler(self) -> bool:
        return f"{self.pooler}/kernel" in self.shapes

    @property
    def ignorable(self) -> tuple[str, ...]:
        """Prefixes of what some task's head does not read: everything that is not the encoder's, and its pooler."""
        others = {name for name in self.shapes if not self._is_in_encoder(name) and not name.endswith(_EMBEDDING_TABLE)}
        return (f"{self.pooler}/", *sorted(others))

    @property
    def word_embeddings(self) -> str:
        """Name of the table of word embeddings, which a masked LM shares."""
        usual = f"{self.at(_WORD)}/embeddings"
        shared = (name for name in self.shapes if name.endswith(f"/{_EMBEDDING_TABLE}"))
        return usual if usual in self.shapes else next(shared, usual)

    @property
    def position_embeddings(self) -> str:
        return f"{self.at(_POSITION)}/embeddings"

    @property
    def type_embeddings(self) -> str:
        return f"{self.at(_TYPE)}/embeddings"

    def at(self, number: int) -> str:
        """Return the place of the encoder's layer of that number."""
        return _joined(self.encoder, f"layer_with_weights-{number}")

    def transformer(self, layer: int, place: str) -> str:
        """Return the full name of a place in a transformer layer."""
        return f"{self.at(_FIRST_TRANSFORMER + layer)}/{place}"

    def table(self, task: str, config: BigBirdConfig) -> dict[str, SourceTensor]:
        """Return, for each tensor of our model, where it stands."""
        names = {
            "embeddings.word.weight": SourceTensor(self.word_embeddings),
            "embeddings.position.weight": SourceTensor(self.position_embeddings),
            "embeddings.token_type.weight": SourceTensor(self.type_embeddings),
        }
        for own, (kind, place) in self._modules(task, config):
            match kind:
                case "norm":
                    names[f"{own}.weight"] = SourceTensor(f"{place}/gamma")
                    names[f"{own}.bias"] = SourceTensor(f"{place}/beta")
                case "dense":
                    names[f"{own}.weight"] = SourceTensor(f"{place}/kernel", "transposed")
                    names[f"{own}.bias"] = SourceTensor(f"{place}/bias")
                case "into heads":
                    names[f"{own}.weight"] = SourceTensor(f"{place}/kernel", "heads_out")
                    names[f"{own}.bias"] = SourceTensor(f"{place}/bias", "flat")
                case "out of heads":
                    names[f"{own}.weight"] = SourceTensor(f"{place}/kernel", "heads_in")
                    names[f"{own}.bias"] = SourceTensor(f"{place}/bias")
        if task == "fill-mask":
            names["head.decoder_bias"] = SourceTensor(f"{self.heads['fill-mask']}/{_MASKED_LM_BIAS}")
        return names

    def _modules(self, task: str, config: BigBirdConfig) -> Iterator[tuple[str, tuple[Kind, str]]]:
        yield "embeddings.norm", ("norm", self.at(_NORM))
        for layer in range(config.num_hidden_layers):
            for own, (kind, place) in _LAYER.items():
                yield f"encoder.layers.{layer}.{own}", (kind, self.transformer(layer, place))
        if task != "embed":
            yield from self._head(task).items()
        elif config.has_pooler:
            yield "head.pooler", ("dense", self.pooler)

    def _head(self, task: str) -> _Modules:
        """Return the modules of a task's head with their full names."""
        heads = self.heads
        if task == "qa" and self.has_trivia_qa_head:
            return _below(heads["trivia-qa"], _TRIVIA_QA)
        modules = {
            "qa": _SPAN_LABELER,
            "ner": _TOKEN_CLASSIFIER,
            "classify": _CLASSIFIER,
            "fill-mask": _MASKED_LM,
        }[task]
        own = _below(heads[task], modules)
        if task == "classify" and self._classifier_dense:
            own["head.dense"] = ("dense", self._classifier_dense)
        return own

    @property
    def _classifier_dense(self) -> str | None:
        """Place of the dense layer before a classifier's logits: its own, or the encoder's pooler."""
        own = f"{self.heads['classify']}/dense"
        return own if f"{own}/kernel" in self.shapes else self.pooler if self.has_pooler else None

    def _is_in_encoder(self, name: str) -> bool:
        numbers = range(_FIRST_TRANSFORMER + self.layers + self.has_pooler)
        return any(name.startswith(f"{self.at(number)}/") for number in numbers)


def find_encoders(shapes: Mapping[str, tuple[int, ...]]) -> list[ModelGardenNames]:
    """Return the encoders that the variables make up; one, in a checkpoint that can be exported."""
    places = [match[1] for name in shapes if (match := _ENCODER_MARK.fullmatch(name))]
    return [ModelGardenNames(place, shapes) for place in places]


def _joined(*parts: str) -> str:
    return "/".join(part for part in parts if part)


def _below(place: str, modules: _Modules) -> _Modules:
    return {own: (kind, _joined(place, name)) for own, (kind, name) in modules.items()}
