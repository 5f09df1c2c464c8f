"""The calibrator of pairs is fitted to labelled pairs of several sets, and added to a checkpoint's others."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from model.checkpoint import Checkpoint, load_checkpoint
from model.errors import InputError
from model.evaluation.matching_sets import read_matching_set
from model.finetuning import matching
from model.finetuning.matching import fit, main, observe
from model.inference.matching import RIVAL_FEATURES
from model.inference.resolution import CALIBRATOR
from tests.model.conftest import LINKED


def test_no_label_is_looked_at_before_fitting(linked_bench: Path) -> None:
    given = read_matching_set(linked_bench, "one")
    turned = type(given)(given.name, given.relations, {part: () for part in given.parts})
    assert np.array_equal(observe(given).evidence, observe(turned).evidence)


def test_estimated_shares_are_near_the_truth(linked_bench: Path) -> None:
    shares = observe(read_matching_set(linked_bench, "two")).shares_matched
    assert shares[0] == pytest.approx(60 / 90, abs=0.12)
    assert shares[1] == pytest.approx(60 / 80, abs=0.12)


def test_fitted_probabilities_tell_matches_from_others(linked_bench: Path) -> None:
    observed = [observe(read_matching_set(linked_bench, name)) for name in LINKED]
    calibrator = fit(observed[:2])
    assert calibrator.features == RIVAL_FEATURES
    probabilities, labels = observed[2].probabilities(calibrator, "test"), observed[2].labelled("test")[1]
    assert probabilities[labels == 1].mean() > 0.8 > 0.2 > probabilities[labels == 0].mean()
    with pytest.raises(InputError, match="two labelled sets"):
        fit(observed[:1])


def test_the_command_adds_a_calibrator_and_leaves_the_others(
    linked_bench: Path, checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matching, "LINKED_SETS", LINKED)
    folder = Path(shutil.copytree(checkpoint.path, tmp_path / "checkpoint"))
    assert main(["--bench", str(linked_bench), "--checkpoint", str(folder)]) == 0
    loaded = load_checkpoint(folder).calibration
    assert loaded is not None and checkpoint.calibration is not None
    assert set(loaded.calibrators) == {*checkpoint.calibration.calibrators, CALIBRATOR}
    assert loaded["repair"] == checkpoint.calibration["repair"]
