"""Whether corpus tables overlap benchmark tables, and training tables those that are evaluated on.

No model runs here, and this is the only place where an evaluation reads training shards: it compares their text with
the text that figures are measured on. Rows are compared as sets of values but for case, blanks and very short values,
so the order of columns does not matter; long values are compared one by one, which finds tables with other columns.
"""

from __future__ import annotations

import csv
import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from model.checkpoint import Checkpoint
from model.corpus import read_tables
from model.evaluation.figures import EvaluationRow, EvaluationTable, Figure
from model.evaluation.held_out import training_sources, validation_tables
from model.inference.batching import Progress
from model.pretraining import VALIDATION_SHARD
from model.tuples import Value

TASK = "leaks"
MIN_VALUE = 3
MIN_VALUES = 3
MIN_ROW = 20
LONG_VALUE = 18
OVERLAP_ROWS = 5
OVERLAP_SHARE = 0.05
OVERLAP_VALUES = 20
OVERLAP_VALUE_SHARE = 0.2
_SHOWN = 8

RowKey = frozenset[str]


def row_key(values: Sequence[Value]) -> RowKey | None:
    """What is compared of a row; None where it says too little to tell one row from another."""
    key = frozenset(text for value in values if value and len(text := " ".join(value.casefold().split())) >= MIN_VALUE)
    return key if len(key) >= MIN_VALUES and sum(map(len, key)) >= MIN_ROW else None


def is_long(value: Value) -> bool:
    """Whether a value is so long that two tables hardly hold it by chance: several words, with letters."""
    return value is not None and len(value) >= LONG_VALUE and " " in value and any(map(str.isalpha, value))


@dataclass(slots=True)
class Probes:
    """Rows and long values that training tables should not hold, each with the set that it is of."""

    rows: dict[RowKey, str] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, rows: Iterable[Sequence[Value]]) -> None:
        """Take in the rows of a set."""
        for row in rows:
            key = row_key(row)
            if key is not None:
                self.rows.setdefault(key, name)
            self.values |= {" ".join(value.casefold().split()): name for value in row if value and is_long(value)}


@dataclass(frozen=True, slots=True)
class Overlap:
    """What a corpus table shares with the probes.

    Attributes:
        rows, equal_rows: comparable rows of the table, and those that stand in a probed set as well.
        values, equal_values: distinct long values, and those that stand there as well.
        most: the set that most of them are of.
    """

    table_id: str
    rows: int
    equal_rows: int
    values: int
    equal_values: int
    most: str

    @property
    def shares_rows(self) -> bool:
        """Whether so many rows are shared that it cannot be chance: the same table, or a copy of it."""
        return self.equal_rows >= max(OVERLAP_ROWS, OVERLAP_SHARE * self.rows)

    @property
    def shares_values(self) -> bool:
        """Whether so many long values are shared that it cannot be chance: another table about the same things."""
        return self.equal_values >= max(OVERLAP_VALUES, OVERLAP_VALUE_SHARE * self.values)


def compare(table_id: str, tuples: Iterable[Sequence[Value]], probes: Probes) -> Overlap:
    """How much of a table stands in the probed sets."""
    rows, found, long = 0, Counter[str](), set[str]()
    equal_rows = 0
    for row in tuples:
        key = row_key(row)
        rows += key is not None
        name = probes.rows.get(key) if key is not None else None
        if name is not None:
            equal_rows += 1
            found[name] += 1
        long.update(" ".join(value.casefold().split()) for value in row if value and is_long(value))
    shared = [probes.values[value] for value in long if value in probes.values]
    found.update(shared)
    most = min(found, key=lambda name: (-found[name], name), default="")
    return Overlap(table_id, rows, equal_rows, len(long), len(shared), most)


def read_bench_rows(bench: Path) -> Iterator[tuple[str, list[list[str]]]]:
    """Every CSV and JSON Lines file of the benchmark folder as rows of text, by the folder that it lies in."""
    for path in sorted(bench.rglob("*")):
        name = path.parent.relative_to(bench).as_posix()
        if path.suffix == ".csv":
            with path.open(encoding="utf-8", newline="") as file:
                yield name, list(csv.reader(file))[1:]
        elif path.suffix == ".jsonl":
            lines = path.read_text(encoding="utf-8").split("\n")  # values may hold other line separators
            yield name, [list(_texts(json.loads(line))) for line in lines if line]


def _texts(record: object) -> Iterator[str]:
    """All strings inside a JSON value."""
    if isinstance(record, str):
        yield record
    elif isinstance(record, dict | list):
        for one in record.values() if isinstance(record, dict) else record:
            yield from _texts(one)


def evaluate_leaks(
    bench: Path, corpus: Path, checkpoint: Checkpoint, progress: Progress | None = None
) -> list[EvaluationTable]:
    """Two tables: all corpus shards against the benchmark, and training shards against the validation shard.

    Raises:
        InputError: the corpus folder has no validation shard, or no table to evaluate on.
    """
    held_out = validation_tables(corpus, checkpoint)
    of_bench, of_validation = Probes(), Probes()
    for name, rows in read_bench_rows(bench):
        of_bench.add(name, rows)
    for table in held_out.tables:
        of_validation.add(table.repository, table.relation.tuples)
    shards = [*sorted(corpus.glob("train-*.jsonl.zst")), corpus / VALIDATION_SHARD]
    against_bench: dict[str, list[Overlap]] = {}
    against_validation: dict[str, list[Overlap]] = {}
    began, done = time.monotonic(), 0
    for number, shard in enumerate(shards):
        for table in read_tables(shard):
            tuples = table.relation.tuples
            against_bench.setdefault(shard.name, []).append(compare(table.table_id, tuples, of_bench))
            if shard.name != VALIDATION_SHARD:
                against_validation.setdefault(shard.name, []).append(compare(table.table_id, tuples, of_validation))
            done += len(tuples)
        if progress is not None:
            progress("leaks: comparing shards", number + 1, len(shards))
    speed = done / max(time.monotonic() - began, 1e-9)
    sources = training_sources(checkpoint)
    card = "does not name its training sources" if sources is None else f"names {len(sources)} training sources"
    bench_title = f"corpus against benchmark ({len(of_bench.rows):,} rows, {len(of_bench.values):,} long values)"
    validation_title = f"training shards against the {len(held_out.tables)} held-out tables that are evaluated on"
    return [
        leak_table(bench_title, against_bench, (f"Compared at {speed:,.0f} rows/s.",)),
        leak_table(validation_title, against_validation, (f"The card of {checkpoint.name} {card}.", held_out.note)),
    ]


def leak_table(title: str, found: dict[str, list[Overlap]], notes: Sequence[str]) -> EvaluationTable:
    """Shares by shard, the verdict, and the tables that share most."""
    rows = []
    for shard, overlaps in found.items():
        figures = {
            "tables": Figure(len(overlaps), digits=0),
            "rows compared": Figure(sum(one.rows for one in overlaps), digits=0),
            "equal rows": Figure(sum(one.equal_rows for one in overlaps), digits=0),
            "long values": Figure(sum(one.values for one in overlaps), digits=0),
            "equal long values": Figure(sum(one.equal_values for one in overlaps), digits=0),
            "tables that share rows": Figure(sum(one.shares_rows for one in overlaps), digits=0),
            "that share values": Figure(sum(one.shares_values for one in overlaps), digits=0),
        }
        rows.append(EvaluationRow(shard, figures))
    everything = [one for overlaps in found.values() for one in overlaps]
    by_rows = [one for one in everything if one.shares_rows]
    by_values = [one for one in everything if one.shares_values and not one.shares_rows]
    leaks = sorted((*by_rows, *by_values), key=lambda one: (-one.equal_rows, -one.equal_values, one.table_id))
    told = [
        f"{one.table_id} shares {one.equal_rows} of {one.rows} rows and {one.equal_values} of {one.values} "
        f"long values, most of them with {one.most}."
        for one in leaks[:_SHOWN]
    ]
    how = (
        f"{len(by_rows)} tables share rows (at least {OVERLAP_ROWS}, and {OVERLAP_SHARE:.0%} of their own); "
        f"{len(by_values)} others tell of the same things (at least {OVERLAP_VALUES} long values, and "
        f"{OVERLAP_VALUE_SHARE:.0%} of their own)."
    )
    return EvaluationTable(TASK, title, tuple(rows), (how, *told, *notes))
