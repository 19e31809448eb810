"""What operators and their machines ask: health, models, metrics."""

import asyncio

from fastapi import APIRouter, Request, Response
from prometheus_client.exposition import choose_encoder

from service.api.answer_schemas import (
    BucketBody,
    DeviceBody,
    HealthBody,
    ModelBody,
    ModelsBody,
    ReadinessBody,
    SourceBody,
)
from service.api.answering import ServingDependency
from service.api.problems import documented_problems
from service.loading import LoadedModel
from service.serving import ENDPOINTS

router = APIRouter(tags=["operation"])


@router.get("/health/live", summary="Is a restart needed?", responses=documented_problems(503))
async def live(serving: ServingDependency) -> HealthBody:
    """Answer 200 unless the thread that runs the models has died, or is stuck in a run."""
    if serving.fault is not None:
        raise serving.fault
    return HealthBody(status="live")


@router.get("/health/ready", summary="Are requests accepted?", responses=documented_problems(503))
async def ready(serving: ServingDependency) -> ReadinessBody:
    """Answer 200 once every bucket of every model is warm, and until the server drains."""
    serving.ensure_running()
    devices = [DeviceBody.model_validate(device) for device in serving.scheduler.devices]
    return ReadinessBody(status="ready", degraded=serving.degraded, devices=devices)


@router.get("/v1/models", summary="List the loaded models")
async def models(serving: ServingDependency) -> ModelsBody:
    """Tell what each model does and where it came from."""
    return ModelsBody(models=[_model_body(model) for _, model in sorted(serving.models.items())])


@router.get("/metrics", summary="Metrics for Prometheus", response_class=Response)
async def metrics(request: Request, serving: ServingDependency) -> Response:
    """Return all metrics in the Prometheus text format, or in OpenMetrics if the scraper prefers it."""
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    # Thousands of lines: on the event loop, no request would go on while they are written.
    text = await asyncio.to_thread(encode, serving.metrics.registry)
    return Response(text, media_type=content_type)


def _model_body(model: LoadedModel) -> ModelBody:
    manifest = model.manifest
    return ModelBody(
        name=model.name,
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
                max_abs_difference=bucket.parity.max_abs_difference,
            )
            for bucket in manifest.buckets
        ],
        source=SourceBody.model_validate(manifest.source),
        versions=manifest.versions,
    )
