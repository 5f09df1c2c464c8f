"""The nouns of the papers: relation, tuple, cell, repair.

Everything here is a small frozen dataclass of plain values. A value is a string exactly as it was
found, or None where the table has none: numbers are never parsed into floats, so `007` stays `007`.
Attributes are addressed by index, because two columns of a real file may share a name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from model.errors import RelationError

Value = str | None
"""The text of one cell as found; None (or the empty string) is a missing value."""


@dataclass(frozen=True, slots=True)
class Cell:
    """Where a value stands: tuple index and attribute index within one relation, both from 0."""

    tuple_id: int
    attribute: int


@dataclass(frozen=True, slots=True)
class DataTuple:
    """One tuple with its attribute names. `values[i]` belongs to `attributes[i]`."""

    tuple_id: int
    attributes: tuple[str, ...]
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Relation:
    """A table: attribute names and tuples of values, every tuple as long as `attributes`.

    Raises:
        RelationError: no attributes at all, or a tuple whose length differs (the message names the tuple).
    """

    attributes: tuple[str, ...]
    tuples: tuple[tuple[Value, ...], ...]
    name: str | None = None

    def __post_init__(self) -> None:
        if not self.attributes:
            raise RelationError("a table needs at least one column")
        width = len(self.attributes)
        for tuple_id, values in enumerate(self.tuples):
            if len(values) != width:
                raise RelationError(
                    f"row {tuple_id} has {len(values)} values, the table has {width} columns", tuple_id=tuple_id
                )

    @classmethod
    def of(cls, attributes: Sequence[str], rows: Sequence[Sequence[Value]], name: str | None = None) -> Relation:
        """Build a relation from any sequences, copying them into tuples."""
        return cls(tuple(attributes), tuple(tuple(row) for row in rows), name)

    def __len__(self) -> int:
        return len(self.tuples)

    def value(self, cell: Cell) -> Value:
        """The value that stands in `cell`."""
        return self.tuples[cell.tuple_id][cell.attribute]

    def column(self, attribute: int) -> list[Value]:
        """All values of one attribute, in tuple order."""
        return [values[attribute] for values in self.tuples]

    def data_tuple(self, tuple_id: int) -> DataTuple:
        """One tuple together with its attribute names."""
        return DataTuple(tuple_id, self.attributes, self.tuples[tuple_id])


class Outcome(StrEnum):
    """The three outcomes of every answer: a value, an abstention, or an error."""

    REPAIRED = "repaired"
    FILLED = "filled"
    ABSTAINED = "abstained"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class RepairCandidate:
    """One value that could stand in a cell, with the calibrated probability that it is the true one."""

    value: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why an answer was given.

    Attributes:
        source: what decided: `model`, `dependency`, `row_text`, `prediction`, `similar_row`, `similar_value`,
            `context`, `rule`, `example` or `program`.
        tuple_ids: tuples of the same relation that support the answer, at most five.
        detail: one sentence for a person; never needed by a program.
    """

    source: str
    tuple_ids: tuple[int, ...] = ()
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Repair:
    """The judgement of one flagged cell.

    Attributes:
        error_probability: calibrated probability that the observed value is wrong.
        outcome: REPAIRED with `repair` and `confidence`, or ABSTAINED, or ERROR.
        candidates: best first, at most as many as were asked for.
    """

    cell: Cell
    value: Value
    error_probability: float
    outcome: Outcome
    evidence: Evidence
    repair: str | None = None
    confidence: float | None = None
    candidates: tuple[RepairCandidate, ...] = ()


@dataclass(frozen=True, slots=True)
class Completion:
    """The answer for one missing or half-typed cell; `value` is set when `outcome` is FILLED."""

    cell: Cell
    outcome: Outcome
    evidence: Evidence
    value: str | None = None
    confidence: float | None = None
    candidates: tuple[RepairCandidate, ...] = ()


@dataclass(frozen=True, slots=True)
class Adaptation:
    """What it took to adapt the weights to a relation.

    Attributes:
        encoder_tokens: tokens that were trained on, without padding.
        sha256: hash of the adapted weights, hex: equal ones answer alike.
    """

    steps: int
    encoder_tokens: int
    seconds: float
    sha256: str


@dataclass(frozen=True, slots=True)
class Usage:
    """What an answer cost: tuples read, encoder and decoder tokens without padding, seconds in the model.

    Attributes:
        adaptation: what came before the answer where weights were adapted; its seconds count in `seconds`, its tokens
            do not count in `encoder_tokens`.
    """

    tuples: int = 0
    encoder_tokens: int = 0
    decoder_tokens: int = 0
    seconds: float = 0.0
    adaptation: Adaptation | None = None


@dataclass(frozen=True, slots=True)
class CellExample:
    """A cell whose true value the caller knows: `value` equal to the observed one confirms it."""

    cell: Cell
    value: Value


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A tuple that is worth labelling; `reason` is one phrase for a person."""

    tuple_id: int
    reason: str


@dataclass(frozen=True, slots=True)
class FunctionalDependency:
    """A rule: tuples that agree on all `determinants` agree on `dependent`."""

    determinants: tuple[int, ...]
    dependent: int


@dataclass(frozen=True, slots=True)
class PatternRule:
    """A rule: every value of `attribute` matches the regular expression from start to end."""

    attribute: int
    regex: str


@dataclass(frozen=True, slots=True)
class DomainRule:
    """A rule: every value of `attribute` is one of `values`."""

    attribute: int
    values: frozenset[str]


Rule = FunctionalDependency | PatternRule | DomainRule


@dataclass(frozen=True, slots=True)
class AdaptationOptions:
    """How a copy of the weights is trained on the relation before it answers; steps follow from the relation's size.

    Attributes:
        max_steps: most optimizer steps, however large the relation is.
        cells_per_step: one step for this many cells of the relation.
        learning_rate: peak of the schedule; pretraining had six times as much.
        seed: all randomness follows from it.
    """

    max_steps: int = 400
    cells_per_step: int = 40
    learning_rate: float = 1e-4
    seed: int = 0


@dataclass(frozen=True, slots=True)
class CleaningOptions:
    """Options of one cleaning call; the defaults are those of the REST contract.

    Attributes:
        attributes: only these attributes are judged; None judges all. Others still serve as evidence.
        detect_only: no candidates, no repairs: flagged cells come back as ABSTAINED.
        min_confidence: below this expected precision a flagged cell is an abstention.
        max_error_rate: accept repairs, surest first, while at most this share is expected to be wrong.
        max_candidates: how many candidates each flagged cell carries back.
        examples: cells whose true values are known; what they teach is applied to the others.
        suggest_labels: name this many tuples whose labels would teach most.
        adapt: train a copy of the weights on the relation first, and answer with that.
    """

    attributes: frozenset[int] | None = None
    detect_only: bool = False
    min_confidence: float = 0.5
    max_error_rate: float | None = None
    max_candidates: int = 3
    examples: tuple[CellExample, ...] = ()
    rules: tuple[Rule, ...] = ()
    suggest_labels: int = 0
    adapt: AdaptationOptions | None = None


@dataclass(frozen=True, slots=True)
class CleaningResult:
    """All flagged cells of a relation, by tuple and then attribute; a clean relation has none.

    Attributes:
        suggestions: tuples without labels, most worth one first; as many as were asked for.
    """

    repairs: tuple[Repair, ...]
    usage: Usage = field(default_factory=Usage)
    suggestions: tuple[Suggestion, ...] = ()


@dataclass(frozen=True, slots=True)
class CompletionTarget:
    """A cell to fill; with `prefix`, the answer must start with it, byte for byte."""

    cell: Cell
    prefix: str | None = None


@dataclass(frozen=True, slots=True)
class CompletionOptions:
    """Options of one completion call; `targets` None means every missing cell, `adapt` is as in cleaning.

    Attributes:
        practice: fill known cells of the asked columns too, and refit confidences to how that goes.
    """

    targets: tuple[CompletionTarget, ...] | None = None
    min_confidence: float = 0.5
    max_candidates: int = 3
    practice: bool = True
    adapt: AdaptationOptions | None = None


@dataclass(frozen=True, slots=True)
class CompletionResult:
    """One completion for each target, in the order of the targets."""

    completions: tuple[Completion, ...]
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True, slots=True, order=True)
class RecordPlace:
    """Where a record stands: relation index and tuple index, both from 0."""

    relation: int
    tuple_id: int


@dataclass(frozen=True, slots=True)
class PairExample:
    """Two records, and whether they are one entity."""

    left: RecordPlace
    right: RecordPlace
    is_match: bool


class Decision(StrEnum):
    """What is said of a pair: one entity, two, or a person should look."""

    MATCH = "match"
    REVIEW = "review"
    NO_MATCH = "no_match"


@dataclass(frozen=True, slots=True)
class AttributeAgreement:
    """What one attribute says of a pair.

    Attributes:
        similarity: 0…1; None where a value is missing.
        weight: natural log of the Bayes factor: above 0 it speaks for a match, below 0 against one.
    """

    attribute: str
    similarity: float | None
    weight: float


@dataclass(frozen=True, slots=True)
class JudgedPair:
    """Two records, the calibrated probability that they are one entity, and what each attribute says."""

    left: RecordPlace
    right: RecordPlace
    probability: float
    decision: Decision
    agreements: tuple[AttributeAgreement, ...] = ()
