"""Columns of two tables against truth: ranking, assignment, and whether confidences mean what they say.

The calibrators are fitted on corpus tables that were cut into two; no label of these sets is used by anything. Ranks
are expected ranks: columns that are scored alike share their places. The baseline is names, values and words by plain
similarities and an assignment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from model.checkpoint import Checkpoint
from model.corpus import VALIDATION_SHARD
from model.errors import InputError
from model.evaluation.figures import Counts, EvaluationRow, EvaluationTable, Figure, Resampling, f1, ratio
from model.evaluation.reliability import Reliability
from model.evaluation.schema_sets import DESCRIBED_FAMILY, VALUED_FAMILIES, SchemaPair, read_family
from model.finetuning.schema_matching import draw_cuts, draw_tables
from model.inference.batching import Progress, run_task
from model.inference.column_names import NAME_FEATURES
from model.inference.column_profiles import VALUE_FEATURES
from model.inference.columns import Floats
from model.inference.schema_matching import (
    NAMES,
    JudgedPairs,
    PairObservations,
    Schema,
    SchemaMatchingOptions,
    judge_pairs,
    match_schema,
    observe_pairs,
)

Bools = npt.NDArray[np.bool_]

_MICRO = 1_000_000
_ALIKE = 0.1
"""Similarity from which the baseline matches two columns: of .1 to .5 the best on these very sets, one to one."""

_COUNTED = ("reciprocal", "matches", "top", "said", "right", "said_many", "right_many")


@dataclass(frozen=True, slots=True)
class Said:
    """What a system says of one pair of tables, (sources, targets) each.

    Attributes:
        scores: by which targets of a source, and all pairs of columns, are ranked.
        matches: which columns are matched one to one.
        many: which columns are matched where a column may be in several matches.
    """

    scores: Floats
    matches: Bools
    many: Bools


def evaluate_schema(
    bench: Path,
    checkpoint: Checkpoint,
    corpus: Path | None = None,
    *,
    resampling: Resampling | None = None,
    progress: Progress | None = None,
) -> list[EvaluationTable]:
    """One table a family of pairs with rows, and one a pair of schemas without.

    Args:
        corpus: the corpus folder; where it is given, its validation tables are cut into two and matched as well.

    Raises:
        InputError: the folder lacks a family, or the checkpoint cannot match columns.
    """
    if checkpoint.calibration is None or NAMES not in checkpoint.calibration.calibrators:
        raise InputError("the checkpoint cannot match columns: it has no calibrators of them", field="model")
    resampling = resampling or Resampling()
    groups = [(family, read_family(bench, family)) for family in VALUED_FAMILIES]
    groups += [(f"{DESCRIBED_FAMILY}, {pair.name}", [pair]) for pair in read_family(bench, DESCRIBED_FAMILY)]
    if corpus is not None:
        groups += _cuts(corpus / VALIDATION_SHARD, resampling.seed).items()
    tables = []
    for number, (name, pairs) in enumerate(groups):
        tables.append(measure_family(name, pairs, checkpoint, resampling))
        if progress is not None:
            progress("schema", number + 1, len(groups))
    return tables


def _cuts(shard: Path, seed: int) -> dict[str, list[SchemaPair]]:
    """Tables that no calibrator of columns has seen, cut into two."""
    valued: list[SchemaPair] = []
    bare: list[SchemaPair] = []
    for made, _ in draw_cuts(draw_tables([shard]), seed):
        pair = SchemaPair("", made.source, made.target, made.truth)
        (valued if len(made.source.relation) and len(made.target.relation) else bare).append(pair)
    named = {"cuts of unseen tables": valued, "cuts of several unseen tables, without rows": bare}
    return {name: pairs for name, pairs in named.items() if pairs}


def measure_family(
    name: str, pairs: Sequence[SchemaPair], checkpoint: Checkpoint, resampling: Resampling
) -> EvaluationTable:
    """The table of one family: the model, the model without rows, and the baseline."""
    assert checkpoint.calibration is not None
    observed = [observe_pairs(pair.source, pair.target) for pair in pairs]
    judged = [judge_pairs(checkpoint.calibration, one) for one in observed]
    said = {"model": [_by_model(checkpoint, *one) for one in zip(pairs, judged, strict=True)]}
    if all(one.values is not None for one in observed):
        bare = [replace(pair, source=_bare(pair.source), target=_bare(pair.target)) for pair in pairs]
        alone = [judge_pairs(checkpoint.calibration, PairObservations(one.names, None)) for one in observed]
        said["model without the rows"] = [_by_model(checkpoint, *one) for one in zip(bare, alone, strict=True)]
    said["names, values and words, nothing learned"] = [_by_similarity(one) for one in observed]
    truths = [_truth(pair) for pair in pairs]
    rows = tuple(EvaluationRow(system, figures_of(answers, truths, resampling)) for system, answers in said.items())
    matches = sum(len(pair.truth) for pair in pairs)
    columns = sum(truth.size for truth in truths)
    title = f"{name} ({len(pairs)} pairs of tables, {matches} matches of {columns:,} pairs of columns)"
    notes = (
        "Recall at truth: share of the true matches among as many best-ranked pairs of columns. Precision, recall and "
        "F1: of a 1:1 assignment at the default confidence; F1, n:m: of every pair of columns at that confidence.",
        "No label is used; the features were designed with the sets of the benchmark folder in view.",
    )
    reliability = _reliability(f"schema, {name}: best target of each source column", judged, truths, resampling)
    return EvaluationTable("schema", title, rows, notes, (reliability,))


def _reliability(
    name: str, judged: Sequence[JudgedPairs], truths: Sequence[Bools], resampling: Resampling
) -> Reliability:
    """Confidences of the likeliest targets: of all pairs nearly all are none, and easily told."""
    best = [one.scores.argmax(1) for one in judged]
    probabilities = [one.confidences[np.arange(len(place)), place] for one, place in zip(judged, best, strict=True)]
    true = [truth[np.arange(len(place)), place] for truth, place in zip(truths, best, strict=True)]
    units = [np.full(len(place), number) for number, place in enumerate(best)]
    if len(units) == 1:
        units = [np.arange(len(best[0]))]
    return Reliability(
        name, np.concatenate(probabilities), np.concatenate(true), np.concatenate(units), True, resampling
    )


def _bare(schema: Schema) -> Schema:
    return replace(schema, relation=replace(schema.relation, tuples=()))


def _truth(pair: SchemaPair) -> Bools:
    """Which columns are one, in the order of their names."""
    orders = pair.source.order, pair.target.order
    return np.array([[(one, other) in pair.truth for other in orders[1]] for one in orders[0]], dtype=np.bool_)


def _by_model(checkpoint: Checkpoint, pair: SchemaPair, judged: JudgedPairs) -> Said:
    """What a caller is told, beside how all pairs are ranked."""
    matched = [_matches(checkpoint, pair, SchemaMatchingOptions(one_to_one=one_to_one)) for one_to_one in (True, False)]
    return Said(judged.scores, *matched)


def _matches(checkpoint: Checkpoint, pair: SchemaPair, options: SchemaMatchingOptions) -> Bools:
    result = run_task(checkpoint, match_schema(checkpoint, pair.source, pair.target, options))
    return _truth(replace(pair, truth=frozenset((one.source, one.target) for one in result.matches)))


def _by_similarity(observed: PairObservations) -> Said:
    """Plain similarities, the assigned pairs first; a match where they are alike enough."""
    name = observed.names
    parts = [name[..., NAME_FEATURES.index("name_grams")]]
    if observed.values is not None:
        parts += [observed.values[..., VALUE_FEATURES.index(one)] for one in ("values_contained", "value_words")]
    elif name[..., NAME_FEATURES.index("described")].any():
        parts.append(name[..., NAME_FEATURES.index("text_words")])
    score = np.asarray(np.round(np.mean(parts, axis=0), 9), dtype=np.float64)
    assigned = np.zeros(score.shape, dtype=np.bool_)
    assigned[linear_sum_assignment(score, maximize=True)] = True
    likely = np.asarray(score >= _ALIKE, dtype=np.bool_)
    return Said(score + assigned, assigned & likely, likely)


def figures_of(answers: Sequence[Said], truths: Sequence[Bools], resampling: Resampling) -> dict[str, Figure]:
    """All figures of one system over the pairs of a family."""
    counted = [_count(said, truth) for said, truth in zip(answers, truths, strict=True)]
    # Tables err as a whole; where there is one pair of them alone, its source columns are resampled.
    units = np.stack([one.sum(0) for one in counted]) if len(counted) > 1 else counted[0]
    counts = Counts(_COUNTED, units, resampling)
    return {
        "MRR": counts.figure(lambda sums: ratio(sums["reciprocal"] / _MICRO, sums["matches"])),
        "recall at truth": counts.figure(lambda sums: ratio(sums["top"], sums["matches"])),
        "precision": counts.figure(lambda sums: ratio(sums["right"], sums["said"])),
        "recall": counts.figure(lambda sums: ratio(sums["right"], sums["matches"])),
        "F1": counts.figure(lambda sums: f1(sums["right"], sums["said"], sums["matches"])),
        "F1, n:m": counts.figure(lambda sums: f1(sums["right_many"], sums["said_many"], sums["matches"])),
    }


def _count(said: Said, truth: Bools) -> npt.NDArray[np.int64]:
    """What is counted of each source column, (sources, len(_COUNTED))."""
    scores = said.scores
    better = (scores[:, None, :] > scores[:, :, None]).sum(-1)
    level = (scores[:, None, :] == scores[:, :, None]).sum(-1)
    reciprocal = np.round(_MICRO * truth / (better + (level + 1) / 2)).astype(np.int64)
    first = np.argsort(-scores, axis=None, kind="stable")[: int(truth.sum())]
    is_first = np.zeros(truth.size, dtype=np.bool_)
    is_first[first] = True
    held = is_first.reshape(truth.shape) & truth
    columns = (reciprocal, truth, held, said.matches, said.matches & truth, said.many, said.many & truth)
    return np.stack([one.sum(1).astype(np.int64) for one in columns], axis=1)
