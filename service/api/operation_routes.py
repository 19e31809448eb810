"""What operators and their machines ask: health and metrics."""

import asyncio
import re

from fastapi import APIRouter, Request, Response
from prometheus_client.exposition import choose_encoder
from pydantic import BaseModel, ConfigDict, Field

from service.api.problems import documented_problems
from service.api.request_state import LIVE, METRICS, READY, ServingDependency

router = APIRouter(tags=["operation"])

_METRICS_FORMATS = ("text/plain", "application/openmetrics-text")
_METRICS_VERSION = re.compile(r";\s*version=\"?([^;\"]*)")
_METRICS_VERSIONS = ("0.0.1", "0.0.4", "1.0.0")


class HealthBody(BaseModel):
    """The state of the process."""

    status: str


class DeviceBody(BaseModel):
    """A device that runs batches."""

    model_config = ConfigDict(from_attributes=True)

    name: str = Field(description="`cpu`, or `cuda:0` and up.")
    alive: bool = Field(description="Whether its thread lives.")
    stuck: bool = Field(description="Whether its run takes so much longer than predicted that it may never end.")


class ReadinessBody(HealthBody):
    """What requests are answered with."""

    degraded: str | None = Field(
        description="What is not as it should be: the CPU serves although there is a GPU to be used, a model that is "
        "made for GPUs runs on the CPU, or a model could not be loaded; null otherwise."
    )
    devices: list[DeviceBody]


@router.get(LIVE, name="is_live", summary="Is a restart needed?", responses=documented_problems(503))
async def live(serving: ServingDependency) -> HealthBody:
    """Answer 200 unless the thread that runs the models has died, or is stuck in a run."""
    if serving.fault is not None:
        raise serving.fault
    return HealthBody(status="live")


@router.get(READY, name="is_ready", summary="Are requests accepted?", responses=documented_problems(503))
async def ready(serving: ServingDependency) -> ReadinessBody:
    """Answer 200 once every model is warm, until the server is told to stop or somebody writes into a model's files."""
    serving.ensure_ready()
    devices = [DeviceBody.model_validate(device) for device in serving.scheduler.devices]
    return ReadinessBody(status="ready", degraded=serving.degraded, devices=devices)


@router.get(
    METRICS,
    name="read_metrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses={200: {"content": {media_type: {"schema": {"type": "string"}} for media_type in _METRICS_FORMATS}}},
)
async def metrics(request: Request, serving: ServingDependency) -> Response:
    """Return all metrics in the Prometheus text format, or in OpenMetrics if the scraper prefers it."""
    encode, content_type = choose_encoder(_known_formats(request.headers.get("accept", "")))
    # Thousands of lines: on the event loop, no request would go on while they are written.
    text = await asyncio.to_thread(encode, serving.metrics.registry)
    return Response(text, media_type=content_type)


def _known_formats(accept: str) -> str:
    """Leave out formats in versions that there are not: the chooser compares versions as numbers, whatever they are."""
    return ",".join(
        offered
        for offered in accept.split(",")
        if all(version in _METRICS_VERSIONS for version in _METRICS_VERSION.findall(offered))
    )


# `wget --spider` and some balancers ask with HEAD.
for _path, _endpoint in ((LIVE, live), (READY, ready), (METRICS, metrics)):
    router.add_api_route(_path, _endpoint, methods=["HEAD"], include_in_schema=False)
