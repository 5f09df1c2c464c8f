"""Labelled sets of the benchmark folder: pairs of two tables, and tables whose records are known entities."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from model.errors import InputError
from model.evaluation.benchmark import read_relation
from model.tuples import Relation

LINKED_SETS = ("Abt-Buy", "Amazon-Google", "Walmart-Amazon", "DBLP-ACM", "Fodors-Zagats")
"""Sets whose two tables are whole."""

LABELLED_SETS = (*LINKED_SETS, "Dirty-Walmart-Amazon", "WDC-computers", "WDC-cameras")
"""Sets with labelled pairs; the tables of the last three hold only some of the records."""

_SAME_SOURCE = (frozenset({"Walmart-Amazon", "Dirty-Walmart-Amazon"}),)

ENTITY_SETS = ("cora", "patstat")

PARTS = ("train", "valid", "test")

LEFT_OUT = {"Fodors-Zagats": frozenset({"class"})}
"""Columns that say which entity a record is: in all 110 matches of that set both records have the same number."""


@dataclass(frozen=True, slots=True)
class MatchingSet:
    """Two relations and labelled pairs of their tuples.

    Attributes:
        parts: by name, (tuple of the first, tuple of the second, 1 for a match and 0 for none).
    """

    name: str
    relations: tuple[Relation, Relation]
    parts: Mapping[str, tuple[tuple[int, int, int], ...]]


@dataclass(frozen=True, slots=True)
class EntitySet:
    """A relation and the entity of each tuple."""

    name: str
    relation: Relation
    entities: tuple[str, ...]


def related(name: str) -> frozenset[str]:
    """A set and those that hold the same records: whoever leaves one out leaves out all of them."""
    return next((sets for sets in _SAME_SOURCE if name in sets), frozenset({name}))


def read_matching_set(bench: Path, name: str) -> MatchingSet:
    """Read `matching/<name>` of the benchmark folder.

    Raises:
        InputError: a file is missing, or a pair names a record that is not there.
    """
    folder = bench / "matching" / name
    (first, first_ids), (second, second_ids) = (_identified(folder / f"table{side}.csv", name) for side in "AB")
    parts = {}
    for part in PARTS:
        try:
            with (folder / f"{part}.csv").open(encoding="utf-8", newline="") as file:
                rows = list(csv.DictReader(file))
            parts[part] = tuple(
                (first_ids[row["ltable_id"]], second_ids[row["rtable_id"]], int(row["label"])) for row in rows
            )
        except (OSError, KeyError, ValueError) as error:
            raise InputError(f"{name}/{part}.csv cannot be read: {error}", field="bench") from error
    return MatchingSet(name, (first, second), parts)


def read_entity_set(bench: Path, name: str) -> EntitySet:
    """Read `matching-clusters/<name>` of the benchmark folder.

    Raises:
        InputError: the file is missing or does not begin with the record's and the entity's number.
    """
    relation = read_relation(bench / "matching-clusters" / name / "records.csv")
    if relation.attributes[:2] != ("record_id", "cluster_id"):
        raise InputError(f"{name}/records.csv does not begin with record_id and cluster_id", field="bench")
    own = Relation.of(relation.attributes[2:], [row[2:] for row in relation.tuples], name)
    return EntitySet(name, own, tuple(row[1] or "" for row in relation.tuples))


def _identified(path: Path, name: str) -> tuple[Relation, dict[str, int]]:
    """A table without its ids and what gives the entity away, and the tuple of each id."""
    relation = read_relation(path)
    if "id" not in relation.attributes:
        raise InputError(f"{name}/{path.name} has no column id", field="bench")
    place = relation.attributes.index("id")
    hidden = {"id", *LEFT_OUT.get(name, ())}
    kept = [number for number, attribute in enumerate(relation.attributes) if attribute not in hidden]
    rows = [[row[number] for number in kept] for row in relation.tuples]
    ids = {row[place] or "": tuple_id for tuple_id, row in enumerate(relation.tuples)}
    return Relation.of([relation.attributes[number] for number in kept], rows, f"{name}/{path.stem}"), ids
