"""The weights in the box answer the README's first question."""

from __future__ import annotations

from model.checkpoint import load_checkpoint
from model.inference.batching import run_task
from model.inference.cleaning import clean
from model.tuples import Cell, Outcome, Relation


def test_the_only_typo_of_a_tiny_table_is_repaired() -> None:
    boston, denver = ["Boston", "MA", "02116"], ["Denver", "CO", "80202"]
    rows = [boston, boston, ["Bostn", *boston[1:]], boston, denver, denver, denver]
    checkpoint = load_checkpoint()
    (repair,) = run_task(checkpoint, clean(checkpoint, Relation.of(["city", "state", "zip"], rows))).repairs
    assert (repair.cell, repair.outcome, repair.repair) == (Cell(2, 0), Outcome.REPAIRED, "Boston")
    assert repair.confidence is not None and repair.confidence > 0.9
    assert repair.evidence.tuple_ids == (0, 1, 3)
