"""RPT's reconstruction experiment (Table 1 of the paper) with numbers: masked cells of Amazon-Google written back.

The paper masks one attribute of tuples of a table that was not trained on, and prints five answers. Here many cells of
each attribute are masked, the paper's five among them, and answers are scored. The model is asked as it is, without
training on these tables: with column statistics, alone with its context tuples, and alone without any, which is plain
RPT. A manufacturer often stands in the title, so its cells are counted by that as well.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model.checkpoint import Checkpoint
from model.evaluation.baselines import IMPUTATION_BASELINES
from model.evaluation.benchmark import read_relation
from model.evaluation.figures import EvaluationRow, EvaluationTable, Figure, Resampling, accuracy, mean
from model.evaluation.imputation import Answers, Imputer, ModelImputer, answer_all, fill_reliability
from model.inference.batching import Progress
from model.inference.columns import folded, number_of
from model.inference.reading import CONTEXT_SIZE
from model.tuples import Cell, Relation

TASK = "rpt-table-1"
ATTRIBUTES = ("title", "manufacturer", "price")
CELLS = 100
_FILES = ("tableA.csv", "tableB.csv")


@dataclass(frozen=True, slots=True)
class PrintedAnswer:
    """A row of the paper's Table 1: what was masked where the title begins so, and the answers that it prints."""

    attribute: str
    title: str
    rpt: str
    bart: str


PRINTED = (
    PrintedAnswer("price", "instant home design ( jewel case )", "9", "Topics"),
    PrintedAnswer("price", "disney 's 1st & 2nd grade bundle", "19", "Dis"),
    PrintedAnswer("manufacturer", "adobe after effects professional 6.5", "adobe", "$1.99"),
    PrintedAnswer("manufacturer", "stomp inc recover lost data 2005", "stomp", "39.95"),
    PrintedAnswer("title", "write brothers dramatica", "write brothers", "1.99"),
)


@dataclass(frozen=True, slots=True)
class MaskedAttribute:
    """Relations with cells of one attribute missing, what stood in them, and the tuples as they were.

    Attributes:
        printed: which of the cells, by their place among all, are rows of the paper's table.
    """

    attribute: str
    asked: tuple[tuple[Relation, tuple[Cell, ...]], ...]
    truth: tuple[str, ...]
    titles: tuple[str, ...]
    printed: Mapping[int, PrintedAnswer]


def read_products(bench: Path) -> tuple[Relation, ...]:
    """Both tables of Amazon-Google without their running numbers.

    Raises:
        InputError: a table is not in the folder.
    """
    read = [read_relation(bench / "matching" / "Amazon-Google" / name) for name in _FILES]
    return tuple(_attributes_of(relation) for relation in read)


def _attributes_of(relation: Relation) -> Relation:
    places = [relation.attributes.index(name) for name in ATTRIBUTES]
    return Relation.of(ATTRIBUTES, [[values[place] for place in places] for values in relation.tuples], relation.name)


def mask_attribute(relations: Sequence[Relation], attribute: str, cells: int, seed: int) -> MaskedAttribute:
    """Hide up to `cells` present values of an attribute, drawn from all relations, and those that the paper prints."""
    place = ATTRIBUTES.index(attribute)
    present = [
        (number, tuple_id)
        for number, relation in enumerate(relations)
        for tuple_id, values in enumerate(relation.tuples)
        if values[place]
    ]
    printed = {
        one: answer
        for answer in PRINTED
        for one in present
        if answer.attribute == attribute and (relations[one[0]].tuples[one[1]][0] or "").startswith(answer.title)
    }
    drawn = random.Random(f"{seed}:{attribute}").sample(present, min(cells, len(present)))
    chosen = sorted({*drawn, *printed})
    asked, truth, titles = [], [], []
    for number, relation in enumerate(relations):
        tuple_ids = [tuple_id for its, tuple_id in chosen if its == number]
        rows = [list(values) for values in relation.tuples]
        for tuple_id in tuple_ids:
            truth.append(rows[tuple_id][place] or "")
            titles.append(rows[tuple_id][0] or "")
            rows[tuple_id][place] = None
        hidden = Relation.of(relation.attributes, rows, relation.name)
        asked.append((hidden, tuple(Cell(tuple_id, place) for tuple_id in tuple_ids)))
    places = {chosen.index(one): answer for one, answer in printed.items()}
    return MaskedAttribute(attribute, tuple(asked), tuple(truth), tuple(titles), places)


def evaluate_rpt_table_1(
    bench: Path,
    checkpoint: Checkpoint,
    cells: int = CELLS,
    resampling: Resampling | None = None,
    progress: Progress | None = None,
) -> list[EvaluationTable]:
    """One table an attribute: title, manufacturer, price.

    Raises:
        InputError: the set is not in the folder.
    """
    chosen = resampling or Resampling()
    relations = read_products(bench)
    tables = []
    for attribute in ATTRIBUTES:

        def alone(context: int, label: str, attribute: str = attribute) -> Imputer:
            name = f"{attribute}, {label}"
            return ModelImputer(checkpoint, name, progress, use_statistics=False, context_size=context)

        imputers: dict[str, Imputer] = {
            "model": ModelImputer(checkpoint, attribute, progress),
            "model alone": alone(CONTEXT_SIZE, "model alone"),
            "model alone, no context": alone(0, "no context"),
            **IMPUTATION_BASELINES,
        }
        tables.append(measure_attribute(mask_attribute(relations, attribute, cells, chosen.seed), imputers, chosen))
    return tables


def measure_attribute(
    masked: MaskedAttribute, imputers: Mapping[str, Imputer], resampling: Resampling
) -> EvaluationTable:
    """Exact match and token F1; of prices the relative error, of manufacturers whether they stand in the title."""
    rows, reliabilities = [], []
    answered: dict[str, Answers] = {}
    for label, imputer in imputers.items():
        answers = answered[label] = answer_all(imputer, masked.asked)
        right = [answer == true for answer, true in zip(answers.values, masked.truth, strict=True)]
        rows.append(EvaluationRow(label, _figures(masked, answers, right, resampling)))
        if answers.confidences is not None:
            name = f"reconstruction of {masked.attribute}, {label}"
            reliabilities.append(fill_reliability(name, answers.confidences, right, range(len(right)), resampling))
    title = f"Amazon-Google, {masked.attribute} ({len(masked.truth)} masked cells of both tables)"
    notes = [f"Nothing was trained on these tables; the {masked.attribute} of all other rows stays in view."]
    if masked.attribute == "price":
        notes.append("Relative error: |answer − truth| / truth, at most 1; no answer and one that is no number are 1.")
    notes += [_compare(masked, place, answered) for place in sorted(masked.printed)]
    return EvaluationTable(TASK, title, tuple(rows), tuple(notes), tuple(reliabilities))


def _figures(
    masked: MaskedAttribute, answers: Answers, right: Sequence[bool], resampling: Resampling
) -> dict[str, Figure]:
    figures = {"exact match %": accuracy(right, resampling)}
    scores = [token_f1(answer, true) for answer, true in zip(answers.values, masked.truth, strict=True)]
    figures["token F1"] = mean(scores, resampling)
    if masked.attribute == "price":
        errors = [relative_error(answer, true) for answer, true in zip(answers.values, masked.truth, strict=True)]
        figures["relative error"] = mean(errors, resampling)
        figures["median"] = Figure(float(np.median(errors)) if errors else 0.0)
    if masked.attribute == "manufacturer":
        in_title = [
            f" {folded(true)} " in f" {folded(title)} " for true, title in zip(masked.truth, masked.titles, strict=True)
        ]
        for name, wanted in (("exact % if in title", True), ("exact % if not", False)):
            of_part = [one for one, stands in zip(right, in_title, strict=True) if stands is wanted]
            if of_part:
                figures[name] = accuracy(of_part, resampling)
    figures["cells/s"] = Figure(len(right) / max(answers.seconds, 1e-9), digits=1)
    return figures


def _compare(masked: MaskedAttribute, place: int, answered: Mapping[str, Answers]) -> str:
    """What the paper prints for a cell, beside the answers of the models here."""
    printed = masked.printed[place]
    ours = ", ".join(
        f"{label} “{answers.values[place] or '–'}”"
        for label, answers in answered.items()
        if answers.confidences is not None
    )
    return (
        f"The paper's “{printed.title} …”: truth “{masked.truth[place]}”; it prints RPT “{printed.rpt}” and BART "
        f"“{printed.bart}”; here: {ours}."
    )


def token_f1(answer: str | None, true: str) -> float:
    """Harmonic mean of precision and recall over words, case apart; 0 without an answer."""
    left, right = Counter(folded(answer or "").split()), Counter(folded(true).split())
    shared = (left & right).total()
    return 2.0 * shared / (left.total() + right.total()) if shared else 0.0


def relative_error(answer: str | None, true: str) -> float:
    """Distance of a number from the true one over the true one, at most 1; 1 where the answer is no number."""
    given, wanted = number_of(answer or ""), number_of(true)
    if np.isnan(given) or np.isnan(wanted):
        return 0.0 if answer == true else 1.0
    return min(1.0, abs(given - wanted) / abs(wanted)) if wanted else float(given != wanted)
