"""What answered texts teach extraction: which evidence to believe in these texts, and how often there is no answer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from model.inference.answer_lessons import (
    LEAST_ANSWERS,
    MOST_TEXTS,
    TEXTS_PER_TEXT,
    AnswerLessons,
    PractisedAnswer,
    practice_texts,
)
from model.inference.answers import FEATURES, NO_ANSWER_FEATURES, Judged
from model.inference.pointing import AskedAttribute, Candidate, ExtractionExample
from tests.conftest import MakeCalibrator


def judged(pointed: str, known: str | None) -> Judged:
    """A text in which the network points at one value, and another is an example's."""
    values = [pointed, *([known] if known else [])]
    features = np.zeros((len(values), len(FEATURES)))
    features[0, FEATURES.index("is_first")] = 1.0
    features[1:, FEATURES.index("is_example")] = 1.0
    about = dict.fromkeys(NO_ANSWER_FEATURES, 0.0)
    return Judged(tuple(Candidate(0, 1, -1.0) for _ in values), tuple(values), features, about)


@pytest.fixture
def lessons(make_calibrator: MakeCalibrator) -> Sequence[AnswerLessons]:
    """Without practice, and after forty texts in which the network was wrong and the known value right."""
    of_values = make_calibrator(FEATURES, {"is_first": 1.0, "is_example": -1.0}, 0.0)
    of_none = make_calibrator(NO_ANSWER_FEATURES, {"best": -0.5}, 0.0)
    colors = [PractisedAnswer(judged("mug", "red"), "color", "Red") for _ in range(20)]
    brands = [PractisedAnswer(judged("mug", None), "brand", None) for _ in range(20)]
    return AnswerLessons((), of_values, of_none), AnswerLessons([*colors, *brands], of_values, of_none)


def test_what_was_right_in_answered_texts_is_believed(lessons: Sequence[AnswerLessons]) -> None:
    one = judged("pan", "blue")
    before, after = (lesson.confidences(one, "color") for lesson in lessons)
    assert before[0] > 0.5 > before[1]
    assert after[0] < 0.2 and after[1] > 0.8


def test_an_attribute_that_texts_never_tell_is_not_told(lessons: Sequence[AnswerLessons]) -> None:
    before, after = lessons
    assert (before.learned, after.learned) == (False, True)
    for attribute, one, low, high in (
        ("brand", judged("pan", None), 0.8, 1.0),
        ("color", judged("pan", "blue"), 0, 0.2),
    ):
        nothing = after.none(one, attribute, after.confidences(one, attribute))
        assert low <= nothing <= high
    one = judged("pan", None)
    assert before.none(one, "brand", before.confidences(one, "brand")) < 0.5


def test_a_text_without_any_candidate_is_judged_all_the_same(lessons: Sequence[AnswerLessons]) -> None:
    blank = Judged((), (), np.zeros((0, len(FEATURES))), dict.fromkeys(NO_ANSWER_FEATURES, 0.0))
    for lesson in lessons:
        assert lesson.confidences(blank, "brand").shape == (0,)
        assert lesson.none(blank, "brand", np.zeros(0)) > 0.5


def asked(count: int) -> list[AskedAttribute]:
    examples = [ExtractionExample(f"text {number:03}", "text") for number in range(count)]
    return [AskedAttribute("a", None, tuple(examples)), AskedAttribute("b", None, tuple(reversed(examples[:3])))]


def test_practice_takes_enough_answered_texts_but_no_more_than_pay() -> None:
    texts = [f"asked {number}" for number in range(40)]
    assert practice_texts(texts, asked(LEAST_ANSWERS - 4)) == []
    assert len(practice_texts(texts, asked(LEAST_ANSWERS))) == LEAST_ANSWERS
    assert len(practice_texts(texts[:10], asked(300))) == TEXTS_PER_TEXT * 10
    assert len(practice_texts(texts * 10, asked(900))) == TEXTS_PER_TEXT * 40
    assert len(practice_texts([f"{number}" for number in range(1000)], asked(900))) == MOST_TEXTS
    assert practice_texts([None, " "], asked(900)) == []


def test_practice_is_the_same_in_any_order() -> None:
    texts = [f"asked {number}" for number in range(10)]
    chosen = practice_texts(texts, asked(100))
    turned = [AskedAttribute(one.name, None, tuple(reversed(one.examples))) for one in reversed(asked(100))]
    assert practice_texts(texts[::-1], turned) == chosen == sorted(set(chosen))
    assert chosen[0] == "text 000" and chosen[-1] == "text 099"
