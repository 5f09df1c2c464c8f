"""`python -m model.finetuning.annotation`: fit the calibrator of labels on columns of held-out tables.

A column is asked for with some labels: the words of its own name, and those of columns of other tables. In most cases
its header is hidden. Labels that speak of kinds alone (integer, date, price) stand in for the names of columns whose
values are written so, as people label numbers by their kind. The other calibrators of the checkpoint stay as they are.
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model.calibration import Calibration, Calibrator, fit_calibrator
from model.checkpoint import Checkpoint, load_checkpoint
from model.corpus import VALIDATION_SHARD, CorpusTable, corpus_folder, read_tables
from model.inference.annotation import CALIBRATOR, FEATURES, witnesses
from model.inference.batching import run_tasks
from model.inference.canonical import Canonical
from model.inference.formats import kind_shares
from model.naming import chosen_values, name_words
from model.tuples import Relation

logger = logging.getLogger(__name__)

COLUMNS = 1200
"""Columns that are fitted to."""

_LABELS = (6, 12, 24)
_HIDDEN_HEADER = 0.75
_BY_KIND = 0.7
_KIND_SHARE = 0.8
_TUPLES = (5, 5, 12, 30)
_OF_KIND = {
    "integer": ("integer", "positive integer", "number"),
    "decimal": ("double", "decimal number", "float"),
    "money": ("price", "monetary value", "amount of money"),
    "date": ("date",),
    "year": ("date", "year"),
    "code": ("identifier", "code"),
    "url": ("url", "link"),
    "percent": ("percentage",),
}


@dataclass(frozen=True, slots=True)
class AskedColumn:
    """A column in its table, the labels that it is asked for with, and the right one."""

    group: str
    relation: Relation
    attribute: int
    labels: tuple[str, ...]
    right: str


def asked_columns(tables: Sequence[CorpusTable], count: int) -> Iterator[AskedColumn]:
    """Columns of `tables`, drawn by their number."""
    usable = [table for table in tables if len(table) >= 5]
    number = made = 0
    while made < count:
        rng = random.Random(f"annotation:{number}")
        number += 1
        asked = _asked(rng.choice(usable), usable, rng)
        if asked is not None:
            made += 1
            yield asked


def _asked(table: CorpusTable, tables: Sequence[CorpusTable], rng: random.Random) -> AskedColumn | None:
    """One column of a table; None where it has no name in words, or no values."""
    width, height = len(table.attributes), len(table)
    start = rng.randrange(height)
    rows = [(start + step) % height for step in range(min(height, rng.choice(_TUPLES)))]
    relation = table.part(rows, sorted(rng.sample(range(width), min(width, 8))))
    attribute = rng.randrange(len(relation.attributes))
    values = chosen_values(relation.column(attribute))
    right = " ".join(name_words(relation.attributes[attribute]))
    if not right or not values:
        return None
    others = [" ".join(name_words(rng.choice(other.attributes))) for other in rng.sample(tables, min(40, len(tables)))]
    kinds = kind_shares(values)
    kind = max(kinds, key=lambda one: kinds[one])
    by_kind = rng.random() < _BY_KIND
    if by_kind and kinds[kind] >= _KIND_SHARE and kind in _OF_KIND:
        right = rng.choice(_OF_KIND[kind])
    known = set(name_words(right))
    wrong = [other for other in dict.fromkeys(others) if other and not known & set(name_words(other))]
    wrong = wrong[: rng.choice(_LABELS)]
    if by_kind:
        wrong += [rng.choice(words) for other, words in _OF_KIND.items() if right not in words and other != kind]
    names = [_header(name, rng) for name in relation.attributes]
    labels = tuple(sorted({right, *(label for label in wrong if right not in (label,))}))
    return AskedColumn(table.repository, Relation.of(names, relation.tuples), attribute, labels, right)


def _header(name: str, rng: random.Random) -> str:
    return "" if rng.random() < _HIDDEN_HEADER else name


def fit(checkpoint: Checkpoint, tables: Sequence[CorpusTable], count: int = COLUMNS) -> Calibrator:
    """The calibrator of labels."""
    asked = list(asked_columns(tables, count))
    tasks = (witnesses(checkpoint, [_canonical(one)], one.labels) for one in asked)
    groups = {name: number for number, name in enumerate(sorted({one.group for one in asked}))}
    features, labels, owners = [], [], []
    for one, (judged, _) in zip(asked, run_tasks(checkpoint, tasks), strict=True):
        features.append(judged[0])
        labels.append(np.array([label == one.right for label in one.labels], dtype=np.float64))
        owners.append(np.full(len(one.labels), groups[one.group], dtype=np.float64))
        if len(features) % 100 == 0:
            logger.info("%d columns of %d", len(features), len(asked))
    return fit_calibrator(FEATURES, np.concatenate(features), np.concatenate(labels), np.concatenate(owners))


def _canonical(one: AskedColumn) -> tuple[Relation, int]:
    canonical = Canonical.of(one.relation)
    return canonical.relation, canonical.attributes.index(one.attribute)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; gives 0."""
    parser = argparse.ArgumentParser(description="Fit a checkpoint's calibrator of labels on corpus tables.")
    parser.add_argument("--corpus", help="folder of the corpus; default: RPT_CORPUS")
    parser.add_argument("--checkpoint", required=True, help="checkpoint folder; its calibration.json is added to")
    parser.add_argument("--columns", type=int, default=COLUMNS, help="columns to fit to")
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    tables = list(read_tables(corpus_folder(options.corpus) / VALIDATION_SHARD))
    checkpoint = load_checkpoint(options.checkpoint)
    fitted = fit(checkpoint, tables, options.columns)
    Calibration.add_to(Path(options.checkpoint) / "calibration.json", {CALIBRATOR: fitted})
    logger.info("fitted %s", CALIBRATOR)
    return 0


if __name__ == "__main__":
    sys.exit(main())
