"""Which pairs of records are worth comparing: for each record the few whose texts are most like its own.

Texts are compared by character n-grams weighted by rarity (TF-IDF), so a missing value blocks nothing and a value that
half of the records hold weighs next to nothing. Each record keeps its best few, so no block can blow up. The cost is
known before anything is compared: where n-grams that very many records share would cost too much, the most frequent
ones are left out until it does not, and the plan says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from model.inference.columns import Floats, Ints
from model.inference.records import Records

CANDIDATES = 10
"""Records that each record keeps as candidates, of the other relation where two are linked."""

WORK = 3_000_000_000
"""Most products of n-gram weights that one blocking may take."""

_PRODUCTS_PER_SECOND = 60_000_000
_PAIRS_PER_SECOND = 12_000
_GRAMS = (2, 4)
_READ_CHARACTERS = 300
_CHUNK = 8192
_LARGEST_BLOCKS = 5
_SAMPLES = 3


@dataclass(frozen=True, slots=True)
class Block:
    """Records that share an n-gram which was left out: how many, and some of them."""

    key: str
    records: int
    sample: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BlockingPlan:
    """What blocking does, and what comes after it costs.

    Attributes:
        records: in all.
        possible_pairs: how many pairs there are without blocking.
        candidate_pairs: how many are compared; before blocking has run, at most so many.
        largest_blocks: the n-grams that most records share, the most frequent first.
        dropped_blocks: how many n-grams were left out because too many records share them.
        seconds: estimate for blocking and comparing on two cores.
    """

    records: int
    possible_pairs: int
    candidate_pairs: int
    largest_blocks: tuple[Block, ...]
    dropped_blocks: int
    seconds: float

    @property
    def reduction_ratio(self) -> float:
        """The share of possible pairs that are not compared."""
        return 1.0 - self.candidate_pairs / self.possible_pairs if self.possible_pairs else 0.0


class Blocking:
    """The n-grams of records, and the candidate pairs that they give."""

    def __init__(self, records: Records, candidates: int = CANDIDATES, work: int = WORK) -> None:
        self.records = records
        self._candidates = candidates
        self._first = np.nonzero(records.sides == 0)[0]
        self._second = np.nonzero(records.sides == 1)[0] if records.is_link else self._first
        self._counts, self._names = _gram_counts(records.texts)
        frequency = np.bincount(self._counts.indices, minlength=self._counts.shape[1]).astype(np.int64)
        self._frequency = frequency
        own = self._counts[self._first]
        other = self._counts[self._second]
        cost = np.bincount(own.indices, minlength=len(frequency)).astype(np.int64) * np.bincount(
            other.indices, minlength=len(frequency)
        )
        self._kept = _affordable(cost, work // 2)
        self._products = int(cost[self._kept].sum()) * 2
        self.vectors = _weighed(self._counts, frequency, len(records))

    def plan(self, candidate_pairs: int | None = None) -> BlockingPlan:
        """The plan; `candidate_pairs` is what blocking has found, where it has run."""
        first, second = len(self._first), len(self._second)
        possible = first * second if self.records.is_link else first * (first - 1) // 2
        most = min(possible, self._candidates * (first + second if self.records.is_link else first))
        pairs = most if candidate_pairs is None else candidate_pairs
        seconds = self._products / _PRODUCTS_PER_SECOND + pairs / _PAIRS_PER_SECOND
        dropped = int((~self._kept).sum())
        return BlockingPlan(len(self.records), possible, pairs, self._largest(), dropped, round(seconds, 1))

    def pairs(self) -> tuple[Ints, Ints]:
        """Candidate pairs as record numbers, int64 (pairs,) each, in order; left is lesser, or of the first side."""
        if not len(self._first) or not len(self._second):
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        vectors = self.vectors[:, self._kept]
        found = [self._best(vectors, self._first, self._second)]
        if self.records.is_link:
            right, left = self._best(vectors, self._second, self._first)
            found.append((left, right))
        left = np.concatenate([one for one, _ in found])
        right = np.concatenate([one for _, one in found])
        if not self.records.is_link:
            left, right = np.minimum(left, right), np.maximum(left, right)
        keys = np.unique(left * len(self.records) + right)
        return keys // len(self.records), keys % len(self.records)

    def _best(self, vectors: sparse.csr_matrix, asked: Ints, others: Ints) -> tuple[Ints, Ints]:
        """For each asked record its most similar others, never itself."""
        from sparse_dot_topn import sp_matmul_topn  # a compiled library that only blocking needs

        top = self._candidates + (0 if self.records.is_link else 1)
        transposed = vectors[others].T.tocsr()
        left, right = [], []
        for start in range(0, len(asked), _CHUNK):
            some = asked[start : start + _CHUNK]
            product = sp_matmul_topn(vectors[some], transposed, top_n=top, threshold=1e-6, sort=True).tocsr()
            rows = np.repeat(some, np.diff(product.indptr))
            columns = others[product.indices]
            rows, columns = rows[rows != columns], columns[rows != columns]
            best = _rank_in_run(rows) < self._candidates
            left.append(rows[best])
            right.append(columns[best])
        return np.concatenate(left).astype(np.int64), np.concatenate(right).astype(np.int64)

    def _largest(self) -> tuple[Block, ...]:
        order = np.lexsort((np.arange(len(self._frequency)), -self._frequency))[:_LARGEST_BLOCKS]
        blocks = []
        for gram in order.tolist():
            holders = self._counts.indices == gram
            rows = np.searchsorted(self._counts.indptr, np.nonzero(holders)[0][:_SAMPLES], side="right") - 1
            sample = tuple(self.records.texts[row][:80] for row in rows.tolist())
            blocks.append(Block(str(self._names[gram]), int(self._frequency[gram]), sample))
        return tuple(blocks)


def _rank_in_run(rows: Ints) -> Ints:
    """The place of each entry among the consecutive equal ones."""
    place = np.arange(len(rows))
    begins = np.r_[True, rows[1:] != rows[:-1]][: len(rows)]
    return np.asarray(place - np.maximum.accumulate(np.where(begins, place, 0)))


def _gram_counts(texts: Sequence[str]) -> tuple[sparse.csr_matrix, list[str]]:
    """Counts of character n-grams inside words, (texts, n-grams), and the n-grams."""
    from sklearn.feature_extraction.text import CountVectorizer  # a second to import, and only matching needs it

    readable = [text[:_READ_CHARACTERS].encode("utf-8", "replace").decode() for text in texts]
    vectorizer = CountVectorizer(analyzer="char_wb", ngram_range=_GRAMS, dtype=np.float32)
    try:
        counts = vectorizer.fit_transform(readable).tocsr()
    except ValueError:  # no text holds anything
        return sparse.csr_matrix((len(texts), 0), dtype=np.float32), []
    counts.sort_indices()
    return counts, vectorizer.get_feature_names_out().tolist()


def _affordable(cost: Ints, work: int) -> np.ndarray:
    """Which n-grams are kept: the cheapest, as many as the work allows."""
    order = np.argsort(cost, kind="stable")
    kept = np.zeros(len(cost), dtype=bool)
    kept[order[np.cumsum(cost[order]) <= work]] = True
    return kept


def _weighed(counts: sparse.csr_matrix, frequency: Ints, records: int) -> sparse.csr_matrix:
    """TF-IDF, rows of length one, float32."""
    rarity: Floats = np.log((1 + records) / (1 + frequency)) + 1
    weighed = counts.copy()
    weighed.data = ((1 + np.log(weighed.data)) * rarity[weighed.indices]).astype(np.float32)
    lengths = np.sqrt(np.asarray(weighed.multiply(weighed).sum(axis=1)).ravel())
    return sparse.csr_matrix(sparse.diags_array((1 / np.maximum(lengths, 1e-12)).astype(np.float32)) @ weighed)
