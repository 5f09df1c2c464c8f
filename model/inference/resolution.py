"""Resolve the records of one table or two into entities: block, compare, judge, cluster, consolidate.

Two linked tables are judged by rivals: which pairs are each other's clear best teaches what a match is here, and the
second best of those shows how like strangers are (`model.inference.rivals`). In one table an entity may have any number
of records, so a record's next best pair is no stranger, and what attributes agree on is weighed instead
(`model.inference.agreement`); so it is where two tables are too small to teach anything. Either way every pair carries
what each attribute said of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from model.calibration import Calibrator
from model.checkpoint import Checkpoint
from model.errors import CheckpointError, InputError, OptionError
from model.inference.agreement import Agreement, agreement
from model.inference.batching import ModelTask, Progress, StepCall
from model.inference.blocking import Blocking, BlockingPlan
from model.inference.clustering import Cardinality, ClusteringOptions, Clusters, DoubtfulPair, cluster_pairs
from model.inference.columns import Floats, Ints
from model.inference.consolidation import ConsolidationOptions, Consolidator, Preference, PreferenceExample
from model.inference.matching import stand
from model.inference.records import Records, folded
from model.inference.similarity import PairFeatures, Similarity
from model.tuples import AttributeAgreement, Decision, JudgedPair, PairExample, RecordPlace, Relation, Usage, Value

LINK_CANDIDATES, TABLE_CANDIDATES = 10, 20
"""Candidates that each record keeps: of the other table, or of its own."""

CALIBRATOR = "match_link"
"""The calibrator of pairs of two tables."""

MAX_EXAMPLES = 1000


class Method(StrEnum):
    """What decided: the standing among rivals, or the agreement of attributes."""

    RIVALS = "rivals"
    AGREEMENT = "agreement"


@dataclass(frozen=True, slots=True)
class NamedPreference:
    """A rule for the golden record's value of an attribute; rules are those of `Preference`."""

    attribute: str
    rule: str


@dataclass(frozen=True, slots=True)
class NamedPreferenceExample:
    """Two values of an attribute, and which of them a person would keep."""

    attribute: str
    preferred: str
    other: str


@dataclass(frozen=True, slots=True)
class ResolutionOptions:
    """Options of one resolution; the defaults are those of the REST contract.

    Attributes:
        threshold: probability from which on a pair speaks for one entity.
        review_band: pairs from low to high are for a person to look at.
        cardinality: how many records of each table one entity may have; None is any number.
        max_cluster_size: records of an entity at most; None is the clustering's own guard.
        examples: pairs whose answer is known; they are taken as such, and teach the rest.
        consolidate: whether to make a golden record of each entity.
        candidates: candidates that each record keeps; None chooses by whether one table or two are resolved.
        max_questions: pairs that a person should be asked about, at most.
    """

    threshold: float = 0.5
    review_band: tuple[float, float] = (0.3, 0.7)
    cardinality: Cardinality | None = None
    max_cluster_size: int | None = None
    examples: tuple[PairExample, ...] = ()
    consolidate: bool = True
    preferences: tuple[NamedPreference, ...] = ()
    preference_examples: tuple[NamedPreferenceExample, ...] = ()
    candidates: int | None = None
    max_questions: int = 10


@dataclass(frozen=True, slots=True)
class LostValue:
    """A value of a golden record's attribute that was not chosen, and where it stands."""

    value: str
    places: tuple[RecordPlace, ...]


@dataclass(frozen=True, slots=True)
class ChosenValue:
    """A golden record's value of one attribute.

    Attributes:
        places: the records that hold it, in whatever spelling.
        reason: what decided, one word of `consolidation.Reason`.
        confidence: 0…1; 0 where no record has a value.
        lost: every other value.
    """

    attribute: str
    value: Value
    places: tuple[RecordPlace, ...]
    reason: str
    confidence: float
    detail: str | None
    lost: tuple[LostValue, ...]


@dataclass(frozen=True, slots=True)
class Entity:
    """Records that are one entity, with its golden record where one was asked for."""

    id: str
    members: tuple[RecordPlace, ...]
    confidence: float
    is_capped: bool
    record: tuple[ChosenValue, ...] | None


@dataclass(frozen=True, slots=True)
class Doubt:
    """A pair that disagrees with the entities, or is uncertain: `kind` is `joined`, `separated` or `uncertain`."""

    left: RecordPlace
    right: RecordPlace
    probability: float
    kind: str


@dataclass(frozen=True, slots=True)
class ResolutionResult:
    """What a resolution found.

    Attributes:
        entities: all records, each in one entity, by the first place.
        pairs: pairs that are a match or for review, likeliest first.
        conflicts: pairs that disagree with the entities, strongest first.
        questions: pairs that a person should label next.
        method: what decided.
    """

    entities: tuple[Entity, ...]
    pairs: tuple[JudgedPair, ...]
    conflicts: tuple[Doubt, ...]
    questions: tuple[Doubt, ...]
    plan: BlockingPlan
    method: Method
    usage: Usage = field(default_factory=Usage)


def plan_resolution(relations: Sequence[Relation], options: ResolutionOptions | None = None) -> BlockingPlan:
    """What a resolution would compare and about how long it would take, before anything is compared.

    Raises:
        InputError: neither one relation nor two.
        OptionError: an option out of range.
    """
    return _Resolution(relations, options or ResolutionOptions(), None).blocking.plan()


def plan_task(relations: Sequence[Relation], options: ResolutionOptions | None = None) -> ModelTask[BlockingPlan]:
    """`plan_resolution` as one turn of a task, so that whoever asks does not hold up the others."""
    made: list[BlockingPlan] = []
    yield [StepCall(lambda: made.append(plan_resolution(relations, options)))]
    return made[0]


def resolve(
    checkpoint: Checkpoint,
    relations: Sequence[Relation],
    options: ResolutionOptions | None = None,
    progress: Progress | None = None,
) -> ModelTask[ResolutionResult]:
    """Resolve one relation, or link two. Other tasks get their turns between the stages.

    Raises:
        InputError: neither one relation nor two.
        OptionError: an option or an example that does not fit the relations.
        CheckpointError: the checkpoint has no calibrator of pairs.
    """
    began = time.monotonic()
    work = _Resolution(relations, options or ResolutionOptions(), checkpoint)
    stages = list(work.stages())
    for number, (name, step) in enumerate(stages):
        yield [StepCall(step)]
        if progress is not None:
            progress(name, number + 1, len(stages))
    return work.result(round(time.monotonic() - began, 3))


def judge_pairs(
    checkpoint: Checkpoint,
    relations: Sequence[Relation],
    options: ResolutionOptions | None = None,
) -> tuple[list[JudgedPair], BlockingPlan]:
    """All candidate pairs with their probabilities, whatever these are; nothing is clustered."""
    work = _Resolution(relations, options or ResolutionOptions(review_band=(0.0, 1.0)), checkpoint)
    for _, step in list(work.stages())[:3]:
        step()
    return [work.judged(pair) for pair in range(len(work.left))], work.blocking.plan(len(work.left))


class _Resolution:
    """One resolution: its stages fill in what the next ones need."""

    left: Ints
    right: Ints
    compared: PairFeatures
    agreed: Agreement
    probabilities: Floats
    clusters: Clusters

    def __init__(
        self, relations: Sequence[Relation], options: ResolutionOptions, checkpoint: Checkpoint | None
    ) -> None:
        if len(relations) not in (1, 2):
            raise InputError(f"one table or two are resolved, not {len(relations)}", field="tables")
        self.options = options
        self.records = Records.of(relations)
        self._checkpoint = checkpoint
        self._relations = relations
        self._number = {place: number for number, place in enumerate(self.records.places)}
        self._method = Method.AGREEMENT
        self._told = self._examples()
        usual = LINK_CANDIDATES if len(relations) == 2 else TABLE_CANDIDATES
        candidates = options.candidates if options.candidates is not None else usual
        if not 1 <= candidates <= 100:
            raise OptionError(f"candidates {candidates} is not between 1 and 100", field="candidates")
        self._clustering = ClusteringOptions(
            options.threshold,
            options.review_band,
            options.max_cluster_size,
            self.records.sides if len(relations) == 2 else None,
            options.cardinality or Cardinality.MANY_TO_MANY,
        )
        self._consolidator = self._make_consolidator() if options.consolidate else None
        self.blocking = Blocking(self.records, candidates)

    def stages(self) -> Iterator[tuple[str, Callable[[], None]]]:
        """The stages in order, with their names."""
        yield "block", self._block
        yield "compare", self._compare
        yield "judge", self._judge
        yield "cluster", self._cluster

    def _block(self) -> None:
        left, right = self.blocking.pairs()
        told = np.array(sorted(self._told), dtype=np.int64).reshape(-1, 2)
        both = np.unique(np.stack((np.r_[left, told[:, 0]], np.r_[right, told[:, 1]]), axis=1), axis=0)
        self.left, self.right = both[:, 0], both[:, 1]

    def _compare(self) -> None:
        similarity = Similarity(self.records, self.blocking.vectors)
        self.compared = similarity.features(self.left, self.right)
        self.agreed = agreement(self.records, similarity, self.left, self.right, self.compared.similarities)

    def _judge(self) -> None:
        told = np.array([self._told.get(pair, 0) for pair in zip(self.left.tolist(), self.right.tolist(), strict=True)])
        standings = stand(self.compared, self.left, self.right, told) if len(self._relations) == 2 else None
        if standings is None:
            self.probabilities = self.agreed.probabilities
        else:
            self._method = Method.RIVALS
            self.probabilities = standings.probabilities(self._calibrator())
        self.probabilities = np.where(told == 0, self.probabilities, (told > 0).astype(np.float64))

    def _calibrator(self) -> Calibrator:
        if self._checkpoint is None or self._checkpoint.calibration is None:
            raise CheckpointError("the checkpoint has no calibrators")
        return self._checkpoint.calibration[CALIBRATOR]

    def _cluster(self) -> None:
        keys = ["\x1f".join(value or "" for value in row) for row in self.records.values]
        self.clusters = cluster_pairs(
            len(self.records), self.left, self.right, self.probabilities, keys, self._clustering
        )

    def result(self, seconds: float) -> ResolutionResult:
        """Everything in the numbers of the relations that came."""
        low = self.options.review_band[0]
        shown = np.nonzero(self.probabilities >= min(low, self.options.threshold))[0]
        shown = shown[np.lexsort((shown, -self.probabilities[shown]))]
        answered = {pair for pair in self._told}
        entities = [
            Entity(one.id, places, one.confidence, one.is_capped, self._golden(one.members))
            for one in self.clusters.clusters
            for places in [tuple(sorted(self.records.places[member] for member in one.members))]
        ]
        return ResolutionResult(
            tuple(sorted(entities, key=lambda entity: entity.members)),
            tuple(self.judged(int(pair)) for pair in shown),
            tuple(self._doubt(one) for one in self.clusters.conflicts),
            tuple(self._doubt(one) for one in self.clusters.questions(self.options.max_questions, answered)),
            self.blocking.plan(len(self.left)),
            self._method,
            Usage(tuples=len(self.records), seconds=seconds),
        )

    def judged(self, pair: int) -> JudgedPair:
        """One candidate pair with what each attribute says, the weightiest first."""
        probability = round(float(self.probabilities[pair]), 6)
        said = [
            AttributeAgreement(name, None if np.isnan(similarity) else round(float(similarity), 4), round(weight, 4))
            for name, similarity, weight in zip(
                self.records.names, self.compared.similarities[pair], self.agreed.weights[pair].tolist(), strict=True
            )
        ]
        said.sort(key=lambda one: (-abs(one.weight), one.attribute))
        left, right = (self.records.places[int(side[pair])] for side in (self.left, self.right))
        left, right = min(left, right), max(left, right)
        return JudgedPair(left, right, probability, self._decision(probability), tuple(said))

    def _decision(self, probability: float) -> Decision:
        low, high = self.options.review_band
        if low <= probability <= high:
            return Decision.REVIEW
        return Decision.MATCH if probability > high else Decision.NO_MATCH

    def _doubt(self, pair: DoubtfulPair) -> Doubt:
        places = sorted((self.records.places[pair.left], self.records.places[pair.right]))
        return Doubt(places[0], places[1], round(pair.probability, 6), pair.doubt.value)

    def _golden(self, members: Sequence[int]) -> tuple[ChosenValue, ...] | None:
        if self._consolidator is None:
            return None
        record = self._consolidator.consolidate(members)
        return tuple(
            ChosenValue(
                self.records.names[one.attribute],
                one.value,
                self._places(one.members),
                one.reason.value,
                round(one.confidence, 6),
                one.detail,
                tuple(LostValue(lost.value, self._places(lost.members)) for lost in one.losing),
            )
            for one in record.provenance
        )

    def _places(self, members: Sequence[int]) -> tuple[RecordPlace, ...]:
        return tuple(sorted(self.records.places[member] for member in members))

    def _make_consolidator(self) -> Consolidator:
        options = ConsolidationOptions(
            tuple(Preference(self._attribute(one.attribute), one.rule) for one in self.options.preferences),
            tuple(
                PreferenceExample(self._attribute(one.attribute), one.preferred, one.other)
                for one in self.options.preference_examples
            ),
        )
        return Consolidator(self.records.names, self.records.values, self.records.sides.tolist(), options)

    def _attribute(self, name: str) -> int:
        try:
            return self.records.attributes.index(folded(name))
        except ValueError as error:
            raise OptionError(f"no table has a column {name!r}", field="preferences") from error

    def _examples(self) -> dict[tuple[int, int], int]:
        """Known answers by record numbers: 1 for a match, -1 for none."""
        told: dict[tuple[int, int], int] = {}
        if len(self.options.examples) > MAX_EXAMPLES:
            raise OptionError(f"more than {MAX_EXAMPLES} examples", field="examples")
        for example in self.options.examples:
            numbers = sorted(self._record(place) for place in (example.left, example.right))
            if numbers[0] == numbers[1]:
                raise OptionError("an example compares a record with itself", field="examples")
            if len(self._relations) == 2 and example.left.relation == example.right.relation:
                raise OptionError("an example compares two records of one table", field="examples")
            answer = 1 if example.is_match else -1
            if told.setdefault((numbers[0], numbers[1]), answer) != answer:
                raise OptionError("two examples answer one pair differently", field="examples")
        return told

    def _record(self, place: RecordPlace) -> int:
        number = self._number.get(place)
        if number is None:
            message = f"table {place.relation} has no row {place.tuple_id}"
            raise OptionError(message, tuple_id=place.tuple_id, field="examples")
        return number
