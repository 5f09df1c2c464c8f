"""What the table itself teaches about one attribute: predict it from the text and the numbers of the other cells.

Ridge regression onto the attribute's values, learned on the spot from the tuples that have one. Each other attribute
is a kernel of its own (character n-grams by TF-IDF, numbers by their rank), weighted by how much it alone tells. How
the other attributes begin (a maker before the model, an area code before the number) are kernels as well where that
makes left-out values likelier. The kernel form gives every tuple's prediction without that tuple in closed form: so
weights, temperature and reliability are measured on tuples that were left out, and a tuple never sees its own value.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from operator import attrgetter
from zlib import crc32

import numpy as np
import numpy.typing as npt
from scipy import sparse

from model.inference.columns import MISSING, Column, Floats, Ints, number_of, plain, spread

PREDICTED = 5
"""Values that are given for each tuple."""

MAX_TUPLES = 1000
MAX_VALUES = 300
MIN_REPEATED = 0.1
_WEIGHING_TUPLES = 300
_LEAST_WEIGHT = 0.05
_PENALTY = 0.1
_TEMPERATURES = (0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0)
_NOTHING = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4)
_LIKELY = 20
_READ_CHARACTERS = 200
_GRAMS = (2, 3, 4, 5)
_BUCKETS = 1 << 18
_BEGINNING_CHARACTERS = 10
_RESOLUTIONS = (2, 4, 8, 16, 32)
_NUMERIC_SHARE = 0.6
_CHUNK = 256
_USUAL_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class PredictedValue:
    """A value that the other cells of a tuple speak for; the probabilities of all values sum to 1 or less."""

    value: str
    probability: float


class Predictions:
    """Predictions for one relation; an attribute is learned when it is first asked for.

    Bounded for every table: at most `MAX_TUPLES` tuples, evenly spread, and the `MAX_VALUES` most frequent values.
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = columns
        self._learned = lru_cache(maxsize=2)(self._learn)

    def votes(self, attribute: int, tuple_ids: Sequence[int]) -> list[list[PredictedValue]]:
        """The likeliest values of `attribute` in each tuple, best first, never by the value it holds itself.

        Nothing is predicted where values hardly repeat, or where too few are known.
        """
        learned = self._learned(attribute)
        return [[] for _ in tuple_ids] if learned is None else learned.predict(tuple_ids)

    def reliability(self, attribute: int) -> float:
        """How often the first answer is right in tuples that were left out, drawn a little to one half; else 0."""
        learned = self._learned(attribute)
        return 0.0 if learned is None else learned.reliability

    def _learn(self, attribute: int) -> _Learned | None:
        column = self._columns[attribute]
        known = np.nonzero(column.codes != MISSING)[0]
        others = [one for place, one in enumerate(self._columns) if place != attribute and one.present]
        if len(known) < 4 or len(column.distinct) < 2 or not others:
            return None
        if column.repeated < MIN_REPEATED * column.present:
            return None
        known = spread(known, MAX_TUPLES)
        readers = [*(_WholeReader(one, known) for one in others), *(_BeginningReader(one, known) for one in others)]
        parts = [reader.read(known) for reader in readers]
        widths = len(others), len(readers)  # without beginnings, and with them
        tried = (_Learned(column, readers[:width], parts[:width], known) for width in widths)
        return max(tried, key=attrgetter("likelihood"))


class _Learned:
    """One attribute, learned from `known` tuples, with a kernel of each reader.

    Args:
        parts: what each reader reads of the known tuples.

    Attributes:
        likelihood: mean log probability of the truth in tuples that were left out.
        reliability: how often the first answer is right in them, drawn a little to one half.
    """

    def __init__(
        self, column: Column, readers: Sequence[_Reader], parts: Sequence[sparse.csr_matrix], known: Ints
    ) -> None:
        self._readers = readers
        codes = column.codes[known]
        counts = np.bincount(codes)
        kept = np.argsort(-counts, kind="stable")[: min(MAX_VALUES, np.count_nonzero(counts))]
        self._values = [column.distinct[code] for code in kept.tolist()]
        truth = (codes[:, None] == kept[None, :]).astype(np.float64)
        self._mean = truth.mean(axis=0)
        targets = truth - self._mean
        self._weights = _weights(parts, targets)
        vectors = _joined(parts, self._weights)
        self._is_usual = _is_usual(vectors)
        usual, rare = _split(vectors)
        inverse = _inverse(usual, rare)
        self._solution = inverse @ targets
        left_out = np.round(truth - self._solution / np.diag(inverse)[:, None], 9)
        self._rare, self._usual_coefficients = rare, usual.T @ self._solution
        self._temperature, self._nothing, self.likelihood = _temperature(left_out, truth)
        self._left_out: dict[int, Floats] = dict(zip(known.tolist(), left_out, strict=True))
        right = int(truth[np.arange(len(known)), np.argmax(left_out, axis=1)].sum())
        self.reliability = (right + 1) / (len(known) + 2)

    def predict(self, tuple_ids: Sequence[int]) -> list[list[PredictedValue]]:
        found = []
        for start in range(0, len(tuple_ids), _CHUNK):
            asked = np.asarray(tuple_ids[start : start + _CHUNK], dtype=np.int64)
            vectors = _joined([reader.read(asked) for reader in self._readers], self._weights)
            known = vectors[:, self._is_usual] @ self._usual_coefficients + self._mean
            likeness = (vectors[:, ~self._is_usual] @ self._rare.T).toarray()
            for tuple_id, scores, like in zip(asked.tolist(), known, likeness, strict=True):
                # Tuple by tuple: a product of whole matrices could depend on who else is asked in its last bits.
                scores = np.round(scores + like @ self._solution, 9)
                found.append(self._best(self._left_out.get(tuple_id, scores)))
        return found

    def _best(self, scores: Floats) -> list[PredictedValue]:
        best = np.argsort(-scores, kind="stable")[:_LIKELY]
        probabilities = _softmax(scores[best][None, :], self._temperature, self._nothing)[0]
        first = zip(best[:PREDICTED].tolist(), probabilities[:PREDICTED].tolist(), strict=True)
        return [PredictedValue(self._values[place], round(probability, 6)) for place, probability in first]


class _Reader(ABC):
    """Vectors of one attribute's values; their rarity is that of the `known` tuples."""

    def __init__(self, column: Column, known: Ints) -> None:
        self._column = column
        counts = self._counts(known)
        self._rarity = [_rarity(one) for one in counts]
        self._known = [np.nonzero(_frequency(one))[0] for one in counts]

    def read(self, tuple_ids: Ints) -> sparse.csr_matrix:
        """(tuples, features): rows of length one, or less by what no known tuple has."""
        blocks = zip(self._counts(tuple_ids), self._rarity, self._known, strict=True)
        vectors = [_unit(one, rarity)[:, known] for one, rarity, known in blocks]
        return sparse.hstack(vectors, format="csr") * float(len(vectors) ** -0.5)

    @abstractmethod
    def _counts(self, tuple_ids: Ints) -> list[sparse.csr_matrix]:
        """Features of each tuple, (tuples, features), in blocks that count alike."""

    def _texts(self, tuple_ids: Ints) -> tuple[list[str], Ints]:
        """The distinct texts of the tuples, empty for a missing one, and which each tuple has."""
        codes, place = np.unique(self._column.codes[tuple_ids], return_inverse=True)
        return ["" if code == MISSING else self._column.distinct[code] for code in codes.tolist()], place


class _WholeReader(_Reader):
    """Character n-grams of the text, and where numbers stand among the known ones."""

    def __init__(self, column: Column, known: Ints) -> None:
        present = known[column.codes[known] != MISSING]
        numbers = column.numbers[column.codes[present]] if column.numeric_share >= _NUMERIC_SHARE else np.zeros(0)
        self._sorted = np.sort(numbers[~np.isnan(numbers)])
        super().__init__(column, known)

    def _counts(self, tuple_ids: Ints) -> list[sparse.csr_matrix]:
        texts, place = self._texts(tuple_ids)
        return [_gram_counts(texts)[place], *self._ranks(tuple_ids)]

    def _ranks(self, tuple_ids: Ints) -> list[sparse.csr_matrix]:
        """Where the number stands among the known ones, in steps of several widths; nothing for text."""
        if not len(self._sorted):
            return []
        codes = self._column.codes[tuple_ids]
        distinct = self._column.distinct
        numbers = np.array([np.nan if code == MISSING else number_of(distinct[code]) for code in codes.tolist()])
        rows = np.nonzero(~np.isnan(numbers))[0]
        sides = [np.searchsorted(self._sorted, numbers[rows], side) for side in ("left", "right")]
        share = (sides[0] + sides[1]) / (2 * len(self._sorted))
        width = _RESOLUTIONS[-1] + 2
        steps = [(resolution, shift) for resolution in _RESOLUTIONS for shift in (0.0, 0.5)]
        cells = [np.floor(share * r + shift) + number * width for number, (r, shift) in enumerate(steps)]
        features = np.stack(cells, axis=1).astype(np.int64).ravel()
        shape = (len(codes), len(steps) * width)
        where = (np.repeat(rows, len(steps)), features)
        return [sparse.csr_matrix((np.ones(len(features)), where), shape=shape)]


class _BeginningReader(_Reader):
    """How the text begins, whatever its case, blanks and punctuation."""

    def _counts(self, tuple_ids: Ints) -> list[sparse.csr_matrix]:
        texts, place = self._texts(tuple_ids)
        begun = [_beginnings(text) for text in texts]
        rows = np.repeat(np.arange(len(begun)), [len(ones) for ones in begun])
        buckets = np.array([crc32(one.encode("utf-8", "surrogatepass")) % _BUCKETS for ones in begun for one in ones])
        where = (rows, buckets.astype(np.int64))
        return [sparse.csr_matrix((np.ones(len(rows)), where), shape=(len(texts), _BUCKETS))[place]]


def _beginnings(text: str) -> list[str]:
    """The first characters, one more each time, and the whole with its end marked where it is short."""
    short = plain(text[:_READ_CHARACTERS])
    begun = [short[:length] for length in range(1, min(len(short), _BEGINNING_CHARACTERS) + 1)]
    return begun if len(short) > _BEGINNING_CHARACTERS or not short else [*begun[:-1], f"{short}\x03"]


def _gram_counts(texts: Sequence[str]) -> sparse.csr_matrix:
    """Character n-grams of each text, case folded and with its ends marked, counted in hashed buckets."""
    padded = [f"\x02{text.casefold()[:_READ_CHARACTERS]}\x03" if text else "" for text in texts]
    points = np.frombuffer("".join(padded).encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    owner = np.repeat(np.arange(len(texts)), [len(text) for text in padded])
    owners, buckets = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    hashed = points + np.uint64(1)
    for size in range(2, min(max(_GRAMS), len(points)) + 1):
        hashed = hashed[:-1] * np.uint64(1_000_003) + points[size - 1 :] + np.uint64(1)
        inside = owner[: len(hashed)] == owner[size - 1 :]
        # Multiplied once more, so that the upper bits, which are kept, depend on every character.
        mixed = (hashed[inside] ^ (hashed[inside] >> np.uint64(29))) * np.uint64(0x9E3779B97F4A7C15)
        owners.append(owner[: len(hashed)][inside])
        buckets.append((mixed >> np.uint64(46)).astype(np.int64))
    where = (np.concatenate(owners), np.concatenate(buckets))
    return sparse.csr_matrix((np.ones(len(where[0])), where), shape=(len(texts), _BUCKETS))


def _frequency(counts: sparse.csr_matrix) -> Ints:
    """How many tuples have each feature."""
    return np.bincount(counts.indices, minlength=counts.shape[1])


def _rarity(counts: sparse.csr_matrix) -> Floats:
    rarity: Floats = np.log((1 + counts.shape[0]) / (1 + _frequency(counts))) + 1
    return rarity


def _unit(counts: sparse.csr_matrix, rarity: Floats) -> sparse.csr_matrix:
    weighed = counts.copy()
    weighed.data = (1 + np.log(weighed.data)) * rarity[weighed.indices]
    lengths = np.sqrt(np.asarray(weighed.multiply(weighed).sum(axis=1)).ravel())
    return sparse.diags_array(1 / np.maximum(lengths, 1e-12)) @ weighed


def _joined(parts: Sequence[sparse.csr_matrix], weights: Floats) -> sparse.csr_matrix:
    """One vector a tuple, so that a product of two is the weighted sum of the attributes' products."""
    scaled = [part * float(np.sqrt(weight)) for part, weight in zip(parts, weights, strict=True)]
    return sparse.hstack(scaled, format="csr")


def _weights(parts: Sequence[sparse.csr_matrix], targets: Floats) -> Floats:
    """How much each attribute alone explains of the values of left-out tuples, as weights that sum to 1."""
    some = spread(np.arange(len(targets)), _WEIGHING_TUPLES)
    wanted = targets[some]
    total = max(float((wanted**2).sum()), 1e-12)
    explained = []
    for part in parts:
        inverse = _inverse(*_split(part[some]))
        missed = (inverse @ wanted) / np.diag(inverse)[:, None]
        explained.append(max(0.0, 1 - float((missed**2).sum()) / total))
    weights = np.sqrt(np.round(explained, 6)) + _LEAST_WEIGHT
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def _is_usual(vectors: sparse.csr_matrix) -> npt.NDArray[np.bool_]:
    """Which features so many tuples have that products of sparse matrices would be slow."""
    return np.asarray(_frequency(vectors) > _USUAL_SHARE * vectors.shape[0])


def _split(vectors: sparse.csr_matrix) -> tuple[Floats, sparse.csr_matrix]:
    """The usual features, dense, and the rare ones."""
    usual, columns = _is_usual(vectors), vectors.tocsc()
    return columns[:, usual].toarray(), columns[:, ~usual].tocsr()


def _inverse(usual: Floats, rare: sparse.csr_matrix) -> Floats:
    """Inverse of the penalized kernel."""
    kernel = usual @ usual.T + (rare @ rare.T).toarray()
    inverse: Floats = np.linalg.inv(kernel + _PENALTY * np.eye(len(kernel)))
    return inverse


def _temperature(left_out: Floats, truth: Floats) -> tuple[float, float, float]:
    """The temperature, and the score of no known value, under which left-out truths are likeliest; and how likely."""
    alone = truth.sum(axis=0) < 2
    left_out = np.where(alone[None, :], -1.0, left_out)
    best = np.argsort(-left_out, axis=1, kind="stable")[:, :_LIKELY]
    scores, right = np.take_along_axis(left_out, best, axis=1), np.take_along_axis(truth, best, axis=1)
    unknown = truth[:, ~alone].sum(axis=1) == 0

    def likelihood(choice: tuple[float, float]) -> float:
        probabilities = _softmax(scores, *choice)
        of_truth = np.where(unknown, 1 - probabilities.sum(axis=1), (probabilities * right).sum(axis=1))
        return round(float(np.log(np.maximum(of_truth, 1e-4)).mean()), 6)

    best_choice = max(product(_TEMPERATURES, _NOTHING), key=likelihood)
    return *best_choice, likelihood(best_choice)


def _softmax(scores: Floats, temperature: float, nothing: float) -> Floats:
    """Probabilities of the scores beside one more score, `nothing`, whose share is left over."""
    top = np.maximum(scores.max(axis=1, keepdims=True), nothing)
    powers = np.exp((scores - top) / temperature)
    probabilities: Floats = powers / (powers.sum(axis=1, keepdims=True) + np.exp((nothing - top) / temperature))
    return probabilities
