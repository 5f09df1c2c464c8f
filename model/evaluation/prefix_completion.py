"""Half-typed values completed: a cell of an unseen table is hidden but for its first characters.

The model may write nothing that does not begin with them. Where the value stands elsewhere in the column, looking it
up is hard to beat; where it does not, only writing helps, and no look-up can be right.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from model.checkpoint import Checkpoint
from model.evaluation.baselines import nearest_row
from model.evaluation.figures import EvaluationRow, EvaluationTable, Figure, Resampling, accuracy
from model.evaluation.held_out import sample_tables, unseen_tables, window
from model.evaluation.imputation import Answers, ModelImputer, answer_all, fill_reliability
from model.finetuning.windows import TYPED_CHARACTERS, typed_prefix
from model.inference.batching import Progress
from model.tuples import Cell, Relation

TASK = "completion"
WINDOWS = 100
"""At most; there are 89 unseen tables."""
MIN_ROWS = 20
ROWS = 100
ATTRIBUTES = 12
CELLS_PER_WINDOW = 6


@dataclass(frozen=True, slots=True)
class TypedWindow:
    """A relation without the values of `cells`, the prefix that is typed in each, and the whole values."""

    relation: Relation
    cells: tuple[Cell, ...]
    prefixes: tuple[str, ...]
    truth: tuple[str, ...]

    @property
    def known(self) -> tuple[bool, ...]:
        """Whether each value stands in another tuple of its column."""
        columns = {cell.attribute: set(self.relation.column(cell.attribute)) for cell in self.cells}
        return tuple(true in columns[cell.attribute] for cell, true in zip(self.cells, self.truth, strict=True))


Completer = Callable[[Sequence[TypedWindow]], Answers]
"""Answers for the cells of all windows, in order; each begins with what is typed."""


def type_into(relation: Relation, rng: random.Random) -> TypedWindow:
    """A window of a relation with some values of four characters or more cut to a quarter or a half.

    Half of them stand elsewhere in their column, where there are so many of either sort.
    """
    part = window(relation, rng, ROWS, ATTRIBUTES)
    counts = [Counter(part.column(attribute)) for attribute in range(len(part.attributes))]
    repeated: list[Cell] = []
    single: list[Cell] = []
    for tuple_id, values in enumerate(part.tuples):
        for attribute, value in enumerate(values):
            if value and len(value) >= TYPED_CHARACTERS:
                (repeated if counts[attribute][value] > 1 else single).append(Cell(tuple_id, attribute))
    half = CELLS_PER_WINDOW // 2
    cells = tuple(cell for part_of in (repeated, single) for cell in rng.sample(part_of, min(half, len(part_of))))
    truth = tuple(part.value(cell) or "" for cell in cells)
    prefixes = tuple(typed_prefix(true, rng) for true in truth)
    rows = [list(values) for values in part.tuples]
    for cell in cells:
        rows[cell.tuple_id][cell.attribute] = None
    return TypedWindow(Relation.of(part.attributes, rows, part.name), cells, prefixes, truth)


def evaluate_completion(
    corpus: Path,
    checkpoint: Checkpoint,
    windows: int = WINDOWS,
    resampling: Resampling | None = None,
    progress: Progress | None = None,
) -> list[EvaluationTable]:
    """One table: the model, the model alone, and two look-ups.

    Raises:
        InputError: the corpus has no unseen tables.
    """
    chosen = resampling or Resampling()
    held_out = unseen_tables(corpus, checkpoint, MIN_ROWS)
    tables = sample_tables(held_out.tables, windows, chosen.seed)
    typed = [type_into(table.relation, random.Random(f"{chosen.seed}:{table.table_id}")) for table in tables]
    completers: dict[str, Completer] = {
        "model": model_completer(checkpoint, "model", True, progress),
        "model alone": model_completer(checkpoint, "model alone", False, progress),
        "most frequent value with the prefix": _looking_up(most_frequent),
        "nearest row with the prefix": _looking_up(nearest),
    }
    return [measure_completion([one for one in typed if one.cells], completers, chosen, (held_out.note,))]


def measure_completion(
    typed: Sequence[TypedWindow],
    completers: Mapping[str, Completer],
    resampling: Resampling,
    notes: Sequence[str] = (),
) -> EvaluationTable:
    """Exact match in per cent: of all values, of those that the column holds elsewhere, and of those that are new."""
    truth = [true for one in typed for true in one.truth]
    known = [is_known for one in typed for is_known in one.known]
    units = [place for place, one in enumerate(typed) for _ in one.cells]
    rows, reliabilities = [], []
    for label, completer in completers.items():
        answers = completer(typed)
        right = [answer == true for answer, true in zip(answers.values, truth, strict=True)]
        figures = {"all": accuracy(right, resampling)}
        for name, wanted in (("value stands elsewhere", True), ("new value", False)):
            of_part = [one for one, is_known in zip(right, known, strict=True) if is_known is wanted]
            if of_part:
                figures[name] = accuracy(of_part, resampling)
        figures["answered"] = Figure(sum(answer is not None for answer in answers.values), digits=0)
        figures["cells/s"] = Figure(len(truth) / max(answers.seconds, 1e-9), digits=1)
        rows.append(EvaluationRow(label, figures))
        if answers.confidences is not None:
            name = f"completion, unseen tables, {label}"
            reliabilities.append(fill_reliability(name, answers.confidences, right, units, resampling))
    title = f"half-typed values of unseen tables ({len(truth)} cells of {len(typed)} windows)"
    how = (
        f"Exact match in per cent. A quarter or a half of a value is typed; {sum(known)} of the values stand elsewhere "
        "in their column. Intervals resample cells, those of the ECE windows.",
    )
    return EvaluationTable(TASK, title, tuple(rows), (*how, *notes), tuple(reliabilities))


def model_completer(checkpoint: Checkpoint, label: str, use_statistics: bool, progress: Progress | None) -> Completer:
    """The model's answers, with column statistics or without; progress is reported under `label`."""

    def report(done: int, total: int) -> None:
        if progress is not None:
            progress(f"{TASK}: {label}", done, total)

    def completer(typed: Sequence[TypedWindow]) -> Answers:
        imputer = ModelImputer(checkpoint, "", use_statistics=use_statistics)
        asked = [(one.relation, one.cells) for one in typed]
        return answer_all(imputer, asked, [one.prefixes for one in typed], report)

    return completer


def _looking_up(look_up: Callable[[Relation, Cell, str], str | None]) -> Completer:
    def completer(typed: Sequence[TypedWindow]) -> Answers:
        began = time.monotonic()
        values = [
            look_up(one.relation, cell, prefix)
            for one in typed
            for cell, prefix in zip(one.cells, one.prefixes, strict=True)
        ]
        return Answers(values, None, time.monotonic() - began)

    return completer


def most_frequent(relation: Relation, cell: Cell, prefix: str) -> str | None:
    """The most frequent value of the column that begins with the prefix, the first by text among equals."""
    counts = Counter(value for value in relation.column(cell.attribute) if value and value.startswith(prefix))
    return min(counts, key=lambda value: (-counts[value], value), default=None)


def nearest(relation: Relation, cell: Cell, prefix: str) -> str | None:
    """The value of the most similar tuple among those whose value begins with the prefix."""
    fitting = [values for values in relation.tuples if (values[cell.attribute] or "").startswith(prefix)]
    if not fitting:
        return None
    part = Relation.of(relation.attributes, [*fitting, relation.tuples[cell.tuple_id]])
    return nearest_row(part, [Cell(len(fitting), cell.attribute)])[0]
