"""What one process is told from outside: `RPT_…` variables, an `.env` file, or arguments.

Options of one call are in `api_schemas`, the shape of the weights in the checkpoint. A public address without keys is
refused here, before anything listens.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


class Settings(BaseSettings):
    """Settings of a serving process.

    Attributes:
        host, port: where to listen.
        api_keys: keys that clients may use, separated by commas; none means that no key is asked for.
        model: a checkpoint folder instead of the one in the box.
        models: folder of named models that `rpt finetune` publishes; looked into at every request that names one.
        precision: number format of the weights; `auto` is what this processor is fast at.
        threads: processor threads of the model; 0 leaves it to torch.
        max_body_bytes: a longer request body is refused before it is read.
        max_rows, max_columns, max_cells, max_cell_characters: limits of one table.
        max_requests: requests at work or waiting; one more is answered 429.
        max_running: requests that share the model at one time; the others wait.
        adapt_max_steps: training steps that one request with `adapt` may take, half a second to one each; 0 refuses it.
        adapt_max_cells: a table with more cells is not adapted to.
        drain_seconds: after SIGTERM, requests at work have this long to end.
        log_level: threshold of the log on stderr.
    """

    model_config = SettingsConfigDict(env_prefix="RPT_", env_file=".env", extra="ignore", frozen=True)

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    api_keys: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    model: Path | None = None
    models: Path | None = None
    precision: Literal["auto", "bfloat16", "float32"] = "auto"
    threads: int = Field(0, ge=0, le=1024)
    max_body_bytes: int = Field(32 * 1024 * 1024, ge=1)
    max_rows: int = Field(20_000, ge=1)
    max_columns: int = Field(500, ge=1)
    max_cells: int = Field(500_000, ge=1)
    max_cell_characters: int = Field(100_000, ge=1)
    max_requests: int = Field(32, ge=1)
    max_running: int = Field(4, ge=1)
    adapt_max_steps: int = Field(400, ge=0, le=100_000)
    adapt_max_cells: int = Field(100_000, ge=1)
    drain_seconds: int = Field(30, ge=0)
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @field_validator("api_keys", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @model_validator(mode="after")
    def _closed_by_default(self) -> Self:
        if not self.api_keys and not _is_loopback(self.host):
            raise ValueError(
                f"host {self.host} is open to other machines: set RPT_API_KEYS to the keys that clients may use"
            )
        return self


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
