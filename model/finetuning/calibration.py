"""`python -m model.finetuning.calibration`: fit the calibrators of a checkpoint on held-out tables.

Windows of validation tables are corrupted as in training, the model judges some of their tuples, and
what it says, beside the column statistics, is fitted to the truth. One half of the repositories is for
fitting, the other half only for the figures in the card: tables that neither weights nor calibrators saw.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from model.calibration import Calibration, expected_calibration_error, fit_calibrator
from model.checkpoint import Checkpoint, load_checkpoint
from model.corpus import CorpusTable, corpus_folder, read_tables
from model.errors import InputError
from model.finetuning.windows import (
    TYPED_CHARACTERS,
    Window,
    by_repository,
    corrupted_window,
    typed_prefix,
    with_hidden_cells,
)
from model.inference.batching import ModelTask, run_tasks
from model.inference.candidates import MODEL_FEATURES, REPAIR_FEATURES, AskedCell, CandidateFinder
from model.inference.cleaning import calibrated, detect, detection_features
from model.inference.reading import Reader
from model.inference.suspicion import DETECTION_FEATURES
from model.pretraining import VALIDATION_SHARD
from model.tuples import Cell, Relation

logger = logging.getLogger(__name__)

_JUDGED_TUPLES = 32
_ASK_PROBABILITY = 0.35
_HIDDEN_ATTRIBUTES = _HIDDEN_TUPLES = 4


@dataclass(slots=True)
class Observations:
    """Features, labels and the group (repository) of each row, for one calibrator; its own features come first."""

    features: list[np.ndarray] = field(default_factory=list)
    labels: list[np.ndarray] = field(default_factory=list)
    groups: list[np.ndarray] = field(default_factory=list)

    def add(self, features: np.ndarray, labels: np.ndarray, group: int) -> None:
        """Append rows: features (n, f), labels (n,)."""
        self.features.append(features.reshape(-1, features.shape[-1]))
        self.labels.append(labels.reshape(-1).astype(np.int64))
        self.groups.append(np.full(labels.size, group))

    def extend(self, other: Observations) -> None:
        """Append all rows of `other`."""
        self.features += other.features
        self.labels += other.labels
        self.groups += other.groups

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Everything as three arrays.

        Raises:
            InputError: nothing was observed.
        """
        if not self.labels:
            raise InputError("nothing was observed: calibration needs more windows", field="windows")
        return np.concatenate(self.features), np.concatenate(self.labels), np.concatenate(self.groups)


@dataclass(frozen=True, slots=True)
class _Draw:
    """A window to be made: of which relation, of which repository, by which randomness."""

    relation: Relation
    group: int
    seed: str


def _draws(tables: Sequence[CorpusTable], windows: int, seed: int) -> list[_Draw]:
    grouped = by_repository(tables)
    drawn = []
    for number in range(windows):
        rng = random.Random(f"{seed}:{number}")
        group = rng.randrange(len(grouped))
        drawn.append(_Draw(rng.choice(grouped[group]).relation, group, f"{seed}:{number}:window"))
    return drawn


def observe(
    checkpoint: Checkpoint,
    tables: Sequence[CorpusTable],
    windows: int,
    seed: int,
    calibration: Calibration | None = None,
    workers: int = 1,
) -> dict[str, Observations]:
    """Let the model judge corrupted windows of `tables`: observations for every calibrator.

    Repairs are asked for as in cleaning, by the calibrated error probability of a cell. So detection goes first, and
    where `calibration` is None its calibrator is fitted in between. The number of workers changes nothing but the time.
    """
    draws = _draws(tables, windows, seed)
    observations = {name: Observations() for name in (*FEATURES, "fill_alone", "typed_alone")}
    with _processes(checkpoint, workers) as run:
        judged = list(run(_judge_some, _parts(draws)))
        for draw, (_, features, wrong) in zip(draws, (one for part in judged for one in part), strict=True):
            observations["detection"].add(features, wrong, draw.group)
        logger.info("judged %d windows", windows)
        if calibration is None:
            features, labels, groups = observations["detection"].arrays()
            detection = fit_calibrator(DETECTION_FEATURES, features, labels, groups)
            calibration = Calibration({"detection": detection}, "detection")
        logits = [[logits for logits, _, _ in part] for part in judged]
        ask = partial(_ask_some, calibration)
        for number, part in enumerate(run(ask, _parts(draws), logits), start=1):
            for name, one in ((name, one) for asked in part for name, one in asked.items()):
                observations[name].extend(one)
            logger.info("asked about part %d of %d", number, len(judged))
    return observations


_PART = 10
"""Windows that one process looks at together."""

Run = Callable[..., Iterable[Any]]


def _parts(draws: Sequence[_Draw]) -> list[Sequence[_Draw]]:
    return [draws[start : start + _PART] for start in range(0, len(draws), _PART)]


_CHECKPOINT: list[Checkpoint] = []
"""Set before worker processes fork, so that they share the weights."""


@contextmanager
def _processes(checkpoint: Checkpoint, workers: int) -> Iterator[Run]:
    """`map` over several processes of one thread each, or over none."""
    _CHECKPOINT[:] = [checkpoint]
    if workers <= 1:
        yield map
        return
    with ProcessPoolExecutor(
        workers, mp_context=get_context("fork"), initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:
        yield pool.map


def _judge_some(draws: Sequence[_Draw]) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    return list(run_tasks(_CHECKPOINT[0], (_judge(_CHECKPOINT[0], draw) for draw in draws)))


def _ask_some(
    calibration: Calibration, draws: Sequence[_Draw], logits: Sequence[np.ndarray]
) -> list[dict[str, Observations]]:
    pairs = zip(draws, logits, strict=True)
    return list(run_tasks(_CHECKPOINT[0], (_ask(_CHECKPOINT[0], draw, one, calibration) for draw, one in pairs)))


def _judge(checkpoint: Checkpoint, draw: _Draw) -> ModelTask[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Detection logits of a window (tuples, attributes), and features and labels of the judged tuples' cells."""
    window = corrupted_window(draw.relation, random.Random(draw.seed), _JUDGED_TUPLES)
    logits = yield from detect(Reader(checkpoint, window.relation), tuple_ids=window.judged)
    features = detection_features(checkpoint, logits, window.statistics)
    cells = window.known_cells()
    rows, attributes = np.array([(cell.tuple_id, cell.attribute) for cell in cells], dtype=np.int64).reshape(-1, 2).T
    features = features[rows, attributes, : len(DETECTION_FEATURES)]
    return logits, features, np.array([window.wrong(cell) for cell in cells], dtype=bool)


def _ask(
    checkpoint: Checkpoint, draw: _Draw, logits: np.ndarray, calibration: Calibration
) -> ModelTask[dict[str, Observations]]:
    """Candidates of suspected and of some wrong cells of the window, and of cells of another that are made missing."""
    rng = random.Random(draw.seed)
    observed = {name: Observations() for name in ("repair", "fill", "fill_alone", "typed", "typed_alone")}
    window = corrupted_window(draw.relation, rng, _JUDGED_TUPLES)
    features = detection_features(checkpoint, logits, window.statistics)
    flat = calibrated(calibration, "detection", features.reshape(-1, features.shape[-1]), True)
    probabilities = np.clip(flat.reshape(logits.shape), 1e-4, 1 - 1e-4)
    yield from _observe_repair(checkpoint, window, probabilities, draw.group, rng, observed["repair"])
    yield from _observe_fill(checkpoint, draw.relation, draw.group, rng, observed)
    return observed


def _observe_repair(
    checkpoint: Checkpoint,
    window: Window,
    probabilities: np.ndarray,
    group: int,
    rng: random.Random,
    into: Observations,
) -> ModelTask[None]:
    asked = []
    for cell in (Cell(row, attribute) for row in window.judged for attribute in range(probabilities.shape[1])):
        probability = float(probabilities[cell.tuple_id, cell.attribute])
        wrong = window.true(cell) is not None and window.wrong(cell)
        if probability >= _ASK_PROBABILITY or (wrong and rng.random() < 0.5):
            asked.append(AskedCell(cell, "repair", float(np.log(probability / (1 - probability)))))
    yield from _observe_candidates(checkpoint, window, asked, group, into)


def _observe_fill(
    checkpoint: Checkpoint, relation: Relation, group: int, rng: random.Random, into: dict[str, Observations]
) -> ModelTask[None]:
    """Candidates of cells that are made missing in another window, and of the same cells half typed, with and without
    statistics."""
    window, cells = with_hidden_cells(
        corrupted_window(relation, rng, _JUDGED_TUPLES), rng, _HIDDEN_ATTRIBUTES, _HIDDEN_TUPLES
    )
    long = [(cell, true) for cell in cells if len(true := window.true(cell) or "") >= TYPED_CHARACTERS]
    asked = {
        "fill": [AskedCell(cell, "fill") for cell in cells],
        "typed": [AskedCell(cell, "fill", prefix=typed_prefix(true, rng)) for cell, true in long],
    }
    for name, ones in asked.items():
        yield from _observe_candidates(checkpoint, window, ones, group, into[name])
        yield from _observe_candidates(checkpoint, window, ones, group, into[f"{name}_alone"], use_statistics=False)


def _observe_candidates(
    checkpoint: Checkpoint,
    window: Window,
    asked: list[AskedCell],
    group: int,
    into: Observations,
    use_statistics: bool = True,
) -> ModelTask[None]:
    statistics = window.statistics if use_statistics else None
    finder = CandidateFinder(checkpoint, Reader(checkpoint, window.relation), statistics)
    found = yield from finder.find(asked)
    for one in found:
        cell = one.asked.cell
        observed, true = window.relation.value(cell) or "", window.true(cell) or ""
        use = np.array([value != observed for value in one.values], dtype=bool)
        right = np.array([value == true for value in one.values])
        if use.any():
            into.add(one.features[use], right[use], group)


FEATURES = {
    "detection": DETECTION_FEATURES,
    "repair": REPAIR_FEATURES,
    "fill": REPAIR_FEATURES,
    "typed": REPAIR_FEATURES,
}
"""What each calibrator weighs. `typed` is for values that go on from a prefix: what does not begin so is out, and what
is left is the likelier."""

ALONE = {name: 1 if name == "detection" else len(MODEL_FEATURES) for name in FEATURES}


def fit(observations: dict[str, Observations], source: str) -> Calibration:
    """Calibrators with statistics, and `…_alone` ones that see the model's features only.

    All weigh by logistic regression: where judges have weighed the statistics, what a perceptron makes of them does not
    hold elsewhere. Those of filling alone learn from the candidates that there are without statistics.
    """
    calibrators = {}
    for name, features_of in FEATURES.items():
        features, labels, groups = observations[name].arrays()
        own = features[:, : len(features_of)]
        calibrators[name] = fit_calibrator(features_of, own, labels, groups)
        features, labels, groups = observations.get(f"{name}_alone", observations[name]).arrays()
        alone = ALONE[name]
        calibrators[f"{name}_alone"] = fit_calibrator(features_of[:alone], features[:, :alone], labels, groups)
    return Calibration(calibrators, source)


def check(calibration: Calibration, observations: dict[str, Observations]) -> dict[str, dict[str, float]]:
    """Figures of every calibrator on observations that it was not fitted on."""
    report = {}
    for name, calibrator in calibration.calibrators.items():
        features, labels, _ = observations.get(name, observations[name.removesuffix("_alone")]).arrays()
        probabilities = calibrator.predict(features[:, : len(calibrator.features)])
        flagged = probabilities >= 0.5
        right = float((labels[flagged] == 1).sum())
        precision, recall = right / max(1, flagged.sum()), right / max(1, labels.sum())
        sure = probabilities >= 0.9
        report[name] = {
            "rows": len(labels),
            "expected_calibration_error": expected_calibration_error(probabilities, labels),
            "precision": precision,
            "recall": recall,
            "f1": 2 * precision * recall / max(1e-9, precision + recall),
            "precision_at_0.9": float(labels[sure].mean()) if sure.any() else float("nan"),
            "share_at_0.9": float(sure.mean()),
        }
    return {name: {key: round(value, 4) for key, value in figures.items()} for name, figures in report.items()}


def split_repositories(tables: Sequence[CorpusTable]) -> Iterator[list[CorpusTable]]:
    """Two halves of the tables, no repository in both."""
    names = sorted({table.repository for table in tables})
    for remainder in (0, 1):
        chosen = set(names[remainder::2])
        yield [table for table in tables if table.repository in chosen]


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; gives 0."""
    parser = argparse.ArgumentParser(description="Fit a checkpoint's calibrators on held-out corpus tables.")
    parser.add_argument("--corpus", help="folder of the corpus; default: RPT_CORPUS")
    parser.add_argument("--checkpoint", required=True, help="checkpoint folder; calibration.json is written into it")
    parser.add_argument("--windows", type=int, default=200, help="corrupted windows that the model judges, for fitting")
    parser.add_argument("--workers", type=int, default=2, help="processes that look at windows")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    checkpoint = load_checkpoint(options.checkpoint)
    tables = list(read_tables(corpus_folder(options.corpus) / VALIDATION_SHARD))
    fitting, checking = split_repositories(tables)
    began = time.monotonic()
    workers = options.workers
    observed = observe(checkpoint, fitting, options.windows, options.seed, workers=workers)
    calibration = fit(observed, f"{VALIDATION_SHARD}, first half")
    fresh = observe(checkpoint, checking, options.windows // 3, options.seed + 1, calibration, workers)
    figures = check(calibration, fresh)
    others = {} if checkpoint.calibration is None else checkpoint.calibration.calibrators  # such as that of pairs
    kept = replace(calibration, calibrators={**others, **calibration.calibrators})
    kept.save(Path(options.checkpoint) / "calibration.json")
    card_path = Path(options.checkpoint) / "card.json"
    card = json.loads(card_path.read_text(encoding="utf-8"))
    card["calibration"] = {"windows": options.windows, "seed": options.seed, "unseen_tables": figures}
    card_path.write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    logger.info("fitted in %.0f s: %s", time.monotonic() - began, json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
