import torch

from demo.initialisation import initialise
from model_export.config import BigBirdConfig
from model_export.nn.encoder import Layer
from model_export.nn.model import build_model
from model_export.patterns.registry import get_pattern


def test_keys_start_as_queries_and_stay_weights_of_their_own() -> None:
    config = BigBirdConfig(
        vocab_size=32, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=1024
    )
    model = build_model(config, "qa", get_pattern("transformers"))
    initialise(model)
    for layer in model.encoder.layers:
        assert isinstance(layer, Layer)
        assert torch.equal(layer.attention.query.weight, layer.attention.key.weight)
        assert layer.attention.query.weight.data_ptr() != layer.attention.key.weight.data_ptr()
