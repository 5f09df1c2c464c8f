"""`/livez`, `/readyz`, `/metrics`: what an orchestrator and a monitor ask."""

from __future__ import annotations

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel
from starlette.responses import Response

from service.dependencies import EngineOf, MetricsOf
from service.engine import EngineState, NotReadyError
from service.routes.answers import problems

router = APIRouter(tags=["operation"])


class Health(BaseModel):
    """The answer of a probe."""

    status: str


@router.get("/livez")
async def livez() -> Health:
    """The process answers."""
    return Health(status="ok")


@router.get("/readyz", responses=problems(503))
async def readyz(engine: EngineOf) -> Health:
    """The model is loaded and takes requests; 503 while it loads, after it failed to, and while the service stops."""
    if engine.state is not EngineState.READY:
        raise NotReadyError(f"the model is {engine.state}")
    return Health(status="ok")


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}, **problems()})
async def metrics(metrics: MetricsOf) -> Response:
    """Metrics for Prometheus."""
    return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)
