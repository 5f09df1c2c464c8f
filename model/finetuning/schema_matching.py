"""`python -m model.finetuning.schema_matching`: fit the calibrators of columns on tables that are cut into two.

Nobody's labels are needed: two halves of a table know which columns are one (`model.finetuning.schema_cuts`).
The network takes no part, so tables that it learned from teach as well as others; those of the validation shard are
left for measuring.
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model.calibration import Calibration, Calibrator, fit_calibrator
from model.corpus import TRAINING_SHARDS, CorpusTable, corpus_folder, read_tables
from model.errors import InputError
from model.finetuning.schema_cuts import MIN_COLUMNS, SchemaCut, cut, cut_several
from model.inference.column_names import NAME_FEATURES
from model.inference.column_profiles import VALUE_FEATURES
from model.inference.columns import Floats
from model.inference.schema_matching import (
    MANY,
    NAMED_PAIR_FEATURES,
    NAMED_PAIRS,
    NAMES,
    PAIR_FEATURES,
    PAIRS,
    VALUES,
    PairObservations,
    each_pair,
    observe_pairs,
    with_rivals,
)

logger = logging.getLogger(__name__)

MIN_TUPLES, MAX_TUPLES = 20, 600
"""Tables with fewer tuples are left out; of longer ones so many are read."""

TABLES_PER_REPOSITORY = 12
"""No repository outweighs the others by its size alone."""

CUTS_PER_TABLE = 3
_SEVERAL = (2, 3, 4)
_SEVERAL_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class CutObservations:
    """What is observed of the pairs of a cut.

    Attributes:
        truth: 1 for pairs that are one, in the order of the observed pairs, (sources, targets).
        group: the number of the repository.
    """

    observed: PairObservations
    truth: Floats
    group: int


def draw_tables(shards: Iterable[Path]) -> list[list[CorpusTable]]:
    """Some tables of each repository, in the order of the repositories' names."""
    drawn: dict[str, list[CorpusTable]] = defaultdict(list)
    for shard in shards:
        for table in read_tables(shard, MAX_TUPLES):
            held = drawn[table.repository]
            if len(held) < TABLES_PER_REPOSITORY and len(table) >= MIN_TUPLES and len(table.attributes) >= MIN_COLUMNS:
                held.append(table)
    return [drawn[name] for name in sorted(drawn) if drawn[name]]


def draw_cuts(tables: Sequence[Sequence[CorpusTable]], seed: int) -> Iterable[tuple[SchemaCut, int]]:
    """Cuts of single tables, with the number of the repository; a quarter of them of several tables."""
    for group, held in enumerate(tables):
        for table in held:
            for number in range(CUTS_PER_TABLE):
                rng = random.Random(f"{seed}:{table.table_id}:{number}")
                if rng.random() < _SEVERAL_SHARE:
                    chosen = [rng.choice(held) for _ in range(rng.choice(_SEVERAL))]
                    yield cut_several([(_table_name(one), one.relation) for one in chosen], rng), group
                else:
                    yield cut(table.relation, rng), group


def _table_name(table: CorpusTable) -> str:
    """What its file is called."""
    return Path(table.table_id.partition(":")[2].partition("#")[0]).name.partition(".")[0] or "table"


def observe(made: SchemaCut, group: int = 0) -> CutObservations:
    """Compare the columns of a cut."""
    orders = made.source.order, made.target.order
    truth = np.array([[float((one, other) in made.truth) for other in orders[1]] for one in orders[0]])
    return CutObservations(observe_pairs(made.source, made.target), truth, group)


def fit(observed: Sequence[CutObservations]) -> dict[str, Calibrator]:
    """The calibrators of columns.

    Raises:
        InputError: cuts of fewer than two repositories.
    """
    if len({one.group for one in observed}) < 2:
        raise InputError("calibrators of columns need tables of two repositories or more", field="corpus")
    valued = [one for one in observed if one.observed.values is not None]
    names = _fitted(NAME_FEATURES, observed, [one.observed.names for one in observed])
    values = _fitted(VALUE_FEATURES, valued, [_held(one.observed.values) for one in valued])
    fitted = {NAMES: names, VALUES: values}
    for many, suffix in ((False, ""), (True, MANY)):
        named = [with_rivals([_said(names, one.observed.names)], many=many) for one in observed]
        both = [
            with_rivals([_said(names, one.observed.names), _said(values, _held(one.observed.values))], many=many)
            for one in valued
        ]
        fitted[NAMED_PAIRS + suffix] = _fitted(NAMED_PAIR_FEATURES, observed, named)
        fitted[PAIRS + suffix] = _fitted(PAIR_FEATURES, valued, both)
    return fitted


def _said(calibrator: Calibrator, features: Floats) -> Floats:
    return each_pair(calibrator.log_odds, features)


def _held(values: Floats | None) -> Floats:
    assert values is not None
    return values


def _fitted(features: Sequence[str], observed: Sequence[CutObservations], found: Sequence[Floats]) -> Calibrator:
    rows = np.concatenate([one.reshape(-1, len(features)) for one in found])
    labels = np.concatenate([one.truth.ravel() for one in observed])
    groups = np.concatenate([np.full(one.truth.size, float(one.group)) for one in observed])
    return fit_calibrator(features, rows, labels, groups)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; gives 0."""
    parser = argparse.ArgumentParser(description="Fit a checkpoint's calibrators of columns on tables cut into two.")
    parser.add_argument("--corpus", help="folder of the corpus; default: RPT_CORPUS")
    parser.add_argument("--checkpoint", required=True, help="checkpoint folder; its calibration.json is added to")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    corpus = corpus_folder(options.corpus)
    tables = draw_tables(corpus / name for name in TRAINING_SHARDS)
    observed = [observe(made, group) for made, group in draw_cuts(tables, options.seed)]
    logger.info("compared the columns of %d cuts of %d repositories", len(observed), len(tables))
    fitted = fit(observed)
    Calibration.add_to(Path(options.checkpoint) / "calibration.json", fitted)
    logger.info("fitted %s", ", ".join(fitted))
    return 0


if __name__ == "__main__":
    sys.exit(main())
