"""`/v1/models`: which models there are, and, with the admin key, changing them while the server runs."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field

from bigbird_inference.loaded_model import LoadedModel
from bigbird_inference.runtime.cuda.features import RungName, State
from service.api.authentication import RequireAdmin, RequireKey
from service.api.problems import documented_problems
from service.api.request_state import ServingDependency
from service.models.served_models import ENDPOINTS
from service.serving import Serving
from service.settings import MODEL_NAME_PATTERN

router = APIRouter(tags=["models"])

ModelName = Annotated[
    str, Path(pattern=MODEL_NAME_PATTERN, description="Name of a folder directly in the folder of models.")
]

_CHANGE_PROBLEMS = documented_problems(404, 405, 409, 422, 503)
_LOADING_PROBLEMS = documented_problems(404, 405, 409, 422, 500, 503, 507)


class AnswerBody(BaseModel):
    """Is read out of the dataclasses of the service."""

    model_config = ConfigDict(frozen=True, from_attributes=True)


class BucketBody(AnswerBody):
    """A padded length of a model."""

    length: int
    attention: str
    max_abs_difference: float = Field(description="Largest difference of logits from the reference, at export.")


class GpuFeatureBody(AnswerBody):
    """What became of a feature of a model on a GPU."""

    device: str
    feature: RungName
    state: State = Field(description="`on`, or why it is not: docs/running.md has them all.")
    reason: str = Field(description="The same in a sentence; empty where it is on.")
    difference: float | None = Field(description="Largest difference from the answers without any feature, or null.")
    seconds: float | None = Field(description="What the shapes by which it was measured take, or null.")
    seconds_without: float | None = Field(description="What they take without it, or null.")


class SourceBody(AnswerBody):
    """The checkpoint that a model came from."""

    name: str
    kind: str = Field(description="The format of its weights.")
    sha256: str
    note: str | None = Field(description="What the checkpoint's maker wants everybody to know who asks the model.")


class ModelBody(AnswerBody):
    """A loaded model."""

    name: str
    version: int = Field(description="How often a model of this name has been loaded since the server started.")
    revision: str = Field(description="Which bundle of this name it is: the first 12 digits of its manifest's SHA-256.")
    task: str
    endpoint: str
    labels: list[str]
    problem_type: str | None
    max_length: int = Field(description="Longest window in tokens.")
    block_size: int
    pattern: str = Field(description="Which reference implementation's random blocks the model attends to.")
    precision: str
    runtime: str = Field(description="What runs it: `onnxruntime` or `openvino`.")
    computes_in: str = Field(description="What the runtime computes in where the graphs have float32.")
    gpu_features: list[GpuFeatureBody] = Field(description="What became of each feature on each GPU; empty on a CPU.")
    pair_types: str
    buckets: list[BucketBody]
    source: SourceBody
    versions: dict[str, str] = Field(description="What the bundle was written with.")


class ModelEntryBody(AnswerBody):
    """A model as OpenAI's clients read it."""

    id: str = Field(description="Its name.")
    object: Literal["model"] = "model"
    created: int = Field(description="When the newest of its files was written, in seconds since 1970.")
    owned_by: Literal["bigbird-serve"] = "bigbird-serve"


class DescribedModelBody(ModelEntryBody, ModelBody):
    """A loaded model, in both forms."""


class ModelStateBody(AnswerBody):
    """Whether a model answers, and if not, why."""

    name: str
    state: Literal["loading", "ready", "unloading", "failed"]
    version: int = Field(description="Which version answers, or did last; 0 if none ever did.")
    change: Literal["load", "unload", "reload"] | None = Field(description="What is being done with it, or null.")
    failure: str | None = Field(description="Why the last change failed or the model does not answer; null otherwise.")


class ModelsBody(AnswerBody):
    """The loaded models by name, and the state of every model that is known.

    `object` and `data` are what OpenAI's clients read.
    """

    object: Literal["list"] = "list"
    data: list[ModelEntryBody]
    models: list[ModelBody]
    states: list[ModelStateBody]


class UnloadedBody(AnswerBody):
    """A model that is not served any more."""

    name: str
    version: int


@router.get("/v1/models", name="list_models", summary="List the models", dependencies=[RequireKey])
async def models(serving: ServingDependency) -> ModelsBody:
    """Tell what each loaded model does and where it came from, and the state of every model that is known."""
    return ModelsBody(
        data=[ModelEntryBody(id=name, created=_created(model)) for name, model in sorted(serving.models.items())],
        models=[_model_body(model, serving) for _, model in sorted(serving.models.items())],
        states=[ModelStateBody.model_validate(state) for state in serving.model_states()],
    )


@router.get(
    "/v1/models/{name}",
    name="describe_model",
    summary="Describe a model",
    dependencies=[RequireKey],
    responses=documented_problems(404, 422),
)
async def describe(name: ModelName, serving: ServingDependency) -> DescribedModelBody:
    """Tell what a loaded model does and where it came from."""
    model = serving.models.choose_any(name)
    return DescribedModelBody(id=name, created=_created(model), **dict(_model_body(model, serving)))


@router.post(
    "/v1/models/{name}/load",
    name="load_model",
    summary="Serve one more model",
    dependencies=[RequireAdmin],
    responses=_LOADING_PROBLEMS,
)
async def load(name: ModelName, serving: ServingDependency) -> ModelBody:
    """Load, check and warm a bundle beside what is served; answer once it serves."""
    return _model_body(await serving.changes.load(name), serving)


@router.post(
    "/v1/models/{name}/reload",
    name="reload_model",
    summary="Serve what is in a model's folder now",
    dependencies=[RequireAdmin],
    responses=_LOADING_PROBLEMS,
)
async def reload(name: ModelName, serving: ServingDependency) -> ModelBody:
    """Load, check and warm the bundle beside the old version, then let it take its place.

    Requests that the old version has accepted are answered by it. If anything fails, the old version goes on serving.
    """
    return _model_body(await serving.changes.reload(name), serving)


@router.post(
    "/v1/models/{name}/unload",
    name="unload_model",
    summary="Serve a model no longer",
    dependencies=[RequireAdmin],
    responses=_CHANGE_PROBLEMS,
)
async def unload(name: ModelName, serving: ServingDependency) -> UnloadedBody:
    """Refuse new requests for the model, and answer once it has finished those that it had accepted."""
    model = await serving.changes.unload(name)
    return UnloadedBody(name=model.name, version=model.version)


def _created(model: LoadedModel) -> int:
    return max((file.modified_ns for file in model.files), default=0) // 1_000_000_000


def _model_body(model: LoadedModel, serving: Serving) -> ModelBody:
    manifest = model.manifest
    return ModelBody(
        name=model.name,
        version=model.version,
        revision=model.revision,
        task=manifest.task,
        endpoint=ENDPOINTS[manifest.task],
        labels=manifest.labels,
        problem_type=manifest.problem_type,
        max_length=manifest.max_length,
        block_size=manifest.block_size,
        pattern=manifest.pattern,
        precision=manifest.precision,
        runtime=model.runtime,
        computes_in=model.computes_in,
        gpu_features=[
            GpuFeatureBody(
                device=device,
                feature=outcome.rung,
                state=outcome.state,
                reason=outcome.reason,
                difference=outcome.difference,
                seconds=outcome.seconds,
                seconds_without=outcome.seconds_below,
            )
            for name, device, outcome in serving.gpu_features()
            if name == model.name
        ],
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
