"""Pairs judged one by one, without the tables they are from: what `/v1/match` does.

Nothing is learned from a set that is measured but where a row says so: the trees are fitted to the training and
validation pairs of the other sets and to pairs made from corpus tables. Of the 50 labelled pairs of the set's own
training part, half are those that the judge is least sure of and half are drawn.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from model.checkpoint import Checkpoint
from model.errors import InputError
from model.evaluation.figures import EvaluationRow, EvaluationTable, Resampling
from model.evaluation.matching import FLAG, TEST, pair_figures
from model.evaluation.matching_sets import LABELLED_SETS, MatchingSet, read_matching_set
from model.evaluation.reliability import Reliability
from model.finetuning.pairs import CORPUS_ROWS, LEARNED_PARTS, LabelledPairs, corpus_pairs, fit_pairs, labelled_pairs
from model.inference.batching import Progress
from model.inference.columns import Floats, Ints
from model.inference.pairs import AlignedRelations, PairJudge, TaughtJudge, TaughtPair
from model.packing import read_training_tables

LABELS = 50
"""Labelled pairs of the few-shot row."""


def evaluate_pairs(
    bench: Path,
    corpus: Path,
    checkpoint: Checkpoint,
    resampling: Resampling | None = None,
    progress: Progress | None = None,
) -> list[EvaluationTable]:
    """One table a set: its test pairs, each judged by itself.

    Raises:
        InputError: the checkpoint has counted no words.
    """
    if checkpoint.rarity is None:
        raise InputError("the checkpoint has counted no words", field="checkpoint")
    sets = [read_matching_set(bench, name) for name in LABELLED_SETS]
    learned = [labelled_pairs(one, LEARNED_PARTS, checkpoint.rarity) for one in sets]
    tables = read_training_tables(corpus, CORPUS_ROWS)
    every = [*learned, corpus_pairs(tables, checkpoint.serializer, checkpoint.rarity, 0)]
    found = []
    for number, (one, own) in enumerate(zip(sets, learned, strict=True)):
        judge = PairJudge(checkpoint.rarity, fit_pairs(every, one.name))
        found.append(measure_pairs(one, own, judge, resampling or Resampling()))
        if progress is not None:
            progress("pairs: judge", number + 1, len(sets))
    return found


def measure_pairs(
    matching: MatchingSet, own: LabelledPairs, judge: PairJudge, resampling: Resampling
) -> EvaluationTable:
    """The table of one set; `own` are its pairs of `LEARNED_PARTS`, of which `judge` knows nothing."""
    aligned = AlignedRelations.of(*matching.relations)
    test = labelled_pairs(matching, (TEST,), judge.rarity)
    alone = judge.probabilities(test.features)
    taught = TaughtJudge(judge, aligned.names, chosen_examples(matching, aligned, own, judge))
    told = taught.probabilities(aligned.rows, [(left, right) for left, right, _ in matching.parts[TEST]])
    characters = _cosines(matching, aligned)
    threshold = _best_threshold(np.concatenate([characters[part] for part in LEARNED_PARTS]), own.labels)
    systems: dict[str, npt.NDArray[np.bool_]] = {
        "trees of the other sets": alone >= FLAG,
        f"the same with {LABELS} labelled pairs": told >= FLAG,
        "character TF-IDF, threshold by all own labels": characters[TEST] >= threshold,
    }
    rows = tuple(
        EvaluationRow(name, pair_figures(said.astype(np.int64), test.labels, resampling))
        for name, said in systems.items()
    )
    units = np.arange(len(test.labels))
    reliability = Reliability(f"pairs, {matching.name}", alone, test.labels > 0, units, True, resampling)
    title = f"{matching.name}, pair by pair ({len(test.labels)} test pairs, {int(test.labels.sum())} matches)"
    return EvaluationTable("pairs", title, rows, (), (reliability,))


def chosen_examples(
    matching: MatchingSet, aligned: AlignedRelations, own: LabelledPairs, judge: PairJudge
) -> tuple[TaughtPair, ...]:
    """Labelled training pairs: half are those that the judge is least sure of, half are drawn."""
    pairs = matching.parts["train"]
    doubt = np.abs(judge.probabilities(own.features[: len(pairs)]) - FLAG)  # the first of its parts is that of training
    unsure = np.lexsort((np.arange(len(pairs)), doubt))[: LABELS // 2].tolist()
    others = sorted(set(range(len(pairs))) - set(unsure))
    drawn = np.random.default_rng(0).choice(others, LABELS - len(unsure), replace=False).tolist()
    left, right = aligned.rows
    known: dict[frozenset[tuple[str | None, ...]], TaughtPair] = {}
    for number in (*unsure, *drawn):
        one, other, label = pairs[number]
        known.setdefault(frozenset((left[one], right[other])), TaughtPair(left[one], right[other], bool(label)))
    return tuple(known.values())


def _cosines(matching: MatchingSet, aligned: AlignedRelations) -> dict[str, Floats]:
    """Cosine of character TF-IDF over both tables, of each part's pairs."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = [[" ".join(value for value in row if value).casefold() for row in side] for side in aligned.rows]
    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 4), sublinear_tf=True)
    vectorizer.fit([*texts[0], *texts[1]])
    left, right = (vectorizer.transform(side) for side in texts)
    found = {}
    for part, pairs in matching.parts.items():
        ours, theirs = left[[one for one, _, _ in pairs]], right[[other for _, other, _ in pairs]]
        found[part] = np.asarray(ours.multiply(theirs).sum(axis=1), dtype=np.float64).ravel()
    return found


def _best_threshold(scores: Floats, labels: Ints) -> float:
    """The score from which on a match is said, that has the greatest F1 on these labels."""
    order = np.argsort(-scores, kind="stable")
    right = np.cumsum(labels[order])
    found: Floats = 2 * right / (np.arange(1, len(labels) + 1) + labels.sum())
    return float(scores[order[int(found.argmax())]])
