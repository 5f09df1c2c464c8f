"""Normalization: the values of a column rewritten into one format.

What the format is, the column's own majority shows, or examples of the caller. An example may also have an input that
it was written as; such pairs are a transformation (`model.inference.transformation`), whose answers are kept where
they say nothing that their input does not. Values in the format, and such that have no format, are not told of.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from model.checkpoint import Checkpoint
from model.errors import OptionError
from model.inference.batching import ModelTask, Progress, StepCall
from model.inference.column_format import ColumnFormat, Rewriting
from model.inference.columns import is_missing_spelling
from model.inference.meanings import runs_of
from model.inference.transformation import (
    Transformation,
    TransformationOptions,
    TransformationOutcome,
    TransformExample,
    check_examples,
    transform,
)
from model.tuples import Cell, Evidence, Relation, Usage

_AT_ONCE = 64
"""Values that are rewritten in one step, between which other tasks get their turns."""


class NormalizationOutcome(StrEnum):
    """The outcomes of a cell that is told of."""

    REWRITTEN = "rewritten"
    ABSTAINED = "abstained"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class NormalizationExample:
    """A value in the wanted format, and what it was written as, where that is known."""

    attribute: int
    output: str
    input: str | None = None


@dataclass(frozen=True, slots=True)
class NormalizationOptions:
    """What a caller may choose.

    Attributes:
        attributes: the columns to normalize; None means all.
        min_confidence: below it a value is not rewritten.
    """

    attributes: tuple[int, ...] | None = None
    examples: tuple[NormalizationExample, ...] = ()
    min_confidence: float = 0.5


@dataclass(frozen=True, slots=True)
class NormalizedCell:
    """A cell that is rewritten, or is of another format and stays; `output` is set when `outcome` is REWRITTEN."""

    cell: Cell
    value: str
    outcome: NormalizationOutcome
    evidence: Evidence
    output: str | None = None
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class NormalizedAttribute:
    """The format of an attribute in words; None where it has none."""

    attribute: int
    format: str | None


@dataclass(frozen=True, slots=True)
class NormalizationResult:
    """Cells by tuple and attribute, and the attributes that were looked at."""

    cells: tuple[NormalizedCell, ...]
    attributes: tuple[NormalizedAttribute, ...]
    usage: Usage


@dataclass(frozen=True, slots=True)
class _Answer:
    outcome: NormalizationOutcome
    evidence: Evidence
    output: str | None = None
    confidence: float | None = None


def normalize(
    checkpoint: Checkpoint,
    relation: Relation,
    options: NormalizationOptions | None = None,
    progress: Progress | None = None,
) -> ModelTask[NormalizationResult]:
    """Rewrite the values of attributes into one format each.

    An answer depends on the values of its column and on the examples, never on their order. The network is asked only
    where examples have inputs.

    Raises:
        OptionError: an attribute that the relation has not, examples that contradict each other, or an option that is
            out of range.
        InputError: examples have inputs, and the checkpoint was not trained to transform.
    """
    options = options or NormalizationOptions()
    attributes = _check(relation, options)
    began = time.monotonic()
    cells: list[NormalizedCell] = []
    found: list[NormalizedAttribute] = []
    tokens = [0, 0]
    for number, attribute in enumerate(attributes):
        column = _Column.of(relation, attribute, options)
        answers: dict[str, _Answer] = {}
        yield [StepCall(column.find_format)]
        for start in range(0, len(column.counts), _AT_ONCE):
            yield [StepCall(partial(column.rewrite, start, answers))]
        usage = yield from _transformed(checkpoint, column, answers)
        tokens = [tokens[0] + usage.encoder_tokens, tokens[1] + usage.decoder_tokens]
        cells += _cells(relation, attribute, answers)
        found.append(NormalizedAttribute(attribute, column.description))
        if progress is not None:
            progress("normalize", number + 1, len(attributes))
    cells.sort(key=lambda one: (one.cell.tuple_id, one.cell.attribute))
    usage = Usage(len(relation), tokens[0], tokens[1], round(time.monotonic() - began, 3))
    return NormalizationResult(tuple(cells), tuple(found), usage)


class _Column:
    """One column with what is asked of it."""

    def __init__(
        self, counts: Mapping[str, int], examples: Sequence[NormalizationExample], options: NormalizationOptions
    ) -> None:
        self.counts = counts
        self.options = options
        self.shown = tuple(sorted({one.output for one in examples}))
        self.taught = [TransformExample(one.input, one.output) for one in examples if one.input is not None]
        self._values = sorted(counts)
        self._format: ColumnFormat | None = None

    @classmethod
    def of(cls, relation: Relation, attribute: int, options: NormalizationOptions) -> _Column:
        """A column of a relation; values that stand for there being none are left out."""
        values = (values[attribute] for values in relation.tuples)
        counts = Counter(value for value in values if value and value.strip() and not is_missing_spelling(value))
        return cls(counts, [one for one in options.examples if one.attribute == attribute], options)

    @property
    def description(self) -> str | None:
        """The format in words, once it is found."""
        return None if self._format is None else self._format.description

    def find_format(self) -> None:
        """See what format the column has."""
        self._format = ColumnFormat(self.counts, self.shown)

    def rewrite(self, start: int, answers: dict[str, _Answer]) -> None:
        """Add the answers for some of the values."""
        assert self._format is not None
        for value in self._values[start : start + _AT_ONCE]:
            made = self._format.rewrite(value)
            if made is not None:
                answers[value] = _answer(made, self.options)

    def undecided(self, answers: Mapping[str, _Answer]) -> list[str]:
        """Values that examples with inputs decide: those inputs, and what no format rewrites."""
        given = {one.input for one in self.taught}
        free = (
            value
            for value in self._values
            if value not in answers or answers[value].outcome is NormalizationOutcome.ABSTAINED
        )
        return sorted({*free, *(given & self.counts.keys())} - set(self.shown))


def _cells(relation: Relation, attribute: int, answers: Mapping[str, _Answer]) -> Iterator[NormalizedCell]:
    for tuple_id, values in enumerate(relation.tuples):
        value = values[attribute]
        if value is not None and (one := answers.get(value)) is not None:
            cell = Cell(tuple_id, attribute)
            yield NormalizedCell(cell, value, one.outcome, one.evidence, one.output, one.confidence)


def _check(relation: Relation, options: NormalizationOptions) -> tuple[int, ...]:
    """The attributes to normalize."""
    width = len(relation.attributes)
    attributes = tuple(range(width)) if options.attributes is None else tuple(sorted(set(options.attributes)))
    for attribute in (*attributes, *(one.attribute for one in options.examples)):
        if not 0 <= attribute < width:
            raise OptionError(f"there is no attribute {attribute}", field="columns")
    if not 0.0 <= options.min_confidence <= 1.0:
        raise OptionError(f"min_confidence {options.min_confidence} is outside 0 to 1", field="min_confidence")
    for attribute in attributes:
        told = [
            TransformExample(one.input, one.output)
            for one in options.examples
            if one.attribute == attribute and one.input is not None
        ]
        if told:
            check_examples(told)
    return attributes


def _answer(one: Rewriting, options: NormalizationOptions) -> _Answer:
    if one.output is None or one.confidence is None:
        return _Answer(NormalizationOutcome.ABSTAINED, Evidence("program", (), one.detail))
    if one.confidence < options.min_confidence:
        evidence = Evidence("program", (), f"too few values show the format: {one.detail}")
        return _Answer(NormalizationOutcome.ABSTAINED, evidence, None, one.confidence)
    return _Answer(NormalizationOutcome.REWRITTEN, Evidence("program", (), one.detail), one.output, one.confidence)


def _transformed(checkpoint: Checkpoint, column: _Column, answers: dict[str, _Answer]) -> ModelTask[Usage]:
    """Answer values as examples with inputs show, where no format answered them already."""
    if not column.taught:
        return Usage(0)
    asked = column.undecided(answers)
    options = TransformationOptions(column.options.min_confidence)
    result = yield from transform(checkpoint, column.taught, asked, options)
    for value, one in zip(asked, result.transformations, strict=True):
        answer = _of_transformation(value, one, column.taught)
        if answer is not None:
            answers[value] = answer
    return result.usage


def _of_transformation(value: str, one: Transformation, examples: Sequence[TransformExample]) -> _Answer | None:
    """The answer for a value; None where it stays as it is."""
    if one.outcome is TransformationOutcome.ERROR:
        return _Answer(NormalizationOutcome.ERROR, one.evidence)
    if one.output == value:
        return None
    if one.output is not None and (one.evidence.source == "example" or _tells_no_more(value, one.output, examples)):
        return _Answer(NormalizationOutcome.REWRITTEN, one.evidence, one.output, one.confidence)
    detail = "what the examples make of it is not certain, or tells what it does not"
    return _Answer(NormalizationOutcome.ABSTAINED, Evidence("program", (), detail), None, one.confidence)


def _tells_no_more(value: str, output: str, examples: Sequence[TransformExample]) -> bool:
    """Whether each run of letters and digits of an output is in its value, or in every example's output."""
    fixed = set.intersection(*(set(runs_of(one.output)) for one in examples))
    plain = "".join(runs_of(value))
    return bool(runs_of(output)) and all(run in plain or run in fixed for run in runs_of(output))
