"""Which tuples resemble one whose value is missing, by the text of all its other cells.

Agreement on whole values (`model.inference.context`) misses rows that are merely alike: a phone with the same area
code, a street spelled another way. Here tuples are compared by character n-grams, weighted by their rarity (TF-IDF).
A neighbour's value is evidence, never an answer: it becomes a candidate and features of the calibrator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import sparse

from model.inference.columns import MISSING, Column, spread

NEIGHBOURS = 5
_TRIED = 200
_FEATURES = 2**18
_READ_CHARACTERS = 400
_CHUNK = 64


@dataclass(frozen=True, slots=True)
class NeighbourVote:
    """A value that the most similar tuples hold.

    Attributes:
        share: its part of the similarities of all neighbours, 0…1.
        is_nearest: whether the most similar of all tuples holds it.
        similarity: cosine of the most similar tuple that holds it, 0…1.
        tuple_ids: the neighbours that hold it, most similar first.
    """

    value: str
    share: float
    is_nearest: bool
    similarity: float
    tuple_ids: tuple[int, ...]


class Neighbours:
    """The tuples of one relation as vectors, one set of vectors for each attribute that is left out."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = columns
        self._parts = [_counts(column) for column in columns]
        total = self._parts[0].copy()
        for part in self._parts[1:]:
            total = total + part
        self._total = total.tocsr()
        frequency = np.bincount(self._total.indices, minlength=_FEATURES)
        self._idf = np.log((1 + total.shape[0]) / (1 + frequency)) + 1
        self._without = lru_cache(maxsize=2)(self._vectors)

    def votes(self, attribute: int, tuple_ids: Sequence[int]) -> list[list[NeighbourVote]]:
        """What the five most similar tuples that have a value hold in `attribute`, most similar first."""
        column = self._columns[attribute]
        known = np.nonzero(column.codes != MISSING)[0]
        if not len(known) or not len(tuple_ids):
            return [[] for _ in tuple_ids]
        vectors = self._without(attribute)
        others = vectors[known].T.tocsc()
        found: list[list[NeighbourVote]] = []
        for start in range(0, len(tuple_ids), _CHUNK):
            asked = np.asarray(tuple_ids[start : start + _CHUNK])
            # Rounded, so that equal texts tie exactly and the earlier tuple comes first.
            scores = np.round((vectors[asked] @ others).toarray(), 9)
            scores[known[None, :] == asked[:, None]] = -1.0
            for row in scores:
                best = np.argsort(-row, kind="stable")[:NEIGHBOURS]
                found.append(_votes(column, known[best], row[best]))
        return found

    def reliability(self, attribute: int) -> float:
        """How often the largest share is right in some known tuples, drawn a little to one half; else 0."""
        column = self._columns[attribute]
        known = spread(np.nonzero(column.codes != MISSING)[0], _TRIED)
        if not len(known):
            return 0.0
        truth = (column.distinct[code] for code in column.codes[known].tolist())
        pairs = zip(self.votes(attribute, known.tolist()), truth, strict=True)
        right: int = sum(bool(votes) and first_by_share(votes).value == true for votes, true in pairs)
        return (right + 1) / (len(known) + 2)

    def _vectors(self, attribute: int) -> sparse.csr_matrix:
        """TF-IDF of every tuple without one attribute, rows of length one."""
        counts = (self._total - self._parts[attribute]).tocsr()
        counts.eliminate_zeros()
        counts.sort_indices()
        counts.data = (1 + np.log(counts.data)) * self._idf[counts.indices]
        lengths = np.sqrt(np.asarray(counts.multiply(counts).sum(axis=1)).ravel())
        return sparse.diags_array(1 / np.maximum(lengths, 1e-12)) @ counts


def first_by_share(votes: Sequence[NeighbourVote]) -> NeighbourVote:
    """The vote with the largest share, the most similar tuple's among equals."""
    return max(votes, key=lambda vote: vote.share)


def _counts(column: Column) -> sparse.csr_matrix:
    """Character n-grams of each tuple's value, (tuples, features)."""
    from sklearn.feature_extraction.text import HashingVectorizer  # a second to import, and only filling needs it

    hashing = HashingVectorizer(
        analyzer="char_wb", ngram_range=(2, 4), n_features=_FEATURES, alternate_sign=False, norm=None
    )
    # A lone surrogate, which a damaged file can hold, has no UTF-8; for likeness a question mark will do.
    texts = (value[:_READ_CHARACTERS].encode("utf-8", "replace").decode() for value in column.distinct)
    of_values = hashing.transform([*texts, ""])
    return of_values[np.where(column.codes == MISSING, len(column.distinct), column.codes)].tocsr()


def _votes(column: Column, tuple_ids: np.ndarray, similarities: np.ndarray) -> list[NeighbourVote]:
    total = float(np.maximum(similarities, 0).sum())
    if total <= 0:
        return []
    holders: dict[str, list[int]] = {}
    for place, tuple_id in enumerate(tuple_ids.tolist()):
        holders.setdefault(column.distinct[column.codes[tuple_id]], []).append(place)
    return [
        NeighbourVote(
            value,
            float(np.maximum(similarities[places], 0).sum()) / total,
            places[0] == 0,
            float(similarities[places[0]]),
            tuple(int(tuple_ids[place]) for place in places),
        )
        for value, places in holders.items()
    ]
