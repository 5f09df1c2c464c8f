"""`rpt extract`: a table with a column of texts in, the same table with a column for each attribute out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from service.cli.cleaning import Delimiter, EncodingName, File, ModelFolder, Quiet, loaded
from service.cli.judging import Extracted, Wanted
from service.cli.terminal import CommandError, ProgressBars, check_places, failing_plainly, say
from service.cli.whole_tables import PROBLEMS, WholeTable, read_whole, say_damaged, written_csv
from service.storage.files import written_whole

EXAMPLE_COLUMNS = ("text", "attribute", "value")

Column = Annotated[str, typer.Option("--column", "-c", metavar="NAME", help="The column of texts.")]
Attributes = Annotated[
    list[str], typer.Option("--attribute", "-a", metavar="NAME", help="What to extract; may be repeated.")
]
Output = Annotated[
    Path, typer.Option("--output", "-o", metavar="OUT", help="CSV of all columns and one more for each attribute.")
]
Examples = Annotated[
    Path | None,
    typer.Option(
        "--examples", metavar="FILE", help="Answered texts: columns text, attribute and value; no value means none."
    ),
]
Details = Annotated[
    Path | None,
    typer.Option(
        "--details", metavar="PATH", help="Also write every answer with its place and confidence, JSON Lines."
    ),
]
MinConfidence = Annotated[
    float, typer.Option(min=0.0, max=1.0, help="Values below this confidence are left out of the table.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the summary as JSON to stdout.")]


def extract(
    file: File,
    column: Column,
    attribute: Attributes,
    output: Output,
    examples: Examples = None,
    details: Details = None,
    min_confidence: MinConfidence = 0.0,
    as_json: AsJson = False,
    encoding: EncodingName = None,
    delimiter: Delimiter = None,
    model: ModelFolder = None,
    quiet: Quiet = False,
) -> None:
    """Extract the values of attributes from a column of texts into new columns.

    A value is always a part of its text as it stands there; a cell stays empty where the text tells none.
    """
    with failing_plainly(*PROBLEMS):
        check_places(output, [Path(file), *([examples] if examples else [])], details)
        table = read_whole(file, encoding, delimiter)
        wanted = _wanted(table, column, attribute, examples)
        texts = [row[table.names.index(column)] for row in table.rows]
        with loaded(model, quiet) as judges, ProgressBars(enabled=not quiet) as bars:
            found = judges.extraction(texts, wanted, bars)
        _write(table, wanted, found, output, min_confidence)
        if details is not None:
            _write_details(table, wanted, found, details)
        summary = _summary(table, wanted, found, output, min_confidence)
        if as_json:
            typer.echo(json.dumps(summary, ensure_ascii=False))
        elif not quiet:
            _show(table, wanted, summary)


def _wanted(table: WholeTable, column: str, attributes: Sequence[str], examples: Path | None) -> list[Wanted]:
    """The attributes with their examples."""
    if column not in table.names:
        raise CommandError(f"{table.path} has no column {column!r}")
    for name in attributes:
        if name in table.names:
            raise CommandError(f"--attribute {name}: {table.path} has a column of that name")
    wanted = {name: Wanted(name) for name in attributes}
    if len(wanted) < len(attributes):
        raise CommandError("an attribute is asked twice")
    if examples is None:
        return list(wanted.values())
    answered = read_whole(str(examples), None, None)
    if not set(EXAMPLE_COLUMNS) <= set(answered.names):
        raise CommandError(f"{examples} needs the columns {', '.join(EXAMPLE_COLUMNS)}")
    places = [answered.names.index(name) for name in EXAMPLE_COLUMNS]
    for number, row in zip(answered.numbers, answered.rows, strict=True):
        text, asked, value = (row[place] for place in places)
        if asked not in wanted or not text:
            raise CommandError(f"{examples}, row {number}: it needs a text, and an attribute that is asked for")
        if value and value not in text:
            raise CommandError(f"{examples}, row {number}: the value does not stand in the text")
        wanted[asked] = replace(wanted[asked], examples=(*wanted[asked].examples, (text, value or None)))
    return list(wanted.values())


def _kept(one: Extracted, min_confidence: float) -> str | None:
    return one.value if one.value is not None and (one.confidence or 0.0) >= min_confidence else None


def _write(
    table: WholeTable, wanted: Sequence[Wanted], found: Sequence[Extracted], output: Path, min_confidence: float
) -> None:
    values = {(one.text, one.attribute): _kept(one, min_confidence) for one in found}
    with written_csv(output) as written:
        written.writerow([*table.names, *(one.name for one in wanted)])
        for number, row in enumerate(table.rows):
            written.writerow([*(cell or "" for cell in row), *(values[number, a] or "" for a in range(len(wanted)))])


def _write_details(table: WholeTable, wanted: Sequence[Wanted], found: Sequence[Extracted], details: Path) -> None:
    with written_whole(details) as file:
        for one in found:
            line = {
                "row": table.numbers[one.text],
                "attribute": wanted[one.attribute].name,
                "outcome": one.outcome,
                "value": one.value,
                "start": one.start,
                "end": one.end,
                "confidence": one.confidence,
                "evidence": one.evidence_source,
            }
            file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")


def _summary(
    table: WholeTable, wanted: Sequence[Wanted], found: Sequence[Extracted], output: Path, min_confidence: float
) -> dict[str, object]:
    told = Counter(wanted[one.attribute].name for one in found if _kept(one, min_confidence) is not None)
    return {
        "rows": len(table.rows),
        "values": {one.name: told[one.name] for one in wanted},
        "errors": sum(one.outcome == "error" for one in found),
        "damaged_rows": table.damaged,
        "output": str(output),
    }


def _show(table: WholeTable, wanted: Sequence[Wanted], summary: dict[str, object]) -> None:
    values = summary["values"]
    assert isinstance(values, dict)
    for one in wanted:
        say(f"{one.name}: {values[one.name]:,} of {len(table.rows):,} texts")
    say_damaged(table)
    say(f"Table: {summary['output']}")
