"""Which records are one entity, from pairs of records and the probability that both are one.

Joining whatever a chain of likely pairs connects lets one wrong pair join two entities, and one vague record join
hundreds. So all pairs have a say (correlation clustering, Bansal et al. 2004): a pair weighs its log-odds above or
below the threshold, a pair that was never a candidate speaks weakly against, and groups of records join while what is
known between them speaks for it, surest first. Where pairs still disagree with the clusters, that is a conflict, and a
conflict is what to ask a person about.

Records are put in one order first, by key and then by what their pairs say, and all ties are broken in it, so that
neither the order of records nor that of pairs changes anything. Records that keys and pairs do not tell apart are
interchangeable.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from heapq import heapify, heappop, heappush, heapreplace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.csgraph import connected_components, min_weight_full_bipartite_matching

from model.errors import InputError, OptionError

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

MAX_CLUSTER_SIZE = 10_000
"""Records of a cluster at most, where the caller names no other number."""

MAX_COMPONENT = 20_000
"""Records that are looked at together at most: the weakest links of a larger component are cut."""

MAX_ASSIGNED = 5_000
"""Records of a component that are assigned one to one exactly; a larger component takes its surest pairs first."""

MISSING_WEIGHT = 0.25
"""What a pair that was never a candidate weighs against joining, in log-odds: as if judged .44 at a threshold of .5.

It weighs less where records have as many likely candidates as they could keep: of an entity of hundreds of records each
sees twenty, and that it saw no more of them tells nothing."""

MISSING_PER_PAIR = 6
"""So many of them count for each judged pair between two groups, for blocking names only some pairs of a large entity.
One pair alone then joins two large groups only if it is surer than .82 at a threshold of .5 (1.5 in log-odds)."""

_MAX_LOGIT = 10.0
_AT_THRESHOLD = 1e-6
_LEAST_GAIN = 1e-9
_MAX_ROUNDS = 10
_COLOUR_ROUNDS = 4
_ID_DIGITS = 12


class Cardinality(StrEnum):
    """How many records of each table one entity may have; all but MANY_TO_MANY link table 0 with table 1."""

    MANY_TO_MANY = "many_to_many"
    ONE_TO_ONE = "one_to_one"
    ONE_TO_MANY = "one_to_many"


class Doubt(StrEnum):
    """Why a pair is doubtful: joined though judged different, separated though judged the same, or just uncertain."""

    JOINED = "joined"
    SEPARATED = "separated"
    UNCERTAIN = "uncertain"


@dataclass(frozen=True, slots=True)
class ClusteringOptions:
    """Options of one clustering.

    Attributes:
        threshold: probability from which on a pair speaks for joining.
        review_band: from low to high, both included: pairs that a person may be asked about.
        max_cluster_size: records of a cluster at most, 2 or more; None means MAX_CLUSTER_SIZE.
        sides: the table of each record, needed by ONE_TO_ONE and ONE_TO_MANY, which know tables 0 and 1.
        cardinality: ONE_TO_MANY lets each record of table 1 join one of table 0, which may have many.
        candidates: how many candidates each record could keep at most; None where all that are alike were judged.

    Raises:
        OptionError: a number out of its range, a band upside down, or a cardinality without sides.
    """

    threshold: float = 0.5
    review_band: tuple[float, float] = (0.3, 0.7)
    max_cluster_size: int | None = None
    sides: Sequence[int] | Ints | None = None
    cardinality: Cardinality = Cardinality.MANY_TO_MANY
    candidates: int | None = None

    def __post_init__(self) -> None:
        low, high = self.review_band
        if not 0.0 <= self.threshold <= 1.0:
            raise OptionError(f"threshold {self.threshold} is not between 0 and 1", field="threshold")
        if not 0.0 <= low <= high <= 1.0:
            raise OptionError(f"review_band {low}, {high} is not 0 <= low <= high <= 1", field="review_band")
        if self.max_cluster_size is not None and self.max_cluster_size < 2:
            raise OptionError(f"max_cluster_size {self.max_cluster_size} is below 2", field="max_cluster_size")
        if self.cardinality is not Cardinality.MANY_TO_MANY and self.sides is None:
            raise OptionError(f"{self.cardinality.value} needs to know the table of each record", field="cardinality")

    @property
    def most(self) -> int:
        """Records of a cluster at most."""
        return self.max_cluster_size or MAX_CLUSTER_SIZE


@dataclass(frozen=True, slots=True)
class Cluster:
    """The records of one entity.

    A member's support is the mean log-odds of its judged pairs with the other members, less what pairs that were never
    candidates count against it: never surer because there are many pairs, for those of one record err together. Its
    rival is the other cluster with the most support. With s and r the two as probabilities, the member belongs here
    with s(1-r) / (1 - sr): the share of this case among here, there and in neither, since it cannot be both. A record
    alone has 1-r. Without a rival r is 0, so a pair alone has its own probability.

    Attributes:
        id: `ent_` and 12 hex digits from the members' keys, then `_2`, `_3` … for clusters of equal keys.
        members: record numbers, ascending.
        confidence: the probability that its most doubtful member belongs here, 0…1.
        is_capped: it would have grown beyond `max_cluster_size`, or joined one that would have.
    """

    id: str
    members: tuple[int, ...]
    confidence: float
    is_capped: bool = False


@dataclass(frozen=True, slots=True)
class DoubtfulPair:
    """A judged pair, `left` < `right`, that a person could decide."""

    left: int
    right: int
    probability: float
    doubt: Doubt


@dataclass(frozen=True)
class Clusters:
    """All records, each in one cluster.

    Attributes:
        clusters: by their first member; a record without a partner is a cluster of its own.
        conflicts: judged pairs that disagree with the clusters, strongest disagreement (log-odds) first.
        cut_pairs: pairs from the threshold on that were not followed, for their component was larger than
            MAX_COMPONENT records.
        is_approximate: a component was too large for an exact assignment one to one.
        cluster_of: position in `clusters` of each record, (count,).
    """

    clusters: tuple[Cluster, ...]
    conflicts: tuple[DoubtfulPair, ...]
    cut_pairs: int
    is_approximate: bool
    cluster_of: Ints = field(compare=False, repr=False)
    _uncertain: tuple[DoubtfulPair, ...] = field(compare=False, repr=False)
    _worth: tuple[float, ...] = field(compare=False, repr=False)

    def questions(self, limit: int, answered: Collection[tuple[int, int]] = ()) -> list[DoubtfulPair]:
        """At most `limit` pairs that a person should label next, most useful first.

        Conflicts come before the most uncertain pairs of the review band. What a pair is worth is divided by one more
        than how often its records were asked about already. Pairs in `answered`, in either order, are left out.
        """
        asked: Counter[int] = Counter()
        heap = self._askable(limit, {(min(pair), max(pair)) for pair in answered})
        chosen: list[DoubtfulPair] = []
        while heap and len(chosen) < limit:
            is_uncertain, negative, place, pair = heap[0]
            now = -self._worth[place] / (1 + max(asked[pair.left], asked[pair.right]))
            if now > negative:
                heapreplace(heap, (is_uncertain, now, place, pair))
                continue
            heappop(heap)
            chosen.append(pair)
            asked.update((pair.left, pair.right))
        return chosen

    def _askable(self, limit: int, known: set[tuple[int, int]]) -> list[tuple[bool, float, int, DoubtfulPair]]:
        """Unknown pairs, most useful first; of one record no more than could be asked about."""
        held: Counter[int] = Counter()
        askable: list[tuple[bool, float, int, DoubtfulPair]] = []
        for place, pair in enumerate((*self.conflicts, *self._uncertain)):
            if max(held[pair.left], held[pair.right]) < limit and (pair.left, pair.right) not in known:
                askable.append((pair.doubt is Doubt.UNCERTAIN, -self._worth[place], place, pair))
                held.update((pair.left, pair.right))
        return askable


class _Pairs(NamedTuple):
    """Distinct pairs, left < right, ascending; `weight` is log-odds relative to the threshold."""

    left: Ints
    right: Ints
    probability: Floats
    weight: Floats

    def where(self, chosen: Bools | Ints) -> _Pairs:
        return _Pairs(self.left[chosen], self.right[chosen], self.probability[chosen], self.weight[chosen])


class _Link(NamedTuple):
    """What is known between two groups of records: sum of weights and number of judged pairs."""

    weight: float
    judged: int

    def gain(self, possible: int, missing: float) -> float:
        """What joining them brings; `possible` pairs lie between them, one that was not judged weighs `missing`."""
        return self.weight - missing * min(possible - self.judged, MISSING_PER_PAIR * self.judged)


_NO_LINK = _Link(0.0, 0)


class _Grouping(NamedTuple):
    """The group of each record, the records whose group could not grow, and whether the answer is approximate.

    `missing` is what a pair of each record weighs that was never a candidate; None where it counts nothing.
    """

    labels: Ints
    capped: Bools
    is_approximate: bool = False
    cut_pairs: int = 0
    missing: Floats | None = None


def cluster_pairs(
    count: int,
    left: npt.ArrayLike,
    right: npt.ArrayLike,
    probability: npt.ArrayLike,
    keys: Sequence[str],
    options: ClusteringOptions | None = None,
) -> Clusters:
    """Cluster records 0…count-1 by judged pairs of them.

    A pair listed twice, in one or both orders, counts once with the mean of its probabilities.

    Args:
        left, right: record numbers of the pairs, (pairs,).
        probability: calibrated probability that both are one entity, (pairs,).
        keys: a text for each record that stands for its content; ids and ties depend on it, nothing else does.

    Raises:
        InputError: lengths that differ, a record number out of range, a record paired with itself, a probability that
            is not between 0 and 1, a table number that the cardinality does not know, or a pair within one table
            where the cardinality links two.
    """
    options = options or ClusteringOptions()
    given = _checked(count, left, right, probability, keys)
    sides = _checked_sides(count, given, options)
    if not count:
        return Clusters((), (), 0, False, np.zeros(0, dtype=np.int64), (), ())
    pairs = _distinct(*given, count, options.threshold)
    order = _canonical_order(count, pairs, keys, sides)
    place = np.empty(count, dtype=np.int64)
    place[order] = np.arange(count)
    pairs = _distinct(place[pairs.left], place[pairs.right], pairs.probability, count, options.threshold)
    grouping = _group(count, pairs, sides[order], options)
    return _result(pairs, grouping, order, keys, options)


# Input ------------------------------------------------------------------------------------------------


def _checked(
    count: int, left: npt.ArrayLike, right: npt.ArrayLike, probability: npt.ArrayLike, keys: Sequence[str]
) -> tuple[Ints, Ints, Floats]:
    lefts, rights = _record_numbers(count, left), _record_numbers(count, right)
    probabilities = np.asarray(probability, dtype=np.float64).ravel()
    if not len(lefts) == len(rights) == len(probabilities):
        raise InputError(
            f"pairs need as many left records ({len(lefts)}) as right ({len(rights)}) and probabilities "
            f"({len(probabilities)})"
        )
    if len(keys) != count:
        raise InputError(f"{count} records need as many keys, not {len(keys)}")
    _refuse(lefts == rights, "joins a record with itself")
    _refuse(~((probabilities >= 0) & (probabilities <= 1)), "has a probability that is not between 0 and 1")
    return lefts, rights, probabilities


def _record_numbers(count: int, numbers: npt.ArrayLike) -> Ints:
    array = np.asarray(numbers).ravel()
    if len(array) and not np.issubdtype(array.dtype, np.integer):
        raise InputError(f"record numbers are integers, not {array.dtype}")
    _refuse((array < 0) | (array >= count), f"names a record that is not one of the {count}")
    return array.astype(np.int64)


def _refuse(wrong: Bools, what: str) -> None:
    if wrong.any():
        raise InputError(f"pair {int(np.argmax(wrong))} {what}")


def _checked_sides(count: int, given: tuple[Ints, Ints, Floats], options: ClusteringOptions) -> Ints:
    """The table of each record, (count,); 0 where the caller names none."""
    if options.sides is None:
        return np.zeros(count, dtype=np.int64)
    sides = np.asarray(options.sides, dtype=np.int64).ravel()
    if len(sides) != count:
        raise OptionError(f"{count} records need as many table numbers, not {len(sides)}", field="sides")
    if options.cardinality is not Cardinality.MANY_TO_MANY:
        if not np.isin(sides, (0, 1)).all():
            raise OptionError(f"{options.cardinality.value} links tables 0 and 1 only", field="sides")
        _refuse(sides[given[0]] == sides[given[1]], "lies within one table, where two are linked")
    return sides


def _distinct(left: Ints, right: Ints, probability: Floats, count: int, threshold: float) -> _Pairs:
    """Each pair once, smaller number first, ascending, with the mean of its probabilities."""
    number = np.minimum(left, right) * count + np.maximum(left, right)
    order = np.lexsort((probability, number))
    found, starts, times = np.unique(number[order], return_index=True, return_counts=True)
    means = np.add.reduceat(probability[order], starts) / times if len(found) else np.zeros(0)
    return _Pairs(found // count, found % count, means, _weights(means, threshold))


def _logits(probability: Floats) -> Floats:
    with np.errstate(divide="ignore"):
        logits = np.log(probability) - np.log1p(-probability)
    return np.asarray(np.clip(logits, -_MAX_LOGIT, _MAX_LOGIT), dtype=np.float64)


def _weights(probability: Floats, threshold: float) -> Floats:
    """Log-odds relative to the threshold; a pair that reaches it speaks for joining, however little."""
    weights = np.round(_logits(probability) - _logits(np.array(threshold)), 9)
    return np.where(probability >= threshold, np.maximum(weights, _AT_THRESHOLD), np.minimum(weights, -_AT_THRESHOLD))


# Order ------------------------------------------------------------------------------------------------


def _canonical_order(count: int, pairs: _Pairs, keys: Sequence[str], sides: Ints) -> Ints:
    """Record numbers by key and table; equal ones by what their pairs say, then their pairs' pairs and so on."""
    number = {key: place for place, key in enumerate(sorted(set(keys)))}
    codes = np.fromiter((number[key] for key in keys), dtype=np.int64, count=count)
    colours = _mixed(codes.astype(np.uint64) * np.uint64(2) + sides.astype(np.uint64))
    said = (pairs.probability + 0.0).view(np.uint64)
    for _ in range(_COLOUR_ROUNDS):
        heard = np.zeros(count, dtype=np.uint64)
        np.add.at(heard, pairs.left, _mixed(_mixed(colours[pairs.right]) ^ said))
        np.add.at(heard, pairs.right, _mixed(_mixed(colours[pairs.left]) ^ said))
        colours = _mixed(colours ^ _mixed(heard))
    return np.lexsort((colours, sides, codes))


def _mixed(numbers: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The splitmix64 finalizer: a hash of each number."""
    mixed = numbers + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


# Groups -----------------------------------------------------------------------------------------------


def _group(count: int, pairs: _Pairs, sides: Ints, options: ClusteringOptions) -> _Grouping:
    if options.cardinality is Cardinality.MANY_TO_MANY:
        return _correlate(count, pairs, options.most, options.candidates)
    likely = pairs.where(pairs.weight > 0)
    swapped = sides[likely.left] == 1
    first, second = np.where(swapped, likely.right, likely.left), np.where(swapped, likely.left, likely.right)
    if options.cardinality is Cardinality.ONE_TO_ONE:
        return _assign(count, first, second, likely.weight)
    return _take_surest(count, first, second, likely.weight, options.most - 1)


def _correlate(count: int, pairs: _Pairs, most: int, candidates: int | None) -> _Grouping:
    """Correlation clustering of each component.

    Components are those of the pairs from the threshold on. A pair below it, wherever the review band begins, speaks
    against joining, and no optimal clustering joins what only such pairs connect.
    """
    likely = pairs.where(pairs.weight > 0)
    components = _components(count, likely, max(MAX_COMPONENT, most))
    missing = _missing_weights(components, likely, candidates)
    labels, capped = components.copy(), np.zeros(count, dtype=bool)
    for records, inside in _by_component(components, pairs):
        found, its_capped = _correlate_component(len(records), inside, most, float(missing[records[0]]))
        labels[records] = records[found]
        capped[records] = its_capped
    same = labels[likely.left] == labels[likely.right]
    cut = int((components[likely.left] != components[likely.right]).sum())
    return _Grouping(_connected(count, likely.where(same)), capped, cut_pairs=cut, missing=missing)


def _missing_weights(components: Ints, likely: _Pairs, candidates: int | None) -> Floats:
    """What a pair that was never a candidate weighs for each record, (count,): less in components of full records."""
    count = len(components)
    if candidates is None:
        return np.full(count, MISSING_WEIGHT)
    seen = np.bincount(np.concatenate((likely.left, likely.right)), minlength=count)
    sizes = np.bincount(components, minlength=count)
    full = np.bincount(components, np.minimum(1, seen / candidates) ** 2, count) / np.maximum(1, sizes)
    return np.asarray((MISSING_WEIGHT * (1 - full))[components])


def _connected(count: int, pairs: _Pairs) -> Ints:
    """The smallest record that each is connected with."""
    graph = sparse.coo_array((np.ones(len(pairs.left), dtype=np.int8), (pairs.left, pairs.right)), shape=(count, count))
    found = connected_components(graph, directed=False)[1]
    _, first = np.unique(found, return_index=True)
    return np.asarray(first[found], dtype=np.int64)


def _components(count: int, likely: _Pairs, most: int) -> Ints:
    """Connected records; a component of more than `most` is rebuilt from its surest pairs, as far as that goes."""
    labels = _connected(count, likely)
    large = np.bincount(labels, minlength=count) > most
    if not large.any():
        return labels
    inside = likely.where(large[labels[likely.left]])
    inside = inside.where(np.argsort(-inside.weight, kind="stable"))
    parents, sizes = list(range(count)), [1] * count
    for left, right in zip(inside.left.tolist(), inside.right.tolist(), strict=True):
        a, b = _root(parents, left), _root(parents, right)
        if a != b and sizes[a] + sizes[b] <= most:
            a, b = min(a, b), max(a, b)
            parents[b] = a
            sizes[a] += sizes[b]
    roots = np.array([_root(parents, record) for record in range(count)], dtype=np.int64)
    return np.where(large[labels], roots, labels)


def _root(parents: list[int], record: int) -> int:
    while parents[record] != record:
        parents[record] = parents[parents[record]]
        record = parents[record]
    return record


def _by_component(components: Ints, pairs: _Pairs) -> Iterator[tuple[Ints, _Pairs]]:
    """Components of three records or more with their pairs renumbered; smaller ones are clusters as they are."""
    sizes = np.bincount(components, minlength=len(components))
    records = np.argsort(components, kind="stable")
    starts = np.concatenate(([0], np.cumsum(sizes)))
    inside = pairs.where(components[pairs.left] == components[pairs.right])
    inside = inside.where(np.argsort(components[inside.left], kind="stable"))
    ends = np.cumsum(np.bincount(components[inside.left], minlength=len(components)))
    place = np.empty(len(components), dtype=np.int64)
    place[records] = np.arange(len(components)) - starts[components[records]]
    for component in np.nonzero(sizes > 2)[0].tolist():
        own = slice(ends[component - 1] if component else 0, ends[component])
        yield (
            records[starts[component] : starts[component + 1]],
            _Pairs(place[inside.left[own]], place[inside.right[own]], inside.probability[own], inside.weight[own]),
        )


def _correlate_component(count: int, pairs: _Pairs, most: int, missing: float) -> tuple[list[int], list[bool]]:
    """The group of each record of one component, by the number of one of its records, and whether it is capped."""
    neighbours: list[dict[int, float]] = [{} for _ in range(count)]
    for left, right, weight in zip(pairs.left.tolist(), pairs.right.tolist(), pairs.weight.tolist(), strict=True):
        neighbours[left][right] = neighbours[right][left] = weight
    groups = _Groups(neighbours, most, missing)
    groups.agglomerate()
    labels = groups.labels()
    capped = [labels[record] in groups.capped for record in range(count)]
    _improve(labels, neighbours, most, missing)
    return labels, capped


class _Groups:
    """Groups of records that join two by two, surest first.

    How sure a join is, the gain for each judged pair, only falls as the groups grow, save where two groups that a third
    is linked with become one. So the heap may hold gains that have fallen since (they are put back when they come up),
    and a join renews only the links of the group with fewer of them.
    """

    def __init__(self, neighbours: Sequence[dict[int, float]], most: int, missing: float) -> None:
        self._most = most
        self._missing = missing
        self._links = [{other: _Link(weight, 1) for other, weight in near.items()} for near in neighbours]
        self._members: list[list[int]] = [[record] for record in range(len(neighbours))]
        self._heap = [
            (-weight, left, right)
            for left, near in enumerate(neighbours)
            for right, weight in near.items()
            if left < right and weight > 0
        ]
        self.capped: set[int] = set()

    def agglomerate(self) -> None:
        """Join while that brings anything."""
        heapify(self._heap)
        while self._heap:
            negative, left, right = heappop(self._heap)
            if right not in self._links[left]:
                continue
            sureness = self._sureness(left, right)
            if sureness <= _LEAST_GAIN:
                continue
            if sureness < -negative:
                heappush(self._heap, (-sureness, left, right))
            elif len(self._members[left]) + len(self._members[right]) > self._most:
                self.capped.update((left, right))
            else:
                self._join(left, right)

    def labels(self) -> list[int]:
        """For each record the number of its group."""
        labels = [0] * len(self._members)
        for group, members in enumerate(self._members):
            for record in members:
                labels[record] = group
        return labels

    def _sureness(self, left: int, right: int) -> float:
        link = self._links[left][right]
        return link.gain(len(self._members[left]) * len(self._members[right]), self._missing) / link.judged

    def _join(self, left: int, right: int) -> None:
        if len(self._links[left]) < len(self._links[right]):
            left, right = right, left
        gone, self._links[right] = self._links[right], {}
        self._members[left].extend(self._members[right])
        self._members[right] = []
        if right in self.capped:
            self.capped.add(left)
        for other, link in gone.items():
            if other == left:
                del self._links[left][right]
                continue
            del self._links[other][right]
            held = self._links[left].get(other, _NO_LINK)
            joined = _Link(held.weight + link.weight, held.judged + link.judged)
            self._links[left][other] = self._links[other][left] = joined
            sureness = self._sureness(left, other)
            if sureness > _LEAST_GAIN:
                heappush(self._heap, (-sureness, min(left, other), max(left, other)))


def _improve(labels: list[int], neighbours: Sequence[dict[int, float]], most: int, missing: float) -> None:
    """Move single records to the group that they belong to more, or out of theirs, until none moves."""
    sizes = Counter(labels)
    empty = [label for label in range(len(labels) - 1, -1, -1) if not sizes[label]]
    waiting: Collection[int] = range(len(labels))
    for _ in range(_MAX_ROUNDS):
        touched: set[int] = set()
        for record in waiting:
            target = _better(record, labels, neighbours[record], sizes, most, missing)
            if target == labels[record]:
                continue
            _leave(record, labels, sizes, empty)
            labels[record] = target if target >= 0 else empty.pop()
            sizes[labels[record]] += 1
            touched.update(neighbours[record])
        if not touched:
            return
        waiting = sorted(touched)


def _leave(record: int, labels: list[int], sizes: Counter[int], empty: list[int]) -> None:
    sizes[labels[record]] -= 1
    if not sizes[labels[record]]:
        empty.append(labels[record])


def _better(
    record: int, labels: Sequence[int], near: dict[int, float], sizes: Counter[int], most: int, missing: float
) -> int:
    """The group that one record belongs to most, -1 for one of its own; its own group among equals."""
    links: dict[int, tuple[float, int]] = {}
    for other, weight in near.items():
        held, judged = links.get(labels[other], _NO_LINK)
        links[labels[other]] = held + weight, judged + 1
    own = labels[record]
    best, best_gain = own, 0.0
    if sizes[own] > 1:
        best_gain = _Link(*links.pop(own, _NO_LINK)).gain(sizes[own] - 1, missing)
        if best_gain < -_LEAST_GAIN:
            best, best_gain = -1, 0.0
    for group, link in links.items():
        gain = _Link(*link).gain(sizes[group], missing) if link[0] > best_gain else 0.0
        if gain > best_gain + _LEAST_GAIN and sizes[group] < most:
            best, best_gain = group, gain
    return best


# Links between two tables -----------------------------------------------------------------------------


def _take_surest(count: int, first: Ints, second: Ints, weight: Floats, most: int) -> _Grouping:
    """Pairs, surest first, where `second` is still free and `first` has fewer than `most`."""
    labels, taken = np.arange(count), np.zeros(count, dtype=np.int64)
    capped = np.zeros(count, dtype=bool)
    for place in np.argsort(-weight, kind="stable").tolist():
        one, other = int(first[place]), int(second[place])
        if labels[other] != other:
            continue
        if taken[one] >= most:
            capped[one] = True
            continue
        labels[other] = one
        taken[one] += 1
    return _Grouping(labels, capped)


def _assign(count: int, first: Ints, second: Ints, weight: Floats) -> _Grouping:
    """The pairs of largest total weight that have no record in common."""
    graph = sparse.coo_array((np.ones(len(first), dtype=np.int8), (first, second)), shape=(count, count))
    components = connected_components(graph, directed=False)[1]
    large = (np.bincount(components, minlength=count) > MAX_ASSIGNED)[components[first]]
    labels = _take_surest(count, first[large], second[large], weight[large], 1).labels
    for own in _parts(components[first], ~large):
        chosen = _best_assignment(first[own], second[own], weight[own])
        labels[second[own][chosen]] = first[own][chosen]
    return _Grouping(labels, np.zeros(count, dtype=bool), is_approximate=bool(large.any()))


def _parts(labels: Ints, wanted: Bools) -> list[Ints]:
    """Places of equal labels."""
    places = np.nonzero(wanted)[0]
    places = places[np.argsort(labels[places], kind="stable")]
    return np.split(places, np.nonzero(np.diff(labels[places]))[0] + 1) if len(places) else []


def _best_assignment(first: Ints, second: Ints, weight: Floats) -> Ints:
    """Places of the chosen pairs; every record of the first table may also stay alone, at no gain."""
    if len(first) == 1:
        return np.zeros(1, dtype=np.int64)
    _, rows = np.unique(first, return_inverse=True)
    _, columns = np.unique(second, return_inverse=True)
    height, width = int(rows.max()) + 1, int(columns.max()) + 1
    alone = np.arange(height)
    zero = 3 * _MAX_LOGIT  # costs are positive, for a sparse matrix holds no zeros
    costs = sparse.csr_array(
        (
            np.concatenate((zero - weight, np.full(height, zero))),
            (np.concatenate((rows, alone)), np.concatenate((columns, width + alone))),
        ),
        shape=(height, width + height),
    )
    chosen = min_weight_full_bipartite_matching(costs)[1]
    return np.nonzero(chosen[rows] == columns)[0]


# Output -----------------------------------------------------------------------------------------------


def _result(
    pairs: _Pairs, grouping: _Grouping, order: Ints, keys: Sequence[str], options: ClusteringOptions
) -> Clusters:
    """The answer in the caller's record numbers; `order` has them in canonical order."""
    beliefs = _beliefs(len(order), pairs, grouping)
    clusters = _clusters(grouping, beliefs, order, keys)
    cluster_of = np.zeros(len(order), dtype=np.int64)
    for place, cluster in enumerate(clusters):
        cluster_of[list(cluster.members)] = place
    doubts = _doubts(pairs, grouping.labels)
    strength = np.abs(pairs.weight)
    conflicting = np.nonzero(doubts)[0]
    conflicting = conflicting[np.argsort(-strength[conflicting], kind="stable")]
    low, high = options.review_band
    uncertain = np.nonzero(~doubts & (pairs.probability >= low) & (pairs.probability <= high))[0]
    uncertain = uncertain[np.argsort(strength[uncertain], kind="stable")]
    return Clusters(
        tuple(clusters),
        tuple(_doubtful(pairs, grouping.labels, order, conflicting, is_conflict=True)),
        grouping.cut_pairs,
        grouping.is_approximate,
        cluster_of,
        tuple(_doubtful(pairs, grouping.labels, order, uncertain, is_conflict=False)),
        (*(1 + strength[conflicting]).tolist(), *(1 / (1 + strength[uncertain])).tolist()),
    )


def _doubts(pairs: _Pairs, labels: Ints) -> Bools:
    """Whether each pair disagrees with the clusters."""
    return np.asarray((labels[pairs.left] == labels[pairs.right]) != (pairs.weight > 0), dtype=np.bool_)


def _doubtful(pairs: _Pairs, labels: Ints, order: Ints, places: Ints, *, is_conflict: bool) -> Iterator[DoubtfulPair]:
    chosen = pairs.where(places)
    joined = labels[chosen.left] == labels[chosen.right]
    ends = np.sort(np.stack((order[chosen.left], order[chosen.right]), axis=1), axis=1)
    for (left, right), probability, is_joined in zip(
        ends.tolist(), chosen.probability.tolist(), joined.tolist(), strict=True
    ):
        conflict = Doubt.JOINED if is_joined else Doubt.SEPARATED
        yield DoubtfulPair(left, right, probability, conflict if is_conflict else Doubt.UNCERTAIN)


def _clusters(grouping: _Grouping, beliefs: Floats, order: Ints, keys: Sequence[str]) -> list[Cluster]:
    """By first member; ids are numbered in canonical order."""
    used: Counter[str] = Counter()
    clusters: list[Cluster] = []
    for places in _parts(grouping.labels, np.ones(len(order), dtype=bool)):
        members = order[places].tolist()
        name = _id(keys[member] for member in members)
        used[name] += 1
        clusters.append(
            Cluster(
                name if used[name] == 1 else f"{name}_{used[name]}",
                tuple(sorted(members)),
                round(float(beliefs[places].min()), 6),
                bool(grouping.capped[places].any()),
            )
        )
    return sorted(clusters, key=lambda cluster: cluster.members[0])


def _id(keys: Iterator[str]) -> str:
    """A hash of keys in canonical order, which is ascending."""
    digest = hashlib.sha256()
    for key in keys:
        data = key.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big") + data)
    return f"ent_{digest.hexdigest()[:_ID_DIGITS]}"


def _beliefs(count: int, pairs: _Pairs, grouping: _Grouping) -> Floats:
    """The probability that each record belongs to its cluster, as `Cluster` defines it, (count,)."""
    labels = grouping.labels
    records = np.concatenate((pairs.left, pairs.right))
    others = labels[np.concatenate((pairs.right, pairs.left))]
    found, place = np.unique(records * count + others, return_inverse=True)
    record, group = found // count, found % count
    judged = np.bincount(place, minlength=len(found)).astype(np.float64)
    total = np.bincount(place, np.tile(_logits(pairs.probability), 2), minlength=len(found))
    own = labels[record] == group
    if grouping.missing is not None:
        possible = np.bincount(labels, minlength=count)[group] - own
        total = total - grouping.missing[record] * np.minimum(possible - judged, MISSING_PER_PAIR * judged)
    likely = 1 / (1 + np.exp(-np.clip(total / judged, -_MAX_LOGIT, _MAX_LOGIT)))
    support, rival = np.ones(count), np.zeros(count)
    support[record[own]] = likely[own]
    np.maximum.at(rival, record[~own], likely[~own])
    alone = np.bincount(labels, minlength=count)[labels] == 1
    return np.where(alone, 1 - rival, support * (1 - rival) / (1 - support * rival))
