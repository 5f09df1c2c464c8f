"""Tables of the corpus that the weights have not seen, and windows of them.

Only the validation shard is ever read. Tables of a repository that the checkpoint's card names among its training
sources are left out, even where the table itself was not trained on: on its siblings a figure would flatter. Half of
the shard's repositories fit the calibrators; tables of the other half are *unseen* by everything.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from model.checkpoint import Checkpoint
from model.corpus import CorpusTable, read_tables
from model.errors import InputError
from model.finetuning.calibration import split_repositories
from model.pretraining import VALIDATION_SHARD
from model.tuples import Relation


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Tables to evaluate on.

    Attributes:
        left_out: how many further tables have siblings among the training data; None where the card names no sources.
    """

    tables: tuple[CorpusTable, ...]
    left_out: int | None

    @property
    def note(self) -> str:
        """What a report says about the choice."""
        if self.left_out is None:
            return "The checkpoint's card names no training sources, so whether it saw these tables is not known."
        if not self.left_out:
            return "No table is from a repository that the weights were trained on."
        return f"{self.left_out} tables of {VALIDATION_SHARD} are left out: the weights know their repositories."


def validation_tables(corpus: Path, checkpoint: Checkpoint, max_rows: int | None = None) -> HeldOut:
    """Tables of the validation shard from repositories that the checkpoint was not trained on.

    Args:
        max_rows: tables are cut to their first so many tuples.

    Raises:
        InputError: the folder has no such shard, or the checkpoint was trained on all of its repositories.
    """
    path = corpus / VALIDATION_SHARD
    if not path.is_file():
        raise InputError(f"the corpus folder has no {VALIDATION_SHARD}", field="corpus")
    return _held_out(list(read_tables(path, max_rows)), checkpoint)


def unseen_tables(corpus: Path, checkpoint: Checkpoint, min_rows: int, max_rows: int | None = None) -> HeldOut:
    """Tables of at least `min_rows` tuples from repositories that calibration keeps for checking.

    Args:
        max_rows: tables are cut to their first so many tuples.

    Raises:
        InputError: as `validation_tables`, or there is no such table.
    """
    path = corpus / VALIDATION_SHARD
    if not path.is_file():
        raise InputError(f"the corpus folder has no {VALIDATION_SHARD}", field="corpus")
    # Split before anything is left out, so that the halves are those of calibration.
    _, checking = split_repositories(list(read_tables(path, max_rows)))
    held_out = _held_out(checking, checkpoint)
    tables = tuple(table for table in held_out.tables if len(table.relation) >= min_rows)
    if not tables:
        message = f"{VALIDATION_SHARD} has no table of {min_rows} rows that calibration left out"
        raise InputError(message, field="corpus")
    return HeldOut(tables, held_out.left_out)


def _held_out(tables: Sequence[CorpusTable], checkpoint: Checkpoint) -> HeldOut:
    sources = training_sources(checkpoint)
    kept = tuple(table for table in tables if table.repository not in (sources or ()))
    if tables and not kept:
        raise InputError(
            f"{VALIDATION_SHARD} holds nothing but tables of repositories that {checkpoint.name} was trained on, "
            "by its card: figures on them would say nothing",
            field="corpus",
        )
    return HeldOut(kept, None if sources is None else len(tables) - len(kept))


def training_sources(checkpoint: Checkpoint) -> tuple[str, ...] | None:
    """Repositories that the weights were trained on, by the checkpoint's card; None where it does not say."""
    data = checkpoint.card.get("data")
    sources = data.get("sources") if isinstance(data, dict) else None
    return tuple(str(source) for source in sources) if isinstance(sources, list) else None


def sample_tables(tables: Sequence[CorpusTable], count: int, seed: int) -> list[CorpusTable]:
    """Up to `count` different tables; repositories take turns, so that none outweighs the others."""
    rng = random.Random(f"{seed}:tables")
    of: dict[str, list[CorpusTable]] = {}
    for table in sorted(tables, key=lambda one: one.table_id):
        of.setdefault(table.repository, []).append(table)
    for waiting in of.values():
        rng.shuffle(waiting)
    chosen: list[CorpusTable] = []
    while any(of.values()) and len(chosen) < count:
        for waiting in of.values():
            if waiting and len(chosen) < count:
                chosen.append(waiting.pop())
    return chosen


def window(relation: Relation, rng: random.Random, rows: int, attributes: int) -> Relation:
    """Up to `rows` consecutive tuples and up to `attributes` attributes of a relation, in their own order."""
    count = min(len(relation), rows)
    start = rng.randint(0, len(relation) - count)
    width = len(relation.attributes)
    chosen = sorted(rng.sample(range(width), min(width, attributes)))
    table = [[values[attribute] for attribute in chosen] for values in relation.tuples[start : start + count]]
    return Relation.of([relation.attributes[attribute] for attribute in chosen], table, relation.name)
