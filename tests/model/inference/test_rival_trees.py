"""Trees add to a regression what it cannot see, and no pair is judged by trees that saw it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from model.inference import rival_trees
from model.inference.columns import Floats, Ints
from model.inference.rival_trees import FEWEST_MATCHES, with_trees
from model.inference.rivals import standing

RIVALS = 5


class Pairs(NamedTuple):
    """Pairs of `count` left records with five right ones each, the first of which is the match."""

    features: np.ndarray
    left: Ints
    right: Ints
    truth: np.ndarray
    logits: Floats

    @property
    def contents(self) -> Ints:
        return np.arange(int(self.right.max()) + 1)

    def first(self, logits: Floats) -> float:
        """How often the match is the best of its record."""
        return float((standing(self.left, self.right, logits).rank_left[self.truth] == 0).mean())


def pairs(count: int, seed: int = 0) -> Pairs:
    """A code tells the match where there is one; where there is none the name does, and else names mislead."""
    rng = np.random.default_rng(seed)
    left = np.repeat(np.arange(count), RIVALS)
    right = count + np.arange(count * RIVALS)
    truth = np.tile(np.arange(RIVALS) == 0, count)
    has_code = np.repeat(rng.random(count) < 0.5, RIVALS)
    code = np.where(has_code, truth + rng.normal(0, 0.3, len(left)), np.nan)
    name = np.where(has_code, -1.0 * truth, truth) + rng.normal(0, 0.4, len(left))
    logits = 3.0 * truth - 1.0 + rng.normal(0, 1.6, len(left))
    return Pairs(np.stack((code, name), axis=1).astype(np.float32), left, right, truth, logits)


def test_trees_see_what_one_weight_for_each_feature_cannot() -> None:
    one = pairs(400)
    found = with_trees(one.features, one.left, one.right, one.logits, one.contents)
    assert one.first(found) > one.first(one.logits) + 0.02
    assert found.shape == one.logits.shape and np.isfinite(found).all()


def test_no_pair_is_judged_by_trees_that_saw_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of noise trees learn nothing but their own pairs by heart, so what is left out is told no better than by lot."""
    rng = np.random.default_rng(1)
    one = pairs(300)
    noise = rng.normal(size=(len(one.left), 6)).astype(np.float32)
    monkeypatch.setattr(rival_trees, "SHARE_OF_TREES", 1.0)
    grown = with_trees(noise, one.left, one.right, one.logits, one.contents)
    assert abs(one.first(grown) - 1 / RIVALS) < 0.08


def test_records_that_hold_the_same_are_judged_alike() -> None:
    """Each record stands twice, with the same features: not a bit may tell the two apart."""
    one = pairs(200)
    twice = [np.concatenate((part, part)) for part in (one.features, one.logits)]
    left, right = np.concatenate((one.left, one.left + 2000)), np.concatenate((one.right, one.right + 2000))
    contents = np.arange(4000) % 2000
    found = with_trees(twice[0], left, right, twice[1], contents)
    assert np.array_equal(found[: len(one.left)], found[len(one.left) :])
    assert not np.array_equal(found, twice[1])


def test_few_clear_matches_grow_no_trees() -> None:
    few = pairs(FEWEST_MATCHES - 5)
    assert with_trees(few.features, few.left, few.right, few.logits, few.contents) is few.logits
    alone = pairs(200)
    chosen = np.nonzero(alone.truth)[0]
    logits = alone.logits[chosen]
    found = with_trees(alone.features[chosen], alone.left[chosen], alone.right[chosen], logits, alone.contents)
    assert found is logits


def test_told_pairs_teach_the_trees() -> None:
    """Told that matches with a code are none, trees believe no code; the told pairs themselves are not asked."""
    one = pairs(400)
    has_code = ~np.isnan(one.features[:, 0])
    told = np.where(has_code & one.truth & (one.left % 2 == 0), -1, 0)
    before = with_trees(one.features, one.left, one.right, one.logits, one.contents)
    after = with_trees(one.features, one.left, one.right, one.logits, one.contents, told)
    asked = has_code & one.truth & (one.left % 2 == 1)
    assert (after[asked] - before[asked]).mean() < -0.3
    unasked = ~has_code & one.truth
    assert abs((after[unasked] - before[unasked]).mean()) < 0.3


def test_many_rivals_are_learned_from_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rival_trees, "_LEARNED_RIVALS", 300)
    one = pairs(400)
    found = with_trees(one.features, one.left, one.right, one.logits, one.contents)
    assert one.first(found) > one.first(one.logits)
