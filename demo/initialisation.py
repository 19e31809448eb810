"""First weights that let a small model learn to look things up.

Queries and keys start equal, so that a token attends to tokens like itself: the subject in the text finds the subject
in the question. Positions start as sinusoids, so that a token attends to its neighbours. Both are trained on.
"""

import math

import torch
from torch import nn

from demo.positions import sinusoids
from model_export.nn.encoder import Layer
from model_export.nn.model import BigBird

_EMBEDDING_SCALE = 0.1
_QUERY_KEY_GAIN = 1.5


@torch.no_grad()
def initialise(model: BigBird) -> None:
    """Set the first weights of a new model; random numbers come from torch's default generator."""
    hidden = model.config.hidden_size
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.5 / math.sqrt(module.in_features))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    nn.init.normal_(model.embeddings.word.weight, std=_EMBEDDING_SCALE)
    nn.init.normal_(model.embeddings.token_type.weight, std=_EMBEDDING_SCALE)
    model.embeddings.position.weight.copy_(_EMBEDDING_SCALE * sinusoids(model.config.max_position_embeddings, hidden))
    for layer in model.encoder.layers:
        assert isinstance(layer, Layer)
        nn.init.normal_(layer.attention.query.weight, std=_QUERY_KEY_GAIN * 0.6 / math.sqrt(hidden))
        layer.attention.key.weight.copy_(layer.attention.query.weight)
