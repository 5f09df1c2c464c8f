"""`GET /v1/models`: what is served, with its card."""

from __future__ import annotations

from fastapi import APIRouter

from api_schemas.models import ModelCard, ModelInfo, ModelLimits, ModelList
from service.dependencies import EngineOf
from service.routes.answers import problems

router = APIRouter(tags=["models"])


@router.get("/models", responses=problems(503))
async def list_models(engine: EngineOf) -> ModelList:
    """The models that are served: the one of the process, and those that were fine-tuned and published."""
    return ModelList(models=[ModelInfo.model_validate(one) for one in engine.descriptions])


@router.get("/models/{name}", responses=problems(404, 422, 503))
async def read_model(name: str, engine: EngineOf) -> ModelCard:
    """One model: sizes, hash, limits, and the card that came with its weights."""
    described = engine.describe(name)
    return ModelCard(
        name=described.name,
        version=described.version,
        sha256=described.sha256,
        parameters=described.parameters,
        bytes=described.size,
        precision=described.precision,
        tasks=list(described.tasks),
        limits=ModelLimits.model_validate(described),
        card=described.card,
    )
