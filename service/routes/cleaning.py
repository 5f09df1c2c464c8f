"""`POST /v1/clean`: a table in, flagged cells with repairs out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from fastapi import APIRouter, Request

from api_schemas.cleaning import (
    MAX_EXAMPLE_CELLS,
    CellExample,
    CellJudgement,
    CleaningRequest,
    CleaningResponse,
    CleaningSummary,
    ColumnSummary,
    DomainRule,
    FunctionalDependencyRule,
    PatternRule,
    RowExample,
    Suggestion,
)
from api_schemas.errors import ErrorDetail
from service import engine as words
from service.dependencies import EngineOf, MetricsOf, SettingsOf, answer
from service.engine import Cell, CleaningOptions, Relation, Repair
from service.errors import InvalidRequestError
from service.limits import ModelRoute, check_length, check_table
from service.routes.answers import (
    MODEL_PROBLEMS,
    ColumnIndex,
    adaptation_of,
    candidates_of,
    count_answer,
    evidence_of,
    model_info,
    usage_of,
)
from service.settings import Settings

router = APIRouter(route_class=ModelRoute, tags=["cells"])


@router.post("/clean", responses=MODEL_PROBLEMS)
async def clean_table(
    request: Request, body: CleaningRequest, engine: EngineOf, settings: SettingsOf, metrics: MetricsOf
) -> CleaningResponse:
    """Flag wrong cells and repair them.

    Each flagged cell is `repaired`, or `abstained` where no repair reaches `min_confidence`. A clean table gets an
    empty list. Rows are numbered from 0; the answer does not depend on the order of rows or columns, nor on other
    requests. `examples` are learned from: what is wrong about them and how they are corrected is applied to the other
    rows. `suggest_labels` asks which rows are most worth an example. With `adapt` a copy of the model is first trained
    on the table for some minutes.
    """
    rows = check_table(body.table, settings)
    names = body.table.names
    options = cleaning_options(body, ColumnIndex(names), len(rows), settings)
    result = await answer(request, engine.clean(Relation.of(names, rows, body.table.name), options))
    cells = [judgement(repair, names) for repair in result.repairs]
    count_answer(metrics, "clean", result.usage, [cell.outcome for cell in cells])
    return CleaningResponse(
        cells=cells,
        suggestions=[Suggestion(row=one.tuple_id, reason=one.reason) for one in result.suggestions],
        summary=summarize(cells, len(rows), len(names)),
        model=model_info(engine),
        usage=usage_of(result.usage),
    )


def cleaning_options(body: CleaningRequest, columns: ColumnIndex, rows: int, settings: Settings) -> CleaningOptions:
    """The request's options with columns by index.

    Raises:
        InvalidRequestError: a column or a row that is not in the table, a rule or an example that does not fit it, or a
            table that is not adapted to.
    """
    wanted = None
    if body.columns is not None:
        wanted = frozenset(columns.find(name, f"/columns/{place}") for place, name in enumerate(body.columns))
    rules = tuple(_rule(rule, columns, settings, f"/rules/{place}") for place, rule in enumerate(body.rules))
    return CleaningOptions(
        attributes=wanted,
        detect_only=body.detect_only,
        min_confidence=body.min_confidence,
        max_error_rate=body.max_error_rate,
        max_candidates=body.max_candidates,
        examples=_examples(body.examples, columns, rows, settings),
        rules=rules,
        suggest_labels=body.suggest_labels,
        adapt=adaptation_of(body.adapt, rows, len(columns), settings),
    )


def _examples(
    examples: Sequence[CellExample | RowExample], columns: ColumnIndex, rows: int, settings: Settings
) -> tuple[words.CellExample, ...]:
    """Every cell that is known, once."""
    known: dict[Cell, words.CellExample] = {}
    for place, example in enumerate(examples):
        for name, one in _cell_examples(example, columns, rows, settings, f"/examples/{place}"):
            if one.cell in known:
                detail = "there are two examples for one cell"
                where = ErrorDetail(detail=detail, pointer=f"/examples/{place}", row=example.row, column=name)
                raise InvalidRequestError(detail, [where])
            known[one.cell] = one
    if len(known) > MAX_EXAMPLE_CELLS:
        detail = f"the examples are {len(known)} cells, at most {MAX_EXAMPLE_CELLS} are taken"
        raise InvalidRequestError(detail, [ErrorDetail(detail=detail, pointer="/examples")])
    return tuple(known.values())


def _cell_examples(
    example: CellExample | RowExample, columns: ColumnIndex, rows: int, settings: Settings, pointer: str
) -> Iterator[tuple[str, words.CellExample]]:
    """The cells of one example, with their columns by name and by index."""
    columns.check_row(example.row, rows, f"{pointer}/row")
    if isinstance(example, CellExample):
        named = {example.column: example.value}
        column_pointer, value_pointer = f"{pointer}/column", f"{pointer}/value"
    else:
        named = example.values
        column_pointer = value_pointer = f"{pointer}/values"
    for name, value in named.items():
        check_length(value, settings, value_pointer, name)
        yield name, words.CellExample(Cell(example.row, columns.find(name, column_pointer)), value)


def _rule(
    rule: FunctionalDependencyRule | PatternRule | DomainRule, columns: ColumnIndex, settings: Settings, pointer: str
) -> words.Rule:
    """One rule with columns by index, checked where its place in the request is known."""
    place, named = pointer, None
    if isinstance(rule, FunctionalDependencyRule):
        determinants = tuple(
            columns.find(name, f"{pointer}/determinants/{number}") for number, name in enumerate(rule.determinants)
        )
        made: words.Rule = words.FunctionalDependency(
            determinants, columns.find(rule.dependent, f"{pointer}/dependent")
        )
    elif isinstance(rule, PatternRule):
        place, named = f"{pointer}/regex", rule.column
        made = words.PatternRule(columns.find(rule.column, f"{pointer}/column"), rule.regex)
    else:
        for number, value in enumerate(rule.values):
            check_length(value, settings, f"{pointer}/values/{number}", rule.column)
        made = words.DomainRule(columns.find(rule.column, f"{pointer}/column"), frozenset(rule.values))
    try:
        words.check_rule(made, len(columns))
    except words.InputError as error:
        raise InvalidRequestError(str(error), [ErrorDetail(detail=str(error), pointer=place, column=named)]) from error
    return made


def judgement(repair: Repair, names: Sequence[str]) -> CellJudgement:
    """One flagged cell in the words of the contract."""
    return CellJudgement(
        row=repair.cell.tuple_id,
        column=names[repair.cell.attribute],
        value=repair.value,
        error_probability=round(repair.error_probability, 6),
        outcome=repair.outcome.value,
        repair=repair.repair,
        confidence=repair.confidence,
        candidates=candidates_of(repair.candidates),
        evidence=evidence_of(repair.evidence),
    )


def summarize(cells: Sequence[CellJudgement], rows: int, columns: int) -> CleaningSummary:
    """Counts of all flagged cells, and by column."""
    by_column: dict[str, list[str]] = {}
    for cell in cells:
        by_column.setdefault(cell.column, []).append(cell.outcome)
    counts: Mapping[str, ColumnSummary] = {name: _counts(outcomes) for name, outcomes in sorted(by_column.items())}
    total = _counts([cell.outcome for cell in cells])
    return CleaningSummary(rows=rows, cells=rows * columns, by_column=dict(counts), **total.model_dump())


def _counts(outcomes: Sequence[str]) -> ColumnSummary:
    return ColumnSummary(
        flagged=len(outcomes), repaired=outcomes.count("repaired"), abstained=outcomes.count("abstained")
    )
