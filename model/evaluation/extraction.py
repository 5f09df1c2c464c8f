"""Extraction on titles of products: values of attributes against what people marked (AE-110K).

The texts of a category are asked for all of its attributes together, as a caller would ask; only the pairs that people
judged are counted. A wrong value is a false positive and a miss; a value where there is none is a false positive.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from model.checkpoint import Checkpoint
from model.errors import InputError
from model.evaluation.figures import Counts, EvaluationRow, EvaluationTable, Figure, Resampling, f1, ratio
from model.evaluation.reliability import Reliability
from model.inference.batching import Progress, run_task
from model.inference.extraction import extract as extract_values
from model.inference.phrases import fold, phrases
from model.inference.pointing import AskedAttribute, ExtractionExample

FOLDER = "extraction"
PARTS = ("train", "test")


@dataclass(frozen=True, slots=True)
class MarkedText:
    """A text and an attribute, with the values that are accepted; none where the text tells none."""

    text: str
    category: str
    attribute: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a system says of a pair; `is_exact` is False where a value does not stand at its place in the text."""

    value: str | None
    confidence: float = 1.0
    is_exact: bool = True


Predicted = Mapping[tuple[str, str, str], Answer]
"""Answers by category, text and attribute."""


@cache
def read_marked(bench: Path, part: str) -> tuple[MarkedText, ...]:
    """The pairs of one part.

    Raises:
        InputError: the file is not there.
    """
    path = bench / FOLDER / f"ae110k_{part}.jsonl"
    try:
        records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except OSError as error:
        raise InputError(f"the benchmark folder has no {FOLDER}/{path.name}", field="bench") from error
    return tuple(MarkedText(one["text"], one["category"], one["attribute"], tuple(one["values"])) for one in records)


def evaluate_extract(
    bench: Path, checkpoint: Checkpoint, resampling: Resampling | None = None, progress: Progress | None = None
) -> list[EvaluationTable]:
    """One table: without any label, with one answered text an attribute, with the training part, and baselines."""
    train, test = (read_marked(bench, part) for part in PARTS)
    resampling = resampling or Resampling()
    asked = {
        "no label": {},
        "one answered text an attribute": first_examples(train),
        "the training part as examples": all_examples(train),
    }
    predicted = {name: extracted(checkpoint, test, examples, progress) for name, examples in asked.items()}
    rows = [EvaluationRow(name, extraction_figures(test, answers, resampling)) for name, answers in predicted.items()]
    rows += [
        EvaluationRow(name, extraction_figures(test, told_by(test, rule), resampling))
        for name, rule in baselines(train).items()
    ]
    reliabilities = tuple(
        extraction_reliability(name, test, answers, resampling) for name, answers in predicted.items()
    )
    without = sum(not one.values for one in test)
    title = f"AE-110K ({len(test)} pairs of the test part, {without} without a value)"
    notes = (
        "“no label”: nothing but the names of the attributes. The next two give labels of the training part as "
        "`examples` of the request; no weight is changed. “dictionary”: the value of the training part that stands in "
        "the text and is most often right there. “after the name”: what follows the attribute's name in the text.",
    )
    return [EvaluationTable("extract", title, tuple(rows), notes, reliabilities)]


Examples = Mapping[tuple[str, str], Sequence[ExtractionExample]]
"""Answered texts by category and attribute."""


def first_examples(train: Sequence[MarkedText]) -> dict[tuple[str, str], list[ExtractionExample]]:
    """The first answered text with a value of each category and attribute."""
    examples: dict[tuple[str, str], list[ExtractionExample]] = {}
    for one in train:
        if one.values:
            examples.setdefault((one.category, one.attribute), [ExtractionExample(one.text, one.values[0])])
    return examples


def all_examples(train: Sequence[MarkedText]) -> dict[tuple[str, str], list[ExtractionExample]]:
    """All answered texts of each category and attribute, each text once."""
    known: dict[tuple[str, str], dict[str, ExtractionExample]] = defaultdict(dict)
    for one in train:
        example = ExtractionExample(one.text, one.values[0] if one.values else None)
        known[one.category, one.attribute].setdefault(one.text, example)
    return {key: list(examples.values()) for key, examples in known.items()}


def extracted(
    checkpoint: Checkpoint, test: Sequence[MarkedText], examples: Examples, progress: Progress | None = None
) -> Predicted:
    """What the model answers, category by category."""
    answers: dict[tuple[str, str, str], Answer] = {}
    categories = sorted({one.category for one in test})
    for number, category in enumerate(categories):
        texts = sorted({one.text for one in test if one.category == category})
        names = sorted({one.attribute for one in test if one.category == category})
        asked = [AskedAttribute(name, None, tuple(examples.get((category, name), ()))) for name in names]
        result = run_task(checkpoint, extract_values(checkpoint, texts, asked))
        for one in result.extractions:
            text = texts[one.text_id]
            is_exact = one.value is None or text[one.start : one.end] == one.value
            answers[category, text, names[one.attribute]] = Answer(one.value, one.confidence or 0.0, is_exact)
        if progress is not None:
            progress("extract", number + 1, len(categories))
    return answers


Rule = Callable[[MarkedText], str | None]


def told_by(test: Sequence[MarkedText], rule: Rule) -> Predicted:
    """What a rule answers."""
    return {(one.category, one.text, one.attribute): Answer(rule(one)) for one in test}


def baselines(train: Sequence[MarkedText]) -> dict[str, Rule]:
    """Rules without learning; all but the first know the training part."""
    dictionary, by_category = _Dictionary(train, lambda one: one.attribute), _Dictionary(train, _category_and_attribute)
    return {
        "after the name": after_the_name,
        "dictionary of the training part": dictionary.likeliest,
        "dictionary, right more often than not": dictionary.sure,
        "dictionary of the category, right more often than not": by_category.sure,
    }


def _category_and_attribute(one: MarkedText) -> str:
    return f"{one.category}: {one.attribute}"


def after_the_name(one: MarkedText) -> str | None:
    """The word behind the attribute's name, where the text has it."""
    found = re.search(rf"(?<!\w){re.escape(one.attribute)}\W+(\w\S*)", one.text, re.IGNORECASE)
    return found.group(1) if found else None


class _Dictionary:
    """Values of the training part by the `key` of a text, and how often each is right where it stands."""

    def __init__(self, train: Sequence[MarkedText], key: Callable[[MarkedText], str]) -> None:
        self._key = key
        self._right: dict[str, Counter[str]] = defaultdict(Counter)
        self._stood: dict[str, Counter[str]] = defaultdict(Counter)
        for one in train:
            self._right[key(one)].update({fold(value) for value in one.values} - {""})
            self._stood[key(one)].update(phrases(one.text).keys())

    def likeliest(self, one: MarkedText) -> str | None:
        """The value that is right most often, longest first."""
        return self._best(one, 0.0)

    def sure(self, one: MarkedText) -> str | None:
        """The same, where it is right more often than not."""
        return self._best(one, 0.5)

    def _best(self, one: MarkedText, least: float) -> str | None:
        right, stood = self._right[self._key(one)], self._stood[self._key(one)]
        ranked = [
            ((right[value] + 0.5) / (max(stood[value], right[value]) + 1), len(value), value, place)
            for value, place in phrases(one.text).items()
            if right[value]
        ]
        if not ranked or max(ranked)[0] < least:
            return None
        start, end = max(ranked)[3]
        return one.text[start:end]


def extraction_figures(test: Sequence[MarkedText], answers: Predicted, resampling: Resampling) -> Mapping[str, Figure]:
    """Precision, recall and F1 over pairs, and the share of values that stand at their place in the text."""
    counted = []
    for one, answer in _paired(test, answers):
        right = answer.value is not None and answer.value in one.values
        counted.append(
            [right, answer.value is not None, bool(one.values), answer.value is not None and answer.is_exact]
        )
    names = ("right", "given", "wanted", "exact")
    counts = Counts(names, np.array(counted, dtype=np.int64).reshape(-1, len(names)), resampling)
    return {
        "precision": counts.figure(lambda sums: ratio(sums["right"], sums["given"])),
        "recall": counts.figure(lambda sums: ratio(sums["right"], sums["wanted"])),
        "F1": counts.figure(lambda sums: f1(sums["right"], sums["given"], sums["wanted"])),
        "offsets match": Figure(float(sum(row[3] for row in counted) / max(1, sum(row[1] for row in counted)))),
    }


def _paired(test: Sequence[MarkedText], answers: Predicted) -> Iterator[tuple[MarkedText, Answer]]:
    return ((one, answers[one.category, one.text, one.attribute]) for one in test)


def extraction_reliability(
    name: str, test: Sequence[MarkedText], answers: Predicted, resampling: Resampling
) -> Reliability:
    """Confidences of values and of there being none, against what is right; texts err together."""
    pairs = list(_paired(test, answers))
    right = [answer.value in one.values if answer.value is not None else not one.values for one, answer in pairs]
    texts = {text: number for number, text in enumerate(sorted({one.text for one in test}))}
    units = np.array([texts[one.text] for one in test], dtype=np.int64)
    confidences = np.array([answer.confidence for _, answer in pairs], dtype=np.float64)
    return Reliability(f"extract, {name}", confidences, np.array(right, dtype=bool), units, resampling=resampling)
