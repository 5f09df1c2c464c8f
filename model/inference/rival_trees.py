"""What trees see in the pairs that two tables teach with: that one attribute counts only where another is missing, say.

The regression of `model.inference.rivals` weighs each feature by itself. Trees are grown on the pairs that it is clear
about, and their logits are added by a fifth. They would learn their own pairs by heart, so each pair is judged by
trees that saw no pair of its left record, nor of a record that holds the same.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from model.inference.columns import Floats, Ints, spread
from model.inference.rivals import TOLD_WEIGHT, rivals_of, standing

FEWEST_MATCHES = 50
"""With fewer clear matches no tree is grown."""

SHARE_OF_TREES = 0.2
"""Weight of the trees' logits beside those of the regression."""

_CLEAR_SHARE = 0.9
_TREES = 40
_LEAVES = 12
_LEAST_LEAF = 20
_PENALTY = 5.0
_LEARNED_RIVALS = 40_000
_FOLDS = 4


def with_trees(
    features: npt.NDArray[np.float32], left: Ints, right: Ints, logits: Floats, contents: Ints, told: Ints | None = None
) -> Floats:
    """The logits of pairs with what trees add to them, (pairs,); unchanged where too few pairs are clear.

    Args:
        features: of each pair, (pairs, features), NaN where something is missing.
        logits: of the regression that the same pairs taught, (pairs,).
        contents: the same number for records that hold the same, (records,).
        told: 1 for pairs that are known to match, -1 for pairs that do not, 0 for all others, (pairs,).
    """
    known = np.zeros(len(left), np.int64) if told is None else told
    ranked = standing(left, right, logits)
    mutual = ranked.is_mutual
    clear = mutual & (ranked.lead >= np.quantile(ranked.lead[mutual], 1 - _CLEAR_SHARE)) & (logits > 0)
    matches = clear & (known >= 0) | (known > 0)
    others = (rivals_of(left, right, matches) | (known < 0)) & (known <= 0)
    if matches.sum() < FEWEST_MATCHES or others.sum() < FEWEST_MATCHES:
        return logits
    fold = contents[left] % _FOLDS
    grown = np.zeros(len(left))
    for number in range(_FOLDS):
        learned = fold != number
        if not (matches & learned).any() or not (others & learned).any():
            return logits
        judged = np.nonzero(~learned)[0]
        grown[judged] = _grow(features, matches & learned, others & learned, known, judged)
    return np.asarray(np.round(logits + SHARE_OF_TREES * (grown - logits), 6))


def _grow(
    features: npt.NDArray[np.float32],
    matches: npt.NDArray[np.bool_],
    others: npt.NDArray[np.bool_],
    known: Ints,
    judged: Ints,
) -> Floats:
    """Logits of the pairs `judged` by trees that tell `matches` from `others`."""
    from sklearn.ensemble import HistGradientBoostingClassifier  # a second to import, and only matching needs it

    if not len(judged):
        return np.zeros(0)
    drawn = spread(np.nonzero(others & (known == 0))[0], _LEARNED_RIVALS)
    told = np.nonzero((matches | others) & (known != 0))[0]
    # Repeated, not weighted: with weights the bounds of bins take many times as long as all trees.
    learned = np.sort(np.concatenate((np.nonzero(matches & (known == 0))[0], drawn, np.repeat(told, int(TOLD_WEIGHT)))))
    model = HistGradientBoostingClassifier(
        max_iter=_TREES,
        max_leaf_nodes=_LEAVES,
        min_samples_leaf=_LEAST_LEAF,
        l2_regularization=_PENALTY,
        early_stopping=False,
        random_state=0,
    )
    model.fit(features[learned], matches[learned])
    return np.asarray(model.decision_function(features[judged]), dtype=np.float64)
