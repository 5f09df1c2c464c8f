"""Which pairs of records are worth comparing: for each record the few whose texts are most like its own.

Texts are compared by character n-grams weighted by rarity (TF-IDF), so a missing value blocks nothing and a value that
half of the records hold weighs next to nothing. Each record keeps its best few, so no block can blow up. Records of one
table that read the same are compared with the next few of them only, which connects them all, and take at most half of
each other's candidates: a thousand copies of a record leave room for its misspelled form. Each distinct text is looked
up once. The cost is known before anything is compared: where n-grams that very many texts share would cost too much,
the most frequent ones are left out until it does not, and the plan says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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


@dataclass(frozen=True, slots=True)
class _Side:
    """The records of one side, those of one text together.

    Attributes:
        texts: the texts that stand on this side, (groups,).
        records: record numbers by group, then by number, (records,).
        group: the group of each of `records`, and `place`, which one of the group it is.
        starts, sizes: where each group begins in `records`, and how many it has, (groups,).
    """

    texts: Ints
    records: Ints
    group: Ints
    place: Ints
    starts: Ints
    sizes: Ints

    @classmethod
    def of(cls, records: Ints, text_of: Ints) -> _Side:
        ordered = records[np.lexsort((records, text_of[records]))]
        texts, starts, group, sizes = np.unique(
            text_of[ordered], return_index=True, return_inverse=True, return_counts=True
        )
        return cls(texts, ordered, group, np.arange(len(ordered)) - starts[group], starts, sizes)


@dataclass(frozen=True, slots=True)
class GramVectors:
    """A vector of length one for each record, kept once for each distinct text.

    Attributes:
        of_texts: TF-IDF of n-grams, float32 (texts, n-grams).
        text_of: which text each record has, (records,).
    """

    of_texts: sparse.csr_matrix
    text_of: Ints

    def dots(self, left: Ints, right: Ints) -> Floats:
        """Cosines of pairs of records, float64 (pairs,)."""
        return row_dots(self.of_texts, self.text_of[left], self.text_of[right])


def row_dots(vectors: sparse.csr_matrix, left: Ints, right: Ints) -> Floats:
    """Dot products of pairs of rows, float64 (pairs,)."""
    return np.asarray(vectors[left].multiply(vectors[right]).sum(axis=1), dtype=np.float64).ravel()


class Blocking:
    """The n-grams of records, and the candidate pairs that they give."""

    def __init__(self, records: Records, candidates: int = CANDIDATES, work: int = WORK) -> None:
        self.records = records
        self._candidates = candidates
        self._copies = max(1, candidates // 2)
        self._texts, text_of = _distinct(records.texts)
        self._text_of = text_of
        self._counts, self._names = _gram_counts(self._texts)
        holders = np.bincount(text_of, minlength=len(self._texts))
        grams = self._counts.shape[1]
        self._frequency = _tally(self._counts, holders)
        held = np.diff(self._counts.indptr)[text_of] > 0
        first = _Side.of(np.nonzero((records.sides == 0) & held)[0], text_of)
        second = _Side.of(np.nonzero((records.sides == 1) & held)[0], text_of) if records.is_link else first
        self._sides = first, second
        cost = np.ones(grams, np.int64)
        for side in self._sides:
            cost *= np.bincount(self._counts[side.texts].indices, minlength=grams)
        self._kept = _affordable(cost, work // 2)
        self._products = int(cost[self._kept].sum()) * 2
        self._weights = _weighed(self._counts, self._frequency, len(records))

    @property
    def vectors(self) -> GramVectors:
        """The n-gram vectors of the records."""
        return GramVectors(self._weights, self._text_of)

    def plan(self, candidate_pairs: int | None = None) -> BlockingPlan:
        """The plan; `candidate_pairs` is what blocking has found, where it has run."""
        first = int((self.records.sides == 0).sum())
        second = len(self.records) - first
        possible = first * second if self.records.is_link else first * (first - 1) // 2
        most = min(possible, self._candidates * len(self.records))
        pairs = most if candidate_pairs is None else candidate_pairs
        seconds = self._products / _PRODUCTS_PER_SECOND + pairs / _PAIRS_PER_SECOND
        dropped = int((~self._kept).sum())
        return BlockingPlan(len(self.records), possible, pairs, self._largest(), dropped, round(seconds, 1))

    def pairs(self) -> tuple[Ints, Ints]:
        """Candidate pairs as record numbers, int64 (pairs,) each, in order; left is lesser, or of the first side."""
        first, second = self._sides
        if not len(first.records) or not len(second.records):
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        weights = self._weights if self._kept.all() else self._weights[:, self._kept]
        found = list(self._best(weights, first, second))
        if self.records.is_link:
            found += [(left, right) for right, left in self._best(weights, second, first)]
        else:
            found += self._equal(first)
        left, right = (np.concatenate(side) for side in zip(*found, strict=True))
        if not self.records.is_link:
            left, right = np.minimum(left, right), np.maximum(left, right)
        keys = np.unique(left * len(self.records) + right)
        return keys // len(self.records), keys % len(self.records)

    def _equal(self, side: _Side) -> Iterator[tuple[Ints, Ints]]:
        """Each record with the next few of the same text, so that all of them are connected."""
        for step in range(1, self._copies + 1):
            same = side.group[:-step] == side.group[step:]
            yield side.records[:-step][same], side.records[step:][same]

    def _best(self, weights: sparse.csr_matrix, asked: _Side, others: _Side) -> Iterator[tuple[Ints, Ints]]:
        """For each record its most similar ones of other texts, or of the other side, most similar texts first."""
        from sparse_dot_topn import sp_matmul_topn  # a compiled library that only blocking needs

        is_link = self.records.is_link
        limits = self._candidates - (0 if is_link else np.minimum(asked.sizes - 1, self._copies))
        limits = np.broadcast_to(limits, asked.sizes.shape)
        transposed = weights[others.texts].T.tocsr()
        for start in range(0, len(asked.texts), _CHUNK):
            some = asked.texts[start : start + _CHUNK]
            top = self._candidates + (0 if is_link else 1)
            product = sp_matmul_topn(weights[some], transposed, top_n=top, threshold=1e-6, sort=True).tocsr()
            group = np.repeat(np.arange(start, start + len(some)), np.diff(product.indptr))
            like = product.indices.astype(np.int64)
            is_other = np.ones(len(like), bool) if is_link else group != like
            yield self._of_groups(asked, others, group[is_other], like[is_other], limits)

    def _of_groups(self, asked: _Side, others: _Side, group: Ints, like: Ints, limits: Ints) -> tuple[Ints, Ints]:
        """Pairs of the records of each `group` with records of the group that it is `like`, up to the limit of each.

        Of a group that has many records the first takes the first few, the next the few that begin with the second.
        """
        offered = np.minimum(others.sizes[like], self._copies)
        before = _within(group, offered)
        taken = np.clip(limits[group] - before, 0, offered)
        slot_group, slot_like = np.repeat(group, taken), np.repeat(like, taken)
        slot_place = np.arange(len(slot_group)) - np.repeat(np.cumsum(taken) - taken, taken)
        slots = np.bincount(slot_group, minlength=len(asked.texts))
        slot_starts = np.cumsum(slots) - slots
        times = slots[asked.group]
        left, place = np.repeat(asked.records, times), np.repeat(asked.place, times)
        number = np.arange(len(left)) - np.repeat(np.cumsum(times) - times, times)
        slot = np.repeat(slot_starts[asked.group], times) + number
        chosen = slot_like[slot]
        right = others.records[others.starts[chosen] + (place + slot_place[slot]) % others.sizes[chosen]]
        return left, right

    def _largest(self) -> tuple[Block, ...]:
        order = np.lexsort((np.arange(len(self._frequency)), -self._frequency))[:_LARGEST_BLOCKS]
        blocks = []
        for gram in order.tolist():
            holders = self._counts.indices == gram
            rows = np.searchsorted(self._counts.indptr, np.nonzero(holders)[0][:_SAMPLES], side="right") - 1
            sample = tuple(self._texts[row][:80] for row in rows.tolist())
            blocks.append(Block(str(self._names[gram]), int(self._frequency[gram]), sample))
        return tuple(blocks)


def _distinct(texts: Sequence[str]) -> tuple[list[str], Ints]:
    """What is read of texts, each once and in order, and which of them each text is."""
    read = [text[:_READ_CHARACTERS].encode("utf-8", "replace").decode() for text in texts]
    number = {text: place for place, text in enumerate(sorted(set(read)))}
    return list(number), np.fromiter((number[text] for text in read), dtype=np.int64, count=len(read))


def _tally(counts: sparse.csr_matrix, holders: Ints) -> Ints:
    """How many records hold each n-gram."""
    rows = np.repeat(holders, np.diff(counts.indptr))
    return np.bincount(counts.indices, weights=rows, minlength=counts.shape[1]).astype(np.int64)


def _within(group: Ints, amounts: Ints) -> Ints:
    """For each place the sum of the amounts before it in its group; those of one group stand together."""
    before = np.cumsum(amounts) - amounts
    begins = np.r_[True, group[1:] != group[:-1]] if len(group) else np.zeros(0, bool)
    return np.asarray(before - before[begins][np.cumsum(begins) - 1], dtype=np.int64)


def _gram_counts(texts: Sequence[str]) -> tuple[sparse.csr_matrix, list[str]]:
    """Counts of character n-grams inside words, (texts, n-grams), and the n-grams."""
    from sklearn.feature_extraction.text import CountVectorizer  # a second to import, and only matching needs it

    vectorizer = CountVectorizer(analyzer="char_wb", ngram_range=_GRAMS, dtype=np.float32)
    try:
        counts = vectorizer.fit_transform(texts).tocsr()
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
    data = ((1 + np.log(counts.data)) * rarity[counts.indices]).astype(np.float32)
    # The n-grams of a text stay where they are, and are held once.
    weights = sparse.csr_matrix((data, counts.indices, counts.indptr), shape=counts.shape, copy=False)
    lengths = np.sqrt(np.asarray(weights.multiply(weights).sum(axis=1)).ravel())
    weights.data *= np.repeat((1 / np.maximum(lengths, 1e-12)).astype(np.float32), np.diff(counts.indptr))
    return weights
