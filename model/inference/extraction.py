"""Values of attributes out of texts: the network points at them, and what the other texts and examples say is weighed.

Every text is read once for a group of attributes, each of which is a question; texts that were answered by hand stand
in context (RPT, PVLDB 14(8), section 5). Where a value that is known from examples, or that the network is sure of in
another text, stands in a text, it is a candidate there too. One calibrator says how probable each candidate is,
another how probable it is that there is no answer. A text is answered by the texts and attributes beside it, never by
their order.
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
from model.inference.answers import Floats, Judged, Observations
from model.inference.batching import ModelTask, Progress, StepCall
from model.inference.pointing import AskedAttribute, ExtractionExample, point
from model.tuples import Evidence, Usage

ADAPTER = "extract"
CALIBRATOR = "extraction"
NO_ANSWER_CALIBRATOR = "extraction_none"
_UNTOLD = 0.5
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
        InputError: the checkpoint was not trained to extract, or has no calibrators of it.
    """
    check_attributes(attributes)
    calibration = checkpoint.calibration
    if calibration is None or not {CALIBRATOR, NO_ANSWER_CALIBRATOR} <= calibration.calibrators.keys():
        raise InputError("the checkpoint cannot extract: `python -m model.finetuning.extraction` fits its calibrators")
    began = time.monotonic()
    observed, tokens = yield from observe(extractor(checkpoint), texts, attributes, progress)
    answers: dict[tuple[str, int], Extraction] = {}
    for texts_at_once in _parts(observed.texts):
        yield [StepCall(partial(_answer, calibration, observed, texts_at_once, answers))]
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
    observed = Observations(attributes, distinct, pointings, checkpoint.names)
    for texts_at_once in _parts(distinct):
        yield [StepCall(partial(_count, observed, texts_at_once))]
    return observed, tokens


def _parts(texts: Sequence[str]) -> list[Sequence[str]]:
    return [texts[start : start + _AT_ONCE] for start in range(0, len(texts), _AT_ONCE)]


def _count(observed: Observations, texts: Sequence[str]) -> None:
    for text in texts:
        observed.count(text)


def _answer(
    calibration: Calibration,
    observed: Observations,
    texts: Sequence[str],
    answers: dict[tuple[str, int], Extraction],
) -> None:
    """Answer every question about some texts, into `answers`."""
    keys = [(text, attribute) for text in texts for attribute in range(len(observed.attributes))]
    judged = [one for text in texts for one in observed.judge(text)]
    flat = calibration[CALIBRATOR].predict(np.concatenate([one.features for one in judged]))
    confidences = np.split(flat, np.cumsum([len(one.candidates) for one in judged])[:-1])
    about = [one.no_answer_features(own) for one, own in zip(judged, confidences, strict=True)]
    nothing = calibration[NO_ANSWER_CALIBRATOR].predict(np.stack(about))
    for (text, attribute), one, own, none in zip(keys, judged, confidences, nothing, strict=True):
        answers[text, attribute] = _decide(observed, text, attribute, one, own, float(none))


def _decide(
    observed: Observations, text: str, attribute: int, judged: Judged, confidences: Floats, none: float
) -> Extraction:
    """The likeliest candidate, or none where the text is likelier to tell nothing than to tell something."""
    given = observed.given(text, attribute)
    if given is not None:
        return _given(given, text)
    if math.isnan(observed.pointings[text, attribute].no_answer):
        evidence = Evidence("model", (), "the network gave no number")
        return Extraction(0, 0, ExtractionOutcome.ERROR, evidence)
    best = int(np.argmax(confidences)) if len(confidences) else -1
    if best < 0 or none >= _UNTOLD:
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
