"""Find wrong cells and repair them: detect, find candidates, decide.

One encoder pass judges every cell of a tuple. The detection logit and the column statistics go into one
calibrated error probability; cells above `FLAG_PROBABILITY` are flagged. Candidates of flagged cells are scored by
the decoder and calibrated likewise, and the best one is the repair if its expected precision is at least
what the caller asks for. Otherwise the cell is an abstention: flagged, with candidates, unchanged.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from model.calibration import Calibration
from model.checkpoint import Checkpoint
from model.errors import CheckpointError, OptionError
from model.finetuning.adapt import adapting
from model.inference.batching import DetectCall, ModelTask, Progress
from model.inference.candidates import WAVE, AskedCell, CandidateFinder, CandidateSet
from model.inference.canonical import Canonical
from model.inference.examples import (
    DetectionLessons,
    KnownCell,
    LabelledCandidates,
    RepairLessons,
    combined,
    example_evidence,
)
from model.inference.programs import Proposal
from model.inference.reading import CONTEXT_SIZE, Reader
from model.inference.rules import Rules, check_rule
from model.inference.statistics import RelationStatistics
from model.inference.suggestions import suggest
from model.inference.suspicion import LESSON_FEATURES, SECOND_FEATURES, SIGNS, judge_cells, second_look
from model.tuples import (
    Cell,
    CellExample,
    CleaningOptions,
    CleaningResult,
    Evidence,
    Outcome,
    Relation,
    Repair,
    RepairCandidate,
    Suggestion,
    Usage,
)

T = TypeVar("T")

FLAG_PROBABILITY = 0.65
"""Cells at least this likely to be wrong are flagged: above a half, because a false alarm costs a person's time."""


def clean(
    checkpoint: Checkpoint,
    relation: Relation,
    options: CleaningOptions | None = None,
    progress: Progress | None = None,
    *,
    use_statistics: bool = True,
    context_size: int = CONTEXT_SIZE,
    learn: bool = True,
) -> ModelTask[CleaningResult]:
    """Judge every cell of `relation` and repair those that are wrong.

    Args:
        use_statistics: False leaves column statistics out: the model alone decides.
        context_size: context tuples read with each target; 0 is plain RPT.
        learn: False takes examples as values of the table and learns nothing from them.

    Raises:
        OptionError: an option, example or rule that does not fit the relation.
        CheckpointError: the checkpoint has no calibrators.
    """
    options = options or CleaningOptions()
    _check(relation, options)
    if checkpoint.calibration is None:
        raise CheckpointError("the checkpoint has not been calibrated: run `python -m model.finetuning.calibration`")
    if options.adapt is not None:

        def again(weights: Checkpoint) -> ModelTask[CleaningResult]:
            alone = replace(options, adapt=None)
            return clean(
                weights,
                relation,
                alone,
                progress,
                use_statistics=use_statistics,
                context_size=context_size,
                learn=learn,
            )

        return (yield from adapting(checkpoint, _with_examples(relation, options), options.adapt, progress, again))
    began = time.monotonic()
    if not len(relation):
        return CleaningResult((), Usage())
    cleaner = _Cleaner(checkpoint, relation, options, use_statistics, context_size, learn)
    repairs = yield from cleaner.run(progress)
    seconds = time.monotonic() - began
    usage = Usage(len(relation), cleaner.encoder_tokens, cleaner.decoder_tokens, round(seconds, 3))
    return CleaningResult(tuple(repairs), usage, tuple(cleaner.suggestions))


def detect(
    reader: Reader, progress: Progress | None = None, tuple_ids: Sequence[int] | None = None
) -> ModelTask[np.ndarray]:
    """Detection logits of all cells, float32 (tuples, attributes); 0 in tuples that are not asked for."""
    relation = reader.relation
    logits = np.zeros((len(relation), len(relation.attributes)), dtype=np.float32)
    asked = range(len(relation)) if tuple_ids is None else tuple_ids
    places = [(tuple_id, group) for group in range(len(reader.groups)) for tuple_id in asked]
    for start in range(0, len(places), WAVE):
        wave = places[start : start + WAVE]
        answers = yield [DetectCall(reader.encoder_input(tuple_id, group)) for tuple_id, group in wave]
        for (tuple_id, group), answer in zip(wave, answers, strict=True):
            assert isinstance(answer, np.ndarray)
            logits[tuple_id, reader.groups[group]] = answer
        if progress is not None:
            progress("detect", start + len(wave), len(places))
    return logits


def detection_features(checkpoint: Checkpoint, logits: np.ndarray, statistics: RelationStatistics | None) -> np.ndarray:
    """Float32 (tuples, attributes, len(LESSON_FEATURES)), the calibrator's first; without statistics one logit."""
    if statistics is None:
        return logits[..., None].astype(np.float32)
    seen = second_look(checkpoint.judges, statistics.cell_features())
    judged = np.clip(judge_cells(checkpoint.judges, seen), -10.0, 10.0)
    direct = seen[..., [SECOND_FEATURES.index(name) for name in SIGNS]]
    return np.concatenate((logits[..., None], judged[..., None], direct), axis=-1).astype(np.float32)


def calibrated(calibration: Calibration, name: str, features: np.ndarray, use_statistics: bool) -> np.ndarray:
    """Probabilities by calibrator `name`, or by its twin `name_alone` that sees the model's features only."""
    calibrator = calibration[name if use_statistics else f"{name}_alone"]
    return calibrator.predict(features[:, : len(calibrator.features)])


class _Cleaner:
    """One cleaning call, on the canonical relation."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        relation: Relation,
        options: CleaningOptions,
        use_statistics: bool,
        context: int,
        learn: bool,
    ) -> None:
        self.checkpoint = checkpoint
        self.options = options
        self.use_statistics = use_statistics
        self.observed = relation
        self.canonical = Canonical.of(_with_examples(relation, options))
        self.relation = self.canonical.relation
        self.rules = Rules([self.canonical.rule(rule) for rule in options.rules])
        self.reader = Reader(checkpoint, self.relation, context)
        self.statistics = RelationStatistics(self.relation, self.rules.dependencies) if use_statistics else None
        self.encoder_tokens = 0
        self.decoder_tokens = 0
        self.suggestions: list[Suggestion] = []
        self._contradicted = np.zeros((len(relation), len(relation.attributes)), dtype=bool)
        self._known = {example.cell for example in options.examples}
        learns = learn and use_statistics and bool(options.examples)
        self._lessons = _Lessons(checkpoint, relation, options, self.canonical, context) if learns else None

    @property
    def calibration(self) -> Calibration:
        """The checkpoint's calibrators; `clean` has checked that they are there."""
        assert self.checkpoint.calibration is not None
        return self.checkpoint.calibration

    def run(self, progress: Progress | None) -> ModelTask[list[Repair]]:
        """All flagged cells, in the order of the relation that came."""
        probabilities = yield from self._error_probabilities(progress)
        flagged = [Cell(int(row), int(attribute)) for row, attribute in np.argwhere(probabilities >= FLAG_PROBABILITY)]
        if self.options.detect_only:
            repairs = [self._flag(cell, float(probabilities[cell.tuple_id, cell.attribute])) for cell in flagged]
        else:
            repairs = yield from self._repair(flagged, probabilities, progress)
        if self.options.suggest_labels:
            self.suggestions = self._suggest(probabilities, repairs)
        repairs += [self._from_example(example) for example in self.options.examples if self._is_wrong(example)]
        repairs.sort(key=lambda repair: (repair.cell.tuple_id, repair.cell.attribute))
        return _limit_error_rate(repairs, self.options.max_error_rate)

    def _suggest(self, probabilities: np.ndarray, repairs: Sequence[Repair]) -> list[Suggestion]:
        """The tuples that are most worth a label, in the numbers of the relation that came."""
        asked = self.options.attributes
        suggestions = suggest(
            self.relation,
            probabilities,
            self._contradicted,
            {
                self.canonical.place(one.cell): max((c.confidence for c in one.candidates), default=0.0)
                for one in repairs
            },
            [place for place, own in enumerate(self.canonical.attributes) if asked is None or own in asked],
            [self.canonical.place(cell) for cell in self._known],
            self.options.suggest_labels,
        )
        return [replace(one, tuple_id=self.canonical.tuple_ids[one.tuple_id]) for one in suggestions]

    def _error_probabilities(self, progress: Progress | None) -> ModelTask[np.ndarray]:
        """Calibrated error probabilities, float64 (tuples, attributes); 0 where the caller does not ask."""
        logits = yield from self._counted(detect(self.reader, progress))
        features = detection_features(self.checkpoint, logits, self.statistics)
        if self.use_statistics:
            self._contradicted = features[..., LESSON_FEATURES.index("vote_contradicts")] > 0
        flat = calibrated(self.calibration, "detection", features.reshape(-1, features.shape[-1]), self.use_statistics)
        probabilities = flat.reshape(logits.shape)
        if self._lessons is not None:
            assert self.statistics is not None
            yield from self._counted(self._lessons.learn_detection())
            probabilities = self._lessons.error_probabilities(features, probabilities, self.statistics)
        for tuple_id, values in enumerate(self.relation.tuples):
            for attribute, value in enumerate(values):
                original = self.canonical.original(Cell(tuple_id, attribute))
                wanted = self.options.attributes is None or original.attribute in self.options.attributes
                if not wanted or original in self._known:
                    probabilities[tuple_id, attribute] = 0.0
                elif self.rules.violated(attribute, value):
                    probabilities[tuple_id, attribute] = 1.0
        return probabilities

    def _counted(self, task: ModelTask[T]) -> ModelTask[T]:
        """Run a part of the task and count the encoder tokens that it asks for."""
        answers = None
        while True:
            try:
                calls = next(task) if answers is None else task.send(answers)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
            self.encoder_tokens += sum(call.encoder_tokens for call in calls)
            answers = yield calls

    def _flag(self, cell: Cell, probability: float) -> Repair:
        original = self.canonical.original(cell)
        value = self.observed.value(original)
        return Repair(original, value, probability, Outcome.ABSTAINED, self._why_flagged(cell))

    def _why_flagged(self, cell: Cell) -> Evidence:
        if self.rules.violated(cell.attribute, self.relation.value(cell)):
            return Evidence("rule", (), "the value breaks a rule that came with the request")
        return Evidence("model", (), "no repair was asked for or none was likely enough")

    def _repair(
        self, flagged: Sequence[Cell], probabilities: np.ndarray, progress: Progress | None
    ) -> ModelTask[list[Repair]]:
        if self._lessons is not None:
            self.decoder_tokens += yield from self._counted(self._lessons.learn_repair())
        asked = []
        for cell in flagged:
            probability = float(np.clip(probabilities[cell.tuple_id, cell.attribute], 1e-4, 1 - 1e-4))
            extra = self.rules.suggestions(cell.attribute, self.relation.value(cell))
            asked.append(AskedCell(cell, "repair", float(np.log(probability / (1 - probability))), "", extra))
        finder = CandidateFinder(self.checkpoint, self.reader, self.statistics)
        found = yield from finder.find(asked, progress)
        self.encoder_tokens += finder.encoder_tokens
        self.decoder_tokens += finder.decoder_tokens
        return [
            self._decide(one, float(probabilities[one.asked.cell.tuple_id, one.asked.cell.attribute])) for one in found
        ]

    def _decide(self, found: CandidateSet, probability: float) -> Repair:
        """The repair of one flagged cell, or an abstention with its candidates."""
        cell = found.asked.cell
        observed = self.relation.value(cell) or ""
        confidences = calibrated(self.calibration, "repair", found.features, self.use_statistics)
        if self._lessons is not None:
            confidences = self._lessons.repair.confidences(found, confidences)
        usable = [
            (float(confidence), value)
            for value, confidence in zip(found.values, confidences, strict=True)
            if value != observed and (not value or self.rules.allowed(cell.attribute, value))
        ]
        total = max(1.0, sum(confidence for confidence, _ in usable))
        alone = {value: confidence / total for confidence, value in usable}
        proposal = self._proposal(cell)
        weighed = alone if proposal is None else combined(alone, proposal)
        ranked = sorted(
            ((confidence, value) for value, confidence in weighed.items()), key=lambda one: (-one[0], one[1])
        )
        candidates = tuple(RepairCandidate(value, round(confidence, 6)) for confidence, value in ranked)
        flag = replace(self._flag(cell, probability), candidates=candidates[: self.options.max_candidates])
        if not candidates or candidates[0].confidence < self.options.min_confidence:
            return flag
        best = candidates[0]
        if proposal is not None and proposal.value == best.value and proposal.confidence >= alone.get(best.value, 0.0):
            evidence = example_evidence(proposal, [self.canonical.tuple_ids[row] for row in proposal.tuple_ids])
        else:
            evidence = self.evidence(found, best.value)
        return replace(flag, outcome=Outcome.REPAIRED, repair=best.value, confidence=best.confidence, evidence=evidence)

    def _proposal(self, cell: Cell) -> Proposal | None:
        """What an edit that corrects examples makes of the cell; None where that is against the rules."""
        observed = self.relation.value(cell)
        if self._lessons is None or not observed:
            return None
        proposal = self._lessons.repair.proposal(cell.attribute, observed)
        if proposal is None or (proposal.value and not self.rules.allowed(cell.attribute, proposal.value)):
            return None
        return proposal

    def evidence(self, found: CandidateSet, value: str) -> Evidence:
        """What decided for `value`: the model where it alone would have chosen it, else the statistics."""
        return explain(found, value, self.calibration, self.relation, self.canonical, self.options.min_confidence)

    def _is_wrong(self, example: CellExample) -> bool:
        return (self.observed.value(example.cell) or "") != (example.value or "")

    def _from_example(self, example: CellExample) -> Repair:
        """The repair that the caller knows; where only detection is asked for, its flag."""
        observed = self.observed.value(example.cell)
        evidence = Evidence("example", (), "the value that came with the request")
        if self.options.detect_only:
            return Repair(example.cell, observed, 1.0, Outcome.ABSTAINED, evidence)
        return Repair(example.cell, observed, 1.0, Outcome.REPAIRED, evidence, example.value or "", 1.0)


class _Lessons:
    """What the examples of one call teach: their cells are judged as they were before their true values were put in.

    Args:
        canonical: the relation with the examples put in, which is to be judged in the light of them.
    """

    repair: RepairLessons
    _detection: DetectionLessons

    def __init__(
        self,
        checkpoint: Checkpoint,
        observed: Relation,
        options: CleaningOptions,
        canonical: Canonical,
        context: int,
    ) -> None:
        self._checkpoint = checkpoint
        self._examples = options.examples
        self._canonical = canonical
        self._before = Canonical.of(observed)
        rules = Rules([self._before.rule(rule) for rule in options.rules])
        self._reader = Reader(checkpoint, self._before.relation, context)
        self._statistics = RelationStatistics(self._before.relation, rules.dependencies)
        self._known: list[KnownCell] = []
        self._places: list[Cell] = []

    @property
    def _calibration(self) -> Calibration:
        assert self._checkpoint.calibration is not None
        return self._checkpoint.calibration

    def learn_detection(self) -> ModelTask[None]:
        """Judge the labelled tuples and refit detection to what is known of them."""
        examples = sorted(self._examples, key=self._order)
        self._places = [self._before.place(example.cell) for example in examples]
        rows = sorted({place.tuple_id for place in self._places})
        logits = yield from detect(self._reader, tuple_ids=rows)
        features = detection_features(self._checkpoint, logits, self._statistics)
        features = features[[place.tuple_id for place in self._places], [place.attribute for place in self._places]]
        probabilities = calibrated(self._calibration, "detection", features, True)
        self._known = [
            KnownCell(
                self._canonical.place(example.cell),
                self._before.relation.value(place) or "",
                example.value or "",
                float(probability),
                its,
            )
            for example, place, probability, its in zip(examples, self._places, probabilities, features, strict=True)
        ]
        self._detection = DetectionLessons(self._known, self._calibration["detection"])

    def _order(self, example: CellExample) -> tuple[list[str], int, str]:
        """By content, since equal tuples have no order of their own."""
        place = self._before.place(example.cell)
        content = [value or "" for value in self._before.relation.tuples[place.tuple_id]]
        return content, place.attribute, example.value or ""

    def error_probabilities(
        self, features: np.ndarray, probabilities: np.ndarray, statistics: RelationStatistics
    ) -> np.ndarray:
        """Error probabilities of all cells, (tuples, attributes), from those without labels and their features."""
        return np.stack(
            [
                self._detection.error_probabilities(
                    attribute, column, features[:, attribute], probabilities[:, attribute]
                )
                for attribute, column in enumerate(statistics.columns)
            ],
            axis=1,
        )

    def learn_repair(self) -> ModelTask[int]:
        """Find candidates of corrected cells and refit repair to which of them are right; gives decoder tokens."""
        corrected = [number for number, one in enumerate(self._known) if one.wrong]
        asked = [
            AskedCell(self._places[number], "repair", float(self._detection.known_logits[number]))
            for number in corrected
        ]
        finder = CandidateFinder(self._checkpoint, self._reader, self._statistics)
        found = yield from finder.find(asked)
        cells = [self._known[number] for number in corrected]
        labelled = [
            LabelledCandidates(cell.cell, cell.observed, cell.true, one) for cell, one in zip(cells, found, strict=True)
        ]
        self.repair = RepairLessons(labelled, self._calibration["repair"], self._detection.programs)
        return finder.decoder_tokens


def explain(
    found: CandidateSet,
    value: str,
    calibration: Calibration,
    relation: Relation,
    canonical: Canonical,
    min_confidence: float,
) -> Evidence:
    """The evidence that decided for a candidate value.

    The model is named where its scores alone, without any statistic, make the value both the best
    candidate and likely enough. Otherwise the statistic that supports it is named.
    """
    supporters = [tuple_id for vote in found.votes if vote.value == value for tuple_id in vote.tuple_ids]
    supporters += [tuple_id for tuple_id in found.context.get(value, ()) if tuple_id not in supporters]
    tuple_ids = tuple(canonical.tuple_ids[tuple_id] for tuple_id in supporters[:5])
    alone = calibrated(calibration, found.asked.calibrator, found.features, False)
    place = found.values.index(value)
    if alone[place] >= min_confidence and alone[place] == alone.max():
        return Evidence("model", tuple_ids, "the model's own first choice, without column statistics")
    for vote in found.votes:
        if vote.value == value:
            names = ", ".join(repr(relation.attributes[attribute]) for attribute in vote.determinants[:3])
            return Evidence("dependency", tuple_ids, f"rows that agree on {names} hold this value")
    if value == found.respelled:
        return Evidence("format", (), "the value as most of the column is written")
    if value == found.corrected:
        return Evidence("spelling", (), "a misspelled word replaced by a frequent word of the column")
    if value in found.in_text:
        return Evidence("row_text", (), "a value of this column that stands in another cell of the row")
    if found.evidence.is_mentioned(value):
        return Evidence(
            "row_text", (), "stands in another cell of the row, where values of this column are used to stand"
        )
    if found.evidence.is_predicted(value):
        return Evidence(
            "prediction", tuple_ids, "what the other cells of the row say, as learned from the rows of this table"
        )
    for near in found.evidence.neighbours:
        if near.value == value:
            rows = tuple(canonical.tuple_ids[tuple_id] for tuple_id in near.tuple_ids)
            return Evidence("similar_row", rows, "the rows that resemble this one most hold this value")
    if value in found.similar:
        return Evidence("similar_value", tuple_ids, "a more frequent value of the column, close to this one")
    if value in found.context:
        return Evidence("context", tuple_ids, "a similar row holds this value")
    return Evidence("model", tuple_ids, "written by the model; column statistics raised its confidence")


def _limit_error_rate(repairs: list[Repair], max_error_rate: float | None) -> list[Repair]:
    """Keep the surest repairs while at most the given share of them is expected to be wrong."""
    if max_error_rate is None:
        return repairs
    surest = sorted(
        (number for number, repair in enumerate(repairs) if repair.outcome is Outcome.REPAIRED),
        key=lambda number: (-(repairs[number].confidence or 0.0), number),
    )
    confidences = [repairs[number].confidence or 0.0 for number in surest]
    expected, kept = 0.0, 0
    for rank, confidence in enumerate(confidences, start=1):
        expected += 1.0 - confidence
        # Repairs of one confidence stay or go together: their order is that of the rows, which must not decide.
        ends_here = rank == len(confidences) or confidences[rank] < confidence
        if ends_here and expected <= max_error_rate * rank + 1e-9:
            kept = rank
    limited = list(repairs)
    for number in surest[kept:]:
        limited[number] = replace(repairs[number], outcome=Outcome.ABSTAINED, repair=None, confidence=None)
    return limited


def _with_examples(relation: Relation, options: CleaningOptions) -> Relation:
    """The relation with the values that the caller knows, so that they serve as evidence for the rest."""
    if not options.examples:
        return relation
    rows = [list(values) for values in relation.tuples]
    for example in options.examples:
        rows[example.cell.tuple_id][example.cell.attribute] = example.value
    return Relation.of(relation.attributes, rows, relation.name)


def _check(relation: Relation, options: CleaningOptions) -> None:
    """Refuse options that do not fit the relation."""
    width = len(relation.attributes)
    for attribute in options.attributes or ():
        if not 0 <= attribute < width:
            raise OptionError(f"column {attribute} is outside the table's {width} columns", field="columns")
    if not 0.0 <= options.min_confidence <= 1.0:
        raise OptionError(f"min_confidence {options.min_confidence} is outside 0 to 1", field="min_confidence")
    if options.max_error_rate is not None and not 0.0 <= options.max_error_rate <= 1.0:
        raise OptionError(f"max_error_rate {options.max_error_rate} is outside 0 to 1", field="max_error_rate")
    if options.suggest_labels < 0:
        raise OptionError(f"suggest_labels {options.suggest_labels} is negative", field="suggest_labels")
    if options.max_candidates < 1:
        raise OptionError(f"max_candidates {options.max_candidates} is below 1", field="max_candidates")
    known: set[Cell] = set()
    for example in options.examples:
        cell = example.cell
        message = "two examples for one cell" if cell in known else None
        if not (0 <= cell.tuple_id < len(relation) and 0 <= cell.attribute < width):
            message = "an example is outside the table"
        if message is not None:
            raise OptionError(message, tuple_id=cell.tuple_id, attribute=cell.attribute, field="examples")
        known.add(cell)
    for rule in options.rules:
        check_rule(rule, width)
