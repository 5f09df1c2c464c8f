"""`python -m model.finetuning.evidence`: train a checkpoint's judges of column statistics on the training tables.

Windows of training tables are corrupted, and trees learn from statistics alone which cells are wrong and which of the
values that the table proposes is the truth. No weights of the denoiser are needed, so thousands of windows take
minutes. Calibrators then weigh what the judges say, on held-out tables (`model.finetuning.calibration`).
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from model.checkpoint import JUDGES_FILE
from model.config import CorruptionConfig
from model.corpus import TRAINING_SHARDS, CorpusTable, corpus_folder, read_tables
from model.corruption import corrupt_relation
from model.inference.candidates import REPAIR_JUDGE_FEATURES
from model.inference.canonical import Canonical
from model.inference.columns import Column, is_missing_spelling
from model.inference.statistics import CELL_FEATURES, RelationStatistics
from model.judge import Judge, fit_judge, save_judges
from model.tuples import Cell, Relation

logger = logging.getLogger(__name__)

_MAX_ROWS = 1200
_MIN_TUPLES = 20
_JUDGED_TUPLES = 48
_ASK_PROBABILITY = 0.3
_ASKED_WRONG = 0.5
_NUMERIC_SHARE = 0.8
_TOLD_SHARE = 0.6
_TOLD_STRENGTH = 0.3
_GAP_WEIGHT = 0.25

CELL_DIRECTIONS = {
    "vote_observed_share": -1,
    "vote_margin": 1,
    "vote_contradicts": 1,
    "log_count": -1,
    "share_of_top": -1,
    "pattern_share": -1,
    "shape_share": -1,
    "style_share": -1,
    "is_respelled": 1,
    "meaning_log_ratio": 1,
    "similar_log_ratio": 1,
    "similar_differs_in_digits": -1,
    "vote_top_differs_in_digits": -1,
    "corrected_similarity": 1,
    "corrected_log_ratio": 1,
    "rarest_bigram": -1,
    "mean_bigram": -1,
    "has_odd_blanks": 1,
    "has_mojibake": 1,
    "is_placeholder": 1,
    "is_missing_spelling": 1,
    "text_support_margin": -1,
    "tuple_weight": -1,
    "tuple_disagreement": 1,
    "splits": 1,
    "in_text": 1,
}
"""Which way a statistic of a cell can speak: 1 for an error, -1 against one; where it is not plain, the data decide."""

CANDIDATE_DIRECTIONS = {
    "error_logit": 1,
    "candidate_vote_share": 1,
    "candidate_vote_is_top": 1,
    "candidate_vote_support": 1,
    "candidate_vote_gain": 1,
    "candidate_is_respelled": 1,
    "candidate_is_corrected": 1,
    "candidate_is_split": 1,
    "candidate_in_text": 1,
    "candidate_text_support": 1,
    "candidate_stands_elsewhere": 1,
    "observed_vote_share": -1,
}
"""The same of a candidate: 1 for it being the truth."""


CORRUPTION = CorruptionConfig(placeholder_rate=0.2, drift_rate=0.4, conflict_rate=0.45, named_source_rate=0.7)
"""More of the errors that only a whole column or several sources show, which is what these statistics are for."""


@dataclass(frozen=True, slots=True)
class Window:
    """A corrupted window in canonical order.

    Attributes:
        statistics: of the dirty relation.
        truth: the true values, (tuples, attributes).
        judged: the tuples that are looked at.
    """

    statistics: RelationStatistics
    truth: list[tuple[str, ...]]
    judged: list[int]

    def wrong(self, tuple_id: int, attribute: int) -> bool:
        """Whether a cell does not hold its true value."""
        return (self.statistics.relation.tuples[tuple_id][attribute] or "") != self.truth[tuple_id][attribute]

    def is_known(self, tuple_id: int, attribute: int) -> bool:
        """Whether the truth of a cell can be told."""
        return has_known_truth(self.statistics.columns[attribute], self.truth[tuple_id][attribute])


def has_known_truth(column: Column, value: str) -> bool:
    """Whether a published value can be taken for the truth: not `N/A` among numbers, where nothing is known."""
    if not value or not is_missing_spelling(value):
        return True
    spelled = [is_missing_spelling(value) for value in column.distinct]
    rest = column.present - int(column.counts[spelled].sum())
    numeric = int(column.counts[~np.isnan(column.numbers) & ~np.array(spelled, dtype=bool)].sum())
    return numeric < _NUMERIC_SHARE * max(1, rest)


def draw_window(tables: Sequence[Sequence[CorpusTable]], seed: str) -> Window:
    """One corrupted window; `tables` are grouped by repository, and every repository is as likely as the others."""
    rng = random.Random(seed)
    table = rng.choice(rng.choice(tables))
    episode = corrupt_relation(sample(table.relation, rng), rng, CORRUPTION)
    canonical = Canonical.of(episode.dirty)
    truth = [
        tuple(episode.clean.tuples[row][attribute] or "" for attribute in canonical.attributes)
        for row in canonical.tuple_ids
    ]
    judged = sorted(rng.sample(range(len(truth)), min(len(truth), _JUDGED_TUPLES)))
    return Window(RelationStatistics(canonical.relation), truth, judged)


def sample(relation: Relation, rng: random.Random) -> Relation:
    """Some consecutive tuples and some attributes."""
    count = min(len(relation), rng.choice((40, 80, 150, 300, 600, 1200)))
    start = rng.randint(0, len(relation) - count)
    width = len(relation.attributes)
    attributes = sorted(rng.sample(range(width), min(width, rng.randint(4, 20))))
    rows = [[values[a] for a in attributes] for values in relation.tuples[start : start + count]]
    return Relation.of([relation.attributes[a] for a in attributes], rows)


_TABLES: list[list[CorpusTable]] = []
"""Set before worker processes fork, so that they share the tables."""


def observe_cells(seed: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features float32 (cells, features), labels and weights of the judged cells of one window."""
    window = draw_window(_TABLES, seed)
    features = window.statistics.cell_features()
    cells = [(row, a) for row in window.judged for a in range(features.shape[1]) if window.is_known(row, a)]
    rows, attributes = np.array(cells, dtype=np.int64).reshape(-1, 2).T
    found, labels = features[rows, attributes], np.array([window.wrong(*cell) for cell in cells], dtype=np.int64)
    return found, labels, np.where(_is_fillable_gap(found) & (labels == 0), _GAP_WEIGHT, 1.0)


def _is_fillable_gap(features: np.ndarray) -> np.ndarray:
    """Which cells are missing though agreeing tuples tell the value: nobody knows whether their publisher erred."""
    named = {name: features[:, CELL_FEATURES.index(name)] for name in ("is_missing", "vote_top_share", "vote_strength")}
    told = (named["vote_top_share"] >= _TOLD_SHARE) & (named["vote_strength"] >= _TOLD_STRENGTH)
    return (named["is_missing"] > 0) & told


def observe_candidates(seed: str, detection: Judge) -> tuple[np.ndarray, np.ndarray]:
    """Features and labels of the proposals for the suspected and for some of the wrong cells of one window."""
    window, rng = draw_window(_TABLES, seed), random.Random(seed + ":asked")
    features = window.statistics.cell_features()[window.judged]
    logits = detection.logits(features.reshape(-1, features.shape[-1])).reshape(features.shape[:2])
    suspected = logits >= np.log(_ASK_PROBABILITY / (1 - _ASK_PROBABILITY))
    found, labels = [], []
    for place, row in enumerate(window.judged):
        for attribute in range(features.shape[1]):
            wrong = window.wrong(row, attribute)
            if not (suspected[place, attribute] or (wrong and rng.random() < _ASKED_WRONG)):
                continue
            cell = Cell(row, attribute)
            observed, true = window.statistics.relation.value(cell) or "", window.truth[row][attribute]
            if not window.is_known(row, attribute):
                true = ""
            for value in window.statistics.proposals(cell):
                if value != observed:
                    found.append(repair_features(window.statistics, cell, value, float(logits[place, attribute])))
                    labels.append(value == true)
    width = len(REPAIR_JUDGE_FEATURES)
    return np.array(found, dtype=np.float32).reshape(-1, width), np.array(labels, dtype=np.int64)


def repair_features(statistics: RelationStatistics, cell: Cell, value: str, error_logit: float) -> np.ndarray:
    """Float32 (len(REPAIR_JUDGE_FEATURES),)."""
    return np.concatenate(([np.float32(error_logit)], statistics.candidate_features(cell, value)))


def train(tables: Sequence[CorpusTable], windows: int, seed: int, workers: int) -> dict[str, Judge]:
    """Judges named `detection` and `repair`; the second half of the windows is for repairs."""
    usable: dict[str, list[CorpusTable]] = {}
    for table in tables:
        if len(table.relation) >= _MIN_TUPLES:
            usable.setdefault(table.repository, []).append(table)
    _TABLES[:] = [usable[name] for name in sorted(usable)]
    began = time.monotonic()
    seeds = [f"evidence:{seed}:{number}" for number in range(windows)]
    with ProcessPoolExecutor(workers, mp_context=get_context("fork")) as pool:
        cells = list(pool.map(observe_cells, seeds, chunksize=16))
        features, labels, weights = (np.concatenate(parts) for parts in zip(*cells, strict=True))
        logger.info("%d cells of %d windows after %.0f s", len(labels), windows, time.monotonic() - began)
        detection = fit_judge(CELL_FEATURES, features, labels, weights, directions=CELL_DIRECTIONS, seed=seed)
        logger.info("fitted the judge of cells after %.0f s", time.monotonic() - began)
        seeds = [f"evidence:{seed}:{windows + number}" for number in range(windows)]
        candidates = list(pool.map(partial(observe_candidates, detection=detection), seeds, chunksize=16))
    features, labels = (np.concatenate(parts) for parts in zip(*candidates, strict=True))
    logger.info("%d candidates after %.0f s", len(labels), time.monotonic() - began)
    repair = fit_judge(REPAIR_JUDGE_FEATURES, features, labels, directions=CANDIDATE_DIRECTIONS, seed=seed)
    logger.info("fitted the judge of repairs after %.0f s", time.monotonic() - began)
    return {"detection": detection, "repair": repair}


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; gives 0."""
    parser = argparse.ArgumentParser(description="Train a checkpoint's judges of column statistics.")
    parser.add_argument("--corpus", help="folder of the corpus; default: RPT_CORPUS")
    parser.add_argument("--checkpoint", required=True, help=f"checkpoint folder; {JUDGES_FILE} is written into it")
    parser.add_argument("--windows", type=int, default=3000, help="corrupted windows for each judge")
    parser.add_argument("--workers", type=int, default=2, help="processes that make windows")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    folder = corpus_folder(options.corpus)
    tables = [table for shard in TRAINING_SHARDS for table in read_tables(folder / shard, _MAX_ROWS)]
    save_judges(Path(options.checkpoint) / JUDGES_FILE, train(tables, options.windows, options.seed, options.workers))
    return 0


if __name__ == "__main__":
    sys.exit(main())
