"""A model that can be asked, wherever it runs: behind a URL, or as a bundle in this process."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from bigbird_inference.addresses import is_loopback
from bigbird_inference.bundle import read_manifest
from bigbird_inference.errors import BundleError
from bigbird_inference.extras import install_command
from evaluation.errors import EvaluationError


@dataclass(frozen=True, slots=True)
class Target:
    """What is to be evaluated.

    Attributes:
        place: The folder of a bundle, or the URL of a server.
        model: Which of the server's models; None if one serves the task.
        api_key: Sent to servers as `Authorization: Bearer`.
    """

    place: str
    model: str | None = None
    api_key: str | None = None

    @property
    def remote(self) -> bool:
        """Whether it is a URL."""
        return self.place.startswith(("http://", "https://"))


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What the service says about a model."""

    name: str
    task: str
    labels: tuple[str, ...]
    problem_type: str | None
    precision: str
    max_length: int
    checkpoint: str


@dataclass(frozen=True, slots=True)
class Connection:
    """The way to a model that can be asked."""

    target: Target
    client: httpx.AsyncClient
    model: ModelInfo


async def find_model(target: Target, task: str) -> ModelInfo:
    """Find the model of a task, without loading anything.

    Raises:
        EvaluationError: There is no such server, bundle or model.
    """
    if target.remote:
        async with _remote_client(target) as client:
            return _choose(await _listed(client, target), target, task)
    try:
        manifest = read_manifest(Path(target.place))
    except (BundleError, OSError) as error:
        raise EvaluationError(str(error)) from error
    model = ModelInfo(
        name=Path(target.place).resolve().name,
        task=manifest.task,
        labels=tuple(manifest.labels),
        problem_type=manifest.problem_type,
        precision=manifest.precision,
        max_length=manifest.max_length,
        checkpoint=manifest.source.name,
    )
    return _choose([model], target, task)


@asynccontextmanager
async def connect(target: Target, model: ModelInfo) -> AsyncIterator[Connection]:
    """Open the way to a model; a bundle is loaded and warmed.

    Raises:
        EvaluationError: The bundle cannot be served.
    """
    async with _remote_client(target) if target.remote else _served(Path(target.place)) as client:
        yield Connection(target, client, model)


def _served(bundle: Path) -> AbstractAsyncContextManager[httpx.AsyncClient]:
    # Imported when it is needed: servers are measured without onnxruntime.
    try:
        from evaluation.bundle_service import serve_bundle
    except ModuleNotFoundError as error:
        raise EvaluationError(
            f"a bundle needs the package {error.name!r}, which is not installed: {install_command('evaluate', 'cpu')}"
        ) from error
    return serve_bundle(bundle)


def _remote_client(target: Target) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {target.api_key}"} if target.api_key else {}
    try:
        # A proxy of the environment is for hosts elsewhere; it would look for this machine's loopback on its own.
        here = is_loopback(httpx.URL(target.place).host)
        return httpx.AsyncClient(base_url=target.place, headers=headers, trust_env=not here)
    except (httpx.InvalidURL, ValueError) as error:
        raise EvaluationError(f"{target.place}: {error}") from error


async def _listed(client: httpx.AsyncClient, target: Target) -> list[ModelInfo]:
    try:
        response = await client.get("/v1/models")
    except httpx.HTTPError as error:
        raise EvaluationError(f"{target.place}: no answer: {error or type(error).__name__}") from error
    if response.status_code != httpx.codes.OK:
        raise EvaluationError(f"{target.place}: {explain(response)}")
    try:
        return [_model_info(body) for body in response.json()["models"]]
    except (ValueError, KeyError, TypeError) as error:
        raise EvaluationError(f"{target.place}: /v1/models does not answer as bigbird-serve does") from error


def _choose(models: Sequence[ModelInfo], target: Target, task: str) -> ModelInfo:
    candidates = [model for model in models if model.task == task and target.model in (None, model.name)]
    if len(candidates) == 1:
        return candidates[0]
    there = ", ".join(f"{model.name} ({model.task})" for model in models) or "none"
    if candidates:
        raise EvaluationError(f"{target.place}: several models serve {task}, name one of them; models there: {there}")
    wanted = f"no model for {task}" if target.model is None else f"no model {target.model!r} for {task}"
    raise EvaluationError(f"{target.place}: {wanted}; models there: {there}")


def _model_info(body: dict[str, Any]) -> ModelInfo:
    return ModelInfo(
        name=body["name"],
        task=body["task"],
        labels=tuple(body["labels"]),
        problem_type=body["problem_type"],
        precision=body["precision"],
        max_length=body["max_length"],
        checkpoint=body["source"]["name"],
    )


def explain(response: httpx.Response) -> str:
    """Return what a problem response says, in one line."""
    try:
        problem = response.json()
        said = f"{problem['title']}: {problem['detail']}"
    except (ValueError, KeyError, TypeError):
        said = response.text[:200] or response.reason_phrase
    return " ".join(f"{response.status_code} {said}".split())
