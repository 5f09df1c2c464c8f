"""Probabilities mean what they say, are stored exactly, and depend on nothing but their features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from model.calibration import Calibration, Calibrator, expected_calibration_error, fit_calibrator
from model.errors import CheckpointError, InputError

NAMES = ("one", "two", "three")


def _sample(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, labels drawn with a known probability, and groups."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(count, 3)) * [1.0, 20.0, 0.1] + [0.0, 100.0, 0.0]
    probability = 1 / (1 + np.exp(-(2 * features[:, 0] + (features[:, 1] - 100) / 20)))
    return features, (rng.random(count) < probability).astype(np.int64), rng.integers(0, 9, count)


@pytest.fixture(scope="module")
def fitted() -> Calibrator:
    return fit_calibrator(NAMES, *_sample(2500, 1))


def test_fitted_probabilities_are_calibrated_on_unseen_data(fitted: Calibrator) -> None:
    features, labels, _ = _sample(4000, 2)
    probabilities = fitted.predict(features)
    assert expected_calibration_error(probabilities, labels) < 0.03
    assert probabilities.min() >= 1e-4
    assert probabilities.max() <= 1 - 1e-4
    accuracy = ((probabilities > 0.5) == labels).mean()
    assert accuracy > 0.75  # the best that can be had is about 0.81


def test_scores_without_calibration_would_fail_the_same_check() -> None:
    features, labels, _ = _sample(4000, 2)
    overconfident = 1 / (1 + np.exp(-8 * features[:, 0]))
    assert expected_calibration_error(overconfident, labels) > 0.1


def test_a_feature_never_speaks_against_its_direction(fitted: Calibrator) -> None:
    sample = _sample(2500, 1)
    bound = fit_calibrator(NAMES, *sample, directions={"one": 1, "two": -1})  # two speaks for it in truth
    assert bound.coefficients[0] > 0.5 and bound.coefficients[1] == 0.0
    assert fit_calibrator(NAMES, *sample, directions={"one": 1, "two": 1}) == fitted
    nothing = fit_calibrator(NAMES, *sample, directions={"one": -1, "two": -1, "three": -1})
    assert max(nothing.coefficients) <= 0.0


def test_fitting_twice_gives_the_same_calibrator(fitted: Calibrator) -> None:
    assert fit_calibrator(NAMES, *_sample(2500, 1)) == fitted


def test_a_few_observations_are_enough_to_fit() -> None:
    calibrator = fit_calibrator(NAMES, *_sample(60, 3))
    assert calibrator.features == NAMES
    assert calibrator.predict(_sample(5, 4)[0]).shape == (5,)


def test_a_better_score_is_never_the_same_probability(fitted: Calibrator) -> None:
    """Plain isotonic regression has steps on which a threshold cuts nothing."""
    knots, probabilities = np.array(fitted.knots), np.array(fitted.probabilities)
    assert len(knots) > 5
    assert (np.diff(knots) > 0).all()
    assert (np.diff(probabilities) > 0).all()


def test_labels_of_one_kind_give_that_answer() -> None:
    features, labels, groups = _sample(60, 3)
    for kind in (0, 1):
        calibrator = fit_calibrator(NAMES, features, np.full_like(labels, kind), groups)
        assert np.allclose(calibrator.predict(features), kind, atol=1e-3)


def test_one_group_cannot_be_held_out() -> None:
    features, labels, groups = _sample(60, 3)
    with pytest.raises(InputError, match="two repositories"):
        fit_calibrator(NAMES, features, labels, np.zeros_like(groups))


def test_a_prediction_depends_on_its_own_features_alone(fitted: Calibrator) -> None:
    features = _sample(301, 5)[0].astype(np.float32)
    together = fitted.predict(features)
    alone = np.concatenate([fitted.predict(features[row : row + 1]) for row in range(len(features))])
    shuffled = fitted.predict(features[::-1])[::-1]
    assert together.tolist() == alone.tolist() == shuffled.tolist()


def test_no_rows_give_no_probabilities(fitted: Calibrator) -> None:
    assert fitted.predict(np.zeros((0, 3))).shape == (0,)


def test_a_hand_made_calibrator_computes_what_it_says() -> None:
    calibrator = Calibrator(("x",), (10.0,), (5.0,), (2.0,), -1.0, (0.0, 0.5, 1.0), (0.0, 0.2, 1.0))
    raw = 1 / (1 + np.exp(-(2 * 1.0 - 1)))  # x = 15 is one deviation above
    assert calibrator.predict(np.array([[15.0]])).tolist() == [round(0.2 + (raw - 0.5) / 0.5 * 0.8, 6)]
    low = 1 / (1 + np.exp(-(2 * -2.0 - 1)))  # x = 0 is two below
    assert calibrator.predict(np.array([[0.0]])).tolist() == [round(low / 0.5 * 0.2, 6)]


def test_a_row_has_the_same_probability_alone_and_among_others(fitted: Calibrator) -> None:
    features = _sample(500, 5)[0]
    together = fitted.predict(features)
    assert together.tolist() == [float(fitted.predict(row[None])[0]) for row in features]


def test_far_features_count_as_eight_deviations(fitted: Calibrator) -> None:
    center, scale = np.array(fitted.center), np.array(fitted.scale)
    edge = np.stack([center + 8 * scale, center - 8 * scale])
    far = np.array([[1e30, 1e30, 1e30], [-1e30, -1e30, -1e30]])
    assert fitted.predict(far).tolist() == fitted.predict(edge).tolist()


def test_a_saved_calibration_comes_back_exactly(fitted: Calibrator, tmp_path: Path) -> None:
    calibration = Calibration({"detection": fitted}, "two tables")
    calibration.save(tmp_path / "calibration.json")
    loaded = Calibration.load(tmp_path / "calibration.json")
    assert loaded.source == "two tables"
    assert loaded["detection"].features == NAMES
    features = _sample(200, 6)[0]
    assert loaded["detection"].predict(features).tolist() == fitted.predict(features).tolist()
    assert loaded["detection"].knots == fitted.knots
    assert loaded["detection"].probabilities == fitted.probabilities


def test_calibrators_are_added_or_renewed_and_the_others_kept(fitted: Calibrator, tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    other = fit_calibrator(NAMES, *_sample(400, 3))
    Calibration({"kept": fitted, "old": fitted}, "where from").save(path)
    Calibration.add_to(path, {"old": other, "new": other})
    assert Calibration.load(path) == Calibration({"kept": fitted, "old": other, "new": other}, "where from")


def test_a_calibrator_that_is_not_there_is_named(fitted: Calibrator) -> None:
    with pytest.raises(CheckpointError, match="'repair'"):
        Calibration({"detection": fitted})["repair"]


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"calibrators": []}', '{"calibrators": {"a": {}}}', '{"calibrators": {"a": 1}}', "null"],
)
def test_a_damaged_calibration_file_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / "calibration.json").write_text(content, encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"calibration\.json"):
        Calibration.load(tmp_path / "calibration.json")


@pytest.mark.parametrize(
    ("probabilities", "labels", "expected"),
    [
        ([1.0, 1.0, 0.0], [1, 1, 0], 0.0),
        ([1.0, 1.0], [0, 0], 1.0),
        ([0.5, 0.5, 0.5, 0.5], [1, 0, 1, 0], 0.0),
        ([0.9, 0.9, 0.1, 0.1], [1, 0, 0, 0], 0.5 * 0.4 + 0.5 * 0.1),
        ([0.02, 0.04], [0, 1], 0.47),  # one bin: mean confidence .03, accuracy .5
    ],
)
def test_expected_calibration_error_of_known_cases(
    probabilities: list[float], labels: list[int], expected: float
) -> None:
    assert expected_calibration_error(np.array(probabilities), np.array(labels)) == pytest.approx(expected)


def test_expected_calibration_error_of_nothing_is_unknown() -> None:
    assert np.isnan(expected_calibration_error(np.zeros(0), np.zeros(0)))


def test_what_was_fitted_to_labels_of_a_user_is_remembered_until_it_is_fitted_otherwise(
    fitted: Calibrator, tmp_path: Path
) -> None:
    path = tmp_path / "calibration.json"
    Calibration({"repair": fitted, "extraction": fitted}, "here").save(path)
    assert "of_labels" not in path.read_text("utf-8")
    Calibration.add_to(path, {"extraction": fitted}, of_labels=True)
    assert Calibration.load(path).of_labels == {"extraction"}
    Calibration.add_to(path, {"repair": fitted})
    assert Calibration.load(path).of_labels == {"extraction"} and Calibration.load(path).source == "here"
    Calibration.add_to(path, {"extraction": fitted})
    assert Calibration.load(path).of_labels == frozenset()
