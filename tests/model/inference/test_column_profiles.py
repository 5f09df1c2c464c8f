"""What columns hold, compared: values, numbers, shapes, lengths, blanks; nothing depends on the order of rows."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest

from model.inference.column_profiles import MAX_DISTINCT, VALUE_FEATURES, ColumnProfile, value_features
from model.inference.columns import Column


def profile(values: Sequence[str | None]) -> ColumnProfile:
    return ColumnProfile.of(Column(values))


def compared(left: Sequence[str | None], right: Sequence[str | None]) -> dict[str, float]:
    features = value_features([profile(left)], [profile(right)])[0, 0].tolist()
    return dict(zip(VALUE_FEATURES, features, strict=True))


def test_values_are_shared_without_regard_to_case_blanks_and_number_formats() -> None:
    said = compared(["Boston", "DENVER ", "1,000"], ["boston", "1000.0", "Austin"])
    assert said["values_contained"] == pytest.approx(2 / 3)
    assert said["values_shared"] == pytest.approx(2 / 4)


def test_frequencies_are_shared_as_far_as_both_have_them() -> None:
    said = compared(["M", "M", "M", "F"], ["M", "F", "F", "F"])
    assert said["values_shared"] == 1.0
    assert said["frequencies_shared"] == pytest.approx(0.5)


def test_numbers_are_compared_by_their_distribution() -> None:
    first, second = [str(one) for one in range(0, 100, 2)], [str(one) for one in range(1, 100, 2)]
    assert compared(first, second)["numbers"] > 0.9
    assert compared(first, [str(one) for one in range(1000, 1050)])["numbers"] == pytest.approx(0.0, abs=0.05)
    assert (compared(first, ["a", "b"])["one_numeric"], compared(first, second)["both_numeric"]) == (1.0, 1.0)


def test_shapes_lengths_blanks_and_repetition_tell_columns_apart() -> None:
    said = compared(["12-34", "56-78", None, None], ["90-12", "3-4", "5-6", "5-6"])
    assert said["shapes"] == 1.0
    assert said["missing_apart"] == 0.5
    assert said["repetition_apart"] == pytest.approx(0.25)
    assert compared(["ab"], ["abcdefgh"])["lengths"] == 0.0


def test_an_empty_column_says_only_that() -> None:
    said = compared([None, ""], ["a", "b"])
    assert said.pop("one_empty") == 1.0
    assert set(said.values()) == {0.0}


def test_the_order_of_rows_changes_nothing() -> None:
    values = [f"value {number % 70}" for number in range(300)] + [None] * 20
    shuffled = random.Random(3).sample(values, len(values))
    other = [profile([f"value {number}" for number in range(40)])]
    assert np.array_equal(value_features([profile(values)], other), value_features([profile(shuffled)], other))


def test_long_columns_are_read_by_the_same_values() -> None:
    many = [f"v{number}" for number in range(5 * MAX_DISTINCT)]
    said = compared(many, random.Random(1).sample(many, len(many)))
    assert len(profile(many).shares) == MAX_DISTINCT
    assert said["values_shared"] == 1.0
    later = sorted(many)[len(many) // 2 :]  # none of them is among the first by text
    assert compared(many, later)["values_contained"] > 0.3
