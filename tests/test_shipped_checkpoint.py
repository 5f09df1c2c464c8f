"""The weights in the box answer the README's first question, and match names that are shortened throughout."""

from __future__ import annotations

from model.checkpoint import load_checkpoint
from model.inference.batching import run_task
from model.inference.cleaning import clean
from model.inference.schema_matching import Schema, match_schema
from model.tuples import Cell, Outcome, Relation


def test_the_only_typo_of_a_tiny_table_is_repaired() -> None:
    boston, denver = ["Boston", "MA", "02116"], ["Denver", "CO", "80202"]
    rows = [boston, boston, ["Bostn", *boston[1:]], boston, denver, denver, denver]
    checkpoint = load_checkpoint()
    (repair,) = run_task(checkpoint, clean(checkpoint, Relation.of(["city", "state", "zip"], rows))).repairs
    assert (repair.cell, repair.outcome, repair.repair) == (Cell(2, 0), Outcome.REPAIRED, "Boston")
    assert repair.confidence is not None and repair.confidence > 0.9
    assert repair.evidence.tuple_ids == (0, 1, 3)


def test_shortened_names_are_matched_with_the_values_that_they_hold() -> None:
    people = [["A17", "Anna Weber", "02116", "1-135-391-9787"], ["B20", "Otto Khan", "80202", "1-707-402-6121"]]
    others = [["Austin", "1-249-978-7278", "C53", "Eve Adams"], ["Boston", "1-724-757-6864", "D04", "Bob Ivanov"]]
    source = Schema(Relation.of(["AgencyID", "FullName", "PostalCode", "Phone"], people))
    target = Schema(Relation.of(["ct", "phn", "gncd", "fllnm"], others))
    checkpoint = load_checkpoint()
    result = run_task(checkpoint, match_schema(checkpoint, source, target))
    assert [(one.source, one.target) for one in result.matches] == [(0, 2), (1, 3), (3, 1)]
    assert all(one.confidence > 0.8 for one in result.matches)
