"""`python -m model.finetuning.extraction`: fit what weighs answers of extraction on texts made of held-out tables.

Each collection of texts is asked as a user would ask it: without examples, with one to three answered texts, or with
half of them. Trees and calibrators weigh what the network, the examples and the other texts say of each candidate;
they are fitted to where the answers stand. The other judges and calibrators of the checkpoint stay as they are.
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
import numpy.typing as npt

from model.calibration import Calibration, Calibrator, fit_calibrator
from model.checkpoint import JUDGES_FILE, Checkpoint, load_checkpoint
from model.config import TrainingConfig
from model.corpus import VALIDATION_SHARD, CorpusTable, corpus_folder, read_tables
from model.errors import InputError
from model.finetuning.extraction_examples import Collection, ExtractionFactory
from model.inference.answers import DIRECTIONS, EVIDENCE, FEATURES, JUDGE, NO_ANSWER_FEATURES, Judged
from model.inference.batching import run_tasks
from model.inference.extraction import CALIBRATOR, NO_ANSWER_CALIBRATOR, extractor, observe
from model.inference.pointing import AskedAttribute, ExtractionExample
from model.judge import Judge, fit_judge, save_judges

logger = logging.getLogger(__name__)

COLLECTIONS = 300
"""Collections of texts that are fitted to."""

TREES, LEAVES = 120, 10
"""Few and small ones: texts are often unlike those that trees learned from."""

_TEXTS = (12, 24, 48)
_FEW = 3
_FOLDS = 4

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Asked:
    """A collection, and how it is asked: `answered` texts are examples, the others are judged."""

    collection: Collection
    attributes: tuple[AskedAttribute, ...]
    answered: frozenset[int]

    @property
    def judged(self) -> list[int]:
        """The texts whose answers are not given."""
        known = {self.collection.texts[row] for row in self.answered}
        return [row for row, text in enumerate(self.collection.texts) if text not in known]


def ask(collection: Collection, rng: random.Random) -> Asked:
    """Some texts of a collection as examples: none, a few, or half of them."""
    count = rng.choice((0, 0, rng.randint(1, _FEW), len(collection.texts) // 2))
    answered = frozenset(rng.sample(range(len(collection.texts)), count))
    attributes = []
    for number, name in enumerate(collection.questions):
        examples = {}
        for row in sorted(answered):
            if (row, number) in collection.places:
                place, text = collection.places[row, number], collection.texts[row]
                examples[text] = ExtractionExample(text, text[place[0] : place[1]] if place else None)
        attributes.append(AskedAttribute(name, None, tuple(examples.values())))
    return Asked(collection, tuple(attributes), answered)


def collections(tables: Sequence[CorpusTable], checkpoint: Checkpoint, count: int) -> Iterator[Asked]:
    """Collections of texts of `tables`, drawn by their number."""
    factory = ExtractionFactory(tables, checkpoint.serializer, TrainingConfig())
    number = made = 0
    while made < count:
        rng = random.Random(f"extraction:{number}")
        asked = ask(factory.collection(rng, rng.choice(_TEXTS)), rng)
        number += 1
        if asked.attributes and asked.judged:
            made += 1
            yield asked


@dataclass(frozen=True, slots=True)
class Fitted:
    """What weighs the evidence of answers: trees, and the calibrators by name."""

    trees: Judge
    calibrators: dict[str, Calibrator]


def fit(checkpoint: Checkpoint, tables: Sequence[CorpusTable], count: int = COLLECTIONS) -> Fitted:
    """Trees over what is known of candidates, and calibrators of what trees say that did not learn from their table.

    Raises:
        InputError: the checkpoint was not trained to extract.
    """
    asked = list(collections(tables, checkpoint, count))
    weights = extractor(checkpoint)
    tasks = (observe(weights, [one.collection.texts[row] for row in one.judged], one.attributes) for one in asked)
    groups = {name: number for number, name in enumerate(sorted({one.collection.group for one in asked}))}
    known: list[_KnownAnswer] = []
    for number, (one, (observed, _)) in enumerate(zip(asked, run_tasks(checkpoint, tasks), strict=True)):
        group = groups[one.collection.group]
        judged = {row: observed.judge(one.collection.texts[row]) for row in {row for row, _, _ in _known(one)}}
        known += [_KnownAnswer(judged[row][attribute], place, group) for row, attribute, place in _known(one)]
        if number % 25 == 24:
            logger.info("%d collections of texts of %d", number + 1, len(asked))
    features = np.concatenate([one.judged.features for one in known])
    labels = np.concatenate([one.right for one in known])
    owners = np.repeat([float(one.group) for one in known], [len(one.judged.candidates) for one in known])
    trees, features[:, 0] = fit_trees(features[:, 1:].astype(np.float32), labels, owners)
    calibrator = fit_calibrator(FEATURES, features, labels, owners, directions=DIRECTIONS)
    places = np.cumsum([len(one.judged.candidates) for one in known])[:-1]
    confidences = np.split(calibrator.predict(features), places)
    about = np.stack([one.judged.no_answer_features(own) for one, own in zip(known, confidences, strict=True)])
    none = np.array([float(one.place is None) for one in known])
    nothing = fit_calibrator(NO_ANSWER_FEATURES, about, none, np.array([float(one.group) for one in known]))
    return Fitted(trees, {CALIBRATOR: calibrator, NO_ANSWER_CALIBRATOR: nothing})


def fit_trees(evidence: npt.NDArray[np.float32], labels: Floats, owners: Floats) -> tuple[Judge, Floats]:
    """Trees of all candidates, and for each candidate what trees say that saw no other of its group, (candidates,).

    Args:
        evidence: (candidates, len(EVIDENCE)).
        labels: 0 or 1, (candidates,).
        owners: the group of each, (candidates,).

    Raises:
        InputError: all are of one group, so none can be held out.
    """
    from sklearn.model_selection import GroupKFold

    def trees_of(rows: npt.NDArray[np.int64]) -> Judge:
        return fit_judge(
            EVIDENCE, evidence[rows], labels[rows].astype(np.int64), directions=DIRECTIONS, trees=TREES, leaves=LEAVES
        )

    if len(np.unique(owners)) < 2:
        raise InputError("trees need texts of two repositories or more", field="collections")
    held_out = np.zeros(len(labels))
    for learned, judged in GroupKFold(min(_FOLDS, len(np.unique(owners)))).split(evidence, labels, owners):
        held_out[judged] = trees_of(learned).logits(evidence[judged])
    return trees_of(np.arange(len(labels))), held_out


@dataclass(frozen=True, slots=True)
class _KnownAnswer:
    """A judged question whose answer stands at `place`, or nowhere; `group` is the table that the text was made of."""

    judged: Judged
    place: tuple[int, int] | None
    group: int

    @property
    def right(self) -> npt.NDArray[np.float64]:
        """Whether each candidate is the answer, (candidates,)."""
        return np.array([(one.start, one.end) == self.place for one in self.judged.candidates], dtype=np.float64)


def _known(asked: Asked) -> Iterator[tuple[int, int, tuple[int, int] | None]]:
    """Text, question and place of every answer that is judged."""
    for row in asked.judged:
        if not asked.collection.texts[row].strip():
            continue
        for number in range(len(asked.attributes)):
            if (row, number) in asked.collection.places:
                yield row, number, asked.collection.places[row, number]


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; gives 0."""
    parser = argparse.ArgumentParser(description="Fit what weighs answers of extraction on corpus tables.")
    parser.add_argument("--corpus", help="folder of the corpus; default: RPT_CORPUS")
    parser.add_argument("--checkpoint", required=True, help="checkpoint folder that is added to")
    parser.add_argument("--collections", type=int, default=COLLECTIONS, help="collections of texts to fit to")
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    tables = list(read_tables(corpus_folder(options.corpus) / VALIDATION_SHARD))
    checkpoint = load_checkpoint(options.checkpoint)
    fitted = fit(checkpoint, tables, options.collections)
    folder = Path(options.checkpoint)
    save_judges(folder / JUDGES_FILE, {**checkpoint.judges, JUDGE: fitted.trees})
    Calibration.add_to(folder / "calibration.json", fitted.calibrators)
    logger.info("fitted trees, %s", " and ".join(fitted.calibrators))
    return 0


if __name__ == "__main__":
    sys.exit(main())
