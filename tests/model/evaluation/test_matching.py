"""Candidates, pairs and entities are measured against the truth, and never with labels of the same set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from model.checkpoint import Checkpoint
from model.evaluation import matching
from model.evaluation.figures import EvaluationTable, Resampling
from model.evaluation.matching import evaluate_block, evaluate_cluster, evaluate_match, pair_figures, with_calibrator
from model.evaluation.matching_sets import read_matching_set
from model.finetuning.matching import Observed, fit, observe
from model.inference.resolution import CALIBRATOR
from tests.model.conftest import LINKED


@pytest.fixture(autouse=True)
def _small_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "LINKED_SETS", LINKED)


@pytest.fixture(scope="module")
def observed(linked_bench: Path) -> list[Observed]:
    return [observe(read_matching_set(linked_bench, name)) for name in LINKED]


def row(table: EvaluationTable, system: str) -> dict[str, float]:
    return {name: figure.value for one in table.rows if one.system == system for name, figure in one.figures.items()}


def test_blocking_is_measured_by_the_matches_it_keeps(linked_bench: Path, observed: list[Observed]) -> None:
    (table,) = evaluate_block(linked_bench)
    assert [one.system for one in table.rows] == list(LINKED)
    figures = row(table, "one")
    assert figures["pair completeness"] == 1.0
    pairs = len(observed[0].places)
    assert figures["candidate pairs"] == pairs
    assert figures["reduction ratio"] == pytest.approx(1 - pairs / (90 * 80))
    assert figures["candidates per record"] == pytest.approx(pairs / 170)


def test_a_match_that_blocking_loses_counts_against_it(
    linked_bench: Path, observed: list[Observed], monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = Observed(observed[0].matching, {}, observed[0].evidence[:0], (0.0, 0.0), observed[0].is_nearest[:0], 1.0)
    monkeypatch.setattr(matching, "observe_all", lambda *_: [lost])
    assert row(evaluate_block(linked_bench)[0], "one")["pair completeness"] == 0.0
    calibrator = fit(observed[1:])
    assert (lost.probabilities(calibrator, "test") == 0).all()


def test_pairs_are_judged_by_the_other_sets(linked_bench: Path, observed: list[Observed]) -> None:
    tables = evaluate_match(linked_bench, Resampling(resamples=20))
    assert [table.title.split(" ")[0] for table in tables] == list(LINKED)
    calibrator = fit([observed[0], observed[2]])
    numbers, labels = observed[1].labelled("test")
    said = observed[1].probabilities(calibrator, "test") >= 0.5
    right = int((said & (labels > 0)).sum())
    figures = row(tables[1], "both tables, calibrated on the other sets")
    assert figures["F1"] == pytest.approx(2 * right / (said.sum() + labels.sum()))
    assert figures["F1"] > 0.9
    assert tables[1].reliabilities[0].probabilities.tolist() == observed[1].probabilities(calibrator, "test").tolist()
    assert len(numbers) == 60
    *own, all_sets = tables[-1].reliabilities
    assert (len(own), len(all_sets)) == (1, sum(len(table.reliabilities[0]) for table in tables))


def test_precision_and_recall_are_those_of_the_pairs() -> None:
    figures = pair_figures(np.array([1, 1, 0, 0]), np.array([1, 0, 1, 0]), Resampling(resamples=10))
    assert [figures[name].value for name in ("precision", "recall", "F1")] == [0.5, 0.5, 0.5]


def test_entities_are_measured_by_pairs_of_records(
    linked_bench: Path, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matching, "_LINKED_ENTITIES", "one")
    (table,) = evaluate_cluster(linked_bench, checkpoint)
    systems = [one.system for one in table.rows]
    assert systems[::2] == ["cora", "patstat", "one"]
    assert [one.partition(",")[0] for one in systems[1::2]] == ["cora: one column equal", "patstat: one column equal"]
    figures = row(table, "cora")
    assert figures["true entities"] == 40
    assert figures["recall"] == 1.0 and figures["precision"] > 0.9  # the copies are equal in all columns
    equal = row(table, systems[1])
    assert 0.0 < equal["pairwise F1"] <= 1.0 and equal["true entities"] == 40
    linked = row(table, "one")
    assert linked["true entities"] == 110 and linked["pairwise F1"] > 0.9


def test_the_checkpoint_keeps_its_other_calibrators(checkpoint: Checkpoint, observed: list[Observed]) -> None:
    calibrator = fit(observed)
    changed = with_calibrator(checkpoint, calibrator)
    assert checkpoint.calibration is not None and changed.calibration is not None
    assert changed.calibration[CALIBRATOR] is calibrator
    assert changed.calibration["repair"] is checkpoint.calibration["repair"]
