"""Normalization: the values of a column rewritten into one format.

What the format is, the column's own majority shows, or examples of the caller. An example may also have an input that
it was written as; such pairs are a transformation (`model.inference.transformation`), whose answers are kept where
they say nothing that their input does not. Values in the format, and such that have no format, are not told of.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from model.checkpoint import Checkpoint
from model.errors import OptionError
from model.inference.batching import ModelTask, Progress, StepCall
from model.inference.column_format import ColumnFormat, Rewriting
from model.inference.columns import is_missing_spelling
from model.inference.meanings import runs_of
from model.inference.transformation import (
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
    encoder_tokens = decoder_tokens = 0
    for number, attribute in enumerate(attributes):
        values = [values[attribute] for values in relation.tuples]
        counts = Counter(value for value in values if value and value.strip() and not is_missing_spelling(value))
        examples = [one for one in options.examples if one.attribute == attribute]
        formats: list[ColumnFormat] = []
        shown = tuple(sorted({one.output for one in examples}))
        yield [StepCall(lambda counts=counts, shown=shown: formats.append(ColumnFormat(counts, shown)))]  # type: ignore[misc]
        answers: dict[str, _Answer] = {}
        for start in range(0, len(counts), _AT_ONCE):
            part = sorted(counts)[start : start + _AT_ONCE]
            yield [StepCall(lambda part=part: answers.update(_rewritten(formats[0], part, options)))]  # type: ignore[misc]
        taught = [TransformExample(one.input, one.output) for one in examples if one.input is not None]
        if taught:
            usage = yield from _transformed(checkpoint, taught, sorted(counts), answers, options)
            encoder_tokens, decoder_tokens = encoder_tokens + usage.encoder_tokens, decoder_tokens + usage.decoder_tokens
        for tuple_id, value in enumerate(values):
            if value is not None and (one := answers.get(value)) is not None:
                cell = Cell(tuple_id, attribute)
                cells.append(NormalizedCell(cell, value, one.outcome, one.evidence, one.output, one.confidence))
        found.append(NormalizedAttribute(attribute, formats[0].description))
        if progress is not None:
            progress("normalize", number + 1, len(attributes))
    cells.sort(key=lambda one: (one.cell.tuple_id, one.cell.attribute))
    usage = Usage(len(relation), encoder_tokens, decoder_tokens, round(time.monotonic() - began, 3))
    return NormalizationResult(tuple(cells), tuple(found), usage)


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


def _rewritten(form: ColumnFormat, values: Sequence[str], options: NormalizationOptions) -> dict[str, _Answer]:
    """The answers for those values that are told of."""
    made = ((value, form.rewrite(value)) for value in values)
    return {value: _answer(one, options) for value, one in made if one is not None}


def _answer(one: Rewriting, options: NormalizationOptions) -> _Answer:
    if one.output is None or one.confidence is None:
        return _Answer(NormalizationOutcome.ABSTAINED, Evidence("program", (), one.detail))
    if one.confidence < options.min_confidence:
        evidence = Evidence("program", (), f"too few values show the format: {one.detail}")
        return _Answer(NormalizationOutcome.ABSTAINED, evidence, None, one.confidence)
    return _Answer(NormalizationOutcome.REWRITTEN, Evidence("program", (), one.detail), one.output, one.confidence)


def _transformed(
    checkpoint: Checkpoint,
    examples: Sequence[TransformExample],
    values: Sequence[str],
    answers: dict[str, _Answer],
    options: NormalizationOptions,
) -> ModelTask[Usage]:
    """Answer values as example pairs show, where no format answered them already."""
    outputs = {one.output for one in examples}
    given = {one.input: one.output for one in examples}
    asked = [
        value
        for value in values
        if value not in outputs
        and (value in given or value not in answers or answers[value].outcome is NormalizationOutcome.ABSTAINED)
    ]
    result = yield from transform(checkpoint, examples, asked, TransformationOptions(options.min_confidence))
    for value, one in zip(asked, result.transformations, strict=True):
        if one.outcome is TransformationOutcome.ERROR:
            answers[value] = _Answer(NormalizationOutcome.ERROR, one.evidence)
        elif one.output is not None and one.output != value and (value in given or _tells_no_more(value, one.output, examples)):
            answers[value] = _Answer(NormalizationOutcome.REWRITTEN, one.evidence, one.output, one.confidence)
        elif one.output != value and value not in answers:
            detail = "what the examples make of it is not certain, or tells what it does not"
            answers[value] = _Answer(NormalizationOutcome.ABSTAINED, Evidence("program", (), detail), None, one.confidence)
    return result.usage


def _tells_no_more(value: str, output: str, examples: Sequence[TransformExample]) -> bool:
    """Whether each run of letters and digits of an output is in its value, or in every example's output."""
    fixed = set.intersection(*(set(runs_of(one.output)) for one in examples))
    plain = "".join(runs_of(value))
    return bool(runs_of(output)) and all(run in plain or run in fixed for run in runs_of(output))
