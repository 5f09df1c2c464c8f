"""A table in JSON: column names and rows, or records; every cell becomes text.

The one idea: a table has one form behind this door, names and rows of text, whichever of the two forms it came in.
Numbers become their shortest decimal text, true and false the words, null a missing cell. Whoever needs `1.50` or
`007` to keep its digits sends text.
"""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)
from pydantic_core import PydanticCustomError

MAX_NAME_CHARACTERS = 512


def encodable(text: str) -> str:
    """JSON can write half of a surrogate pair; such text cannot be sent back, so it is not taken in."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise PydanticCustomError("surrogate", "the text has half of a surrogate pair") from None
    return text


Text = Annotated[str, AfterValidator(encodable)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME_CHARACTERS), AfterValidator(encodable)]
MAX_RECORD_FIELDS = 10_000


def _not_too_wide(record: object) -> object:
    if isinstance(record, dict) and len(record) > MAX_RECORD_FIELDS:
        raise PydanticCustomError(
            "record_too_wide", "a record has more than {most} fields", {"most": MAX_RECORD_FIELDS}
        )
    return record


CellValue = Text | bool | int | Annotated[float, Field(allow_inf_nan=False)] | None
Record = Annotated[dict[Name, CellValue], BeforeValidator(_not_too_wide)]


class Strict(BaseModel):
    """Base of all requests: unknown fields are refused, types are not converted."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Column(Strict):
    """One column by name; the description is read by tasks that look at names."""

    name: Name
    description: Annotated[str, StringConstraints(max_length=4096), AfterValidator(encodable)] | None = None


class Table(Strict):
    """`columns` with `rows`, or `records`, never both.

    Column names are distinct and not empty, and every row has as many cells as there are columns. A record may leave
    columns out: those cells are missing.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "columns": ["city", "state", "zip"],
                    "rows": [["Boston", "MA", "02116"], ["Bostn", "MA", "02116"], ["Boston", "MA", None]],
                }
            ]
        }
    )

    name: Annotated[str, StringConstraints(max_length=MAX_NAME_CHARACTERS), AfterValidator(encodable)] | None = None
    # The first fault is enough, and a table of a million faults must not become a million errors.
    columns: Annotated[list[Name | Column], Field(fail_fast=True)] | None = None
    rows: Annotated[list[Annotated[list[CellValue], Field(fail_fast=True)]], Field(fail_fast=True)] | None = None
    records: Annotated[list[Record], Field(fail_fast=True)] | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.records is None) == (self.columns is None or self.rows is None):
            raise PydanticCustomError("table_form", "a table is either 'columns' with 'rows', or 'records'")
        if self.records is not None and (self.columns is not None or self.rows is not None):
            raise PydanticCustomError("table_form", "a table is either 'columns' with 'rows', or 'records'")
        if not self.names:
            raise PydanticCustomError("no_columns", "a table needs at least one column")
        _distinct(self.names)
        for number, row in enumerate(self.rows or ()):
            if len(row) != len(self.names):
                raise PydanticCustomError(
                    "ragged_row",
                    "row {row} has {cells} cells, the table has {columns} columns",
                    {"row": number, "cells": len(row), "columns": len(self.names), "pointer": f"/rows/{number}"},
                )
        return self

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The column names; of records, in the order in which they first appear."""
        if self.columns is not None:
            return tuple(column if isinstance(column, str) else column.name for column in self.columns)
        return tuple(dict.fromkeys(name for record in self.records or () for name in record))

    @cached_property
    def descriptions(self) -> tuple[str | None, ...]:
        """What describes each column, in the order of `names`."""
        if self.columns is not None:
            return tuple(None if isinstance(column, str) else column.description for column in self.columns)
        return (None,) * len(self.names)

    def texts(self) -> list[tuple[str | None, ...]]:
        """All rows as text, in the order of `names`."""
        if self.rows is not None:
            return [tuple(cell_text(value) for value in row) for row in self.rows]
        return [tuple(cell_text(record.get(name)) for name in self.names) for record in self.records or ()]

    @property
    def height(self) -> int:
        """How many rows there are."""
        return len(self.rows if self.rows is not None else self.records or ())


def _distinct(names: tuple[str, ...]) -> None:
    seen: dict[str, int] = {}
    for number, name in enumerate(names):
        if name in seen:
            raise PydanticCustomError(
                "duplicate_column",
                "columns {first} and {second} have the same name",
                {"first": seen[name], "second": number, "pointer": f"/columns/{number}"},
            )
        seen[name] = number


def cell_text(value: CellValue) -> str | None:
    """The text of a cell."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value)
