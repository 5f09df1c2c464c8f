"""Judges of column statistics are trained from a corpus folder, and find what the statistics show."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from model.checkpoint import JUDGES_FILE
from model.corpus import CorpusTable
from model.finetuning import evidence
from model.inference.statistics import RelationStatistics
from model.inference.suspicion import judge_cells, second_look
from model.judge import Judge, load_judges
from model.tuples import Relation
from tests.conftest import write_shard


@pytest.fixture(scope="module")
def folder(tables: list[CorpusTable], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus folder and, in it, the judges that the command trains."""
    folder = tmp_path_factory.mktemp("corpus")
    write_shard(folder / "train-00.jsonl.zst", tables[:3])
    write_shard(folder / "train-01.jsonl.zst", tables[3:])
    arguments = ["--corpus", folder, "--checkpoint", folder, "--windows", 60, "--workers", 1]
    assert evidence.main([str(one) for one in arguments]) == 0
    return folder


@pytest.fixture(scope="module")
def judges(folder: Path) -> dict[str, Judge]:
    return load_judges(folder / JUDGES_FILE)


def test_a_cell_that_a_dependency_contradicts_is_more_suspicious(judges: dict[str, Judge]) -> None:
    rng = random.Random(0)
    cities = {f"{zip_code}": city for zip_code, city in zip(range(60600, 60612), "abcdefghijkl", strict=True)}
    rows = [[zip_code, cities[zip_code] * 5] for zip_code in rng.choices(sorted(cities), k=240)]
    rows[7][1] = "q" + rows[7][1][1:]
    features = RelationStatistics(Relation.of(["zip", "city"], rows)).cell_features()
    logits = judge_cells(judges, second_look(judges, features))
    assert logits.argmax() == 7 * 2 + 1
    assert logits[7, 1] > np.median(logits) + 1.0  # sixty windows make no more of it
    assert np.median(logits) < 0


def test_the_same_seed_trains_the_same_judges(
    folder: Path, judges: dict[str, Judge], tables: list[CorpusTable]
) -> None:
    again = evidence.train(tables, 60, seed=0, workers=1)
    for name, judge in judges.items():
        assert np.array_equal(again[name].threshold, judge.threshold)
        assert np.array_equal(again[name].value, judge.value)


def test_windows_are_drawn_alike_for_every_repository(tables: list[CorpusTable]) -> None:
    window = evidence.draw_window([[table] for table in tables], "seed")
    again = evidence.draw_window([[table] for table in tables], "seed")
    assert window.truth == again.truth and window.judged == again.judged
    assert len(window.truth) == len(window.statistics.relation)


def test_cells_of_unknown_truth_and_fillable_gaps_count_less(tables: list[CorpusTable]) -> None:
    evidence._TABLES[:] = [[table] for table in tables]
    for number in range(30):
        observed = evidence.observe_cells(f"weights:{number}")
        assert observed.features.shape[:2] == observed.wrong.shape == observed.weights.shape
        assert set(np.unique(observed.weights)) <= {0.0, 0.25, 1.0}
        features, labels, weights = observed.rows(observed.features)
        assert len(features) == len(labels) == len(weights) == int((observed.weights > 0).sum())
        assert (weights[labels == 1] == 1.0).all()
