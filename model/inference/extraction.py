"""Values of attributes out of texts: the network points at them, and what the other texts and examples say is weighed.

Every text is read once for a group of attributes, each of which is a question; texts that were answered by hand stand
in context (RPT, PVLDB 14(8), section 5). Where a value that is known from examples, or that the network is sure of in
another text, stands in a text, it is a candidate there too. One calibrator says how probable each candidate is,
another how probable it is that there is no answer; where there are examples enough, both are refitted to how well
these are answered (`model.inference.answer_lessons`). A text is answered by the texts and attributes beside it, never
by their order.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial

import numpy as np

from model.adapters import with_adapter
from model.calibration import Calibration
from model.checkpoint import Checkpoint
from model.errors import InputError, OptionError
from model.inference.answer_lessons import AnswerLessons, PractisedAnswer, practice_texts
from model.inference.answers import EVIDENCE, FEATURES, JUDGE, Floats, Judged, Observations
from model.inference.batching import ModelTask, Progress, StepCall
from model.inference.pointing import AskedAttribute, ExtractionExample, point
from model.tuples import Evidence, Usage

ADAPTER = "extract"
CALIBRATOR = "extraction"
NO_ANSWER_CALIBRATOR = "extraction_none"
_UNTOLD = 0.5
_LEAST = 0.05
"""A value less likely than this is no answer; after practice, or fine-tuning, one less likely than none is none."""

_AT_ONCE = 64
"""Texts that are counted or judged in one step, between which other tasks get their turns."""


class ExtractionOutcome(StrEnum):
    """The three outcomes of a question."""

    VALUE = "value"
    NONE = "none"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Extraction:
    """The answer to one question; with a value, `text[start:end] == value`.

    Attributes:
        text_id, attribute: places in what was asked.
        confidence: calibrated probability that the answer is right; None where there is none.
    """

    text_id: int
    attribute: int
    outcome: ExtractionOutcome
    evidence: Evidence
    value: str | None = None
    start: int | None = None
    end: int | None = None
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class ExtractionResult:
    """One answer for each text and attribute, texts first."""

    extractions: tuple[Extraction, ...]
    usage: Usage


def extract(
    checkpoint: Checkpoint,
    texts: Sequence[str | None],
    attributes: Sequence[AskedAttribute],
    progress: Progress | None = None,
) -> ModelTask[ExtractionResult]:
    """Ask every text for every attribute.

    Raises:
        OptionError: an attribute is asked twice, or the value of an example does not stand in its text.
        InputError: the checkpoint was not trained to extract, or has no calibrators of it, or those of another version.
    """
    check_attributes(attributes)
    calibration = checkpoint.calibration
    if calibration is None or not {CALIBRATOR, NO_ANSWER_CALIBRATOR} <= calibration.calibrators.keys():
        raise InputError("the checkpoint cannot extract: `python -m model.finetuning.extraction` fits its calibrators")
    trees = checkpoint.judges.get(JUDGE)
    if trees is None or trees.features != EVIDENCE or calibration[CALIBRATOR].features != FEATURES:
        raise InputError("the checkpoint weighs extraction as another version does: fit it, or fine-tune it, again")
    began = time.monotonic()
    practised = practice_texts(texts, attributes)
    observed, tokens = yield from observe(extractor(checkpoint), [*texts, *practised], attributes, progress)
    lessons = yield from _learn(calibration, observed, practised)
    answers: dict[tuple[str, int], Extraction] = {}
    is_checked = lessons.learned or CALIBRATOR in calibration.of_labels
    for texts_at_once in _parts(sorted({text for text in texts if text} & set(observed.texts))):
        yield [StepCall(partial(_answer, lessons, observed, texts_at_once, answers, is_checked=is_checked))]
    asked = ((text_id, text, attribute) for text_id, text in enumerate(texts) for attribute in range(len(attributes)))
    extractions = tuple(
        replace(answers.get((text or "", attribute), _BLANK), text_id=text_id, attribute=attribute)
        for text_id, text, attribute in asked
    )
    return ExtractionResult(extractions, Usage(len(texts), tokens, 0, round(time.monotonic() - began, 3)))


_BLANK = Extraction(
    0, 0, ExtractionOutcome.NONE, Evidence("model", (), "the text is empty"), confidence=1.0
)  # the model needs no reading to know


def extractor(checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint with the weights that were trained to point at answers; see `with_adapter`."""
    return with_adapter(checkpoint, ADAPTER)


def check_attributes(attributes: Sequence[AskedAttribute]) -> None:
    """Refuse attributes that cannot be asked.

    Raises:
        OptionError: as in `extract`.
    """
    names: set[str] = set()
    for number, attribute in enumerate(attributes):
        if not attribute.name.strip():
            raise OptionError("an attribute has no name", attribute=number, field="attributes")
        if attribute.name in names:
            raise OptionError("an attribute is asked twice", attribute=number, field="attributes")
        names.add(attribute.name)
        told: dict[str, str | None] = {}
        for place, example in enumerate(attribute.examples):
            if example.value is not None and (not example.value.strip() or example.value not in example.text):
                message = "the value of an example does not stand in its text"
                raise OptionError(message, tuple_id=place, attribute=number, field="examples")
            if told.setdefault(example.text, example.value) != example.value:
                message = "two examples answer one text differently"
                raise OptionError(message, tuple_id=place, attribute=number, field="examples")


def observe(
    checkpoint: Checkpoint,
    texts: Iterable[str | None],
    attributes: Sequence[AskedAttribute],
    progress: Progress | None = None,
) -> ModelTask[tuple[Observations, int]]:
    """Let the network point at answers in every distinct text; gives what it says, and the tokens that it read.

    Args:
        checkpoint: weights whose span head was trained, see `extractor`.
    """
    distinct = sorted({text for text in texts if text and text.strip()})
    pointings, tokens = yield from point(checkpoint, distinct, attributes, progress)
    trees = checkpoint.judges.get(JUDGE)
    observed = Observations(attributes, distinct, pointings, checkpoint.names, checkpoint.known_values, trees)
    for texts_at_once in _parts(distinct):
        yield [StepCall(partial(_count, observed, texts_at_once))]
    return observed, tokens


def _parts(texts: Sequence[str]) -> list[Sequence[str]]:
    return [texts[start : start + _AT_ONCE] for start in range(0, len(texts), _AT_ONCE)]


def _count(observed: Observations, texts: Sequence[str]) -> None:
    for text in texts:
        observed.count(text)


def _learn(calibration: Calibration, observed: Observations, texts: Sequence[str]) -> ModelTask[AnswerLessons]:
    """What the answered texts teach, each judged as if it were not one of them."""
    practised: list[PractisedAnswer] = []
    for texts_at_once in _parts(texts):
        yield [StepCall(partial(_practise, observed, texts_at_once, practised))]
    lessons: list[AnswerLessons] = []
    calibrators = calibration[CALIBRATOR], calibration[NO_ANSWER_CALIBRATOR]
    yield [StepCall(lambda: lessons.append(AnswerLessons(practised, *calibrators)))]
    return lessons[0]


def _practise(observed: Observations, texts: Sequence[str], practised: list[PractisedAnswer]) -> None:
    for text, of_text in zip(texts, observed.judge_all(texts), strict=True):
        for attribute, judged in enumerate(of_text):
            example = observed.given(text, attribute)
            if example is not None:
                practised.append(PractisedAnswer(judged, observed.attributes[attribute].name, example.value))


def _answer(
    lessons: AnswerLessons,
    observed: Observations,
    texts: Sequence[str],
    answers: dict[tuple[str, int], Extraction],
    *,
    is_checked: bool,
) -> None:
    """Answer every question about some texts, into `answers`.

    Args:
        is_checked: what is said of such texts was checked on texts of the caller's, so the likelier of value and none
            is the answer.
    """
    for text, of_text in zip(texts, observed.judge_all(texts), strict=True):
        for attribute, judged in enumerate(of_text):
            name = observed.attributes[attribute].name
            confidences = lessons.confidences(judged, name)
            none = lessons.none(judged, name, confidences)
            least = none if is_checked else _LEAST
            answers[text, attribute] = _decide(observed, text, attribute, judged, confidences, none, least)


def _decide(
    observed: Observations,
    text: str,
    attribute: int,
    judged: Judged,
    confidences: Floats,
    none: float,
    least: float,
) -> Extraction:
    """The likeliest candidate; none where it is less likely than `least`, or the text likely tells nothing."""
    given = observed.given(text, attribute)
    if given is not None:
        return _given(given, text)
    if math.isnan(observed.pointings[text, attribute].no_answer):
        evidence = Evidence("model", (), "the network gave no number")
        return Extraction(0, 0, ExtractionOutcome.ERROR, evidence)
    best = int(np.argmax(confidences)) if len(confidences) else -1
    if best < 0 or none >= _UNTOLD or confidences[best] < least:
        return Extraction(0, 0, ExtractionOutcome.NONE, Evidence("model", (), "no answer is likely"), confidence=none)
    start, end = judged.candidates[best].start, judged.candidates[best].end
    evidence = observed.reason(text, attribute, judged, best)
    return Extraction(0, 0, ExtractionOutcome.VALUE, evidence, text[start:end], start, end, float(confidences[best]))


def _given(example: ExtractionExample, text: str) -> Extraction:
    evidence = Evidence("example", (), "this very text is an example")
    if example.value is None:
        return Extraction(0, 0, ExtractionOutcome.NONE, evidence, confidence=1.0)
    start = text.index(example.value)
    end = start + len(example.value)
    return Extraction(0, 0, ExtractionOutcome.VALUE, evidence, example.value, start, end, 1.0)
