"""Which other tuples a tuple is read with: those that agree with it on rare values.

RPT reads a tuple alone and names table-level evidence as open work. Here a target tuple is followed by
up to k tuples of the same relation. Agreement on a value weighs its inverse document frequency, so
tuples that share a rare zip or phone come first; after each choice the attributes that it agrees on
count half, so that the next one brings evidence about the others.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from model.tuples import Relation

HUB_SIZE = 512
"""Values held by more tuples than this say little and would cost quadratic work: they are not followed."""

_SHORTLIST = 48
_CHUNK_CELLS = 4_000_000


def select_context(relation: Relation, size: int, targets: np.ndarray | None = None) -> np.ndarray:
    """Context tuples of each target, best first.

    Args:
        relation: the table; its order breaks ties, so a canonical order makes the choice canonical.
        size: tuples wanted for each target (fewer only where the relation is too small).
        targets: tuple ids, int (n,); default all.

    Returns:
        int32 (n, min(size, tuples - 1)); never the target itself.
    """
    count = len(relation)
    targets = np.arange(count) if targets is None else np.asarray(targets)
    size = min(size, count - 1)
    if size <= 0 or not len(targets):
        return np.zeros((len(targets), max(size, 0)), dtype=np.int32)
    codes, weights = _codes(relation)
    matrix = _agreement_matrix(codes, weights)
    places = _places(relation)
    chosen = np.empty((len(targets), size), dtype=np.int32)
    chunk = max(1, min(256, _CHUNK_CELLS // count))
    for start in range(0, len(targets), chunk):
        part = targets[start : start + chunk]
        shortlist = _shortlist(matrix, places, part, max(size, min(_SHORTLIST, count - 1)))
        chosen[start : start + chunk] = _diversify(codes, weights, part, shortlist, size)
    return chosen


def _codes(relation: Relation) -> tuple[np.ndarray, np.ndarray]:
    """Value codes (tuples, attributes), -1 where nothing is shared; idf of each cell's value, float32, same shape."""
    count, width = len(relation), len(relation.attributes)
    codes = np.full((count, width), -1, dtype=np.int64)
    weights = np.zeros((count, width), dtype=np.float32)
    for attribute in range(width):
        known: dict[str, int] = {}
        column = relation.column(attribute)
        numbered = np.fromiter(
            (known.setdefault(value, len(known)) if value else -1 for value in column), dtype=np.int64, count=count
        )
        frequency = np.bincount(numbered[numbered >= 0], minlength=len(known) or 1)
        shared = (numbered >= 0) & (frequency[numbered] > 1)
        codes[shared, attribute] = numbered[shared]
        weights[shared, attribute] = np.log((count + 1) / frequency[numbered[shared]])
    return codes, weights


def _agreement_matrix(codes: np.ndarray, weights: np.ndarray) -> sparse.csr_matrix:
    """Rows are tuples, columns are shared values; the product of two rows is their idf-weighted agreement."""
    count, width = codes.shape
    rows, columns, data, offset = [], [], [], 0
    for attribute in range(width):
        column = codes[:, attribute]
        sizes = np.bincount(column[column >= 0], minlength=1)
        use = (column >= 0) & (sizes[column] <= HUB_SIZE)
        rows.append(np.nonzero(use)[0])
        columns.append(column[use] + offset)
        data.append(np.sqrt(weights[use, attribute]))
        offset += len(sizes)
    entries = (np.concatenate(data), (np.concatenate(rows), np.concatenate(columns)))
    return sparse.csr_matrix(entries, shape=(count, max(offset, 1)), dtype=np.float32)


def _places(relation: Relation) -> np.ndarray:
    """Where each tuple stands when equal neighbours count as one: equal tuples then get equal context."""
    contents = [[value or "" for value in values] for values in relation.tuples]
    changed = [one != before for before, one in zip(contents, contents[1:], strict=False)]
    return np.cumsum([0, *changed])


def _shortlist(matrix: sparse.csr_matrix, places: np.ndarray, targets: np.ndarray, length: int) -> np.ndarray:
    """The `length` tuples that agree most with each target, ties and gaps filled by nearness in the relation."""
    count = matrix.shape[0]
    scores = (matrix[targets] @ matrix.T).toarray()
    offset = places[None, :] - places[targets][:, None]
    distance = 2 * np.abs(offset) - (offset > 0)  # of two equally near tuples, the later one
    keys = np.round(scores.astype(np.float64), 4) - distance / (count * 1e5)
    keys[np.arange(len(targets)), targets] = -np.inf
    best = np.argpartition(-keys, length - 1, axis=1)[:, :length]
    order = np.argsort(-np.take_along_axis(keys, best, 1), axis=1, kind="stable")
    return np.take_along_axis(best, order, 1)


def _diversify(
    codes: np.ndarray, weights: np.ndarray, targets: np.ndarray, shortlist: np.ndarray, size: int
) -> np.ndarray:
    """Greedy choice of `size` from each shortlist; an attribute counts half after each tuple that agrees on it."""
    own = codes[targets][:, None, :]
    agrees = (codes[shortlist] == own) & (own >= 0)  # (targets, shortlist, attributes)
    worth = weights[targets].astype(np.float64)  # (targets, attributes)
    free = np.ones(shortlist.shape, dtype=bool)
    chosen = np.empty((len(targets), size), dtype=np.int32)
    every = np.arange(len(targets))
    for rank in range(size):
        gain = np.round((agrees * worth[:, None, :]).sum(-1), 6)
        gain[~free] = -1.0
        pick = gain.argmax(1)
        chosen[:, rank] = shortlist[every, pick]
        free[every, pick] = False
        worth = np.where(agrees[every, pick], worth * 0.5, worth)
    return chosen
