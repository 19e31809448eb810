"""Where each of our tensors stands in a Flax checkpoint of Hugging Face transformers, as one table.

Flax joins the names of nested modules; with `/` between them they read like paths. Its dense kernels are `[in, out]`,
its embeddings are called `embedding` and its normalisations' weights `scale`.
"""

from collections.abc import Iterator
from typing import Literal

from model_export.checkpoints.source_tensor import SourceTensor
from model_export.config import BigBirdConfig

Kind = Literal["embedding", "dense", "norm"]
_Modules = dict[str, tuple[Kind, str]]

# Own module -> what it is, and the Flax module.
_EMBEDDINGS: _Modules = {
    "embeddings.word": ("embedding", "bert/embeddings/word_embeddings"),
    "embeddings.position": ("embedding", "bert/embeddings/position_embeddings"),
    "embeddings.token_type": ("embedding", "bert/embeddings/token_type_embeddings"),
    "embeddings.norm": ("norm", "bert/embeddings/LayerNorm"),
}
_LAYER: _Modules = {
    "attention.query": ("dense", "attention/self/query"),
    "attention.key": ("dense", "attention/self/key"),
    "attention.value": ("dense", "attention/self/value"),
    "attention.output": ("dense", "attention/output/dense"),
    "attention.norm": ("norm", "attention/output/LayerNorm"),
    "feed_forward.widen": ("dense", "intermediate/dense"),
    "feed_forward.narrow": ("dense", "output/dense"),
    "feed_forward.norm": ("norm", "output/LayerNorm"),
}
_POOLER: _Modules = {"head.pooler": ("dense", "bert/pooler")}
_LANGUAGE_MODEL: _Modules = {
    "head.transform.dense": ("dense", "cls/predictions/transform/dense"),
    "head.transform.norm": ("norm", "cls/predictions/transform/LayerNorm"),
}
_HEADS: dict[str, _Modules] = {
    "qa": {
        "head.feed_forward.widen": ("dense", "qa_classifier/intermediate/dense"),
        "head.feed_forward.narrow": ("dense", "qa_classifier/output/dense"),
        "head.feed_forward.norm": ("norm", "qa_classifier/output/LayerNorm"),
        "head.output": ("dense", "qa_classifier/qa_outputs"),
    },
    "classify": {
        "head.dense": ("dense", "classifier/dense"),
        "head.output": ("dense", "classifier/out_proj"),
    },
    "ner": {"head.output": ("dense", "classifier")},
    "fill-mask": _LANGUAGE_MODEL,
    "generate": _LANGUAGE_MODEL,
    "next-sentence": {**_POOLER, "head.output": ("dense", "cls/seq_relationship")},
    "multiple-choice": {**_POOLER, "head.output": ("dense", "classifier")},
    "embed": _POOLER,
}
_DECODER_BIAS = SourceTensor("cls/predictions/bias")
_DECODER_WEIGHT = SourceTensor("cls/predictions/decoder/kernel", "transposed")
_QUERY_KEY_VALUE = ("attention.query", "attention.key", "attention.value")

IGNORABLE = (
    "bert/pooler/",
    "cls/predictions/",
    "cls/predictions/decoder/",  # a copy of the word embeddings where they are tied
    "cls/seq_relationship/",
    "classifier/",
    "qa_classifier/",
)
"""Parts of a checkpoint that some task's head does not read."""


def flax_names(task: str, config: BigBirdConfig) -> dict[str, SourceTensor]:
    """Return, for each tensor of our model, where it stands in a Flax checkpoint."""
    names: dict[str, SourceTensor] = {}
    for own, (kind, source) in _modules(task, config):
        match kind:
            case "embedding":
                names[f"{own}.weight"] = SourceTensor(f"{source}/embedding")
            case "norm":
                names[f"{own}.weight"] = SourceTensor(f"{source}/scale")
                names[f"{own}.bias"] = SourceTensor(f"{source}/bias")
            case "dense":
                names[f"{own}.weight"] = SourceTensor(f"{source}/kernel", "transposed")
                if config.use_bias or not own.endswith(_QUERY_KEY_VALUE):
                    names[f"{own}.bias"] = SourceTensor(f"{source}/bias")
    if _HEADS[task] is _LANGUAGE_MODEL:
        names["head.decoder_bias"] = _DECODER_BIAS
        if not config.tie_word_embeddings:
            names["head.decoder_weight"] = _DECODER_WEIGHT
    return names


def _modules(task: str, config: BigBirdConfig) -> Iterator[tuple[str, tuple[Kind, str]]]:
    yield from _EMBEDDINGS.items()
    for layer in range(config.num_hidden_layers):
        for own, (kind, source) in _LAYER.items():
            yield f"encoder.layers.{layer}.{own}", (kind, f"bert/encoder/layer/{layer}/{source}")
    if task != "embed" or config.has_pooler:
        yield from _HEADS[task].items()
