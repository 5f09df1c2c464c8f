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
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from multiprocessing import get_context
from operator import attrgetter
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from model.checkpoint import JUDGES_FILE
from model.corpus import TRAINING_SHARDS, CorpusTable, corpus_folder, read_tables
from model.finetuning.windows import Window, by_repository, corrupted_window, with_hidden_cells
from model.inference.candidates import FILL_JUDGE_FEATURES, REPAIR_JUDGE_FEATURES, fill_features
from model.inference.filling import FillEvidence
from model.inference.statistics import CELL_FEATURES, RelationStatistics
from model.inference.suspicion import FIRST_LOOK, SECOND_FEATURES, SECOND_LOOK, judge_cells, second_look
from model.judge import Judge, fit_judge, load_judges, save_judges
from model.tuples import Cell

logger = logging.getLogger(__name__)

T = TypeVar("T")

Rows = tuple[npt.NDArray[np.float32], npt.NDArray[np.int64], npt.NDArray[np.float64]]
"""Features, labels and weights of what a judge learns from."""

_MAX_ROWS = 1200
_JUDGED_TUPLES = 48
_FIRST_TREES, _SECOND_TREES, _FILL_TREES = 120, 200, 200
_ASK_LOGIT = float(np.log(0.3 / 0.7))
_ASKED_WRONG = 0.5
_TOLD_SHARE = 0.6
_TOLD_STRENGTH = 0.3
_GAP_WEIGHT = 0.25
_HIDDEN_ATTRIBUTES, _HIDDEN_TUPLES = 3, 12

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


def draw_window(tables: Sequence[Sequence[CorpusTable]], seed: str) -> Window:
    """One corrupted window; `tables` are grouped by repository, and every repository is as likely as the others."""
    rng = random.Random(seed)
    return corrupted_window(rng.choice(rng.choice(tables)).relation, rng, _JUDGED_TUPLES)


_TABLES: list[list[CorpusTable]] = []
"""Set before worker processes fork, so that they share the tables."""


@dataclass(frozen=True, slots=True)
class ObservedCells:
    """The judged cells of one window: those whose truth is known are learned from, all are suspected.

    Attributes:
        features: float32 (judged tuples, attributes, features).
        wrong: whether each holds another value than the true one, (judged tuples, attributes).
        weights: how much each counts, 0 where its truth is not known, (judged tuples, attributes).
    """

    features: npt.NDArray[np.float32]
    wrong: npt.NDArray[np.bool_]
    weights: npt.NDArray[np.float64]

    def rows(self, seen: npt.NDArray[np.float32]) -> Rows:
        """What is learned from, where each cell is seen as in `seen`, (judged tuples, attributes, any features)."""
        known = self.weights > 0
        return seen[known], self.wrong[known].astype(np.int64), self.weights[known]


def observe_cells(seed: str) -> ObservedCells:
    """The judged cells of one window."""
    window = draw_window(_TABLES, seed)
    features = window.statistics.cell_features()[window.judged]
    wrong, weights = np.zeros(features.shape[:2], dtype=bool), np.zeros(features.shape[:2])
    places = {row: place for place, row in enumerate(window.judged)}
    for cell in window.known_cells():
        place = places[cell.tuple_id], cell.attribute
        wrong[place], weights[place] = window.wrong(cell), 1.0
    weights[_is_fillable_gap(features) & ~wrong] *= _GAP_WEIGHT
    return ObservedCells(features, wrong, weights)


def _is_fillable_gap(features: np.ndarray) -> np.ndarray:
    """Which cells are missing though agreeing tuples tell the value: nobody knows whether their publisher erred."""
    names = ("is_missing", "vote_top_share", "vote_strength")
    named = {name: features[..., CELL_FEATURES.index(name)] for name in names}
    told = (named["vote_top_share"] >= _TOLD_SHARE) & (named["vote_strength"] >= _TOLD_STRENGTH)
    return (named["is_missing"] > 0) & told


def observe_candidates(seed: str, judges: Mapping[str, Judge]) -> tuple[np.ndarray, np.ndarray]:
    """Features and labels of the proposals for the suspected and for some of the wrong cells of one window."""
    window, rng = draw_window(_TABLES, seed), random.Random(seed + ":asked")
    logits = judge_cells(judges, second_look(judges, window.statistics.cell_features()))
    found, labels = [], []
    for cell in (Cell(row, attribute) for row in window.judged for attribute in range(logits.shape[1])):
        logit = float(logits[cell.tuple_id, cell.attribute])
        if logit >= _ASK_LOGIT or (window.wrong(cell) and rng.random() < _ASKED_WRONG):
            observed, true = window.relation.value(cell) or "", window.true(cell) or ""
            for value in window.statistics.proposals(cell):
                if value != observed:
                    found.append(repair_features(window.statistics, cell, value, logit))
                    labels.append(value == true)
    width = len(REPAIR_JUDGE_FEATURES)
    return np.array(found, dtype=np.float32).reshape(-1, width), np.array(labels, dtype=np.int64)


def repair_features(statistics: RelationStatistics, cell: Cell, value: str, error_logit: float) -> np.ndarray:
    """Float32 (len(REPAIR_JUDGE_FEATURES),)."""
    return np.concatenate(([np.float32(error_logit)], statistics.candidate_features(cell, value)))


def observe_fills(seed: str) -> tuple[np.ndarray, np.ndarray]:
    """Features and labels of the values that the table offers for some hidden cells of one window."""
    window, cells = with_hidden_cells(
        draw_window(_TABLES, seed), random.Random(seed + ":hidden"), _HIDDEN_ATTRIBUTES, _HIDDEN_TUPLES
    )
    sources = FillEvidence(window.statistics.columns, window.statistics.neighbours)
    found, labels = [], []
    for attribute, group in groupby(cells, key=attrgetter("attribute")):
        of_attribute = list(group)
        looked = sources.look(attribute, [cell.tuple_id for cell in of_attribute])
        for cell, evidence in zip(of_attribute, looked, strict=True):
            in_text = window.statistics.values_in_text(cell)
            values = list(dict.fromkeys([*window.statistics.proposals(cell), *in_text, *evidence.values]))
            found.append(fill_features(window.statistics, cell, values, evidence, in_text))
            labels += [value == window.true(cell) for value in values]
    return np.concatenate([np.zeros((0, len(FILL_JUDGE_FEATURES)), np.float32), *found]), np.array(labels, np.int64)


def train(tables: Sequence[CorpusTable], windows: int, seed: int, workers: int) -> dict[str, Judge]:
    """Judges of the first and the second look at cells, of repairs, and of fills.

    Repairs have a second lot of windows; fills have windows of the first lot, as they learn nothing from its judges.
    """
    _TABLES[:] = by_repository(tables)
    first, second = ([f"evidence:{seed}:{lot * windows + number}" for number in range(windows)] for lot in (0, 1))
    judges = fit_looks(list(_over_windows(observe_cells, first, workers)), seed)
    logger.info("fitted both judges of cells")
    candidates = _over_windows(partial(observe_candidates, judges=judges), second, workers)
    features, labels = (np.concatenate(parts) for parts in zip(*candidates, strict=True))
    repair = fit_judge(REPAIR_JUDGE_FEATURES, features, labels, directions=CANDIDATE_DIRECTIONS, seed=seed)
    logger.info("fitted the judge of repairs to %d candidates", len(labels))
    return {**judges, "repair": repair, "fill": _fit_fill(first, seed, workers)}


def train_fill(tables: Sequence[CorpusTable], windows: int, seed: int, workers: int) -> Judge:
    """The judge of fills alone, the same as from `train`."""
    _TABLES[:] = by_repository(tables)
    return _fit_fill([f"evidence:{seed}:{number}" for number in range(windows)], seed, workers)


def _fit_fill(seeds: Sequence[str], seed: int, workers: int) -> Judge:
    observed = _over_windows(observe_fills, seeds, workers)
    features, labels = (np.concatenate(parts) for parts in zip(*observed, strict=True))
    judge = fit_judge(FILL_JUDGE_FEATURES, features, labels, trees=_FILL_TREES, seed=seed)
    logger.info("fitted the judge of fills to %d candidates", len(labels))
    return judge


def _over_windows(observe: Callable[[str], T], seeds: Sequence[str], workers: int) -> Iterator[T]:
    """What `observe` says of each window, made by several processes, in the order of the seeds."""
    began = time.monotonic()
    with ProcessPoolExecutor(workers, mp_context=get_context("fork")) as pool:
        yield from pool.map(observe, seeds, chunksize=16)
    logger.info("%d windows in %.0f s", len(seeds), time.monotonic() - began)


def fit_looks(observed: Sequence[ObservedCells], seed: int) -> dict[str, Judge]:
    """The judges of both looks.

    What the second one learns from is seen by a first judge that never saw the window: one is fitted on each half.
    """
    halves = observed[::2], observed[1::2]
    second: list[Rows] = []
    for own, other in (halves, halves[::-1]):
        first = {FIRST_LOOK: _fit_first(other, seed)}
        second += [one.rows(second_look(first, one.features)) for one in own]
    judge = fit_judge(SECOND_FEATURES, *_joined(second), directions=CELL_DIRECTIONS, trees=_SECOND_TREES, seed=seed)
    return {FIRST_LOOK: _fit_first(observed, seed), SECOND_LOOK: judge}


def _fit_first(observed: Sequence[ObservedCells], seed: int) -> Judge:
    rows = _joined([one.rows(one.features) for one in observed])
    return fit_judge(CELL_FEATURES, *rows, directions=CELL_DIRECTIONS, trees=_FIRST_TREES, seed=seed)


def _joined(parts: Sequence[Rows]) -> Rows:
    features, wrong, weights = zip(*parts, strict=True)
    return np.concatenate(features), np.concatenate(wrong), np.concatenate(weights)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; gives 0."""
    parser = argparse.ArgumentParser(description="Train a checkpoint's judges of column statistics.")
    parser.add_argument("--corpus", help="folder of the corpus; default: RPT_CORPUS")
    parser.add_argument("--checkpoint", required=True, help=f"checkpoint folder; {JUDGES_FILE} is added to")
    parser.add_argument("--windows", type=int, default=3000, help="corrupted windows for each judge")
    parser.add_argument("--workers", type=int, default=2, help="processes that make windows")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--only-fill", action="store_true", help="train the judge of fills, leave the others as they are"
    )
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    folder = corpus_folder(options.corpus)
    tables = [table for shard in TRAINING_SHARDS for table in read_tables(folder / shard, _MAX_ROWS)]
    path = Path(options.checkpoint) / JUDGES_FILE
    how = tables, options.windows, options.seed, options.workers
    others = load_judges(path) if path.exists() else {}
    save_judges(path, others | ({"fill": train_fill(*how)} if options.only_fill else train(*how)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
