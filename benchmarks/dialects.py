"""What a request costs more when it is asked in another service's terms: processor time beside the native form.

    python -m benchmarks.dialects           200 requests of every form; a table in benchmarks/results
    python -m benchmarks.dialects --quick   20

The application runs in this process, and answers from noise in place of a model (`benchmarks.host_work`). Texts have
1,000 tokens. The forms of a task take turns, so that whatever else the machine does meets all of them.
"""

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import httpx

from benchmarks.host_work import VOCABULARY, documents, noise_model
from benchmarks.report import QUICK_RESULTS, RESULTS, Row, write_report
from bigbird_inference.loaded_model import LoadedModel
from bigbird_inference.manifest import TaskName
from service.app import create_app
from service.settings import load_settings

TOKENS = 1_000
_QUESTION = "Who signed?"
_REQUESTS = 200
_UNCOUNTED = 10
_TEXTS = 20

Request = tuple[str, Mapping[str, Any]]
"""A path, and the body that is sent there."""


def forms_of(task: TaskName, text: str) -> dict[str, Request]:
    """Return the same request in every form that asks for the same, the native one first."""
    tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "data": [text]}
    match task:
        case "qa":
            pair = {"question": _QUESTION, "context": text}
            tensors = [{**tensor, "name": name, "data": [value]} for name, value in pair.items()]
            return {
                "native": ("/qa", {**pair, "max_answer_tokens": 15, "no_answer": False}),
                "Hugging Face": ("/qa", {"inputs": pair}),
                "Hugging Face, by model": ("/models/qa", {"inputs": pair}),
                "tensors": ("/v2/models/qa/infer", {"inputs": tensors, "outputs": [{"name": "json"}]}),
            }
        case "ner":
            return {
                "native": ("/ner", {"text": text}),
                "Hugging Face": ("/ner", {"inputs": text}),
                "Hugging Face, by model": ("/models/ner", {"inputs": text}),
                "tensors": ("/v2/models/ner/infer", {"inputs": [tensor], "outputs": [{"name": "json"}]}),
            }
        case "embed":
            return {
                "native": ("/embed", {"text": text}),
                "Hugging Face and Text Embeddings Inference": ("/embed", {"inputs": text}),
                "OpenAI, float": ("/v1/embeddings", {"input": text, "model": "embed"}),
                "OpenAI, base64": ("/v1/embeddings", {"input": text, "model": "embed", "encoding_format": "base64"}),
                "tensors": ("/v2/models/embed/infer", {"inputs": [tensor], "outputs": [{"name": "embedding"}]}),
            }
        case _:
            return {
                "native": ("/classify", {"text": text}),
                "Hugging Face": ("/classify", {"inputs": text}),
                "Hugging Face, by model": ("/models/classify", {"inputs": text}),
                "Text Embeddings Inference": ("/predict", {"inputs": text}),
                "tensors": ("/v2/models/classify/infer", {"inputs": [tensor]}),
            }


async def measure(model: LoadedModel, requests: Sequence[Mapping[str, Request]], count: int) -> dict[str, float]:
    """Return the median processor time of each form in milliseconds, all threads together.

    Args:
        model: Served alone.
        requests: The forms of each text.
        count: Requests of each form.
    """
    seconds: dict[str, list[float]] = {form: [] for form in requests[0]}
    app = create_app(load_settings(warm_up_seconds=0), {model.name: model})
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client,
    ):
        await app.state.serving.warmed()
        for number in range(_UNCOUNTED + count):
            for form, (path, body) in requests[number % len(requests)].items():
                content = json.dumps(body).encode()
                began = time.process_time()
                response = await client.post(path, content=content, headers={"Content-Type": "application/json"})
                seconds[form].append(time.process_time() - began)
                response.raise_for_status()
    return {form: median(measured[_UNCOUNTED:]) * 1000 for form, measured in seconds.items()}


NOTES = (
    "Documents of 1,000 tokens. `ms` is the processor time of one request in the whole process, client and "
    "application, with noise in place of a model: the median of the requests, the forms of a task in turns.",
    "`more than native, ms`: negative where the form's answer is shorter than the native one, as pipelines leave out "
    "what a request cost.",
)


def main() -> None:
    """Measure and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="20 requests of each form")
    arguments = parser.parse_args()
    rows: list[Row] = []
    tasks: tuple[TaskName, ...] = ("classify", "qa", "ner", "embed")
    with tempfile.TemporaryDirectory() as made:
        for task in tasks:
            model = noise_model(task, VOCABULARY, Path(made))
            texts = documents(model.task, 0, TOKENS)[:_TEXTS]
            requests = [forms_of(task, text) for text in texts]
            found = asyncio.run(measure(model, requests, 20 if arguments.quick else _REQUESTS))
            rows += [
                {"task": task, "form": form, "ms": spent, "more than native, ms": spent - found["native"]}
                for form, spent in found.items()
            ]
    folder = QUICK_RESULTS if arguments.quick else RESULTS
    write_report("dialects", "What other services' terms cost", rows, NOTES, folder=folder)


if __name__ == "__main__":
    main()
