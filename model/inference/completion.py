"""Fill missing cells and complete half-typed ones.

A target is masked, so the model never sees what stood there, and its candidates come from the decoder
and the table as in cleaning. With a prefix the decoder writes under the constraint that its bytes begin
with it, so every answer continues what was typed.
"""

from __future__ import annotations

import time
from dataclasses import replace

from model.checkpoint import Checkpoint
from model.errors import CheckpointError, OptionError
from model.finetuning.adapt import adapting
from model.inference.batching import ModelTask, Progress
from model.inference.candidates import AskedCell, CandidateFinder, CandidateSet
from model.inference.canonical import Canonical
from model.inference.cleaning import calibrated, explain
from model.inference.practice import Practice, practise
from model.inference.reading import CONTEXT_SIZE, Reader
from model.inference.statistics import RelationStatistics
from model.tuples import (
    Cell,
    Completion,
    CompletionOptions,
    CompletionResult,
    CompletionTarget,
    Evidence,
    Outcome,
    Relation,
    RepairCandidate,
    Usage,
)

MAX_PREFIX_CHARACTERS = 200


def complete(
    checkpoint: Checkpoint,
    relation: Relation,
    options: CompletionOptions | None = None,
    progress: Progress | None = None,
    *,
    use_statistics: bool = True,
    context_size: int = CONTEXT_SIZE,
) -> ModelTask[CompletionResult]:
    """Answer every target of `options`, or every missing cell where it names none.

    Args:
        use_statistics: False leaves column statistics out: the model alone decides.
        context_size: context tuples read with each target; 0 is plain RPT.

    Raises:
        OptionError: a target or an option that does not fit the relation.
        CheckpointError: the checkpoint has no calibrators.
    """
    options = options or CompletionOptions()
    targets = options.targets if options.targets is not None else _missing(relation)
    _check(relation, options, targets)
    if checkpoint.calibration is None:
        raise CheckpointError("the checkpoint has not been calibrated: run `python -m model.finetuning.calibration`")
    began = time.monotonic()
    if not targets:
        return CompletionResult((), Usage(tuples=len(relation)))
    hidden = _hide(relation, targets)
    if options.adapt is not None:

        def again(weights: Checkpoint) -> ModelTask[CompletionResult]:
            alone = replace(options, adapt=None)
            return complete(
                weights, relation, alone, progress, use_statistics=use_statistics, context_size=context_size
            )

        return (yield from adapting(checkpoint, hidden, options.adapt, progress, again))
    canonical = Canonical.of(hidden)
    reader = Reader(checkpoint, canonical.relation, context_size)
    statistics = RelationStatistics(canonical.relation) if use_statistics else None
    finder = CandidateFinder(checkpoint, reader, statistics)
    practised = None
    if options.practice and use_statistics:
        whole = [canonical.place(target.cell) for target in targets if not target.prefix]
        practised = yield from practise(checkpoint, canonical.relation, whole, context_size, progress)
    found = yield from finder.find([_ask(canonical, target) for target in targets], progress, "complete")
    completions = tuple(
        _decide(checkpoint, one, target, canonical, options, use_statistics, practised)
        for one, target in zip(found, targets, strict=True)
    )
    seconds = round(time.monotonic() - began, 3)
    encoder_tokens = finder.encoder_tokens + (practised.encoder_tokens if practised else 0)
    decoder_tokens = finder.decoder_tokens + (practised.decoder_tokens if practised else 0)
    return CompletionResult(completions, Usage(len(relation), encoder_tokens, decoder_tokens, seconds))


def _missing(relation: Relation) -> tuple[CompletionTarget, ...]:
    return tuple(
        CompletionTarget(Cell(tuple_id, attribute))
        for tuple_id, values in enumerate(relation.tuples)
        for attribute, value in enumerate(values)
        if not value
    )


def _hide(relation: Relation, targets: tuple[CompletionTarget, ...]) -> Relation:
    """The relation with every target missing, so that no statistic counts what stands there."""
    rows = [list(values) for values in relation.tuples]
    for target in targets:
        rows[target.cell.tuple_id][target.cell.attribute] = None
    return Relation.of(relation.attributes, rows, relation.name)


def _ask(canonical: Canonical, target: CompletionTarget) -> AskedCell:
    return AskedCell(canonical.place(target.cell), "fill", prefix=target.prefix or "")


def _decide(
    checkpoint: Checkpoint,
    found: CandidateSet,
    target: CompletionTarget,
    canonical: Canonical,
    options: CompletionOptions,
    use_statistics: bool,
    practised: Practice | None,
) -> Completion:
    """The value of one target, or an abstention with its candidates."""
    assert checkpoint.calibration is not None
    confidences = calibrated(checkpoint.calibration, found.asked.calibrator, found.features, use_statistics)
    if practised is not None and not target.prefix:
        confidences = practised.lessons.confidences(found, confidences)
    usable = [(float(c), value) for value, c in zip(found.values, confidences, strict=True) if value]
    total = max(1.0, sum(confidence for confidence, _ in usable))
    ranked = sorted(((confidence / total, value) for confidence, value in usable), key=lambda one: (-one[0], one[1]))
    candidates = tuple(RepairCandidate(value, round(confidence, 6)) for confidence, value in ranked)
    kept = candidates[: options.max_candidates]
    if not candidates or candidates[0].confidence < options.min_confidence:
        evidence = Evidence("model", (), "no candidate is likely enough")
        return Completion(target.cell, Outcome.ABSTAINED, evidence, candidates=kept)
    best = candidates[0]
    evidence = explain(found, best.value, checkpoint.calibration, canonical.relation, canonical, options.min_confidence)
    return Completion(target.cell, Outcome.FILLED, evidence, best.value, best.confidence, kept)


def _check(relation: Relation, options: CompletionOptions, targets: tuple[CompletionTarget, ...]) -> None:
    if not 0.0 <= options.min_confidence <= 1.0:
        raise OptionError(f"min_confidence {options.min_confidence} is outside 0 to 1", field="min_confidence")
    if options.max_candidates < 1:
        raise OptionError(f"max_candidates {options.max_candidates} is below 1", field="max_candidates")
    for target in targets:
        cell = target.cell
        if not (0 <= cell.tuple_id < len(relation) and 0 <= cell.attribute < len(relation.attributes)):
            message = "a target is outside the table"
            raise OptionError(message, tuple_id=cell.tuple_id, attribute=cell.attribute, field="targets")
        if target.prefix is not None and len(target.prefix) > MAX_PREFIX_CHARACTERS:
            message = f"a prefix is longer than {MAX_PREFIX_CHARACTERS} characters"
            raise OptionError(message, tuple_id=cell.tuple_id, attribute=cell.attribute, field="targets")
