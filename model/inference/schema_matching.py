"""Match the columns of two tables: names, descriptions and values, how pairs stand among rivals, an assignment.

The one idea: a pair is as good as it is better than its rivals. What names say and what values say are each log-odds of
their own; a second regression weighs the two beside the lead that a pair has over the best other pair of its source and
of its target. All of it is fitted on tables that were cut into two and renamed (`model.finetuning.schema_matching`).
Columns are put in the order of their names first, so the order in which they came changes nothing.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from model.calibration import Calibration, Calibrator
from model.checkpoint import Checkpoint
from model.errors import OptionError, RelationError
from model.inference.batching import ModelTask, Progress, StepCall
from model.inference.column_names import NAME_FEATURES, ColumnName, Lexicon, name_features, read_names
from model.inference.column_profiles import VALUE_FEATURES, ColumnProfile, bag_cosines, compare_values, value_features
from model.inference.columns import Column, Floats
from model.tuples import Relation, Usage

NAMES, VALUES = "schema_names", "schema_values"
"""Calibrators of what names say, and of what values say."""

PAIRS, NAMED_PAIRS = "schema_pairs", "schema_named_pairs"
"""Calibrators of pairs: by names, values and rivals, or without values."""

MANY = "_many"
"""Behind those: where a column may be in several matches."""

RIVAL_FEATURES = ("source_lead", "target_lead", "least_lead")
PAIR_FEATURES = ("names", "values", *RIVAL_FEATURES)
NAMED_PAIR_FEATURES = ("names", *RIVAL_FEATURES)

MAX_LEAD = 15.0
"""Log-odds by which a pair is ahead of a rival, at most; and where it has no rival."""

Bools = npt.NDArray[np.bool_]

_PAIRS_PER_STEP = 1000
_HOPELESS = 1000.0
_LEAST, _MOST = 1e-6, 1 - 1e-6
_WORTH_TELLING = 0.1


class EvidenceSource(StrEnum):
    """What speaks for or against a pair."""

    NAMES = "names"
    VALUES = "values"
    RIVALS = "rivals"
    EXAMPLE = "example"


@dataclass(frozen=True, slots=True)
class Schema:
    """The columns of one table, with rows or without; `descriptions` has one entry for each column.

    Raises:
        RelationError: two columns of one name, or one without a name.
    """

    relation: Relation
    descriptions: tuple[str | None, ...] = ()

    def __post_init__(self) -> None:
        names = self.relation.attributes
        for place, name in enumerate(names):
            if not name.strip():
                raise RelationError(f"column {place} has no name, and columns are matched by name", attribute=place)
            if name in names[:place]:
                message = f"columns {names.index(name)} and {place} have the same name"
                raise RelationError(message, attribute=place)
        if self.descriptions and len(self.descriptions) != len(names):
            raise RelationError(f"{len(self.descriptions)} descriptions of {len(names)} columns")

    @property
    def order(self) -> list[int]:
        """Places of the columns in the order of their names."""
        return sorted(range(len(self.relation.attributes)), key=lambda place: self.relation.attributes[place])

    def names(self) -> list[ColumnName]:
        """What the columns are called, in the order of their names."""
        told = self.descriptions or (None,) * len(self.relation.attributes)
        return read_names(
            [self.relation.attributes[place] for place in self.order], [told[place] for place in self.order]
        )

    def profile(self, place: int) -> ColumnProfile:
        """What one column holds."""
        return ColumnProfile.of(Column(self.relation.column(place)))


@dataclass(frozen=True, slots=True)
class SchemaExample:
    """A source and a target column, and whether they are one."""

    source: int
    target: int
    is_match: bool


@dataclass(frozen=True, slots=True)
class SchemaMatchingOptions:
    """Options of one call; the defaults are those of the REST contract.

    Attributes:
        one_to_one: a column is in one match at most; else every pair that is likely enough is a match.
        min_confidence: below it there is no match.
        examples: pairs whose answer is known; they are taken as such, and teach how names are shortened.
        max_candidates: targets that are ranked for each source, at most.
    """

    one_to_one: bool = True
    min_confidence: float = 0.5
    examples: tuple[SchemaExample, ...] = ()
    max_candidates: int = 100


@dataclass(frozen=True, slots=True)
class MatchEvidence:
    """What one source of evidence says of a pair.

    Attributes:
        weight: of names or values alone, the natural log of the odds against those of an average pair; of rivals, by
            how much the pair is ahead of them in both together. Above 0 it speaks for a match.
        detail: one sentence for a person.
    """

    source: EvidenceSource
    weight: float
    detail: str


@dataclass(frozen=True, slots=True)
class ColumnMatch:
    """Two columns that are one, with the calibrated probability of that."""

    source: int
    target: int
    confidence: float
    evidence: tuple[MatchEvidence, ...]


@dataclass(frozen=True, slots=True)
class RankedTarget:
    """A target that a source column may be."""

    target: int
    confidence: float


@dataclass(frozen=True, slots=True)
class SchemaMatchingResult:
    """What was matched.

    Attributes:
        matches: by the place of the source, then of the target.
        ranked: for each source its targets, likeliest first.
    """

    matches: tuple[ColumnMatch, ...]
    ranked: tuple[tuple[RankedTarget, ...], ...]
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True, slots=True)
class PairObservations:
    """Features of all pairs, sources and targets in the order of their names.

    Attributes:
        names: float64 (sources, targets, len(NAME_FEATURES)).
        values: float64 (sources, targets, len(VALUE_FEATURES)); None where one table has no row.
    """

    names: Floats
    values: Floats | None


def observe_pairs(source: Schema, target: Schema) -> PairObservations:
    """Compare all columns of two schemas, at once."""
    names = name_features(source.names(), target.names())
    if not (len(source.relation) and len(target.relation)):
        return PairObservations(names, None)
    profiles = [[schema.profile(place) for place in schema.order] for schema in (source, target)]
    return PairObservations(names, value_features(*profiles))


def with_rivals(said: Sequence[Floats], barred: Bools | None = None, *, many: bool = False) -> Floats:
    """Log-odds (sources, targets) of each kind of evidence, and the leads of the pairs by their sum, as features.

    Args:
        barred: pairs that are known to be none, and so are nobody's rivals.
        many: a column may be in several matches: to be as good as a rival is enough, and no lead counts more.
    """
    total = np.sum(said, axis=0)
    if barred is not None:
        total = np.where(barred, -_HOPELESS, total)
    source_lead, target_lead = _lead(total), _lead(total.T).T
    if many:
        source_lead, target_lead = np.minimum(source_lead, 0.0), np.minimum(target_lead, 0.0)
    return np.stack([*said, source_lead, target_lead, np.minimum(source_lead, target_lead)], axis=-1)


def _lead(scores: Floats) -> Floats:
    """By how much each pair is ahead of the best other pair of its row."""
    if scores.shape[1] < 2:
        return np.full(scores.shape, MAX_LEAD)
    ordered = np.sort(scores, axis=1)
    best, second = ordered[:, -1:], ordered[:, -2:-1]
    return np.clip(scores - np.where(scores == best, second, best), -MAX_LEAD, MAX_LEAD)


@dataclass(frozen=True, slots=True)
class JudgedPairs:
    """All pairs judged.

    Attributes:
        features: of the second regression, (sources, targets, features).
        scores: its log-odds, which rank pairs that are calibrated alike, (sources, targets).
        confidences: calibrated probabilities, (sources, targets).
    """

    calibrator: Calibrator
    features: Floats
    scores: Floats
    confidences: Floats

    def feature(self, name: str) -> Floats:
        """One feature of all pairs."""
        return np.asarray(self.features[..., self.calibrator.features.index(name)])


def judge_pairs(
    calibration: Calibration, observed: PairObservations, barred: Bools | None = None, *, many: bool = False
) -> JudgedPairs:
    """Weigh names, values and rivals.

    Args:
        barred: pairs that are known to be none.
        many: a column may be in several matches.

    Raises:
        CheckpointError: the checkpoint has no calibrators of columns.
    """
    said = [each_pair(calibration[NAMES].log_odds, observed.names)]
    if observed.values is not None:
        said.append(each_pair(calibration[VALUES].log_odds, observed.values))
    features = with_rivals(said, barred, many=many)
    calibrator = calibration[(NAMED_PAIRS if observed.values is None else PAIRS) + (MANY if many else "")]
    scores = np.round(each_pair(calibrator.log_odds, features), 6)
    return JudgedPairs(calibrator, features, scores, each_pair(calibrator.predict, features))


def each_pair(judge: Callable[[Floats], Floats], features: Floats) -> Floats:
    """A function of feature rows, (pairs, features) to (pairs,), on (sources, targets, features)."""
    return np.asarray(judge(features.reshape(-1, features.shape[-1]))).reshape(features.shape[:-1])


def match_schema(
    checkpoint: Checkpoint,
    source: Schema,
    target: Schema,
    options: SchemaMatchingOptions | None = None,
    progress: Progress | None = None,
) -> ModelTask[SchemaMatchingResult]:
    """Match the columns of two tables; other tasks get their turns between columns read and some pairs compared.

    Raises:
        OptionError: an option or an example that does not fit the tables, or a checkpoint that has no calibrators of
            columns.
    """
    began = time.monotonic()
    options = options or SchemaMatchingOptions()
    _check(source, target, options)
    if checkpoint.calibration is None or NAMES not in checkpoint.calibration.calibrators:
        message = (
            "the checkpoint cannot match columns: `python -m model.finetuning.schema_matching` fits its calibrators"
        )
        raise OptionError(message)
    work = _Matching(checkpoint.calibration, source, target, options)
    stages = work.stages()
    for number, step in enumerate(stages):
        yield [StepCall(step)]
        if progress is not None:
            progress("columns", number + 1, len(stages))
    usage = Usage(len(source.relation) + len(target.relation), seconds=round(time.monotonic() - began, 3))
    return work.result(usage)


class _Matching:
    """One call: its steps fill in what the next ones need. Places are in the order of the columns' names."""

    def __init__(
        self, calibration: Calibration, source: Schema, target: Schema, options: SchemaMatchingOptions
    ) -> None:
        self._calibration = calibration
        self._options = options
        self._schemas = (source, target)
        self._orders = (source.order, target.order)
        self._shape = (len(source.order), len(target.order))
        places = [{place: number for number, place in enumerate(order)} for order in self._orders]
        self._told = {(places[0][one.source], places[1][one.target]): one.is_match for one in options.examples}
        self._profiles: tuple[list[ColumnProfile], list[ColumnProfile]] = ([], [])
        self._called = (source.names(), target.names())
        self._bags = np.zeros((0, 0, 2))
        self._parts: list[Floats] = []
        self._values: Floats | None = None
        self._lexicon: Lexicon = {}
        self._names = np.zeros((0, 0, len(NAME_FEATURES)))
        self._judged: JudgedPairs | None = None

    def stages(self) -> list[Callable[[], None]]:
        """The steps, in order."""
        steps: list[Callable[[], None]] = [self._compare_names]
        at_once = max(1, _PAIRS_PER_STEP // self._shape[1])
        if all(len(schema.relation) for schema in self._schemas):
            for side, schema in enumerate(self._schemas):
                steps += [partial(self._read, side, schema, place) for place in self._orders[side]]
            steps.append(self._weigh_words)
            steps += [partial(self._compare, start, start + at_once) for start in range(0, self._shape[0], at_once)]
        return [*steps, self._judge]

    def _compare_names(self) -> None:
        source, target = self._called
        self._names = name_features(source, target)
        pairs = [(source[one], target[other]) for (one, other), is_match in sorted(self._told.items()) if is_match]
        self._lexicon = learned_words(pairs)
        if self._lexicon:
            renamed = name_features([one.renamed(self._lexicon) for one in source], target)
            self._names = np.maximum(self._names, renamed)

    def _read(self, side: int, schema: Schema, place: int) -> None:
        self._profiles[side].append(schema.profile(place))

    def _weigh_words(self) -> None:
        self._bags = bag_cosines(*self._profiles)

    def _compare(self, start: int, end: int) -> None:
        source, target = self._profiles
        chosen = slice(start, end)
        self._parts.append(compare_values(source[chosen], target, self._bags[chosen]))

    def _judge(self) -> None:
        self._values = np.concatenate(self._parts) if self._parts else None
        observed = PairObservations(self._names, self._values)
        self._judged = judge_pairs(self._calibration, observed, self._barred(), many=not self._options.one_to_one)

    def _barred(self) -> Bools:
        """Pairs that the examples rule out: said to be none, or, one to one, beside one that is."""
        barred = np.zeros(self._shape, dtype=np.bool_)
        for (source, target), is_match in self._told.items():
            if not is_match:
                barred[source, target] = True
            elif self._options.one_to_one:
                barred[source, :] = barred[:, target] = True
        for pair, is_match in self._told.items():
            barred[pair] = not is_match
        return barred

    def result(self, usage: Usage) -> SchemaMatchingResult:
        """Everything in the places that came."""
        assert self._judged is not None
        confidences = np.where(self._barred(), 0.0, self._judged.confidences)
        for pair, is_match in self._told.items():
            confidences[pair] = float(is_match)
        chosen = self._assigned(confidences) if self._options.one_to_one else self._likely(confidences)
        matches = [self._match(source, target, float(confidences[source, target])) for source, target in chosen]
        matches.sort(key=lambda one: (one.source, one.target))
        return SchemaMatchingResult(tuple(matches), self._ranked(confidences), usage)

    def _likely(self, confidences: Floats) -> list[tuple[int, int]]:
        found = np.argwhere(confidences >= max(self._options.min_confidence, _LEAST))
        return [(source, target) for source, target in found.tolist()]

    def _assigned(self, confidences: Floats) -> list[tuple[int, int]]:
        """The assignment of the greatest sum of log-odds above those of the least confidence that is a match."""
        assert self._judged is not None
        least = max(self._options.min_confidence, _LEAST)
        gains = _log_odds(confidences) - _log_odds(np.array(least)) + 1e-3
        gains += 1e-6 * self._judged.scores  # among pairs that are calibrated alike the likelier one
        gains = np.where(confidences >= least, np.maximum(gains, 1e-9), 0.0)
        sources, targets = linear_sum_assignment(gains, maximize=True)
        pairs = zip(sources.tolist(), targets.tolist(), strict=True)
        return [(source, target) for source, target in pairs if gains[source, target] > 0]

    def _ranked(self, confidences: Floats) -> tuple[tuple[RankedTarget, ...], ...]:
        assert self._judged is not None
        ranked: list[tuple[RankedTarget, ...]] = [()] * self._shape[0]
        for source, scores in enumerate(self._judged.scores):
            order = np.lexsort((-scores, -confidences[source]))[: self._options.max_candidates]
            ranked[self._orders[0][source]] = tuple(
                RankedTarget(self._orders[1][target], float(confidences[source, target])) for target in order.tolist()
            )
        return tuple(ranked)

    def _match(self, source: int, target: int, confidence: float) -> ColumnMatch:
        places = self._orders[0][source], self._orders[1][target]
        if self._told.get((source, target)):
            evidence: tuple[MatchEvidence, ...] = (
                MatchEvidence(EvidenceSource.EXAMPLE, round(float(_log_odds(np.array(1.0))), 3), "an example says so"),
            )
        else:
            evidence = self._evidence(source, target)
        return ColumnMatch(*places, confidence, evidence)

    def _evidence(self, source: int, target: int) -> tuple[MatchEvidence, ...]:
        """What names alone and values alone say of a pair, and its lead over its rivals; strongest first."""
        found = [
            MatchEvidence(
                EvidenceSource.NAMES,
                self._alone(NAMES, self._names[source, target]),
                self._name_detail(source, target),
            ),
            *self._rivals(source, target),
        ]
        if self._values is not None:
            features = self._values[source, target]
            detail = _value_detail(dict(zip(VALUE_FEATURES, features.tolist(), strict=True)))
            found.append(MatchEvidence(EvidenceSource.VALUES, self._alone(VALUES, features), detail))
        return tuple(sorted(found, key=lambda one: (-abs(one.weight), one.source)))

    def _rivals(self, source: int, target: int) -> list[MatchEvidence]:
        """How the pair stands among the other pairs of its columns, where there are any."""
        assert self._judged is not None
        if max(self._shape) < 2:
            return []
        lead = float(self._judged.feature("least_lead")[source, target])
        return [MatchEvidence(EvidenceSource.RIVALS, round(lead, 3), _rival_detail(lead, self._options.one_to_one))]

    def _alone(self, calibrator: str, features: Floats) -> float:
        return round(float(self._calibration[calibrator].contributions(features[None]).sum()), 3)

    def _name_detail(self, source: int, target: int) -> str:
        said = dict(zip(NAME_FEATURES, self._names[source, target].tolist(), strict=True))
        one, other = self._called[0][source], self._called[1][target]
        if said["name_equal"]:
            return "the same name"
        if any(part in self._lexicon for part in one.parts) and one.renamed(self._lexicon).letters == other.letters:
            return "the same name by what the examples teach"
        if said["consonants_equal"]:
            return "one name is the other without its vowels"
        if said["segments"]:
            return "one name is the beginnings of the other's words"
        if said["subsequence"]:
            return "one name is some letters of the other, in order"
        if said["text_words"] > said["name_words"]:
            return f"words of names and descriptions agree to {said['text_words']:.0%}"
        return f"words of the names agree to {said['name_words']:.0%}"


def _rival_detail(lead: float, one_to_one: bool) -> str:
    """How a pair stands, as one sentence; where a column may be in several matches, being ahead is not told apart."""
    standing = "behind" if lead < 0 else "as good as" if not lead else "ahead of"
    if not one_to_one and lead >= 0:
        standing = "no worse than"
    return f"{standing} the best other pair of the two columns"


def _value_detail(said: Mapping[str, float]) -> str:
    """What is most telling of the values of two columns, as one sentence."""
    if said["one_empty"]:
        return "a column without values"
    if said["values_contained"] >= _WORTH_TELLING:
        return f"{said['values_contained']:.0%} of the distinct values of one are in the other"
    if said["both_numeric"]:
        return f"numbers, whose distributions agree to {said['numbers']:.0%}"
    if said["value_grams"] >= _WORTH_TELLING:
        return f"hardly a value in common, but their letters agree to {said['value_grams']:.0%}"
    return f"hardly a value in common; they are written alike to {said['shapes']:.0%}"


def learned_words(pairs: Sequence[tuple[ColumnName, ColumnName]]) -> dict[str, tuple[str, ...]]:
    """What parts of source names are called in target names, by pairs of names that are known to be one.

    Parts that both names have are taken out; the others are paired in their order where there are as many. Where pairs
    disagree, the word that most of them speak for counts, and none where two are level.
    """
    votes: dict[str, Counter[str]] = defaultdict(Counter)
    for source, target in pairs:
        common = set(source.parts) & set(target.parts)
        left, right = ([part for part in one.parts if part not in common] for one in (source, target))
        if len(left) == len(right):
            for part, other in zip(left, right, strict=True):
                votes[part][other] += 1
    lexicon: dict[str, tuple[str, ...]] = {}
    for part, counts in votes.items():
        best = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
        if len(best) == 1 or best[0][1] > best[1][1]:
            lexicon[part] = (best[0][0],)
    return lexicon


def _log_odds(probabilities: Floats) -> Floats:
    clipped = np.clip(probabilities, _LEAST, _MOST)
    return np.asarray(np.log(clipped / (1 - clipped)))


def _check(source: Schema, target: Schema, options: SchemaMatchingOptions) -> None:
    if not 0.0 <= options.min_confidence <= 1.0:
        raise OptionError(f"min_confidence {options.min_confidence} is outside 0 to 1", field="min_confidence")
    if options.max_candidates < 1:
        raise OptionError(f"max_candidates {options.max_candidates} is below 1", field="max_candidates")
    known: dict[tuple[int, int], bool] = {}
    for one in options.examples:
        for place, schema, side in ((one.source, source, "source"), (one.target, target, "target")):
            if not 0 <= place < len(schema.relation.attributes):
                raise OptionError(f"an example names column {place}, which the {side} does not have", field="examples")
        if known.setdefault((one.source, one.target), one.is_match) is not one.is_match:
            raise OptionError("two examples answer one pair differently", field="examples")
    matched = [pair for pair, is_match in known.items() if is_match]
    if options.one_to_one and any(len({pair[side] for pair in matched}) < len(matched) for side in (0, 1)):
        raise OptionError("two examples match one column, though columns are matched one to one", field="examples")
