"""Where each of our tensors stands in a Hugging Face PyTorch checkpoint, as one table."""

from collections.abc import Iterator, Mapping

import torch

from model_export.checkpoints.source_tensor import SourceTensor
from model_export.config import BigBirdConfig

# Own module -> Hugging Face module; each stands for its `weight` and, where there is one, its `bias`.
_EMBEDDING_MODULES = {
    "embeddings.word": "bert.embeddings.word_embeddings",
    "embeddings.position": "bert.embeddings.position_embeddings",
    "embeddings.token_type": "bert.embeddings.token_type_embeddings",
    "embeddings.norm": "bert.embeddings.LayerNorm",
}
_LAYER_MODULES = {
    "attention.query": "attention.self.query",
    "attention.key": "attention.self.key",
    "attention.value": "attention.self.value",
    "attention.output": "attention.output.dense",
    "attention.norm": "attention.output.LayerNorm",
    "feed_forward.widen": "intermediate.dense",
    "feed_forward.narrow": "output.dense",
    "feed_forward.norm": "output.LayerNorm",
}
_POOLER = {"head.pooler": "bert.pooler"}
_LANGUAGE_MODEL = {
    "head.transform.dense": "cls.predictions.transform.dense",
    "head.transform.norm": "cls.predictions.transform.LayerNorm",
}
_QUESTION_ANSWERING = {
    "head.feed_forward.widen": "qa_classifier.intermediate.dense",
    "head.feed_forward.narrow": "qa_classifier.output.dense",
    "head.feed_forward.norm": "qa_classifier.output.LayerNorm",
    "head.output": "qa_classifier.qa_outputs",
}
_HEAD_MODULES = {
    "qa": _QUESTION_ANSWERING,
    "classify": {"head.dense": "classifier.dense", "head.output": "classifier.out_proj"},
    "ner": {"head.output": "classifier"},
    "fill-mask": _LANGUAGE_MODEL,
    "generate": _LANGUAGE_MODEL,
    "next-sentence": {**_POOLER, "head.output": "cls.seq_relationship"},
    "multiple-choice": {**_POOLER, "head.output": "classifier"},
    "embed": _POOLER,
}
# Own tensors that are no module's weight or bias.
_TIED_DECODER = {"head.decoder_bias": "cls.predictions.bias"}
_SEPARATE_DECODER = {
    "head.decoder_bias": "cls.predictions.decoder.bias",
    "head.decoder_weight": "cls.predictions.decoder.weight",
}
_WITHOUT_BIAS = {"embeddings.word", "embeddings.position", "embeddings.token_type"}
_QUERY_KEY_VALUE = ("attention.query", "attention.key", "attention.value")

IGNORABLE = (
    "bert.pooler.",
    "bert.embeddings.position_ids",
    "bert.embeddings.token_type_ids",
    "cls.predictions.",
    "cls.predictions.bias",
    "cls.predictions.decoder.",
    "cls.seq_relationship.",
    "classifier.",
    "qa_classifier.",
)
"""Parts of a checkpoint that some task's head does not read."""


def huggingface_names(task: str, config: BigBirdConfig) -> dict[str, SourceTensor]:
    """Return, for each tensor of our model, where it stands in a Hugging Face checkpoint."""
    names: dict[str, SourceTensor] = {}
    for own, source in _modules(task, config):
        names[f"{own}.weight"] = SourceTensor(f"{source}.weight")
        if own not in _WITHOUT_BIAS and (config.use_bias or not own.endswith(_QUERY_KEY_VALUE)):
            names[f"{own}.bias"] = SourceTensor(f"{source}.bias")
    if task in ("fill-mask", "generate"):
        decoder = _TIED_DECODER if config.tie_word_embeddings else _SEPARATE_DECODER
        names |= {own: SourceTensor(source) for own, source in decoder.items()}
    return names


def with_encoder_prefix(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the tensors with the prefix `bert.` that an encoder saved without a head lacks."""
    if any(name.startswith("bert.") for name in tensors):
        return dict(tensors)
    return {f"bert.{name}": tensor for name, tensor in tensors.items()}


def _modules(task: str, config: BigBirdConfig) -> Iterator[tuple[str, str]]:
    yield from _EMBEDDING_MODULES.items()
    for layer in range(config.num_hidden_layers):
        for own, source in _LAYER_MODULES.items():
            yield f"encoder.layers.{layer}.{own}", f"bert.encoder.layer.{layer}.{source}"
    if task == "embed" and not config.has_pooler:
        return
    yield from _HEAD_MODULES[task].items()
