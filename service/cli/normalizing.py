"""`rpt normalize`: a table in, the same table with columns in one format each out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from service.cli.cleaning import Delimiter, EncodingName, File, ModelFolder, Quiet, loaded
from service.cli.judging import JudgingError, Normalized, WantedFormat
from service.cli.terminal import CommandError, ProgressBars, check_places, failing_plainly, say
from service.cli.whole_tables import WholeTable, read_whole, say_damaged, written_csv
from service.storage.files import written_whole
from service.storage.table_file import TableFileError

PROBLEMS = (TableFileError, JudgingError, OSError)
_ARROW = "=>"

Columns = Annotated[
    list[str] | None, typer.Option("--column", "-c", metavar="NAME", help="A column to normalize; default: all.")
]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="OUT", help="CSV of the table with the rewritten cells.")
]
Examples = Annotated[
    list[str] | None,
    typer.Option(
        "--example", "-e", metavar="[INPUT=>]OUTPUT", help="A value in the wanted format; needs one --column."
    ),
]
Details = Annotated[
    Path | None,
    typer.Option("--details", metavar="PATH", help="Also write every cell that changes or abstains, JSON Lines."),
]
MinConfidence = Annotated[
    float, typer.Option(min=0.0, max=1.0, help="A cell is rewritten where that is this likely to be right.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the summary as JSON to stdout.")]


def normalize(
    file: File,
    column: Columns = None,
    output: Output = None,
    example: Examples = None,
    details: Details = None,
    min_confidence: MinConfidence = 0.5,
    as_json: AsJson = False,
    encoding: EncodingName = None,
    delimiter: Delimiter = None,
    model: ModelFolder = None,
    quiet: Quiet = False,
) -> None:
    """Rewrite values into the format that most of their column has, or that examples show.

    A value is only rewritten into what says the same; where that is not certain it stays. Without --output the cells
    are only shown.
    """
    with failing_plainly(*PROBLEMS):
        if (first := output or details) is not None:
            check_places(first, [Path(file)], details if output is not None else None)
        table = read_whole(file, encoding, delimiter)
        places = _places(table, column)
        wanted = [_example(one, places) for one in example or ()]
        with loaded(model, quiet) as judges, ProgressBars(enabled=not quiet) as bars:
            found = judges.normalization((table.names, table.rows), places, wanted, min_confidence, bars)
        if output is not None:
            _write(table, found, output)
        if details is not None:
            _write_details(table, found, details)
        counts = Counter(one.outcome for one in found)
        summary: dict[str, object] = {
            "rows": len(table.rows),
            "rewritten": counts["rewritten"],
            "abstained": counts["abstained"],
            "errors": counts["error"],
            "damaged_rows": table.damaged,
            "output": None if output is None else str(output),
        }
        if as_json:
            typer.echo(json.dumps(summary, ensure_ascii=False))
        elif not quiet:
            _show(table, found, summary)


def _places(table: WholeTable, columns: Sequence[str] | None) -> list[int] | None:
    for name in columns or ():
        if name not in table.names:
            raise CommandError(f"{table.path} has no column {name!r}")
    return None if not columns else [table.names.index(name) for name in columns]


def _example(example: str, places: Sequence[int] | None) -> WantedFormat:
    if places is None or len(places) != 1:
        raise CommandError("--example needs exactly one --column that it is of")
    given, arrow, wanted = example.partition(_ARROW)
    if not arrow:
        given, wanted = "", example
    if not wanted:
        raise CommandError(f"--example {example}: it needs a value in the wanted format")
    return WantedFormat(places[0], wanted, given or None)


def _write(table: WholeTable, found: Sequence[Normalized], output: Path) -> None:
    new = {(one.row, one.column): one.normalized for one in found if one.normalized is not None}
    with written_csv(output) as written:
        written.writerow(table.names)
        for number, row in enumerate(table.rows):
            written.writerow([new.get((number, place), cell) or "" for place, cell in enumerate(row)])


def _write_details(table: WholeTable, found: Sequence[Normalized], details: Path) -> None:
    with written_whole(details) as file:
        for one in found:
            line = {
                "row": table.numbers[one.row],
                "column": table.names[one.column],
                "value": one.value,
                "outcome": one.outcome,
                "normalized": one.normalized,
                "confidence": one.confidence,
                "evidence": one.evidence_source,
                "detail": one.detail,
            }
            file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")


def _show(table: WholeTable, found: Sequence[Normalized], summary: dict[str, object]) -> None:
    for place in sorted({one.column for one in found}):
        own = [one for one in found if one.column == place]
        counts = Counter(one.outcome for one in own)
        say(f"{table.names[place]}: {counts['rewritten']:,} rewritten, {counts['abstained']:,} not certain")
        told = Counter(one.detail for one in own if one.detail)
        for detail, count in told.most_common(3):
            say(f"  {count:,}: {detail}")
    if not found:
        say("Every value has the format of its column, or its column has none.")
    say_damaged(table)
    if summary["output"] is not None:
        say(f"Table: {summary['output']}")
