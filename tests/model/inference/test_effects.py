"""Labels move logits where they speak, and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from model.inference.effects import Cases, Group, fit_effects

SCALES = {"column": 2.0, "shape": 1.0}


def cases(logits: list[float], groups: Sequence[Sequence[Group]], features: list[list[float]] | None = None) -> Cases:
    made = np.zeros((len(logits), 1)) if features is None else np.array(features)
    return Cases(np.array(logits), made, groups)


def test_labels_that_say_what_was_known_change_little() -> None:
    known = cases([-5.0, 5.0], [[("column", "a")], [("column", "b")]])
    effects = fit_effects(known, np.array([0.0, 1.0]), 0.5, SCALES)
    assert effects.logits(known) == pytest.approx([-5.0, 5.0], abs=0.1)


def test_a_group_follows_its_labels_and_others_stay() -> None:
    known = cases([-3.0] * 12, [[("column", "a")]] * 6 + [[("column", "b")]] * 6)
    effects = fit_effects(known, np.array([1.0] * 6 + [0.0] * 6), 0.5, SCALES)
    asked = cases([-3.0] * 3, [[("column", "a")], [("column", "b")], [("column", "c")]])
    logits = effects.logits(asked)
    assert logits[0] > 0
    assert -4.5 < logits[1] < -3.0
    assert logits[2] == -3.0


def test_one_label_does_not_turn_a_sure_column() -> None:
    known = cases([-5.0] * 8, [[("column", "a")]] * 8)
    effects = fit_effects(known, np.array([1.0] + [0.0] * 7), 0.5, SCALES)
    assert effects.logits(cases([-5.0], [[("column", "a")]]))[0] < -1.0


def test_a_feature_that_tells_wrong_from_right_is_weighed() -> None:
    known = cases([0.0] * 8, [[]] * 8, [[1.0]] * 4 + [[-1.0]] * 4)
    effects = fit_effects(known, np.array([1.0] * 4 + [0.0] * 4), 1.0, SCALES)
    assert effects.weights[0] > 0.8
    assert effects.logits(cases([0.0], [[]], [[1.0]]))[0] == pytest.approx(effects.weights[0])


def test_the_prior_is_the_scale() -> None:
    known = cases([0.0] * 4, [[("column", "a"), ("shape", "a", "9")]] * 4)
    effects = fit_effects(known, np.ones(4), 0.5, SCALES)
    ratio = effects.by_group["column", "a"] / effects.by_group["shape", "a", "9"]
    assert ratio == pytest.approx(4.0, rel=1e-3)  # variances of 4 and 1
