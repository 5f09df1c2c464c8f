"""Problem documents (RFC 9457): what every error of the service looks like."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class ErrorDetail(BaseModel):
    """One thing that is wrong, and where."""

    model_config = ConfigDict(frozen=True)

    detail: str
    pointer: str | None = Field(None, description="JSON Pointer (RFC 6901) into the request body")
    parameter: str | None = Field(None, description="header or path parameter at fault")
    row: int | None = Field(None, description="row of the table, from 0")
    column: str | None = Field(None, description="name of the column")


class Problem(BaseModel):
    """An error; `type` is stable and safe to branch on."""

    model_config = ConfigDict(frozen=True)

    type: str = Field(examples=["urn:rpt:problem:invalid-request"])
    title: str
    status: int
    detail: str | None = None
    request_id: str | None = Field(None, description="as in the X-Request-Id header and in the service's log")
    errors: list[ErrorDetail] | None = None
