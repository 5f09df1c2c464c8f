"""`rpt normalize`: a table file in, its copy with the values of columns in one format each out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from service.cli.cleaning import (
    PROBLEMS,
    Delimiter,
    EncodingName,
    File,
    MinConfidence,
    ModelFolder,
    Output,
    PartRows,
    PatchesPath,
    Quiet,
    ReportPath,
    opened,
    run_file,
    settle_places,
)
from service.cli.judging import Judges, JudgingOptions, WantedFormat
from service.cli.terminal import CommandError, failing_plainly
from service.storage.table_file import ROWS_PER_CHUNK
from service.table_run import Judge

ARROW = "=>"

Columns = Annotated[
    list[str] | None,
    typer.Option("--column", "-c", metavar="NAME[,NAME…]", help="A column to normalize, or several; default: all."),
]
Examples = Annotated[
    list[str] | None,
    typer.Option(
        "--example",
        "-e",
        metavar="[INPUT=>]OUTPUT",
        help="A value in the wanted format, or what is to become of one; of the one column. May be repeated.",
    ),
]


def normalize(
    file: File,
    column: Columns = None,
    output: Output = None,
    example: Examples = None,
    min_confidence: MinConfidence = 0.5,
    report: ReportPath = None,
    patches: PatchesPath = None,
    encoding: EncodingName = None,
    delimiter: Delimiter = None,
    model: ModelFolder = None,
    part_rows: PartRows = ROWS_PER_CHUNK,
    quiet: Quiet = False,
) -> None:
    """Rewrite the values of columns into their own commonest format, or into that of examples.

    Only what says the same is rewritten; every other byte stays. The patch log beside the copy has a line for each
    value that was rewritten, or is of another format and stays; `rpt patch revert` undoes it. Default output:
    FILE.normalized.csv.
    """
    with failing_plainly(*PROBLEMS), opened(file, encoding, delimiter) as table:
        shown: dict[str, object] = {"min confidence": min_confidence}
        shown |= {"examples": len(example)} if example else {}

        def judge(judges: Judges, chosen: frozenset[int] | None) -> Judge:
            asked = JudgingOptions(chosen, min_confidence)
            return judges.normalization(asked, _examples(example or (), chosen))

        places = settle_places(table, file, output, patches, report, "normalized", copy=True)
        run_file(table, places, judge, column, shown, model, part_rows, quiet)


def _examples(examples: Sequence[str], columns: frozenset[int] | None) -> list[WantedFormat]:
    """The examples of the one column.

    Raises:
        CommandError: several columns are named in one, or an example has no output.
    """
    found = []
    for example in examples:
        given, arrow, wanted = example.rpartition(ARROW)
        if columns is None or len(columns) != 1:
            raise CommandError("--example needs exactly one --column that it is of")
        if not wanted:
            raise CommandError(f"--example {example}: it needs a value in the wanted format")
        found.append(WantedFormat(next(iter(columns)), wanted, given if arrow else None))
    return found
