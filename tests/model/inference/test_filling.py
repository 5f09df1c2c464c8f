"""Sources of values for missing cells are put side by side, each with how often it was right."""

from __future__ import annotations

import pytest

from model.inference.columns import Column
from model.inference.filling import EVIDENCE_FEATURES, CellEvidence, FillEvidence
from model.inference.mentions import Mention
from model.inference.neighbours import Neighbours, NeighbourVote
from model.inference.prediction import PredictedValue

EVIDENCE = CellEvidence(
    neighbours=(NeighbourVote("b", 0.4, True, 0.9, (1,)), NeighbourVote("a", 0.6, False, 0.8, (2, 3))),
    predicted=(PredictedValue("a", 0.5), PredictedValue("c", 0.2)),
    mentioned=(Mention("d", 0.3), Mention("a", 0.1)),
    neighbour_reliability=0.5,
    prediction_reliability=0.75,
    mention_reliability=0.25,
)


def features(value: str) -> dict[str, float]:
    return dict(zip(EVIDENCE_FEATURES, EVIDENCE.features(value), strict=True))


def test_a_value_has_what_each_source_says_and_what_they_say_together() -> None:
    found = features("a")
    assert (found["prediction_probability"], found["mention_probability"]) == (0.5, 0.1)
    assert [found[f"{name}_is_top"] for name in ("prediction", "mention", "neighbour")] == [1.0, 0.0, 1.0]
    assert [found[f"{name}_reliability"] for name in ("prediction", "mention", "neighbour")] == [0.75, 0.25, 0.5]
    assert found["sources_agreeing"] == 2.0
    assert found["support"] == pytest.approx(1 - 0.5 * 0.9 * (1 - 0.6 * 0.5))
    assert found["support_is_top"] == 1.0
    assert found["support_margin"] == pytest.approx(found["support"] - 0.3)


def test_a_value_that_no_source_names_has_nothing_but_what_the_attribute_shows() -> None:
    found = features("z")
    assert (found["prediction_top_probability"], found["prediction_reliability"]) == (0.5, 0.75)
    assert found["support"] == found["sources_agreeing"] == found["support_is_top"] == 0.0
    assert found["support_margin"] == pytest.approx(-features("a")["support"])
    assert not any(CellEvidence().features("z"))


def test_values_are_named_once_and_the_likely_first_ones_decide() -> None:
    assert EVIDENCE.values == ["a", "c", "d", "b"]
    assert EVIDENCE.is_predicted("a")
    assert not EVIDENCE.is_predicted("c")
    assert not EVIDENCE.is_mentioned("d")  # first, but unlikely
    assert not CellEvidence().is_predicted("a")


def test_all_sources_look_at_the_same_tuples() -> None:
    cities = ("Boston", "Denver", "Austin")
    rows: list[tuple[str, str | None]] = [(f"{cities[n % 3]} clinic {n * 37 % 100}", cities[n % 3]) for n in range(45)]
    rows += [("Denver clinic 5", None), ("Boston clinic 8", None)]
    columns = [Column([row[place] for row in rows]) for place in range(2)]
    evidence = FillEvidence(columns, Neighbours(columns)).look(1, [46, 45])
    for found, city in zip(evidence, ("Boston", "Denver"), strict=True):
        assert found.predicted[0].value == found.mentioned[0].value == city
        assert found.is_predicted(city) and found.is_mentioned(city)
        assert min(found.prediction_reliability, found.mention_reliability) > 0.9
        assert found.features(city)[EVIDENCE_FEATURES.index("support_is_top")] == 1.0
        assert found.neighbours
