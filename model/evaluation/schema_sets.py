"""Pairs of tables of the benchmark folder whose matching columns are known, with rows or with descriptions alone."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from model.errors import InputError
from model.evaluation.benchmark import read_relation
from model.inference.schema_matching import Schema
from model.tuples import Relation

VALUED_FAMILIES = ("valentine-tpcdi", "valentine-magellan")
"""Families of pairs with rows."""

DESCRIBED_FAMILY = "omap"
"""Pairs of schemas of many tables: names and descriptions, no rows."""


@dataclass(frozen=True, slots=True)
class SchemaPair:
    """Two schemas, and the places of the columns that are one."""

    name: str
    source: Schema
    target: Schema
    truth: frozenset[tuple[int, int]]


def read_family(bench: Path, family: str) -> list[SchemaPair]:
    """All pairs of `schema/<family>` of the benchmark folder, by name.

    Raises:
        InputError: there is none, a file is missing, or a match names a column that is not there.
    """
    folder = bench / "schema" / family
    pairs = [_read_pair(one) for one in sorted(folder.glob("*/matches.csv"))]
    if not pairs:
        raise InputError(f"the benchmark folder has no schema/{family}", field="bench")
    return pairs


def _read_pair(matches: Path) -> SchemaPair:
    folder = matches.parent
    source, target = (_read_schema(folder, side) for side in ("source", "target"))
    try:
        with matches.open(encoding="utf-8", newline="") as file:
            truth = frozenset(
                (_place(source, row["source_column"]), _place(target, row["target_column"]))
                for row in csv.DictReader(file)
            )
    except (OSError, KeyError, ValueError) as error:
        raise InputError(f"{folder.name}/matches.csv cannot be read: {error}", field="bench") from error
    return SchemaPair(folder.name, source, target, truth)


def _place(schema: Schema, name: str) -> int:
    return schema.relation.attributes.index(name)


def _read_schema(folder: Path, side: str) -> Schema:
    """A table with rows, or a list of columns with the descriptions of each and of its table."""
    listed = folder / f"{side}_schema.csv"
    if not listed.exists():
        return Schema(read_relation(folder / f"{side}.csv"))
    columns = read_relation(listed)
    names = [_told(columns, "column", row) for row in range(len(columns))]
    told = [
        f"{_told(columns, 'column_description', row)} {_told(columns, 'table_description', row)}"
        for row in range(len(columns))
    ]
    return Schema(Relation.of(names, [], folder.name), tuple(told))


def _told(columns: Relation, attribute: str, row: int) -> str:
    places: Sequence[str] = columns.attributes
    return columns.tuples[row][places.index(attribute)] or ""
