"""Where the command line meets the engine: columns and rows become a relation, repairs become judgements.

The one idea: a run over a file knows nothing of the model, and the model nothing of files; this is the only module of
the command line that knows both vocabularies, and the only one that imports the engine (late: it brings torch).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from service.cli.labels import Labels
from service.storage.table_file import Text
from service.table_run import AdaptationCounts, Judge, Judgement, Progress

if TYPE_CHECKING:
    from service.engine import (
        AdaptationOptions,
        Completion,
        Engine,
        FinetuneReport,
        NormalizedCell,
        Relation,
        Repair,
        ResolutionOptions,
        Usage,
    )

T = TypeVar("T")


class JudgingError(Exception):
    """The model cannot be loaded, or refuses the table or the options."""


@dataclass(frozen=True, slots=True)
class JudgingOptions:
    """What the caller asks for; `columns` None judges all, `adapt` trains a copy of the model on each part first.

    Attributes:
        practice: whether known cells are filled too, to learn what to believe.
        labels: what is known of the rows, and where the rows go that are worth knowing.
    """

    columns: frozenset[int] | None = None
    min_confidence: float = 0.5
    max_error_rate: float | None = None
    detect_only: bool = False
    adapt: bool = False
    practice: bool = True
    labels: Labels = field(default_factory=Labels, compare=False)


@dataclass(frozen=True, slots=True)
class WeightsDescription:
    """The model that was found; `expected_sha256` is what its card says, None where the card says nothing."""

    name: str
    version: str
    sha256: str
    expected_sha256: str | None


@dataclass(frozen=True, slots=True)
class ResolvingOptions:
    """What the caller of a resolution asks for; `preferences` are rules by column."""

    threshold: float = 0.5
    cardinality: str = "many_to_many"
    max_cluster_size: int | None = None
    candidates: int | None = None
    consolidate: bool = True
    preferences: Mapping[str, str] = field(default_factory=dict)


Place = tuple[int, int]
"""A record: table and row, both from 0."""


@dataclass(frozen=True, slots=True)
class ResolvedEntity:
    """Records that are one entity; `record` has its value of each column, None where there is no golden record."""

    id: str
    confidence: float
    members: tuple[Place, ...]
    record: Mapping[str, str | None] | None


@dataclass(frozen=True, slots=True)
class ResolvedPair:
    """A pair that matches or is for review; `weights` are what each column says."""

    left: Place
    right: Place
    probability: float
    decision: str
    weights: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a resolution found; `histogram` counts candidate pairs by probability, in equal bins from 0 to 1."""

    entities: tuple[ResolvedEntity, ...]
    pairs: tuple[ResolvedPair, ...]
    conflicts: int
    candidate_pairs: int
    method: str
    seconds: float
    histogram: tuple[int, ...] = ()
    review_band: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Planned:
    """What a resolution would compare."""

    records: int
    possible_pairs: int
    candidate_pairs: int
    reduction_ratio: float
    dropped_blocks: int
    seconds: float


@dataclass(frozen=True, slots=True)
class ColumnExample:
    """The places of a source and a target column, and whether they are one."""

    source: int
    target: int
    is_match: bool


@dataclass(frozen=True, slots=True)
class MatchingColumnsOptions:
    """What the caller who matches columns asks for."""

    min_confidence: float = 0.5
    one_to_one: bool = True
    examples: tuple[ColumnExample, ...] = ()


@dataclass(frozen=True, slots=True)
class ColumnEvidence:
    """What one source of evidence says of a match."""

    source: str
    weight: float
    detail: str

    def __str__(self) -> str:
        return f"{self.source} {self.weight:+.1f}: {self.detail}"


@dataclass(frozen=True, slots=True)
class MatchedColumn:
    """Two columns that are one."""

    source: str
    target: str
    confidence: float
    evidence: tuple[ColumnEvidence, ...]


@dataclass(frozen=True, slots=True)
class RankedColumn:
    """A target that a source column may be."""

    target: str
    confidence: float


@dataclass(frozen=True, slots=True)
class MatchedColumns:
    """What was matched; `ranked` has the targets of each source column, `abstained` those without a match."""

    matches: tuple[MatchedColumn, ...]
    ranked: Mapping[str, tuple[RankedColumn, ...]]
    abstained: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Wanted:
    """An attribute to extract; `examples` are texts with the value that stands in each, None where there is none."""

    name: str
    examples: tuple[tuple[str, str | None], ...] = ()


@dataclass(frozen=True, slots=True)
class Extracted:
    """The answer of one text for one attribute, both by number."""

    text: int
    attribute: int
    outcome: str
    value: str | None
    start: int | None
    end: int | None
    confidence: float | None
    evidence_source: str


@dataclass(frozen=True, slots=True)
class Transformed:
    """The answer for one text; `output` where the outcome is `value`, `detail` is what a program does."""

    outcome: str
    output: str | None
    confidence: float | None
    evidence_source: str
    detail: str | None


@dataclass(frozen=True, slots=True)
class WantedFormat:
    """A value in the format that is wanted of a column, by number, and what it was written as, where that is known."""

    column: int
    output: str
    input: str | None


@dataclass(frozen=True, slots=True)
class Annotated:
    """The labels of one column, best first with their confidences; `label` where the best is likely enough."""

    column: str
    label: str | None
    candidates: tuple[tuple[str, float], ...]
    detail: str


NamedRows = tuple[Sequence[str], Sequence[tuple[Text, ...]]]
"""Distinct column names and rows of one table."""


class Judges(Protocol):
    """A loaded model that can judge tables."""

    @property
    def model(self) -> Mapping[str, str]:
        """Name, version and hash."""

    @property
    def adaptation(self) -> AdaptationCounts:
        """What adapting has taken so far."""

    def cleaning(self, options: JudgingOptions) -> Judge:
        """Flags wrong cells and repairs them."""

    def completion(self, options: JudgingOptions) -> Judge:
        """Fills missing cells."""

    def annotation(
        self, table: NamedRows, labels: Sequence[str] | None, min_confidence: float, progress: Progress
    ) -> list[Annotated]:
        """Labels for each column, out of `labels` or of the built-in ones.

        Raises:
            JudgingError: the model refuses the labels, or was not trained to annotate.
        """

    def extraction(self, texts: Sequence[Text], wanted: Sequence[Wanted], progress: Progress) -> list[Extracted]:
        """The value of each attribute in each text.

        Raises:
            JudgingError: the model refuses the attributes, or was not trained to extract.
        """

    def transformation(
        self, examples: Sequence[tuple[str, str]], texts: Sequence[str], min_confidence: float, progress: Progress
    ) -> list[Transformed]:
        """What inputs and outputs show, done to each text.

        Raises:
            JudgingError: the examples contradict each other, or the model was not trained to transform.
        """

    def normalization(self, options: JudgingOptions, wanted: Sequence[WantedFormat]) -> Judge:
        """Rewrites values into the format of their column, or into that of the examples."""

    def resolution(self, tables: Sequence[NamedRows], options: ResolvingOptions, progress: Progress) -> Resolved:
        """Finds the entities of one table or two."""

    def plan(self, tables: Sequence[NamedRows], options: ResolvingOptions) -> Planned:
        """Says what finding them would compare."""

    def columns(
        self, source: NamedRows, target: NamedRows, options: MatchingColumnsOptions, progress: Progress
    ) -> MatchedColumns:
        """Finds which columns of two tables are one."""


class Measured(Protocol):
    """The tables of an evaluation."""

    def to_markdown(self) -> str:
        """For people."""

    def to_json(self) -> object:
        """For programs."""

    def pictures(self) -> Mapping[str, bytes]:
        """PNGs by file name."""

    def to_html(self, pictures: Mapping[str, bytes]) -> str:
        """For a browser, its pictures included."""


@contextlib.contextmanager
def load_judges(folder: Path | None = None) -> Iterator[Judges]:
    """Load the model of `folder`, or the one in the box, and let it go at the end.

    Raises:
        JudgingError: there is no model there, or it cannot be loaded.
    """
    with _loaded(folder) as engine:
        yield _EngineJudges(engine)


def describe_weights(folder: Path | None = None) -> WeightsDescription:
    """Load a model only to say what it is.

    Raises:
        JudgingError: there is no model there, or it cannot be loaded.
    """
    with _loaded(folder) as engine:
        described = engine.description
    expected = described.card.get("sha256")
    return WeightsDescription(
        described.name, described.version, described.sha256, str(expected) if expected is not None else None
    )


def evaluate_model(
    tasks: Sequence[str], bench: Path, corpus: Path | None, folder: Path | None, seed: int, progress: Progress
) -> Measured:
    """Measure a model.

    Raises:
        JudgingError: there is no model there, no data, or no such task.
    """
    from service.engine import ModelError, evaluate

    try:
        return evaluate(tasks, bench, corpus, folder, seed, progress)
    except ModelError as error:
        raise JudgingError(str(error)) from error


def finetune_model(
    task: str,
    labels: Sequence[Mapping[str, str | None]],
    folder: Path,
    name: str,
    base: Path | None,
    options: Mapping[str, object],
    progress: Progress,
) -> FinetuneReport:
    """Fine-tune a model and publish it by its name.

    Raises:
        JudgingError: the name, the labels or the options do not fit, or the model was not trained for the task.
    """
    from service.engine import InputError, ModelError, finetune

    try:
        return finetune(task, labels, folder, name, base, options, progress)
    except InputError as error:
        where = "" if error.tuple_id is None else f"label {error.tuple_id + 1}: "
        raise JudgingError(f"{where}{error}") from error
    except ModelError as error:
        raise JudgingError(str(error)) from error


@contextlib.contextmanager
def _loaded(folder: Path | None) -> Iterator[Engine]:
    from service.engine import Engine, NotReadyError

    engine = Engine(folder)
    engine.start()
    try:
        engine.wait_ready()
        yield engine
    except NotReadyError as error:
        raise JudgingError(str(error)) from error
    finally:
        engine.stop()


class _EngineJudges:
    """Judges of a loaded engine: rows become a relation, repairs and completions become judgements."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._adaptation = AdaptationCounts()

    @property
    def model(self) -> Mapping[str, str]:
        described = self._engine.description
        return {"name": described.name, "version": described.version, "sha256": described.sha256}

    @property
    def adaptation(self) -> AdaptationCounts:
        return self._adaptation

    def cleaning(self, options: JudgingOptions) -> Judge:
        from service.engine import Cell, CellExample, CleaningOptions, Relation

        asked = CleaningOptions(
            attributes=options.columns,
            detect_only=options.detect_only,
            min_confidence=options.min_confidence,
            max_error_rate=options.max_error_rate,
            suggest_labels=options.labels.wanted,
        )

        def judge(names: Sequence[str], rows: list[tuple[Text, ...]], progress: Progress) -> list[Judgement]:
            known = tuple(CellExample(Cell(row, column), value) for row, column, value in options.labels.examples())
            part = replace(asked, examples=known, adapt=_adaptation(options, rows))
            result = _result(self._engine.clean(Relation.of(names, rows), part, progress))
            for suggestion in result.suggestions:
                options.labels.suggest(suggestion.tuple_id, suggestion.reason)
            self._count(result.usage)
            return [_judgement(repair, repair.repair, repair.error_probability) for repair in result.repairs]

        return judge

    def completion(self, options: JudgingOptions) -> Judge:
        from service.engine import Cell, CompletionOptions, CompletionTarget, Relation

        def judge(names: Sequence[str], rows: list[tuple[Text, ...]], progress: Progress) -> list[Judgement]:
            targets = tuple(
                CompletionTarget(Cell(row, column))
                for row, values in enumerate(rows)
                for column, value in enumerate(values)
                if not value and (options.columns is None or column in options.columns)
            )
            asked = CompletionOptions(
                targets, options.min_confidence, practice=options.practice, adapt=_adaptation(options, rows)
            )
            result = _result(self._engine.complete(Relation.of(names, rows), asked, progress))
            self._count(result.usage)
            return [_judgement(one, one.value, None) for one in result.completions]

        return judge

    def annotation(
        self, table: NamedRows, labels: Sequence[str] | None, min_confidence: float, progress: Progress
    ) -> list[Annotated]:
        from service.engine import AnnotationOptions, Relation

        names, rows = table
        asked = AnnotationOptions(None if labels is None else tuple(labels), min_confidence)
        result = _result(self._engine.annotate(Relation.of(names, rows), asked, progress))
        return [
            Annotated(
                names[one.attribute],
                one.label,
                tuple((candidate.label, candidate.confidence) for candidate in one.candidates),
                one.detail,
            )
            for one in result.annotations
        ]

    def extraction(self, texts: Sequence[Text], wanted: Sequence[Wanted], progress: Progress) -> list[Extracted]:
        from service.engine import AskedAttribute, ExtractionExample

        attributes = [
            AskedAttribute(one.name, None, tuple(ExtractionExample(text, value) for text, value in one.examples))
            for one in wanted
        ]
        result = _result(self._engine.extract(texts, attributes, progress))
        return [
            Extracted(
                one.text_id,
                one.attribute,
                one.outcome.value,
                one.value,
                one.start,
                one.end,
                one.confidence,
                one.evidence.source,
            )
            for one in result.extractions
        ]

    def transformation(
        self, examples: Sequence[tuple[str, str]], texts: Sequence[str], min_confidence: float, progress: Progress
    ) -> list[Transformed]:
        from service.engine import TransformationOptions, TransformExample

        shown = [TransformExample(given, wanted) for given, wanted in examples]
        result = _result(self._engine.transform(shown, texts, TransformationOptions(min_confidence), progress))
        return [
            Transformed(one.outcome.value, one.output, one.confidence, one.evidence.source, one.evidence.detail)
            for one in result.transformations
        ]

    def normalization(self, options: JudgingOptions, wanted: Sequence[WantedFormat]) -> Judge:
        from service.engine import NormalizationExample, NormalizationOptions, Relation

        examples = tuple(NormalizationExample(one.column, one.output, one.input) for one in wanted)
        columns = None if options.columns is None else tuple(sorted(options.columns))
        asked = NormalizationOptions(columns, examples, options.min_confidence)

        def judge(names: Sequence[str], rows: list[tuple[Text, ...]], progress: Progress) -> list[Judgement]:
            result = _result(self._engine.normalize(Relation.of(names, rows), asked, progress))
            return [_rewriting(one) for one in result.cells]

        return judge

    def resolution(self, tables: Sequence[NamedRows], options: ResolvingOptions, progress: Progress) -> Resolved:
        relations, asked = _resolution(tables, options)
        result = _result(self._engine.resolve(relations, asked, progress))
        entities = tuple(
            ResolvedEntity(
                one.id,
                one.confidence,
                tuple((place.relation, place.tuple_id) for place in one.members),
                None if one.record is None else {value.attribute: value.value for value in one.record},
            )
            for one in result.entities
        )
        pairs = tuple(
            ResolvedPair(
                (one.left.relation, one.left.tuple_id),
                (one.right.relation, one.right.tuple_id),
                one.probability,
                one.decision.value,
                {said.attribute: said.weight for said in one.agreements},
            )
            for one in result.pairs
        )
        compared, seconds = result.plan.candidate_pairs, result.usage.seconds
        counts = len(result.conflicts), compared
        return Resolved(entities, pairs, *counts, result.method.value, seconds, result.histogram, asked.review_band)

    def plan(self, tables: Sequence[NamedRows], options: ResolvingOptions) -> Planned:
        relations, asked = _resolution(tables, options)
        plan = _result(self._engine.plan_resolution(relations, asked))
        counts = plan.records, plan.possible_pairs, plan.candidate_pairs
        return Planned(*counts, plan.reduction_ratio, plan.dropped_blocks, plan.seconds)

    def columns(
        self, source: NamedRows, target: NamedRows, options: MatchingColumnsOptions, progress: Progress
    ) -> MatchedColumns:
        from service.engine import Relation, Schema, SchemaExample, SchemaMatchingOptions

        schemas = [Schema(Relation.of(*table)) for table in (source, target)]
        examples = tuple(SchemaExample(one.source, one.target, one.is_match) for one in options.examples)
        asked = SchemaMatchingOptions(options.one_to_one, options.min_confidence, examples)
        result = _result(self._engine.match_schema(schemas[0], schemas[1], asked, progress))
        matches = tuple(
            MatchedColumn(
                source[0][one.source],
                target[0][one.target],
                one.confidence,
                tuple(ColumnEvidence(said.source.value, said.weight, said.detail) for said in one.evidence),
            )
            for one in result.matches
        )
        ranked = {
            name: tuple(RankedColumn(target[0][one.target], one.confidence) for one in found)
            for name, found in zip(source[0], result.ranked, strict=True)
        }
        matched = {one.source for one in matches}
        abstained = tuple(name for name in source[0] if name not in matched)
        return MatchedColumns(matches, ranked, abstained, result.usage.seconds)

    def _count(self, usage: Usage) -> None:
        if usage.adaptation is not None:
            self._adaptation.parts += 1
            self._adaptation.steps += usage.adaptation.steps
            self._adaptation.encoder_tokens += usage.adaptation.encoder_tokens
            self._adaptation.seconds += usage.adaptation.seconds


def _resolution(tables: Sequence[NamedRows], options: ResolvingOptions) -> tuple[list[Relation], ResolutionOptions]:
    from service.engine import Cardinality, NamedPreference, Relation, ResolutionOptions

    relations = [Relation.of(names, rows) for names, rows in tables]
    preferences = tuple(NamedPreference(column, rule) for column, rule in options.preferences.items())
    asked = ResolutionOptions(
        options.threshold,
        cardinality=Cardinality(options.cardinality),
        max_cluster_size=options.max_cluster_size,
        consolidate=options.consolidate,
        preferences=preferences,
        candidates=options.candidates,
    )
    return relations, asked


def _adaptation(options: JudgingOptions, rows: Sequence[object]) -> AdaptationOptions | None:
    """How to adapt to one part; the last one of a long table may be too small, and that must not end the run."""
    from service.engine import MIN_ADAPTED_ROWS, AdaptationOptions

    return AdaptationOptions() if options.adapt and len(rows) >= MIN_ADAPTED_ROWS else None


def _result(future: Future[T]) -> T:
    from service.engine import ModelError

    try:
        return future.result()
    except ModelError as error:
        raise JudgingError(str(error)) from error
    finally:
        future.cancel()  # an interrupted command leaves no work behind


def _judgement(one: Repair | Completion, new: str | None, error_probability: float | None) -> Judgement:
    return Judgement(
        row=one.cell.tuple_id,
        column=one.cell.attribute,
        outcome=one.outcome.value,
        new=new,
        confidence=one.confidence,
        error_probability=error_probability,
        candidates=tuple((candidate.value, candidate.confidence) for candidate in one.candidates),
        evidence_source=one.evidence.source,
        evidence_rows=one.evidence.tuple_ids,
        detail=one.evidence.detail,
    )


def _rewriting(one: NormalizedCell) -> Judgement:
    return Judgement(
        row=one.cell.tuple_id,
        column=one.cell.attribute,
        outcome=one.outcome.value,
        new=one.output,
        confidence=one.confidence,
        evidence_source=one.evidence.source,
        evidence_rows=one.evidence.tuple_ids,
        detail=one.evidence.detail,
    )
