"""A judge is scikit-learn's ensemble, to the last leaf, and comes back from its file as it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from model import judge as module
from model.errors import CheckpointError
from model.judge import Judge, fit_judge, load_judges, save_judges


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(3000, 4)).astype(np.float32)
    labels = ((features[:, 0] > 0.3) ^ (features[:, 1] * features[:, 2] > 0)).astype(np.int64)
    return features, labels


@pytest.fixture(scope="module")
def judge(data: tuple[np.ndarray, np.ndarray]) -> Judge:
    return fit_judge(("a", "b", "c", "d"), *data, trees=30)


def test_logits_are_those_of_the_fitted_ensemble(data: tuple[np.ndarray, np.ndarray], judge: Judge) -> None:
    fitted = HistGradientBoostingClassifier(
        max_iter=30, learning_rate=0.08, max_leaf_nodes=24, max_depth=9, min_samples_leaf=100, l2_regularization=10.0,
        early_stopping=False, random_state=0,
    ).fit(*data)  # fmt: skip
    unseen = np.random.default_rng(1).normal(size=(500, 4)).astype(np.float32)
    for features in (data[0], unseen):
        np.testing.assert_allclose(judge.logits(features), fitted.decision_function(features), atol=1e-5)


def test_it_learns_what_only_counts_together(data: tuple[np.ndarray, np.ndarray], judge: Judge) -> None:
    features, labels = data
    assert ((judge.logits(features) > 0) == labels).mean() > 0.93


def test_rows_are_judged_alike_alone_and_in_parts(
    data: tuple[np.ndarray, np.ndarray], judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = judge.logits(data[0][:100])
    monkeypatch.setattr(module, "_ROWS", 7)
    assert np.array_equal(judge.logits(data[0][:100]), whole)
    assert judge.logits(data[0][:0]).shape == (0,)


def test_judges_come_back_from_their_file(judge: Judge, data: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    save_judges(tmp_path / "judges.safetensors", {"one": judge, "two": judge})
    again = load_judges(tmp_path / "judges.safetensors")
    assert list(again) == ["one", "two"]
    assert again["two"].features == ("a", "b", "c", "d")
    assert np.array_equal(again["one"].logits(data[0]), judge.logits(data[0]))


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "judges.safetensors").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="cannot read judges.safetensors"):
        load_judges(tmp_path / "judges.safetensors")
