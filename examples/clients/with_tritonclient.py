"""Ask the demo's models with `tritonclient[http]`: `python with_tritonclient.py [ADDRESS]`."""

import os
import sys
from typing import Any

import numpy as np
import tritonclient.http as triton

ADDRESS = (sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000").rstrip("/")
HEADERS = {"Authorization": f"Bearer {os.environ.get('BIGBIRD_API_KEY', 'none')}"}
TEXT = (
    "Visitors speak well of Takahashi House, which Diana Bianchi designed. Miareis Station is situated in Casablanca. "
    "Proteins were observed under the microscope."
)


def texts(name: str, *values: str) -> triton.InferInput:
    """Return texts as a tensor."""
    tensor = triton.InferInput(name, [len(values)], "BYTES")
    tensor.set_data_from_numpy(np.array([value.encode() for value in values], dtype=np.object_))
    return tensor


def ask(model: str, *inputs: triton.InferInput, **parameters: object) -> dict[str, Any]:
    """Return the answer's tensors for the only text: a row of each."""
    answer = client.infer(model, inputs, parameters=parameters, headers=HEADERS)
    return {output["name"]: answer.as_numpy(output["name"])[0] for output in answer.get_response()["outputs"]}


with triton.InferenceServerClient(ADDRESS.removeprefix("http://"), network_timeout=300) as client:
    question = texts("question", "Where can Miareis Station be found?")
    found = ask("demo-qa", question, texts("context", TEXT))
    print(f"{found['answer'].decode()} at {found['start']}-{found['end']}, {found['score']:.3f}")
    labels = ask("demo-classify", texts("text", TEXT), top_k=1)
    print(f"{labels['labels.label'][0].decode()}, {labels['labels.score'][0]:.3f}")
    entities = ask("demo-ner", texts("text", TEXT))
    columns = [entities[f"entities.{name}"] for name in ("entity", "text", "start", "end")]
    for entity, text, start, end in zip(*columns, strict=True):
        print(f"{entity.decode()}: {text.decode()} at {start}-{end}")
