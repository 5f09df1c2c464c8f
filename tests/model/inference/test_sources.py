"""Tuples of a source that is often wrong count less in polls."""

from __future__ import annotations

import random

import numpy as np

from model.inference.statistics import RelationStatistics
from model.tuples import Cell, Relation

SOURCES = ("alpha", "beta", "gamma", "delta", "liar", "cheat")


def reports(seed: int = 0, named: bool = True) -> Relation:
    """Twelve flights told by six sources; the last two copy a wrong time four times in five."""
    rng = random.Random(seed)
    rows = []
    for flight in range(12):
        times = [f"{hour}:{flight:02}" for hour in (8, 9, 10)]
        wrong = [f"{hour}:{flight + 30:02}" for hour in (8, 9, 10)]
        for source in SOURCES:
            lies = source in ("liar", "cheat")
            told = [w if lies and rng.random() < 0.8 else t for t, w in zip(times, wrong, strict=True)]
            rows.append([source if named else "x", f"F{flight}", *told])
    return Relation.of(["src", "flight", "departs", "boards", "lands"], rows)


def test_a_source_that_disagrees_with_the_others_counts_less() -> None:
    relation = reports()
    weights = RelationStatistics(relation).tuple_weights
    assert weights is not None
    by_source = {source: weights[number] for number, source in enumerate(SOURCES)}
    assert max(by_source["liar"], by_source["cheat"]) < 0.5 * min(by_source[source] for source in SOURCES[:4])
    assert np.isclose(weights.mean(), 1.0, atol=1e-4)


def test_reliable_sources_outvote_as_many_unreliable_ones() -> None:
    # One flight is told by both liars and by two of the others only: two against two, but for what they are worth.
    relation = reports()
    rows = [list(values) for values in relation.tuples if not (values[1] == "F0" and values[0] in ("gamma", "delta"))]
    for row in rows:
        if row[1] == "F0" and row[0] in ("liar", "cheat"):
            row[2] = "23:59"
    poor = Relation.of(relation.attributes, rows)
    asked = next(number for number, row in enumerate(rows) if row[0] == "liar")
    assert RelationStatistics(poor).votes(Cell(asked, 2))[0].value == "8:00"


def test_without_a_name_of_sources_all_tuples_count_alike() -> None:
    assert RelationStatistics(reports(named=False)).tuple_weights is None


def test_scattered_errors_make_no_source() -> None:
    rng = random.Random(1)
    rows = [[f"k{n % 20}", f"v{n % 20}", rng.choice("abc")] for n in range(200)]
    for row in rng.sample(rows, 20):
        row[1] = "wrong"
    assert RelationStatistics(Relation.of(["key", "value", "shop"], rows)).tuple_weights is None


def test_a_tuple_that_names_no_source_counts_as_the_average() -> None:
    relation = reports()
    rows = [list(values) for values in relation.tuples]
    rows[0][0] = ""
    weights = RelationStatistics(Relation.of(relation.attributes, rows)).tuple_weights
    assert weights is not None
    assert np.isclose(weights[0], 1.0, atol=0.02)
