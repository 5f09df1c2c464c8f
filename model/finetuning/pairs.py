"""`python -m model.finetuning.pairs`: teach a checkpoint to judge pairs of records one by one.

Two things are made: how rare words are, counted over the training tables of the corpus, and trees over similarities,
from labelled pairs of several sets (of their training and validation parts) and from windows of corpus tables in which
entities are told twice. For a figure about one set, the trees are fitted without it (`model.evaluation.pair_matching`);
the words are of the corpus alone. The trees' own logit is the probability: calibrators that were fitted to what trees
said of sets they had not learned from changed the level for the worse on most sets.
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from model.checkpoint import DEFAULT_PATH, JUDGES_FILE, WORDS_FILE, load_checkpoint
from model.config import TrainingConfig
from model.corpus import Table
from model.dataset import ExampleFactory
from model.errors import InputError
from model.evaluation.benchmark import benchmark_folder
from model.evaluation.matching_sets import LABELLED_SETS, MatchingSet, read_matching_set, related
from model.finetuning.matching_examples import CORRUPTION, window_groups
from model.inference.columns import Floats, Ints
from model.inference.pairs import DIRECTIONS, FEATURES, JUDGE, AlignedRelations, compare
from model.inference.records import words
from model.judge import Judge, fit_judge, load_judges, save_judges
from model.packing import corpus_path, read_training_tables
from model.rarity import WordRarity
from model.serialization import TupleSerializer

logger = logging.getLogger(__name__)

LEARNED_PARTS = ("train", "valid")
CORPUS = "corpus"
"""Name of the pairs that are made from corpus tables."""

CORPUS_ROWS = 120
"""Rows of a corpus table that pairs are made from."""

_COUNTED_ROWS, _COUNTED_CHARACTERS = 40, 300
_TREES = 120
_WINDOWS, _TUPLES = 150, 16
_SAME_SHARE = 0.35
_CORPUS_WEIGHT = 2.0


@dataclass(frozen=True, slots=True)
class LabelledPairs:
    """Compared pairs of one set: features float32 (pairs, len(FEATURES)), labels int64 (pairs,)."""

    name: str
    features: npt.NDArray[np.float32]
    labels: Ints


def count_words(tables: Sequence[Table]) -> WordRarity:
    """How rare words are among the first tuples of `tables`; one table counts a word as often as is told apart."""
    counts: Counter[str] = Counter()
    tuples = 0
    for table in tables:
        own: Counter[str] = Counter()
        part = table.part(range(min(len(table), _COUNTED_ROWS)), range(len(table.attributes)))
        for row in part.tuples:
            tuples += 1
            own.update({word for value in row if value for word in words(value[:_COUNTED_CHARACTERS].casefold())})
        counts.update({word: min(count, 4) for word, count in own.items()})
    return WordRarity.counted(counts, tuples)


def labelled_pairs(matching: MatchingSet, parts: Sequence[str], rarity: WordRarity) -> LabelledPairs:
    """The labelled pairs of some parts of a set, compared."""
    left, right = AlignedRelations.of(*matching.relations).rows
    pairs = [pair for part in parts for pair in matching.parts[part]]
    features = [compare(left[one], right[other], rarity).features for one, other, _ in pairs]
    return LabelledPairs(matching.name, np.stack(features), np.array([label for *_, label in pairs], dtype=np.int64))


def corpus_pairs(tables: Sequence[Table], serializer: TupleSerializer, rarity: WordRarity, seed: int) -> LabelledPairs:
    """Pairs from corrupted windows: a tuple with one that tells of the same entity, or one of those most like it."""
    training = TrainingConfig(seed=seed, examples_per_episode=_TUPLES, context_size=4)
    windows = ExampleFactory(tables, serializer, training, CORRUPTION)
    features, labels = [], []
    for number in range(_WINDOWS):
        rng = random.Random(f"{seed}:{number}:pairs")
        for group in window_groups(windows, rng):
            same = [one for one in group.others if one[1]]
            values, is_match = rng.choice(same if same and rng.random() < _SAME_SHARE else group.others)
            features.append(compare(group.target, values, rarity).features)
            labels.append(int(is_match))
    return LabelledPairs(CORPUS, np.stack(features), np.array(labels, dtype=np.int64))


def fit_pairs(learned: Sequence[LabelledPairs], left_out: str | None = None, seed: int = 0) -> Judge:
    """Trees from all sets, or from those that hold no record of the set `left_out`; none outweighs by its size alone.

    Raises:
        InputError: no set is left.
    """
    without = () if left_out is None else related(left_out)
    learned = [one for one in learned if one.name not in without]
    if not learned:
        raise InputError("pairs are learned from labelled sets, and none is left", field="bench")
    weights: list[Floats] = []
    for one in learned:
        weight = len(one.labels) ** -0.5 * (_CORPUS_WEIGHT if one.name == CORPUS else 1.0)
        weights.append(np.full(len(one.labels), weight))
    joined = np.concatenate(weights)
    features = np.concatenate([one.features for one in learned])
    labels = np.concatenate([one.labels for one in learned])
    return fit_judge(FEATURES, features, labels, joined / joined.mean(), directions=DIRECTIONS, trees=_TREES, seed=seed)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; gives 0."""
    parser = argparse.ArgumentParser(description="Teach a checkpoint to judge pairs of records.")
    parser.add_argument("--corpus", help="a folder, or what model.packing made of it; default: RPT_CORPUS")
    parser.add_argument("--bench", help="folder of the benchmark, whose training pairs are learned; default: RPT_BENCH")
    parser.add_argument("--checkpoint", type=Path, default=DEFAULT_PATH, help="checkpoint folder that is added to")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    bench = benchmark_folder(options.bench)
    tables = read_training_tables(corpus_path(options.corpus), CORPUS_ROWS)
    rarity = count_words(tables)
    rarity.save(options.checkpoint / WORDS_FILE)
    logger.info("counted words")
    serializer = load_checkpoint(options.checkpoint).serializer
    learned = [labelled_pairs(read_matching_set(bench, name), LEARNED_PARTS, rarity) for name in LABELLED_SETS]
    learned.append(corpus_pairs(tables, serializer, rarity, options.seed))
    logger.info("compared %d pairs", sum(len(one.labels) for one in learned))
    judge = fit_pairs(learned, None, options.seed)
    judges = options.checkpoint / JUDGES_FILE
    save_judges(judges, load_judges(judges) | {JUDGE: judge})
    logger.info("fitted the trees of pairs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
