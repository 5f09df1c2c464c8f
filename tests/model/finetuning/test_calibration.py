"""Calibrators are fitted on what the model says about held-out tables, and checked on others."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from model.calibration import Calibration
from model.checkpoint import Checkpoint, load_checkpoint
from model.corpus import CorpusTable
from model.errors import InputError
from model.finetuning.calibration import (
    ALONE,
    FEATURES,
    Observations,
    check,
    fit,
    main,
    observe,
    split_repositories,
)
from model.inference.candidates import FILL_FEATURES
from model.pretraining import VALIDATION_SHARD
from tests.conftest import write_shard


@pytest.fixture(scope="module")
def observations(bare_checkpoint: Checkpoint, tables: list[CorpusTable]) -> dict[str, Observations]:
    return observe(bare_checkpoint, tables, windows=5, seed=1)


@pytest.fixture(scope="module")
def calibration(observations: dict[str, Observations]) -> Calibration:
    return fit(observations, "a few tables")


def test_observations_have_the_features_that_inference_computes(observations: dict[str, Observations]) -> None:
    assert set(observations) == {*FEATURES, "fill_alone", "typed_alone"}
    for name, one in observations.items():
        features, labels, groups = one.arrays()
        assert len(features) == len(labels)
        assert features.shape[1] == (len(FILL_FEATURES) if name != "detection" else len(FEATURES[name]))
        assert labels.shape == groups.shape
        assert np.isfinite(features).all()
        assert set(labels.tolist()) == {0, 1}, name


@pytest.mark.parametrize("workers", [1, 2])
def test_a_window_is_observed_the_same_every_time_by_any_number_of_processes(
    bare_checkpoint: Checkpoint, tables: list[CorpusTable], workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = observe(bare_checkpoint, tables, windows=3, seed=5)
    monkeypatch.setattr("model.finetuning.calibration._PART", 1)
    again = observe(bare_checkpoint, tables, windows=3, seed=5, workers=workers)
    for name, one in once.items():
        if one.labels:
            for before, after in zip(one.arrays(), again[name].arrays(), strict=True):
                assert np.array_equal(before, after), name


def test_wrong_cells_are_few_repairs_differ_and_filled_cells_are_missing(observations: dict[str, Observations]) -> None:
    wrong = observations["detection"].arrays()[1].mean()
    assert 0.0 < wrong < 0.6
    repairs, distance = observations["repair"].arrays()[0], FILL_FEATURES.index("candidate_distance")
    assert (repairs[:, distance] > 0).all()  # keeping the observed value is no repair
    for name in ("fill", "typed"):
        filled = observations[name].arrays()[0][:, FILL_FEATURES.index("observed_is_missing")]
        assert set(filled.tolist()) == {1.0}


def test_filling_alone_learns_from_fewer_candidates_of_the_same_cells(observations: dict[str, Observations]) -> None:
    alone, whole = (observations[name].arrays()[0] for name in ("fill_alone", "fill"))
    assert 0 < len(alone) < len(whole)
    votes = FILL_FEATURES.index("candidate_vote_share")
    assert (alone[:, votes] == 0).all() and (whole[:, votes] > 0).any()


def test_nothing_observed_is_said() -> None:
    with pytest.raises(InputError, match="more windows"):
        Observations().arrays()


def test_every_calibrator_that_inference_asks_for_is_fitted(calibration: Calibration) -> None:
    assert calibration.source == "a few tables"
    for name, features in FEATURES.items():
        assert calibration[name].features == features
        assert calibration[f"{name}_alone"].features == features[: ALONE[name]]
    assert calibration["detection_alone"].features == ("detection_logit",)


def test_figures_are_given_for_every_calibrator(
    calibration: Calibration, observations: dict[str, Observations]
) -> None:
    figures = check(calibration, observations)
    assert set(figures) == set(calibration.calibrators)
    for name, one in figures.items():
        labels = observations.get(name, observations[name.removesuffix("_alone")]).arrays()[1]
        assert one["rows"] == len(labels)
        assert 0.0 <= one["expected_calibration_error"] <= 1.0
        assert 0.0 <= one["f1"] <= 1.0


def test_no_repository_is_on_both_sides(tables: list[CorpusTable]) -> None:
    fitting, checking = split_repositories([*tables, *tables])
    sides = [{table.repository for table in side} for side in (fitting, checking)]
    assert not sides[0] & sides[1]
    assert len(sides[0] | sides[1]) == 6
    assert len(fitting) + len(checking) == 12


def test_the_command_keeps_calibrators_that_it_does_not_fit(
    checkpoint: Checkpoint, tables: list[CorpusTable], tmp_path: Path
) -> None:
    write_shard(tmp_path / VALIDATION_SHARD, tables)
    folder = Path(shutil.copytree(checkpoint.path, tmp_path / "checkpoint"))
    assert checkpoint.calibration is not None
    pairs = checkpoint.calibration["fill"]
    Calibration({**checkpoint.calibration.calibrators, "match_link": pairs}).save(folder / "calibration.json")
    assert main(["--corpus", str(tmp_path), "--checkpoint", str(folder), "--windows", "24", "--seed", "2"]) == 0
    kept = load_checkpoint(folder).calibration
    assert kept is not None
    assert kept["match_link"] == pairs and kept["fill"] != pairs


def test_the_command_writes_calibrators_and_figures_into_the_checkpoint(
    bare_checkpoint: Checkpoint, tables: list[CorpusTable], tmp_path: Path
) -> None:
    write_shard(tmp_path / VALIDATION_SHARD, tables)
    folder = Path(shutil.copytree(bare_checkpoint.path, tmp_path / "checkpoint"))
    arguments = ["--corpus", str(tmp_path), "--checkpoint", str(folder), "--windows", "24", "--seed", "2"]
    assert main(arguments) == 0
    loaded = load_checkpoint(folder)
    assert loaded.calibration is not None
    assert set(loaded.calibration.calibrators) == set(loaded.card["calibration"]["unseen_tables"])
    assert loaded.card["calibration"]["windows"] == 24
    assert loaded.sha256 == bare_checkpoint.sha256
