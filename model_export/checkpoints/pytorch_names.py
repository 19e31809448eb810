"""Where each of our tensors stands in a Hugging Face PyTorch checkpoint, as one table."""

from collections.abc import Iterator

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
_HEAD_MODULES = {
    "qa": {
        "head.feed_forward.widen": "qa_classifier.intermediate.dense",
        "head.feed_forward.narrow": "qa_classifier.output.dense",
        "head.feed_forward.norm": "qa_classifier.output.LayerNorm",
        "head.output": "qa_classifier.qa_outputs",
    },
    "classify": {"head.dense": "classifier.dense", "head.output": "classifier.out_proj"},
    "ner": {"head.output": "classifier"},
}
_WITHOUT_BIAS = {"embeddings.word", "embeddings.position", "embeddings.token_type"}
_QUERY_KEY_VALUE = ("attention.query", "attention.key", "attention.value")


def huggingface_names(task: str, config: BigBirdConfig) -> dict[str, str]:
    """Return, for each tensor of our model, its name in a Hugging Face checkpoint."""
    names: dict[str, str] = {}
    for own, source in _modules(task, config):
        names[f"{own}.weight"] = f"{source}.weight"
        if own not in _WITHOUT_BIAS and (config.use_bias or not own.endswith(_QUERY_KEY_VALUE)):
            names[f"{own}.bias"] = f"{source}.bias"
    return names


def _modules(task: str, config: BigBirdConfig) -> Iterator[tuple[str, str]]:
    yield from _EMBEDDING_MODULES.items()
    for layer in range(config.num_hidden_layers):
        for own, source in _LAYER_MODULES.items():
            yield f"encoder.layers.{layer}.{own}", f"bert.encoder.layer.{layer}.{source}"
    yield from _HEAD_MODULES[task].items()
