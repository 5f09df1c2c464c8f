"""What every answer says about the model, and the models that are served."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field


class Answer(BaseModel):
    """Base of all answers; built from any object with these attributes."""

    model_config = ConfigDict(from_attributes=True, frozen=True)


class ModelInfo(Answer):
    """The weights that answered."""

    name: str
    version: str
    sha256: str = Field(description="of the weights file")


Adapt = Annotated[
    bool, Field(description="train a copy of the model on this table first; it takes minutes and is then forgotten")
]


class Adaptation(Answer):
    """What it took to train a copy of the model on the table of the request."""

    steps: int
    encoder_tokens: int = Field(description="tokens that it was trained on")
    seconds: float
    sha256: str = Field(description="of the adapted weights: the same table, options and model give the same")


class Usage(Answer):
    """What an answer cost: rows read, tokens without padding, seconds from admission to answer.

    The seconds of an adaptation are among `seconds`, its tokens are its own.
    """

    rows: int = 0
    encoder_tokens: int = 0
    decoder_tokens: int = 0
    seconds: float = 0.0
    adaptation: Adaptation | None = Field(None, description="null where the model answered as it is")


class ModelLimits(Answer):
    """What the model reads of a cell and of a row; longer text is cut for the model, never in the table."""

    max_name_tokens: int
    max_value_tokens: int
    max_attributes: int = Field(description="columns read together; wider tables are read in groups")
    max_context: int = Field(description="other rows read with a row")


class ModelCard(ModelInfo):
    """One model: sizes, hash, limits, and the card that came with its weights."""

    parameters: int
    bytes: int = Field(description="size of the weights file")
    precision: str = Field(description="the number format it is computed in here")
    tasks: list[str]
    limits: ModelLimits
    card: dict[str, Any] = Field(description="data, licences, steps, seed, metrics, limits")


class ModelList(Answer):
    """The models that are served."""

    models: list[ModelInfo]
