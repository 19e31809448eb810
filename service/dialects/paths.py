"""In whose terms a request is, by its path: known before its body is read, and of those that are refused before that.

A task's own path has the native form and that of Hugging Face; which of them it is, the body tells.
"""

from service.api.request_state import OPENAI_EMBEDDINGS, V2
from service.telemetry.request_record import Dialect

_DIALECTS: dict[str, Dialect] = {
    OPENAI_EMBEDDINGS: "openai",
    **dict.fromkeys(("/v1/rerank", "/v2/rerank"), "rerank"),
    **dict.fromkeys(("/predict", "/similarity", "/tokenize", "/decode", "/info", "/rerank"), "tei"),
}


def dialect_of(method: str, path: str) -> Dialect:
    """Return the dialect of a request."""
    if path in _DIALECTS:
        return _DIALECTS[path]
    if path == V2 or path.startswith(f"{V2}/"):
        return "open_inference"
    return "huggingface" if method == "POST" and (path == "/" or path.startswith("/models/")) else "native"
