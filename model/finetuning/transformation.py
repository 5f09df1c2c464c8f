"""`python -m model.finetuning.transformation`: fit the calibrator of transformation on programs over held-out tables.

Programs are drawn as in training, over values of tables that no weight saw; proportions of numbers come beside them,
as the search knows them. Each is asked as a user would ask: with one to five examples, and now and then for a text of
another kind, for which no output is right. The other calibrators of the checkpoint stay as they are.
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from model.adapters import with_adapter
from model.calibration import Calibration, Calibrator, fit_calibrator
from model.checkpoint import Checkpoint, load_checkpoint
from model.config import TrainingConfig
from model.corpus import VALIDATION_SHARD, CorpusTable, corpus_folder, read_tables
from model.finetuning.transform_examples import TransformFactory
from model.finetuning.windows import by_repository
from model.inference.batching import run_tasks
from model.inference.proportions import Written, known_factors
from model.inference.transformation import ADAPTER, CALIBRATOR, FEATURES, TransformExample, observe

logger = logging.getLogger(__name__)

TASKS = 300
"""Programs that are fitted to."""

_COUNTS = (1, 2, 2, 3, 3, 3, 3, 3, 4, 5)
_ASKED = 4
_STRANGE = 0.1
"""Share of the programs that are asked for a text of another kind too."""

_PROPORTIONS = 0.12
_NUMBERS = 9
_WRITTEN = (Written(28, 2, True), Written(28, 0, True), Written(9, 8, False), Written(6, 12, False))
_UNITS = ("", " kg", " cm", " mm", " ft", " in", " USD", " EUR", " h", " MB", " points")


@dataclass(frozen=True, slots=True)
class ShownTask:
    """A program as it is shown, and the inputs that are asked with the outputs that are right, empty where none is."""

    group: int
    examples: tuple[TransformExample, ...]
    asked: tuple[TransformExample, ...]


def shown_tasks(tables: Sequence[CorpusTable], checkpoint: Checkpoint, count: int) -> Iterator[ShownTask]:
    """Tasks over `tables`, drawn by their number; the group is the repository of the table."""
    repositories = by_repository(tables)
    factories = [TransformFactory(group, checkpoint.serializer, TrainingConfig()) for group in repositories]
    number = made = 0
    while made < count:
        rng = random.Random(f"transform:{number}")
        number += 1
        group = rng.randrange(len(factories))
        pairs = _proportion(rng) if rng.random() < _PROPORTIONS else factories[group].pairs(rng)
        if pairs is None:
            continue
        shuffled = [TransformExample(*pair) for pair in rng.sample(pairs, len(pairs))]
        shown = min(rng.choice(_COUNTS), len(shuffled) - 1)
        asked = shuffled[shown : shown + _ASKED]
        if rng.random() < _STRANGE:
            asked += _strangers(factories[group].pairs(rng) or (), {text for text, _ in pairs})
        made += 1
        yield ShownTask(group, tuple(shuffled[:shown]), tuple(asked))


def _strangers(pairs: Sequence[tuple[str, str]], known: Collection[str]) -> list[TransformExample]:
    """The first input of other pairs, to which nothing is a right output."""
    return [TransformExample(text, "") for text, _ in pairs if text not in known][:1]


def _proportion(rng: random.Random) -> list[tuple[str, str]]:
    """Numbers, perhaps with a unit, times a factor, written with as many digits as people write."""
    factor = rng.choice(known_factors()) if rng.random() < 0.7 else Fraction(f"{rng.uniform(0.05, 20):.3f}")
    written = rng.choice(_WRITTEN)
    before, after = rng.choice(_UNITS), rng.choice(_UNITS)
    found = {}
    for _ in range(_NUMBERS):
        number = str(rng.randint(1, 999)) if rng.random() < 0.8 else f"{rng.uniform(0.1, 99):.1f}"
        found[number + before] = written.write(factor * Fraction(number)) + after
    return list(found.items())


def fit(checkpoint: Checkpoint, tables: Sequence[CorpusTable], count: int = TASKS) -> Calibrator:
    """The calibrator of candidates.

    Raises:
        InputError: the checkpoint was not trained to transform.
    """
    features, labels, owners = [], [], []
    tasks = list(shown_tasks(tables, checkpoint, count))
    weights = with_adapter(checkpoint, ADAPTER)
    observed = run_tasks(checkpoint, (observe(weights, one.examples, [it.input for it in one.asked]) for one in tasks))
    for number, (task, seen) in enumerate(zip(tasks, observed, strict=True), 1):
        for asked in task.asked:
            if asked.input not in seen.judged:
                continue
            one = seen.judged[asked.input]
            features.append(one.features)
            labels += [float(output == asked.output) for output in one.outputs]
            owners += [float(task.group)] * len(one.outputs)
        if number % 50 == 0:
            logger.info("%d programs of %d", number, len(tasks))
    return fit_calibrator(FEATURES, np.concatenate(features), np.array(labels), np.array(owners))


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; gives 0."""
    parser = argparse.ArgumentParser(description="Fit a checkpoint's calibrator of transformation on corpus tables.")
    parser.add_argument("--corpus", help="folder of the corpus; default: RPT_CORPUS")
    parser.add_argument("--checkpoint", required=True, help="checkpoint folder; its calibration.json is added to")
    parser.add_argument("--tasks", type=int, default=TASKS, help="programs to fit to")
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    tables = list(read_tables(corpus_folder(options.corpus) / VALIDATION_SHARD))
    fitted = fit(load_checkpoint(options.checkpoint), tables, options.tasks)
    Calibration.add_to(Path(options.checkpoint) / "calibration.json", {CALIBRATOR: fitted})
    logger.info("fitted %s", CALIBRATOR)
    return 0


if __name__ == "__main__":
    sys.exit(main())
