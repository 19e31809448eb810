"""Search with an embedding model and `openai`: `python with_openai.py [ADDRESS] [MODEL]`."""

import os
import sys

from openai import OpenAI

ADDRESS = (sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000").rstrip("/")
MODEL = sys.argv[2] if len(sys.argv) > 2 else "embed"
QUERY = "Who surveyed the bridge?"
DOCUMENTS = ["Maria Okafor led the survey of the bridge.", "The court admitted the claim."]

with OpenAI(base_url=f"{ADDRESS}/v1", api_key=os.environ.get("BIGBIRD_API_KEY", "none")) as client:
    vectors = [one.embedding for one in client.embeddings.create(model=MODEL, input=[QUERY, *DOCUMENTS]).data]

# Vectors have the length 1, so this is their cosine.
query, *documents = vectors
scores = [sum(a * b for a, b in zip(query, document, strict=True)) for document in documents]
for score, text in sorted(zip(scores, DOCUMENTS, strict=True), reverse=True):
    print(f"{score:.3f} {text}")
