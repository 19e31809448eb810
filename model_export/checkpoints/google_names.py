"""Where each of our tensors stands in a google-research checkpoint, as one table.

Variables of TensorFlow 1 below a scope, `bert` unless the model was trained with another. Kernels are `[in, out]`;
those of attention may also be factored, `[hidden, heads, head_dim]` and, for the output, `[heads, head_dim, hidden]`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from model_export.checkpoints.source_tensors import Layout, SourceTensor
from model_export.config import BigBirdConfig

Kind = Literal["table", "dense", "into heads", "out of heads", "norm"]
_Modules = dict[str, tuple[Kind, str]]

WORD_EMBEDDINGS = "embeddings/word_embeddings"

# Own module -> what it is, and its place below the scope.
_EMBEDDINGS: _Modules = {
    "embeddings.word": ("table", WORD_EMBEDDINGS),
    "embeddings.position": ("table", "embeddings/position_embeddings"),
    "embeddings.token_type": ("table", "embeddings/token_type_embeddings"),
    # Applied to the embeddings, before the first layer (core/encoder.py, EncoderStack.call, "postnorm").
    "embeddings.norm": ("norm", "encoder/LayerNorm"),
}
_LAYER: _Modules = {
    "attention.query": ("into heads", "attention/self/query"),
    "attention.key": ("into heads", "attention/self/key"),
    "attention.value": ("into heads", "attention/self/value"),
    "attention.output": ("out of heads", "attention/output/dense"),
    "attention.norm": ("norm", "attention/output/LayerNorm"),
    "feed_forward.widen": ("dense", "intermediate/dense"),
    "feed_forward.narrow": ("dense", "output/dense"),
    "feed_forward.norm": ("norm", "output/LayerNorm"),
}
_POOLER = "pooler/dense"
_HEADS: dict[str, _Modules] = {
    "classify": {"head.dense": ("dense", _POOLER), "head.output": ("dense", "classifier")},
    "next-sentence": {"head.pooler": ("dense", _POOLER)},
    "fill-mask": {},
    "embed": {"head.pooler": ("dense", _POOLER)},
}
# Outside the scope. The code writes the transform's variables without `cls/predictions/`, released files have it.
_MASKED_LM_BIAS = "cls/predictions/output_bias"
_TRANSFORMS = ("cls/predictions/transform/", "transform/")
_NEXT_SENTENCE = "cls/seq_relationship/output_"

_LAYOUTS: dict[tuple[Kind, int], Layout] = {("into heads", 3): "heads_out", ("out of heads", 3): "heads_in"}


@dataclass(frozen=True, slots=True)
class GoogleNames:
    """The names of one checkpoint's variables.

    Attributes:
        scope: What they begin with.
        shapes: Their shapes.
    """

    scope: str
    shapes: Mapping[str, tuple[int, ...]]

    @property
    def tasks(self) -> tuple[str, ...]:
        """Tasks that there are weights for, the one to take if none is asked for first."""
        has_pooler = self.has_pooler
        return (
            *(("classify",) if has_pooler and self.at("classifier/kernel") in self.shapes else ()),
            *(("fill-mask",) if _MASKED_LM_BIAS in self.shapes else ()),
            *(("next-sentence",) if has_pooler and f"{_NEXT_SENTENCE}weights" in self.shapes else ()),
            "embed",
        )

    @property
    def has_pooler(self) -> bool:
        return self.at(f"{_POOLER}/kernel") in self.shapes

    @property
    def ignorable(self) -> tuple[str, ...]:
        """Prefixes of what some task's head does not read."""
        return (self.at("pooler/"), self.at("classifier/"), "cls/predictions/", _NEXT_SENTENCE, "transform/")

    def at(self, place: str) -> str:
        """Return the full name of a place below the scope."""
        return f"{self.scope}/{place}" if self.scope else place

    def without_bias(self, config: BigBirdConfig) -> list[str]:
        """Return the biases that a model trained without `use_bias` lacks and ours has.

        transformers leaves out those of query, key and value, google-research that of attention's output too.
        """
        places = (f"encoder/layer_{layer}/attention/output/dense/bias" for layer in range(config.num_hidden_layers))
        return [] if config.use_bias else [self.at(place) for place in places if self.at(place) not in self.shapes]

    def table(self, task: str, config: BigBirdConfig) -> dict[str, SourceTensor]:
        """Return, for each tensor of our model, where it stands."""
        names: dict[str, SourceTensor] = {}
        for own, (kind, place) in self._modules(task, config):
            if kind == "table":
                names[f"{own}.weight"] = SourceTensor(place)
            elif kind == "norm":
                names[f"{own}.weight"] = SourceTensor(f"{place}/gamma")
                names[f"{own}.bias"] = SourceTensor(f"{place}/beta")
            else:
                rank = len(self.shapes.get(f"{place}/kernel", ()))
                names[f"{own}.weight"] = SourceTensor(f"{place}/kernel", _LAYOUTS.get((kind, rank), "transposed"))
                if kind != "into heads" or config.use_bias:
                    names[f"{own}.bias"] = SourceTensor(f"{place}/bias", "flat")
        if task == "next-sentence":
            names["head.output.weight"] = SourceTensor(f"{_NEXT_SENTENCE}weights")  # lies as ours
            names["head.output.bias"] = SourceTensor(f"{_NEXT_SENTENCE}bias")
        if task == "fill-mask":
            names |= self._masked_lm()
        return names

    def _modules(self, task: str, config: BigBirdConfig) -> Iterator[tuple[str, tuple[Kind, str]]]:
        for own, (kind, place) in _EMBEDDINGS.items():
            yield own, (kind, self.at(place))
        for layer in range(config.num_hidden_layers):
            for own, (kind, place) in _LAYER.items():
                yield f"encoder.layers.{layer}.{own}", (kind, self.at(f"encoder/layer_{layer}/{place}"))
        if task != "embed" or config.has_pooler:
            for own, (kind, place) in _HEADS[task].items():
                yield own, (kind, self.at(place))

    def _masked_lm(self) -> dict[str, SourceTensor]:
        transform = next((prefix for prefix in _TRANSFORMS if f"{prefix}kernel" in self.shapes), _TRANSFORMS[0])
        return {
            "head.transform.dense.weight": SourceTensor(f"{transform}kernel", "transposed"),
            "head.transform.dense.bias": SourceTensor(f"{transform}bias"),
            "head.transform.norm.weight": SourceTensor(f"{transform}gamma"),
            "head.transform.norm.bias": SourceTensor(f"{transform}beta"),
            "head.decoder_bias": SourceTensor(_MASKED_LM_BIAS),
        }
