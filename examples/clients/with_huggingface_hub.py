"""Ask the demo's models with `huggingface_hub`: `python with_huggingface_hub.py [ADDRESS]`."""

import os
import sys

from huggingface_hub import InferenceClient

ADDRESS = (sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000").rstrip("/")
# Given no token at all, the client sends the one of Hugging Face that is stored on this machine.
KEY = os.environ.get("BIGBIRD_API_KEY", "none")
TEXT = (
    "Visitors speak well of Takahashi House, which Diana Bianchi designed. Miareis Station is situated in Casablanca. "
    "Proteins were observed under the microscope."
)


def client(task: str) -> InferenceClient:
    """Return a client for one task: the address of a task takes the place of a model."""
    return InferenceClient(model=f"{ADDRESS}/{task}", token=KEY, timeout=300)


found = client("qa").question_answering(question="Where can Miareis Station be found?", context=TEXT)
# Several, where `top_k` asks for them.
found = found[0] if isinstance(found, list) else found
print(f"{found.answer} at {found.start}-{found.end}, {found.score:.3f}")
best = client("classify").text_classification(TEXT, top_k=1)[0]
print(f"{best.label}, {best.score:.3f}")
for entity in client("ner").token_classification(TEXT):
    print(f"{entity.entity_group}: {entity.word} at {entity.start}-{entity.end}")
