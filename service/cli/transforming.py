"""`rpt transform`: a table with a column of texts in, the same table with what examples make of them out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from service.cli.cleaning import Delimiter, EncodingName, File, ModelFolder, Quiet, loaded
from service.cli.judging import Transformed
from service.cli.terminal import CommandError, ProgressBars, check_places, failing_plainly, say
from service.cli.whole_tables import PROBLEMS, WholeTable, read_whole, say_damaged, written_csv
from service.storage.files import written_whole

EXAMPLE_COLUMNS = ("input", "output")
_ARROW = "=>"

Column = Annotated[str, typer.Option("--column", "-c", metavar="NAME", help="The column of texts to transform.")]
Output = Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="CSV of all columns and the new one.")]
Examples = Annotated[
    Path | None, typer.Option("--examples", metavar="FILE", help="A table of examples: columns input and output.")
]
Pairs = Annotated[
    list[str] | None,
    typer.Option("--example", "-e", metavar="INPUT=>OUTPUT", help="An example; may be repeated."),
]
Into = Annotated[
    str | None, typer.Option("--into", metavar="NAME", help="Name of the new column; default: COLUMN and “ (new)”.")
]
Details = Annotated[
    Path | None,
    typer.Option("--details", metavar="PATH", help="Also write every answer with confidence and evidence, JSON Lines."),
]
MinConfidence = Annotated[
    float, typer.Option(min=0.0, max=1.0, help="Where nothing is this likely to be right, the new cell stays empty.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the summary as JSON to stdout.")]


def transform(
    file: File,
    column: Column,
    output: Output,
    example: Pairs = None,
    examples: Examples = None,
    into: Into = None,
    details: Details = None,
    min_confidence: MinConfidence = 0.5,
    as_json: AsJson = False,
    encoding: EncodingName = None,
    delimiter: Delimiter = None,
    model: ModelFolder = None,
    quiet: Quiet = False,
) -> None:
    """Transform a column of texts into a new column, as examples show.

    A cell stays empty where nothing is likely enough to be right.
    """
    with failing_plainly(*PROBLEMS):
        check_places(output, [Path(file), *([examples] if examples else [])], details)
        table = read_whole(file, encoding, delimiter)
        if column not in table.names:
            raise CommandError(f"{table.path} has no column {column!r}")
        name = into or f"{column} (new)"
        if name in table.names:
            raise CommandError(f"{table.path} has a column {name!r} already; choose another name with --into")
        shown = [*map(_pair, example or ()), *_of_file(examples)]
        if not shown:
            raise CommandError("at least one example is needed: --example 'INPUT=>OUTPUT', or --examples FILE")
        texts = [row[table.names.index(column)] or "" for row in table.rows]
        with loaded(model, quiet) as judges, ProgressBars(enabled=not quiet) as bars:
            found = judges.transformation(shown, texts, min_confidence, bars)
        _write(table, name, found, output)
        if details is not None:
            _write_details(table, texts, found, details)
        counts = Counter(one.outcome for one in found)
        summary = {
            "rows": len(table.rows),
            "transformed": counts["value"],
            "abstained": counts["abstained"],
            "errors": counts["error"],
            "damaged_rows": table.damaged,
            "output": str(output),
        }
        if as_json:
            typer.echo(json.dumps(summary, ensure_ascii=False))
        elif not quiet:
            _show(table, name, found, summary)


def _pair(example: str) -> tuple[str, str]:
    given, arrow, wanted = example.partition(_ARROW)
    if not arrow:
        raise CommandError(f"--example {example}: it needs {_ARROW} between input and output")
    return given, wanted


def _of_file(examples: Path | None) -> list[tuple[str, str]]:
    if examples is None:
        return []
    table = read_whole(str(examples), None, None)
    if not set(EXAMPLE_COLUMNS) <= set(table.names):
        raise CommandError(f"{examples} needs the columns {', '.join(EXAMPLE_COLUMNS)}")
    places = [table.names.index(name) for name in EXAMPLE_COLUMNS]
    return [(row[places[0]] or "", row[places[1]] or "") for row in table.rows]


def _write(table: WholeTable, name: str, found: Sequence[Transformed], output: Path) -> None:
    with written_csv(output) as written:
        written.writerow([*table.names, name])
        for row, one in zip(table.rows, found, strict=True):
            written.writerow([*(cell or "" for cell in row), one.output or ""])


def _write_details(table: WholeTable, texts: Sequence[str], found: Sequence[Transformed], details: Path) -> None:
    with written_whole(details) as file:
        for number, text, one in zip(table.numbers, texts, found, strict=True):
            line = {
                "row": number,
                "input": text,
                "outcome": one.outcome,
                "output": one.output,
                "confidence": one.confidence,
                "evidence": one.evidence_source,
                "detail": one.detail,
            }
            file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")


def _show(table: WholeTable, name: str, found: Sequence[Transformed], summary: dict[str, object]) -> None:
    say(f"{name}: {summary['transformed']:,} of {summary['rows']:,} texts")
    told = Counter(one.detail for one in found if one.outcome == "value" and one.evidence_source == "program")
    for detail, count in told.most_common(3):
        say(f"  {count:,} by: {detail}")
    say_damaged(table)
    say(f"Table: {summary['output']}")
