"""`/v1/models`: which models there are, and, with the admin key, changing them while the server runs."""

from typing import Annotated

from fastapi import APIRouter, Path

from bigbird_inference.loaded_model import LoadedModel
from service.api.answer_schemas import (
    BucketBody,
    ModelBody,
    ModelsBody,
    ModelStateBody,
    SourceBody,
    UnloadedBody,
)
from service.api.answering import ServingDependency
from service.api.authentication import RequireAdmin, RequireKey
from service.api.problems import documented_problems
from service.models.model_folder import NAME_PATTERN
from service.models.served_models import ENDPOINTS

router = APIRouter(tags=["models"])

ModelName = Annotated[str, Path(pattern=NAME_PATTERN, description="Name of a folder directly in the folder of models.")]

_CHANGE_PROBLEMS = documented_problems(404, 405, 409, 422, 503)
_LOADING_PROBLEMS = documented_problems(404, 405, 409, 422, 500, 503, 507)


@router.get("/v1/models", summary="List the models", dependencies=[RequireKey])
async def models(serving: ServingDependency) -> ModelsBody:
    """Tell what each loaded model does and where it came from, and the state of every model that is known."""
    return ModelsBody(
        models=[_model_body(model) for _, model in sorted(serving.models.items())],
        states=[ModelStateBody.model_validate(state) for state in serving.model_states()],
    )


@router.post(
    "/v1/models/{name}/load",
    summary="Serve one more model",
    dependencies=[RequireAdmin],
    responses=_LOADING_PROBLEMS,
)
async def load(name: ModelName, serving: ServingDependency) -> ModelBody:
    """Load, check and warm a bundle beside what is served; answer once it serves."""
    return _model_body(await serving.changes.load(name))


@router.post(
    "/v1/models/{name}/reload",
    summary="Serve what is in a model's folder now",
    dependencies=[RequireAdmin],
    responses=_LOADING_PROBLEMS,
)
async def reload(name: ModelName, serving: ServingDependency) -> ModelBody:
    """Load, check and warm the bundle beside the old version, then let it take its place.

    Requests that the old version has accepted are answered by it. If anything fails, the old version goes on serving.
    """
    return _model_body(await serving.changes.reload(name))


@router.post(
    "/v1/models/{name}/unload",
    summary="Serve a model no longer",
    dependencies=[RequireAdmin],
    responses=_CHANGE_PROBLEMS,
)
async def unload(name: ModelName, serving: ServingDependency) -> UnloadedBody:
    """Refuse new requests for the model, and answer once it has finished those that it had accepted."""
    model = await serving.changes.unload(name)
    return UnloadedBody(name=model.name, version=model.version)


def _model_body(model: LoadedModel) -> ModelBody:
    manifest = model.manifest
    return ModelBody(
        name=model.name,
        version=model.version,
        task=manifest.task,
        endpoint=ENDPOINTS[manifest.task],
        labels=manifest.labels,
        problem_type=manifest.problem_type,
        max_length=manifest.max_length,
        block_size=manifest.block_size,
        pattern=manifest.pattern,
        precision=manifest.precision,
        pair_types=manifest.pair_types,
        buckets=[
            BucketBody(
                length=bucket.length,
                attention=bucket.attention,
                max_abs_difference=max(parity.max_abs_difference for parity in bucket.parity),
            )
            for bucket in manifest.buckets
        ],
        source=SourceBody.model_validate(manifest.source),
        versions=manifest.versions,
    )
