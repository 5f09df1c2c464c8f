"""`/livez`, `/readyz`: what an orchestrator asks; neither needs a key."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel

from service.dependencies import EngineOf
from service.engine import EngineState, NotReadyError
from service.routes.answers import problems

router = APIRouter(tags=["operation"])


class Health(BaseModel):
    """The answer of a probe."""

    status: str


@router.get("/livez", responses=problems(keys=False))
async def livez() -> Health:
    """The process answers."""
    return Health(status="ok")


@router.get("/readyz", responses=problems(503, keys=False))
async def readyz(engine: EngineOf) -> Health:
    """The model is loaded and takes requests; 503 while it loads, after it failed to, and while the service stops."""
    if engine.state is not EngineState.READY:
        raise NotReadyError(f"the model is {engine.state}")
    return Health(status="ok")
