"""`rpt match-schema`: two table files in, the columns that are one out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text as Styled

from service.cli.cleaning import Delimiter, EncodingName, ModelFolder, Quiet, loaded, opened
from service.cli.judging import ColumnExample, MatchedColumns, MatchingColumnsOptions
from service.cli.terminal import CommandError, ProgressBars, check_places, failing_plainly, say
from service.cli.whole_tables import PROBLEMS, written_csv
from service.storage.files import written_whole
from service.storage.table_file import Text, unique_names

READ_ROWS = 20_000

File = Annotated[str, typer.Argument(help="CSV, TSV, JSON Lines, Parquet or XLSX file; a header alone will do.")]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="OUT", help="Write the matches to a .csv or .json file.")
]
MinConfidence = Annotated[float, typer.Option(min=0.0, max=1.0, help="Below this confidence there is no match.")]
Many = Annotated[bool, typer.Option("--many", help="A column may be in several matches.")]
Same = Annotated[
    list[str] | None, typer.Option("--same", metavar="SOURCE=TARGET", help="Two columns that are one; teaches others.")
]
Different = Annotated[
    list[str] | None, typer.Option("--different", metavar="SOURCE=TARGET", help="Two columns that are not one.")
]
Rows = Annotated[int, typer.Option("--rows", min=0, help="Rows of each table that are read, from the first.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print matches and rankings as JSON to stdout.")]


@dataclass(frozen=True, slots=True)
class _Input:
    """The first rows of a table; `is_cut` where it has more."""

    path: str
    names: tuple[str, ...]
    rows: list[tuple[Text, ...]]
    is_cut: bool


def match_schema(
    source: File,
    target: File,
    output: Output = None,
    min_confidence: MinConfidence = 0.5,
    many: Many = False,
    same: Same = None,
    different: Different = None,
    rows: Rows = READ_ROWS,
    as_json: AsJson = False,
    encoding: EncodingName = None,
    delimiter: Delimiter = None,
    model: ModelFolder = None,
    quiet: Quiet = False,
) -> None:
    """Find which columns of two tables are one, by names and values."""
    with failing_plainly(*PROBLEMS):
        _check_output(output, (source, target))
        tables = [_read(file, encoding, delimiter, rows) for file in (source, target)]
        examples = [*_examples(same, tables, is_match=True), *_examples(different, tables, is_match=False)]
        options = MatchingColumnsOptions(min_confidence, not many, tuple(examples))
        with loaded(model, quiet) as judges, ProgressBars(enabled=not quiet) as bars:
            named = [(table.names, table.rows) for table in tables]
            matched = judges.columns(named[0], named[1], options, bars)
        if output is not None:
            _write(matched, output)
        if as_json:
            typer.echo(_json(matched))
        elif output is None:
            _show(matched)
        if not quiet:
            _summarize(matched, tables, output)


def _check_output(output: Path | None, files: Sequence[str]) -> None:
    if output is None:
        return
    if output.suffix.lower() not in (".csv", ".json"):
        raise CommandError(f"{output}: matches are written as .csv or .json")
    check_places(output, [Path(file) for file in files])


def _read(file: str, encoding: str | None, delimiter: str | None, most: int) -> _Input:
    with opened(file, encoding, delimiter) as table:
        names = unique_names(table.columns)
        rows: list[tuple[Text, ...]] = []
        for chunk in table.chunks():
            rows += chunk.rows
            if len(rows) > most:
                return _Input(file, names, rows[:most], True)
        return _Input(file, names, rows, False)


def _examples(given: Sequence[str] | None, tables: Sequence[_Input], *, is_match: bool) -> list[ColumnExample]:
    found = []
    for one in given or ():
        source, sign, target = one.partition("=")
        if not (source and sign and target):
            raise CommandError(f"{one}: write SOURCE=TARGET")
        for name, table in ((source, tables[0]), (target, tables[1])):
            if name not in table.names:
                raise CommandError(f"{one}: {table.path} has no column {name}")
        found.append(ColumnExample(tables[0].names.index(source), tables[1].names.index(target), is_match))
    return found


def _json(matched: MatchedColumns) -> str:
    return json.dumps(asdict(matched), ensure_ascii=False)


def _write(matched: MatchedColumns, output: Path) -> None:
    if output.suffix.lower() == ".json":
        with written_whole(output) as file:
            file.write(_json(matched).encode() + b"\n")
        return
    with written_csv(output) as writer:
        writer.writerow(["source", "target", "confidence", "evidence"])
        for one in matched.matches:
            writer.writerow([one.source, one.target, f"{one.confidence:.4f}", "; ".join(map(str, one.evidence))])


def _show(matched: MatchedColumns) -> None:
    """The matches to stdout, for people."""
    table = Table("source", "target", "confidence", "evidence", box=None, pad_edge=False)
    for one in matched.matches:
        said = ", ".join(f"{evidence.source} {evidence.weight:+.1f}" for evidence in one.evidence)
        table.add_row(Styled(one.source), Styled(one.target), f"{one.confidence:.2f}", Styled(said))
    Console(highlight=False).print(table)


def _summarize(matched: MatchedColumns, tables: Sequence[_Input], output: Path | None) -> None:
    left = ", ".join(matched.abstained)
    say(f"{len(matched.matches)} matched of {len(tables[0].names)} and {len(tables[1].names)} columns")
    if left:
        say(f"without a match: {left}")
    for table in tables:
        if table.is_cut:
            say(f"{table.path}: only the first {len(table.rows):,} rows were read", style="yellow")
    if output is not None:
        say(f"Matches: {output}")
