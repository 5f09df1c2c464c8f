"""Extraction practises on its examples: texts that were answered by hand are asked as well, and confidences refitted.

The calibrators come from texts that are not these. How often the network, the examples' values and the other texts are
right here, the examples tell once each is judged by all the others (leave-one-out). What they teach is added to the
calibrated log-odds (`model.inference.effects`), so that few examples change little.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model.calibration import Calibrator
from model.inference.answers import FEATURES, Floats, Judged
from model.inference.columns import spread
from model.inference.effects import Cases, Effects, Group, fit_effects
from model.inference.phrases import fold
from model.inference.pointing import AskedAttribute

MOST_TEXTS = 256
"""Answered texts that are asked for practice, at most."""

LEAST_ANSWERS = 16
"""With fewer answers in these texts nothing is learned."""

TEXTS_PER_TEXT = 2
"""Answered texts that are asked for each text that is, at most: a call takes up to three times as long."""

_FEATURE_SCALE = 0.35
_GROUP_SCALES = {"attribute": 0.5, "source": 1.0}
_SOURCES = ("is_first", "is_example", "same_shape")


def practice_texts(texts: Sequence[str | None], attributes: Sequence[AskedAttribute]) -> list[str]:
    """Answered texts to ask as well, evenly spread over all of them; none where they hold too few answers."""
    asked = {text for text in texts if text and text.strip()}
    answered = sorted({example.text for one in attributes for example in one.examples if example.text.strip()})
    count = min(MOST_TEXTS, TEXTS_PER_TEXT * len(asked))
    chosen = [answered[place] for place in spread(np.arange(len(answered)), count).tolist()]
    kept = set(chosen)
    answers = sum(example.text in kept for one in attributes for example in one.examples)
    return chosen if answers >= LEAST_ANSWERS else []


@dataclass(frozen=True, slots=True)
class PractisedAnswer:
    """What was said of an answered text, and its value; None where it tells none."""

    judged: Judged
    attribute: str
    value: str | None


class AnswerLessons:
    """Confidences in the light of answered texts.

    Args:
        practised: what the answers are refitted to; nothing changes where there are none.
        of_values, of_none: the calibrators.
    """

    def __init__(self, practised: Sequence[PractisedAnswer], of_values: Calibrator, of_none: Calibrator) -> None:
        self._of_values = of_values
        self._of_none = of_none
        self._values: Effects | None = None
        self._none: Effects | None = None
        if not any(one.judged.candidates for one in practised):
            return
        parts = [self._value_cases(one.judged, one.attribute) for one in practised]
        right = [value == fold(one.value or "") for one in practised for value in one.judged.values]
        self._values = fit_effects(Cases.of(parts), np.array(right, dtype=np.float64), _FEATURE_SCALE, _GROUP_SCALES)
        # What the candidates of an answered text are worth was fitted to that text too: a little too sure.
        parts = [
            self._none_cases(one.judged, one.attribute, self.confidences(one.judged, one.attribute))
            for one in practised
        ]
        none = np.array([one.value is None for one in practised], dtype=np.float64)
        self._none = fit_effects(Cases.of(parts), none, _FEATURE_SCALE, _GROUP_SCALES)

    @property
    def learned(self) -> bool:
        """Whether there was anything to learn from: then what is said of these texts was checked on such texts."""
        return self._none is not None

    def confidences(self, judged: Judged, attribute: str) -> Floats:
        """How probable each candidate of a question is, (candidates,)."""
        if self._values is None or not judged.candidates:
            return self._of_values.predict(judged.features)
        return self._values.probabilities(self._value_cases(judged, attribute))

    def none(self, judged: Judged, attribute: str, confidences: Floats) -> float:
        """How probable it is that there is no answer, given what the candidates are worth."""
        if self._none is None:
            return float(self._of_none.predict(judged.no_answer_features(confidences)[None])[0])
        return float(self._none.probabilities(self._none_cases(judged, attribute, confidences))[0])

    def _value_cases(self, judged: Judged, attribute: str) -> Cases:
        told = judged.features[:, [FEATURES.index(name) for name in _SOURCES]] > 0
        groups: list[list[Group]] = []
        for row in told.tolist():
            sources: list[Group] = [("source", name) for name, is_told in zip(_SOURCES, row, strict=True) if is_told]
            sources = sources or [("source", "other")]
            groups.append([("attribute", attribute), *sources, *((*one, attribute) for one in sources)])
        return Cases.calibrated(self._of_values, judged.features, groups)

    def _none_cases(self, judged: Judged, attribute: str, confidences: Floats) -> Cases:
        features = judged.no_answer_features(confidences)[None]
        return Cases.calibrated(self._of_none, features, [[("attribute", attribute)]])
