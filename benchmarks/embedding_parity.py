"""Compare `/embed` with sentence-transformers, which has to be installed where this runs.

    python -m benchmarks.embedding_parity --checkpoint real-models/real-embed --url http://127.0.0.1:8000

The server has to serve a bundle of that checkpoint. The texts are passages of this project's documentation, of 5 to 500
tokens as the model counts them; sentence-transformers gets its `max_seq_length` raised to the 512 that the model has.
"""

import argparse
import json
import sys
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

DOCS = Path(__file__).resolve().parents[1] / "docs"
SHORTEST, LONGEST, MODEL_LENGTH = 5, 500, 512


def passages(count: int, tokenize: Any) -> list[str]:
    """Return passages of the documentation, the first the shortest, the last the longest.

    Args:
        count: How many.
        tokenize: Returns the tokens of a text.
    """
    # To sentence-transformers, "[SEP]" in a text is a token that steers the model; here it is five characters.
    pages = [page.read_text(encoding="utf-8").replace("[", "(").split() for page in sorted(DOCS.glob("*.md"))]
    texts = []
    for number, wanted in enumerate(np.linspace(SHORTEST, LONGEST, count).astype(int)):
        words = pages[number % len(pages)]
        start = number * 37 % max(len(words) - LONGEST, 1)
        end = start + 1
        while end < len(words) and len(tokenize(" ".join(words[start : end + 1]))) <= wanted:
            end += 1
        texts.append(" ".join(words[start:end]))
    return texts


def served(url: str, model: str | None, texts: list[str]) -> npt.NDArray[np.float64]:
    """Return what a server answers, `[texts, width]`."""
    vectors = []
    for text in texts:
        body = json.dumps({"text": text} | ({} if model is None else {"model": model})).encode()
        request = urllib.request.Request(f"{url}/embed", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=300) as answer:
            vectors.append(json.load(answer)["embedding"])
    return np.array(vectors)


def main() -> int:
    """Print how alike the vectors are; return 1 if any two are less alike than is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True, help="folder of the sentence-transformers model")
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--model", help="the bundle's name, where the server has several")
    parser.add_argument("--texts", type=int, default=100)
    parser.add_argument("--least", type=float, default=0.99999, help="smallest cosine that is accepted")
    arguments = parser.parse_args()
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError:
        parser.error("sentence-transformers is not installed; pip install sentence-transformers (in a venv of its own)")
    reference = SentenceTransformer(str(arguments.checkpoint), device="cpu", local_files_only=True)
    reference.max_seq_length = MODEL_LENGTH
    texts = passages(arguments.texts, reference.tokenizer.tokenize)
    expected = reference.encode(texts, batch_size=1, normalize_embeddings=True).astype(np.float64)
    found = served(arguments.url, arguments.model, texts)
    cosines = (expected * found).sum(axis=1) / np.linalg.norm(expected, axis=1) / np.linalg.norm(found, axis=1)
    lengths = [len(reference.tokenizer.tokenize(text)) for text in texts]
    print(
        f"{len(texts)} texts of {min(lengths)} to {max(lengths)} tokens: cosine at least {cosines.min():.9f}, "
        f"median {np.median(cosines):.9f}; largest difference of a number {np.abs(expected - found).max():.2e}"
    )
    return int(cosines.min() < arguments.least)


if __name__ == "__main__":
    sys.exit(main())
