"""Resolve the records of one table or two into entities: block, compare, judge, cluster, consolidate.

Two linked tables are judged by rivals: which pairs are each other's clear best teaches what a match is here, and the
second best of those shows how like strangers are (`model.inference.rivals`). In one table an entity may have any number
of records, so a record's next best pair is no stranger: trees that know pairs of other tables are asked, and agreement
learns from them (`model.inference.deduplication`); so it is where two tables are too small to teach anything. Either
way every pair carries what each attribute said of it.

Of one table, records that hold the same become one entity: a thousand rows of one name, even where the table has no
other column, for nothing tells them apart. They are compared with a few of each other, not all with all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial

import numpy as np
import numpy.typing as npt

from model.calibration import Calibrator
from model.checkpoint import Checkpoint
from model.errors import InputError, OptionError
from model.inference.agreement import Agreement, agreement
from model.inference.batching import ModelTask, Progress, StepCall
from model.inference.blocking import Blocking, BlockingPlan
from model.inference.clustering import Cardinality, Cluster, ClusteringOptions, Clusters, DoubtfulPair, cluster_pairs
from model.inference.columns import Floats, Ints
from model.inference.consolidation import ConsolidationOptions, Consolidator, Preference, PreferenceExample
from model.inference.deduplication import MOST_PAIRS, WHOLE_RECORD, PairsOfTable
from model.inference.matching import stand
from model.inference.pairs import PairJudge
from model.inference.records import Records
from model.inference.similarity import PairFeatures, Similarity
from model.tuples import AttributeAgreement, Decision, JudgedPair, PairExample, RecordPlace, Relation, Usage, Value

LINK_CANDIDATES, TABLE_CANDIDATES = 10, 20
"""Candidates that each record keeps: of the other table, or of its own."""

CALIBRATOR = "match_link"
"""The calibrator of pairs of two tables."""

MAX_EXAMPLES = 1000
BINS = 20

Step = Callable[[], None]
"""A piece of a stage, after which other tasks get their turns."""

_PAIRS_PER_STEP = 20_000
_ENTITIES_PER_STEP = 1_000
_PAIRS_READ_PER_SECOND = 2_500


class Method(StrEnum):
    """What decided: the standing among rivals, or what both records agree on, by trees and attribute by attribute."""

    RIVALS = "rivals"
    AGREEMENT = "agreement"


@dataclass(frozen=True, slots=True)
class NamedPreference:
    """A rule for the golden record's value of an attribute.

    Rules are those of `Preference`, but `newest:updated` names the attribute of the dates.
    """

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
class PairDoubt:
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
        histogram: candidate pairs by probability, in `BINS` equal bins from 0 to 1.
    """

    entities: tuple[Entity, ...]
    pairs: tuple[JudgedPair, ...]
    conflicts: tuple[PairDoubt, ...]
    questions: tuple[PairDoubt, ...]
    plan: BlockingPlan
    method: Method
    usage: Usage = field(default_factory=Usage)
    histogram: tuple[int, ...] = ()


def plan_resolution(relations: Sequence[Relation], options: ResolutionOptions | None = None) -> BlockingPlan:
    """What a resolution would compare and about how long it would take, before anything is compared.

    Raises:
        InputError: neither one relation nor two.
        OptionError: an option out of range.
    """
    return _Resolution(relations, options or ResolutionOptions(), None).plan()


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
    """Resolve one relation, or link two. Other tasks get their turns between the stages, and within the long ones.

    Raises:
        InputError: neither one relation nor two.
        OptionError: an option or an example that does not fit the relations, or two relations that teach what a match
            is where the checkpoint has no calibrator of pairs.
    """
    began = time.monotonic()
    made: list[_Resolution] = []
    yield [StepCall(lambda: made.append(_Resolution(relations, options or ResolutionOptions(), checkpoint)))]
    work = made[0]
    stages = work.stages()
    for number, (name, steps) in enumerate(stages.items()):
        for step in steps():
            yield [StepCall(step)]
        if progress is not None:
            progress(name, number + 1, len(stages))
    return work.result(round(time.monotonic() - began, 3))


class _Resolution:
    """One resolution: its stages fill in what the next ones need."""

    left: Ints
    right: Ints
    similarities: npt.NDArray[np.float32]
    agreed: Agreement
    probabilities: Floats
    clusters: Clusters
    _similarity: Similarity

    def __init__(
        self, relations: Sequence[Relation], options: ResolutionOptions, checkpoint: Checkpoint | None
    ) -> None:
        if len(relations) not in (1, 2):
            raise InputError(f"one table or two are resolved, not {len(relations)}", field="tables")
        self.options = options
        self.records = Records.of(relations)
        self._checkpoint = checkpoint
        self._judge = None if checkpoint is None else PairJudge.known(checkpoint)
        self._number = {place: number for number, place in enumerate(self.records.places)}
        self._method = Method.AGREEMENT
        self._parts: list[PairFeatures] = []
        self._entities: list[Entity] = []
        self._judged: list[JudgedPair] = []
        self._told = self._examples()
        usual = LINK_CANDIDATES if self.records.is_link else TABLE_CANDIDATES
        candidates = options.candidates if options.candidates is not None else usual
        if not 1 <= candidates <= 100:
            raise OptionError(f"candidates {candidates} is not between 1 and 100", field="candidates")
        self._clustering = ClusteringOptions(
            options.threshold,
            options.review_band,
            options.max_cluster_size,
            self.records.sides if self.records.is_link else None,
            options.cardinality or Cardinality.MANY_TO_MANY,
            candidates,
        )
        self._consolidator = self._make_consolidator() if options.consolidate else None
        self.blocking = Blocking(self.records, candidates)

    def plan(self, candidate_pairs: int | None = None) -> BlockingPlan:
        """What is compared; of one table most pairs are read by trees as well."""
        plan = self.blocking.plan(candidate_pairs)
        read = 0 if self.records.is_link else min(plan.candidate_pairs, MOST_PAIRS)
        return replace(plan, seconds=round(plan.seconds + read / _PAIRS_READ_PER_SECOND, 1))

    def stages(self) -> dict[str, Callable[[], Iterator[Step]]]:
        """The stages in order; each gives its steps one by one, once those before have been done."""
        return {
            "block": lambda: iter((self._block,)),
            "compare": self._comparing,
            "judge": self._judging,
            "cluster": lambda: iter((self._cluster,)),
            "consolidate": self._reporting,
        }

    def _block(self) -> None:
        left, right = self.blocking.pairs()
        told = np.array(sorted(self._told), dtype=np.int64).reshape(-1, 2)
        keys = np.r_[left, told[:, 0]] * len(self.records) + np.r_[right, told[:, 1]]
        self.left, self.right = np.divmod(np.unique(keys), max(1, len(self.records)))

    def _comparing(self) -> Iterator[Step]:
        self._similarity = Similarity(self.records, self.blocking.vectors)
        for start in range(0, len(self.left), _PAIRS_PER_STEP):
            yield partial(self._compare, slice(start, start + _PAIRS_PER_STEP))
        yield self._agree

    def _compare(self, chosen: slice) -> None:
        """The features of some pairs, which only rivals need, or how alike their attributes are."""
        left, right = self.left[chosen], self.right[chosen]
        if self.records.is_link:
            self._parts.append(self._similarity.features(left, right))
        else:
            alone = self._similarity.of_attributes(left, right)
            self._parts.append(PairFeatures((), np.zeros((len(left), 0), np.float32), alone))

    def _agree(self) -> None:
        none = np.zeros((0, len(self.records.attributes)), np.float32)
        self.similarities = np.concatenate([none, *(part.similarities for part in self._parts)])
        if self._judge is None or self.records.is_link or not len(self.left):
            told = self._answers()
            self.agreed = agreement(self.records, self._similarity, self.left, self.right, self.similarities, told)

    def _judging(self) -> Iterator[Step]:
        """Pairs of two tables by their rivals; of one table, or where two are too small to teach anything, by trees
        and agreement, or by agreement alone where the checkpoint has no trees."""
        if self.records.is_link:
            yield self._stand
        if self._method is Method.AGREEMENT and self._judge is not None and len(self.left):
            similarity, told = self._similarity, self._answers()
            pairs = PairsOfTable(self.records, similarity, self._judge, self.left, self.right, self.similarities, told)
            yield from pairs.steps()
            yield partial(self._take, pairs)
        yield self._end_judging

    def _stand(self) -> None:
        """Judge two tables by rivals, where they teach what a match is."""
        standings = None
        if self._parts:
            standings = stand(self._compared(), self.left, self.right, self.records.contents, self._answers())
        if standings is not None:
            self._method = Method.RIVALS
            self.probabilities = standings.probabilities(self._calibrator())

    def _take(self, pairs: PairsOfTable) -> None:
        self.agreed = pairs.result()

    def _end_judging(self) -> None:
        """Answers that are known stand as they are."""
        told = self._answers()
        found = self.agreed.probabilities if self._method is Method.AGREEMENT else self.probabilities
        self.probabilities = np.where(told == 0, found, (told > 0).astype(np.float64))
        self._parts.clear()

    def _compared(self) -> PairFeatures:
        values = np.concatenate([part.values for part in self._parts])
        return PairFeatures(self._parts[0].names, values, self.similarities)

    def _answers(self) -> Ints:
        """1 for pairs that are known to match, -1 for pairs that do not, 0 for all others, (pairs,)."""
        answers = np.zeros(len(self.left), np.int64)
        if self._told:
            keys = self.left * len(self.records) + self.right
            told = np.array([left * len(self.records) + right for left, right in self._told], dtype=np.int64)
            answers[np.searchsorted(keys, told)] = list(self._told.values())
        return answers

    def _calibrator(self) -> Calibrator:
        calibration = None if self._checkpoint is None else self._checkpoint.calibration
        if calibration is None or CALIBRATOR not in calibration.calibrators:
            message = "the checkpoint cannot link two tables: `python -m model.finetuning.matching` fits its calibrator"
            raise OptionError(message, field="tables")
        return calibration[CALIBRATOR]

    def _cluster(self) -> None:
        held = [attribute for attribute, column in enumerate(self.records.columns) if column.present]
        keys = ["\x1f".join(row[attribute] or "" for attribute in held) for row in self.records.values]
        self.clusters = cluster_pairs(
            len(self.records), self.left, self.right, self.probabilities, keys, self._clustering
        )

    def _reporting(self) -> Iterator[Step]:
        """Entities with their golden records, and the pairs that a person may look at."""
        clusters = self.clusters.clusters
        for start in range(0, len(clusters), _ENTITIES_PER_STEP):
            yield partial(self._report_entities, clusters[start : start + _ENTITIES_PER_STEP])
        shown = np.nonzero(self.probabilities >= min(self.options.review_band[0], self.options.threshold))[0]
        shown = shown[np.lexsort((shown, -self.probabilities[shown]))]
        for start in range(0, len(shown), _PAIRS_PER_STEP):
            yield partial(self._report_pairs, shown[start : start + _PAIRS_PER_STEP])

    def _report_entities(self, clusters: Sequence[Cluster]) -> None:
        for one in clusters:
            golden = self._golden(one.members)
            self._entities.append(Entity(one.id, self._places(one.members), one.confidence, one.is_capped, golden))

    def _report_pairs(self, pairs: Ints) -> None:
        self._judged += [self.judged(pair) for pair in pairs.tolist()]

    def result(self, seconds: float) -> ResolutionResult:
        """Everything in the numbers of the relations that came."""
        questions = self.clusters.questions(self.options.max_questions, set(self._told))
        return ResolutionResult(
            tuple(sorted(self._entities, key=lambda entity: entity.members)),
            tuple(self._judged),
            tuple(self._doubt(one) for one in self.clusters.conflicts),
            tuple(self._doubt(one) for one in questions),
            self.plan(len(self.left)),
            self._method,
            Usage(tuples=len(self.records), seconds=seconds),
            tuple(np.histogram(self.probabilities, bins=BINS, range=(0.0, 1.0))[0].tolist()),
        )

    def judged(self, pair: int) -> JudgedPair:
        """One candidate pair with what each attribute says, the weightiest first."""
        probability = round(float(self.probabilities[pair]), 6)
        weights = self.agreed.weights[pair].tolist()
        said = [
            AttributeAgreement(name, None if np.isnan(similarity) else round(float(similarity), 4), round(weight, 4))
            for name, similarity, weight in zip(self.records.names, self.similarities[pair], weights, strict=False)
        ]
        said += [AttributeAgreement(WHOLE_RECORD, None, round(weight, 4)) for weight in weights[len(said) :]]
        said.sort(key=lambda one: (-abs(one.weight), one.attribute))
        left, right = (self.records.places[int(side[pair])] for side in (self.left, self.right))
        left, right = min(left, right), max(left, right)
        return JudgedPair(left, right, probability, self._decision(probability), tuple(said))

    def _decision(self, probability: float) -> Decision:
        low, high = self.options.review_band
        if low <= probability <= high:
            return Decision.REVIEW
        return Decision.MATCH if probability > high else Decision.NO_MATCH

    def _doubt(self, pair: DoubtfulPair) -> PairDoubt:
        places = sorted((self.records.places[pair.left], self.records.places[pair.right]))
        return PairDoubt(places[0], places[1], round(pair.probability, 6), pair.doubt.value)

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
            tuple(
                Preference(self._attribute(one.attribute, "preferences"), self._rule(one.rule))
                for one in self.options.preferences
            ),
            tuple(
                PreferenceExample(self._attribute(one.attribute, "preference_examples"), one.preferred, one.other)
                for one in self.options.preference_examples
            ),
        )
        return Consolidator(self.records.names, self.records.values, self.records.sides.tolist(), options)

    def _rule(self, rule: str) -> str:
        """A rule of `Preference`, with the name of an attribute turned into its number."""
        kind, _, name = rule.partition(":")
        return f"newest:{self._attribute(name, 'preferences')}" if kind == "newest" and name else rule

    def _attribute(self, name: str, option: str) -> int:
        attribute = self.records.attribute(name)
        if attribute is None:
            raise OptionError(f"no table has a column {name[:80]!r}", field=option)
        return attribute

    def _examples(self) -> dict[tuple[int, int], int]:
        """Known answers by record numbers: 1 for a match, -1 for none."""
        told: dict[tuple[int, int], int] = {}
        if len(self.options.examples) > MAX_EXAMPLES:
            raise OptionError(f"more than {MAX_EXAMPLES} examples", field="examples")
        for number, example in enumerate(self.options.examples):
            left, right = sorted(self._record(place, number) for place in (example.left, example.right))
            if left == right:
                raise OptionError(f"example {number} compares a record with itself", field="examples")
            if self.records.is_link and example.left.relation == example.right.relation:
                raise OptionError(f"example {number} compares two records of one table", field="examples")
            answer = 1 if example.is_match else -1
            if told.setdefault((left, right), answer) != answer:
                raise OptionError(f"example {number} answers a pair differently than one before", field="examples")
        return told

    def _record(self, place: RecordPlace, example: int) -> int:
        number = self._number.get(place)
        if number is None:
            message = f"example {example}: table {place.relation} has no row {place.tuple_id}"
            raise OptionError(message, tuple_id=place.tuple_id, field="examples")
        return number
