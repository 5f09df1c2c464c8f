"""`python -m model.finetuning.matching`: fit the calibrator of pairs of two tables on labelled pairs of several sets.

RPT's collaborative training (PVLDB 14(8), 2021, section 4): what a match is, is learned over many domains. The tables
of each set teach themselves first, without a label; the labelled pairs of the sets' training parts then say how
probable each standing is. For a figure about one set, the others alone are fitted to (`model.evaluation.matching`).
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from model.calibration import Calibration, Calibrator, fit_calibrator
from model.errors import InputError
from model.evaluation.benchmark import benchmark_folder
from model.evaluation.matching_sets import LINKED_SETS, MatchingSet, read_matching_set
from model.inference.blocking import Blocking
from model.inference.columns import Floats, Ints
from model.inference.matching import RIVAL_FEATURES, stand
from model.inference.records import Records
from model.inference.resolution import CALIBRATOR, LINK_CANDIDATES
from model.inference.rivals import standing
from model.inference.similarity import Similarity
from model.tuples import RecordPlace

logger = logging.getLogger(__name__)

MOST_PAIRS = 5000
"""Labelled pairs of one set that are learned from, at most: no set outweighs the others by its size alone."""


@dataclass(frozen=True, slots=True)
class Observed:
    """The candidate pairs of one set, and how they stand.

    Attributes:
        places: the number of each candidate pair by its two records, the first table's first.
        evidence: float32 (pairs, len(RIVAL_FEATURES)).
        shares_matched: estimates of the share of records with a match, of either table.
        is_nearest: whether both records have no better pair by characters alone, (pairs,).
        seconds: from two tables to evidence.
    """

    matching: MatchingSet
    places: dict[tuple[RecordPlace, RecordPlace], int]
    evidence: npt.NDArray[np.float32]
    shares_matched: tuple[float, float]
    is_nearest: npt.NDArray[np.bool_]
    seconds: float

    def labelled(self, part: str) -> tuple[Ints, Ints]:
        """Candidate pair of each labelled pair, -1 where blocking left it out, and the labels, int64 (pairs,)."""
        pairs = self.matching.parts[part]
        numbers = [self.places.get((RecordPlace(0, left), RecordPlace(1, right)), -1) for left, right, _ in pairs]
        return np.array(numbers, dtype=np.int64), np.array([label for _, _, label in pairs], dtype=np.int64)

    def probabilities(self, calibrator: Calibrator, part: str) -> Floats:
        """Probability of each labelled pair to match; 0 where blocking left it out."""
        numbers, _ = self.labelled(part)
        return np.asarray(np.append(calibrator.predict(self.evidence), 0.0)[numbers])

    @property
    def is_mutual(self) -> npt.NDArray[np.bool_]:
        """Whether both records have no better pair by what the tables taught, (pairs,)."""
        return np.asarray(self.evidence[:, RIVAL_FEATURES.index("is_mutual")] > 0)


def observe(matching: MatchingSet) -> Observed:
    """Block and compare the two tables of a set; no label is looked at.

    Raises:
        InputError: the tables are too small to teach anything.
    """
    began = time.monotonic()
    records = Records.of(matching.relations)
    blocking = Blocking(records, LINK_CANDIDATES)
    left, right = blocking.pairs()
    compared = Similarity(records, blocking.vectors).features(left, right)
    standings = stand(compared, left, right, records.contents)
    if standings is None:
        raise InputError(f"the tables of {matching.name} have too few clear pairs", field="bench")
    pairs = zip(left.tolist(), right.tolist(), strict=True)
    places = {(records.places[one], records.places[other]): number for number, (one, other) in enumerate(pairs)}
    seconds = time.monotonic() - began
    is_nearest = standing(left, right, compared.values[:, 0].astype(np.float64)).is_mutual
    return Observed(matching, places, standings.evidence, standings.shares_matched, is_nearest, seconds)


def fit(observed: Sequence[Observed], part: str = "train") -> Calibrator:
    """The calibrator from the labelled pairs of several sets.

    Raises:
        InputError: fewer than two sets.
    """
    features, labels, groups = [], [], []
    for group, one in enumerate(observed):
        numbers, own = one.labelled(part)
        chosen = np.nonzero(numbers >= 0)[0]
        if len(chosen) > MOST_PAIRS:
            chosen = chosen[np.linspace(0, len(chosen) - 1, MOST_PAIRS).astype(np.int64)]
        features.append(one.evidence[numbers[chosen]].astype(np.float64))
        labels.append(own[chosen])
        groups.append(np.full(len(chosen), group))
    if len(features) < 2:
        raise InputError("a calibrator of pairs needs two labelled sets or more", field="bench")
    return fit_calibrator(RIVAL_FEATURES, np.concatenate(features), np.concatenate(labels), np.concatenate(groups))


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; gives 0."""
    parser = argparse.ArgumentParser(description="Fit a checkpoint's calibrator of pairs on labelled sets.")
    parser.add_argument("--bench", help="folder of the benchmark; default: RPT_BENCH")
    parser.add_argument("--checkpoint", required=True, help="checkpoint folder; its calibration.json is added to")
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    bench = benchmark_folder(options.bench)
    observed = [observe(read_matching_set(bench, name)) for name in LINKED_SETS]
    Calibration.add_to(Path(options.checkpoint) / "calibration.json", {CALIBRATOR: fit(observed)})
    logger.info("fitted %s to the training pairs of %s", CALIBRATOR, ", ".join(LINKED_SETS))
    return 0


if __name__ == "__main__":
    sys.exit(main())
