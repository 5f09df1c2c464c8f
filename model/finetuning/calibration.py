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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from model.calibration import Calibration, expected_calibration_error, fit_calibrator
from model.checkpoint import Checkpoint, load_checkpoint
from model.corpus import CorpusTable, corpus_folder, read_tables
from model.corruption import CorruptedRelation, corrupt_relation
from model.finetuning.evidence import CORRUPTION, has_known_truth
from model.inference.batching import ModelTask, run_tasks
from model.inference.candidates import FILL_FEATURES, MODEL_FEATURES, REPAIR_FEATURES, AskedCell, CandidateFinder
from model.inference.canonical import Canonical
from model.inference.cleaning import DETECTION_FEATURES, calibrated, detect, detection_features
from model.inference.reading import Reader
from model.inference.statistics import RelationStatistics
from model.pretraining import VALIDATION_SHARD
from model.tuples import Cell, Relation

logger = logging.getLogger(__name__)

_ASK_PROBABILITY = 0.35
_FILLS_PER_WINDOW = 8


@dataclass(slots=True)
class Observations:
    """Features, labels and the group (repository) of each row, for one calibrator."""

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
        """Everything as three arrays."""
        return np.concatenate(self.features), np.concatenate(self.labels), np.concatenate(self.groups)


@dataclass(frozen=True, slots=True)
class _Window:
    """A corrupted window in canonical order with its truth, and the tuples that are judged."""

    reader: Reader
    statistics: RelationStatistics
    truth: list[tuple[str, ...]]
    judged: list[int]

    def true(self, cell: Cell) -> str | None:
        """The true value of a cell; None where it cannot be told."""
        value = self.truth[cell.tuple_id][cell.attribute]
        return value if has_known_truth(self.statistics.columns[cell.attribute], value) else None


@dataclass(frozen=True, slots=True)
class _Draw:
    """A window to be made: of which relation, of which repository, by which randomness."""

    relation: Relation
    group: int
    seed: str


def _draws(tables: Sequence[CorpusTable], windows: int, seed: int) -> list[_Draw]:
    usable = [table for table in tables if len(table.relation) >= 20]
    repositories = sorted({table.repository for table in usable})
    drawn = []
    for number in range(windows):
        rng = random.Random(f"{seed}:{number}")
        repository = rng.choice(repositories)
        table = rng.choice([one for one in usable if one.repository == repository])
        drawn.append(_Draw(table.relation, repositories.index(repository), f"{seed}:{number}:window"))
    return drawn


def observe(
    checkpoint: Checkpoint,
    tables: Sequence[CorpusTable],
    windows: int,
    seed: int,
    calibration: Calibration | None = None,
) -> dict[str, Observations]:
    """Let the model judge corrupted windows of `tables`: observations for detection, repair and fill.

    Repairs are asked for as in cleaning, by the calibrated error probability of a cell. So detection goes first, and
    where `calibration` is None its calibrator is fitted in between.
    """
    draws = _draws(tables, windows, seed)
    observations = {name: Observations() for name in FEATURES}
    logits = []
    judging = (_judge(checkpoint, draw) for draw in draws)
    for draw, (judged, features, wrong) in zip(draws, run_tasks(checkpoint, judging), strict=True):
        observations["detection"].add(features, wrong, draw.group)
        logits.append(judged)
    logger.info("judged %d windows", windows)
    calibration = calibration or fit({"detection": observations["detection"]}, "detection")
    asking = (_ask(checkpoint, draw, judged, calibration) for draw, judged in zip(draws, logits, strict=True))
    for number, asked in enumerate(run_tasks(checkpoint, asking)):
        for name, one in asked.items():
            observations[name].extend(one)
        if number % 20 == 19:
            logger.info("window %d of %d", number + 1, windows)
    return observations


def _judge(checkpoint: Checkpoint, draw: _Draw) -> ModelTask[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Detection logits of a window (tuples, attributes), and features and labels of the judged tuples' cells."""
    window = _window(checkpoint, draw.relation, random.Random(draw.seed))
    logits = yield from detect(window.reader, tuple_ids=window.judged)
    features = detection_features(checkpoint, logits, window.statistics)[window.judged]
    cells = [Cell(row, attribute) for row in window.judged for attribute in range(logits.shape[1])]
    known = np.array([window.true(cell) is not None for cell in cells])
    wrong = np.array([(window.reader.relation.value(cell) or "") != window.true(cell) for cell in cells])
    return logits, features.reshape(len(cells), -1)[known], wrong[known]


def _ask(
    checkpoint: Checkpoint, draw: _Draw, logits: np.ndarray, calibration: Calibration
) -> ModelTask[dict[str, Observations]]:
    """Candidates of suspected and of some wrong cells of the window, and of cells of another that are made missing."""
    rng = random.Random(draw.seed)
    observed = {"repair": Observations(), "fill": Observations()}
    window = _window(checkpoint, draw.relation, rng)
    features = detection_features(checkpoint, logits, window.statistics)
    flat = calibrated(calibration, "detection", features.reshape(-1, features.shape[-1]), True)
    probabilities = np.clip(flat.reshape(logits.shape), 1e-4, 1 - 1e-4)
    yield from _observe_repair(checkpoint, window, probabilities, draw.group, rng, observed["repair"])
    yield from _observe_fill(checkpoint, draw.relation, draw.group, rng, observed["fill"])
    return observed


def _sample(relation: Relation, rng: random.Random) -> Relation:
    """Some consecutive tuples and some attributes."""
    count = min(len(relation), rng.choice((40, 80, 150, 300, 600)))
    start = rng.randint(0, len(relation) - count)
    width = len(relation.attributes)
    attributes = sorted(rng.sample(range(width), min(width, rng.randint(4, 16))))
    rows = [[values[a] for a in attributes] for values in relation.tuples[start : start + count]]
    return Relation.of([relation.attributes[a] for a in attributes], rows)


def _window(checkpoint: Checkpoint, relation: Relation, rng: random.Random) -> _Window:
    episode: CorruptedRelation = corrupt_relation(_sample(relation, rng), rng, CORRUPTION)
    canonical = Canonical.of(episode.dirty)
    truth = [
        tuple(episode.clean.tuples[row][attribute] or "" for attribute in canonical.attributes)
        for row in canonical.tuple_ids
    ]
    judged = sorted(rng.sample(range(len(truth)), min(len(truth), 32)))
    reader = Reader(checkpoint, canonical.relation)
    return _Window(reader, RelationStatistics(canonical.relation), truth, judged)


def _observe_repair(
    checkpoint: Checkpoint,
    window: _Window,
    probabilities: np.ndarray,
    group: int,
    rng: random.Random,
    into: Observations,
) -> ModelTask[None]:
    relation = window.reader.relation
    asked = []
    for row in window.judged:
        for attribute in range(len(relation.attributes)):
            probability = float(probabilities[row, attribute])
            true = window.true(Cell(row, attribute))
            wrong = true is not None and (relation.tuples[row][attribute] or "") != true
            if probability >= _ASK_PROBABILITY or (wrong and rng.random() < 0.5):
                logit = float(np.log(probability / (1 - probability)))
                asked.append(AskedCell(Cell(row, attribute), "repair", logit))
    yield from _observe_candidates(checkpoint, window, asked, group, into)


def _observe_fill(
    checkpoint: Checkpoint, relation: Relation, group: int, rng: random.Random, into: Observations
) -> ModelTask[None]:
    """Candidates of cells that are made missing in a window that is corrupted a little."""
    window = _window(checkpoint, relation, rng)
    observed = window.reader.relation
    present = [Cell(r, a) for r in window.judged for a, true in enumerate(window.truth[r]) if true]
    chosen = rng.sample(present, min(len(present), _FILLS_PER_WINDOW))
    rows = [list(values) for values in observed.tuples]
    for cell in chosen:
        rows[cell.tuple_id][cell.attribute] = None
    hidden = Relation.of(observed.attributes, rows)
    reader = Reader(checkpoint, hidden)
    masked = _Window(reader, RelationStatistics(hidden), window.truth, window.judged)
    yield from _observe_candidates(checkpoint, masked, [AskedCell(cell, "fill") for cell in chosen], group, into)


def _observe_candidates(
    checkpoint: Checkpoint, window: _Window, asked: list[AskedCell], group: int, into: Observations
) -> ModelTask[None]:
    found = yield from CandidateFinder(checkpoint, window.reader, window.statistics).find(asked)
    for one in found:
        cell = one.asked.cell
        observed, true = window.reader.relation.value(cell) or "", window.true(cell) or ""
        use = np.array([value != observed for value in one.values], dtype=bool)
        right = np.array([value == true for value in one.values])
        if use.any():
            features = one.features[use]
            into.add(features if one.asked.task == "fill" else features[:, : len(REPAIR_FEATURES)], right[use], group)


FEATURES = {"detection": DETECTION_FEATURES, "repair": REPAIR_FEATURES, "fill": FILL_FEATURES}
ALONE = {"detection": 1, "repair": len(MODEL_FEATURES), "fill": len(MODEL_FEATURES)}


def fit(observations: dict[str, Observations], source: str, seed: int = 0) -> Calibration:
    """Calibrators with statistics, and `…_alone` ones that see the model's features only."""
    calibrators = {}
    for name, one in observations.items():
        features, labels, groups = one.arrays()
        calibrators[name] = fit_calibrator(FEATURES[name], features, labels, groups, seed=seed)
        alone = ALONE[name]
        calibrators[f"{name}_alone"] = fit_calibrator(
            FEATURES[name][:alone], features[:, :alone], labels, groups, seed=seed, hidden=12
        )
    return Calibration(calibrators, source)


def check(calibration: Calibration, observations: dict[str, Observations]) -> dict[str, dict[str, float]]:
    """Figures of every calibrator on observations that it was not fitted on."""
    report = {}
    for name, calibrator in calibration.calibrators.items():
        features, labels, _ = observations[name.removesuffix("_alone")].arrays()
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
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    checkpoint = load_checkpoint(options.checkpoint)
    tables = list(read_tables(corpus_folder(options.corpus) / VALIDATION_SHARD))
    fitting, checking = split_repositories(tables)
    began = time.monotonic()
    calibration = fit(observe(checkpoint, fitting, options.windows, options.seed), f"{VALIDATION_SHARD}, first half")
    figures = check(calibration, observe(checkpoint, checking, options.windows // 3, options.seed + 1, calibration))
    calibration.save(Path(options.checkpoint) / "calibration.json")
    card_path = Path(options.checkpoint) / "card.json"
    card = json.loads(card_path.read_text(encoding="utf-8"))
    card["calibration"] = {"windows": options.windows, "seed": options.seed, "unseen_tables": figures}
    card_path.write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    logger.info("fitted in %.0f s: %s", time.monotonic() - began, json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
