"""Masked cells of unseen tables written back, by kind of column: what the model knows without any statistic.

Cells of held-out corpus tables are hidden and filled by the model alone: with its usual context, with none,
and in tables whose columns were shuffled, each by itself. In a shuffled table nothing but the column's own
frequencies can be known, so there the model may not beat the column mode by much: if it does, truth leaks.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from model.checkpoint import Checkpoint
from model.corpus import CorpusTable
from model.evaluation.baselines import column_mode, nearest_row
from model.evaluation.figures import EvaluationRow, EvaluationTable, Figure, Resampling, accuracy
from model.evaluation.held_out import validation_tables
from model.evaluation.imputation import Imputer, ModelImputer, answer_all, fill_reliability
from model.inference.batching import Progress
from model.inference.columns import Column
from model.inference.reading import CONTEXT_SIZE
from model.tuples import Cell, Relation

CELLS = 400
MIN_ROWS = 20
WINDOW_ROWS = 150
WINDOW_ATTRIBUTES = 16
CELLS_PER_TABLE = 4
READ_ROWS = 1000


class ColumnKind(StrEnum):
    """What the values of a column are."""

    CATEGORICAL = "categorical"
    NUMERIC = "numeric"
    DATE_TIME = "date or time"
    IDENTIFIER = "identifier or code"
    FREE_TEXT = "free text"


_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_CLOCK = r"\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:\s?[ap]\.?m\.?)?"
_DATE = "|".join(
    (
        r"\d{4}[-/]\d{1,2}(?:[-/]\d{1,2})?",
        r"\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}",
        rf"\d{{1,2}}[ -]{_MONTH}[ ,-]\s?\d{{2,4}}",
        rf"{_MONTH} (?:\d{{1,2}},? )?\d{{4}}",
    )
)
_DATE_TIME = re.compile(rf"(?:(?:{_DATE})(?:[T ]\s?{_CLOCK})?(?:Z|[+-]\d{{2}}:?\d{{2}})?|{_CLOCK})", re.IGNORECASE)
_CODE_NAME = re.compile(
    r"(?:^|[^a-z])(?:id|ids|code|zip|zipcode|postal|phone|fax|isbn|issn|ein|fips|key|uuid|url)(?:$|[^a-z])"
)
_DIGITS = re.compile(r"[-+]?\d[\d.,]*%?")
_CODE = re.compile(r"(?=.*[\d/@_#:])\S{2,}|[A-Z]{2,5}|(?:https?://|www\.)\S+")


@dataclass(frozen=True, slots=True)
class MaskedTable:
    """A relation with missing `cells`, what stood in them, and the kind of column of each."""

    relation: Relation
    cells: tuple[Cell, ...]
    truth: tuple[str, ...]
    kinds: tuple[ColumnKind, ...]


def column_kind(name: str, values: Sequence[str | None]) -> ColumnKind:
    """Classify a column by its values; the name only tells a number from a code written in digits."""
    column = Column(values)

    def share(test: Callable[[str], bool]) -> float:
        fitting = sum(int(count) for value, count in zip(column.distinct, column.counts, strict=True) if test(value))
        return fitting / column.present if column.present else 0.0

    if share(lambda value: _DATE_TIME.fullmatch(value.strip()) is not None) >= 0.8:
        return ColumnKind.DATE_TIME
    if max(column.numeric_share, share(lambda value: _DIGITS.fullmatch(value.strip()) is not None)) >= 0.7:
        return ColumnKind.IDENTIFIER if _is_code_in_digits(name, column) else ColumnKind.NUMERIC
    if column.distinct_ratio <= 0.2 or (len(column.distinct) <= 30 and column.distinct_ratio <= 0.5):
        return ColumnKind.CATEGORICAL
    if share(lambda value: _CODE.fullmatch(value.strip()) is not None) >= 0.7:
        return ColumnKind.IDENTIFIER
    return ColumnKind.FREE_TEXT


def _is_code_in_digits(name: str, column: Column) -> bool:
    """Numbers that are names: by the column's name, by leading zeros, or unique and of one length of five or more."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).lower()
    if _CODE_NAME.search(words):
        return True
    zeros = sum(value[0] == "0" and value.isdigit() and len(value) > 1 for value in column.distinct)
    if zeros > 0.02 * len(column.distinct):
        return True
    lengths = {len(value) for value in column.distinct}
    whole = all(value.isdigit() for value in column.distinct)
    return column.is_key and whole and len(lengths) == 1 and min(lengths) >= 5


def sample_masked_tables(
    tables: Sequence[CorpusTable], cells: int, seed: int, *, shuffled: bool = False
) -> list[MaskedTable]:
    """Windows of corpus tables with some present cells hidden; repositories take turns, so that none outweighs others.

    Args:
        tables: those of a corpus shard; of fewer than twenty tuples none is used.
        cells: how many cells to hide in all, at most four in each window.
        seed: the same seed gives the same windows, and the same cells of them.
        shuffled: permute every column by itself before anything is hidden.
    """
    repositories: dict[str, list[Relation]] = {}
    for table in tables:
        if len(table.relation) >= MIN_ROWS:
            repositories.setdefault(table.repository, []).append(table.relation)
    names = sorted(repositories)
    masked: list[MaskedTable] = []
    wanted = cells
    for number in range(cells if names else 0):
        rng = random.Random(f"{seed}:{number}")
        relation = rng.choice(repositories[names[number % len(names)]])
        one = mask_table(relation, rng, min(wanted, CELLS_PER_TABLE), shuffled=shuffled)
        if one.cells:
            masked.append(one)
            wanted -= len(one.cells)
        if not wanted:
            break
    return masked


def mask_table(relation: Relation, rng: random.Random, cells: int, *, shuffled: bool) -> MaskedTable:
    """A window of a relation with up to `cells` cells hidden, each in a tuple and an attribute of its own."""
    rows, attributes = _window(relation, rng)
    table = [[relation.tuples[row][attribute] for attribute in attributes] for row in rows]
    names = [relation.attributes[attribute] for attribute in attributes]
    columns = [[row[place] for row in table] for place in range(len(attributes))]
    useful = [place for place, values in enumerate(columns) if len({value for value in values if value}) > 1]
    kinds = {place: column_kind(names[place], columns[place]) for place in useful}
    chosen = rng.sample(useful, min(cells, len(useful)))
    tuple_ids = rng.sample(range(len(table)), len(chosen))
    if shuffled:
        _shuffle_columns(table, rng)
    hidden: list[Cell] = []
    truth: list[str] = []
    for tuple_id, place in zip(tuple_ids, chosen, strict=True):
        value = table[tuple_id][place]
        if value:
            hidden.append(Cell(tuple_id, place))
            truth.append(value)
            table[tuple_id][place] = None
    return MaskedTable(
        Relation.of(names, table, relation.name),
        tuple(hidden),
        tuple(truth),
        tuple(kinds[cell.attribute] for cell in hidden),
    )


def _window(relation: Relation, rng: random.Random) -> tuple[range, list[int]]:
    """Consecutive tuples and some attributes, in their own order."""
    count = min(len(relation), WINDOW_ROWS)
    start = rng.randint(0, len(relation) - count)
    width = len(relation.attributes)
    return range(start, start + count), sorted(rng.sample(range(width), min(width, WINDOW_ATTRIBUTES)))


def _shuffle_columns(table: list[list[str | None]], rng: random.Random) -> None:
    """Permute each column by itself: frequencies stay, every relation between columns goes."""
    for place in range(len(table[0])):
        values = [row[place] for row in table]
        rng.shuffle(values)
        for row, value in zip(table, values, strict=True):
            row[place] = value


def evaluate_reconstruction(
    corpus: Path,
    checkpoint: Checkpoint,
    cells: int = CELLS,
    resampling: Resampling | None = None,
    progress: Progress | None = None,
) -> list[EvaluationTable]:
    """One table: exact match by kind of column, for the model, for it alone in three conditions, and for baselines.

    Raises:
        InputError: the corpus folder has no validation shard, or the checkpoint was trained on it.
    """
    chosen = resampling or Resampling()
    held_out = validation_tables(corpus, checkpoint, READ_ROWS)
    plain = sample_masked_tables(held_out.tables, cells, chosen.seed)
    shuffled = sample_masked_tables(held_out.tables, cells, chosen.seed, shuffled=True)

    def alone(context_size: int) -> Imputer:
        return ModelImputer(checkpoint, "", use_statistics=False, context_size=context_size)

    measured: dict[str, tuple[list[MaskedTable], Imputer]] = {
        "model": (plain, ModelImputer(checkpoint, "")),
        "model alone": (plain, alone(CONTEXT_SIZE)),
        "model alone, no context": (plain, alone(0)),
        "column mode": (plain, column_mode),
        "nearest row": (plain, nearest_row),
        "model alone, shuffled": (shuffled, alone(CONTEXT_SIZE)),
        "column mode, shuffled": (shuffled, column_mode),
        "nearest row, shuffled": (shuffled, nearest_row),
    }
    return [measure_reconstruction(measured, chosen, progress, (held_out.note,))]


def measure_reconstruction(
    measured: Mapping[str, tuple[Sequence[MaskedTable], Imputer]],
    resampling: Resampling,
    progress: Progress | None = None,
    notes: Sequence[str] = (),
) -> EvaluationTable:
    """Exact match in per cent of every system on its tables, whole and by kind of column."""
    rows, reliabilities = [], []
    for label, (tables, imputer) in measured.items():

        def report(done: int, total: int, label: str = label) -> None:
            if progress is not None:
                progress(f"reconstruction: {label}", done, total)

        answers = answer_all(imputer, [(table.relation, table.cells) for table in tables], None, report)
        truth = [true for table in tables for true in table.truth]
        kinds = [kind for table in tables for kind in table.kinds]
        matched = [answer == true for answer, true in zip(answers.values, truth, strict=True)]
        speed = Figure(len(truth) / max(answers.seconds, 1e-9), digits=1)
        figures = _by_kind(list(zip(kinds, matched, strict=True)), resampling)
        rows.append(EvaluationRow(label, {**figures, "cells/s": speed}))
        if answers.confidences is not None and "shuffled" not in label:
            units = [place for place, table in enumerate(tables) for _ in table.cells]
            name = f"filling, held-out tables, {label}"
            reliabilities.append(fill_reliability(name, answers.confidences, matched, units, resampling))
    first = next(iter(measured.values()))[0]
    counted = [kind for table in first for kind in table.kinds]
    sizes = ", ".join(f"{kind} {counted.count(kind)}" for kind in ColumnKind if kind in counted)
    how = (
        f"Cells by kind of column: {sizes}. Exact match in per cent; windows of at most {WINDOW_ROWS} rows.",
        "Shuffled: every column permuted by itself; nothing above the column mode can be known there.",
    )
    title = f"held-out tables ({len(counted)} hidden cells of {len(first)} windows)"
    return EvaluationTable("reconstruction", title, tuple(rows), (*how, *notes), tuple(reliabilities))


def _by_kind(right: Sequence[tuple[ColumnKind, bool]], resampling: Resampling) -> dict[str, Figure]:
    figures = {"all": accuracy([matched for _, matched in right], resampling)}
    for kind in ColumnKind:
        of_kind = [matched for one, matched in right if one is kind]
        if of_kind:
            figures[str(kind)] = accuracy(of_kind, resampling)
    return figures
