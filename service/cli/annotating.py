"""`rpt annotate`: a table file in, a label for each of its columns out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated as Option

import typer

from service.cli.cleaning import Delimiter, EncodingName, File, ModelFolder, Quiet, loaded
from service.cli.judging import Annotated
from service.cli.terminal import CommandError, ProgressBars, failing_plainly
from service.cli.whole_tables import PROBLEMS, read_whole

Labels = Option[
    list[str] | None,
    typer.Option("--labels", metavar="LABEL[,LABEL…]", help="What to choose from; default: a built-in set."),
]
MinConfidence = Option[float, typer.Option(min=0.0, max=1.0, help="Below this confidence a column gets no label.")]
AsJson = Option[bool, typer.Option("--json", help="Print all candidates as JSON, one column a line.")]


def annotate(
    file: File,
    labels: Labels = None,
    min_confidence: MinConfidence = 0.5,
    as_json: AsJson = False,
    encoding: EncodingName = None,
    delimiter: Delimiter = None,
    model: ModelFolder = None,
    quiet: Quiet = False,
) -> None:
    """Say what each column of a table holds; the labels go to stdout, tab-separated with their confidence."""
    with failing_plainly(*PROBLEMS):
        wanted = _labels(labels)
        table = read_whole(file, encoding, delimiter)
        with loaded(model, quiet) as judges, ProgressBars(enabled=not quiet) as bars:
            found = judges.annotation((table.names, table.rows), wanted, min_confidence, bars)
        for one in found:
            typer.echo(json.dumps(_document(one), ensure_ascii=False) if as_json else _line(one))


def _labels(labels: Sequence[str] | None) -> list[str] | None:
    if labels is None:
        return None
    wanted = [label.strip() for text in labels for label in text.split(",")]
    if not all(wanted):
        raise CommandError("--labels: a label is blank")
    if len(set(wanted)) < len(wanted):
        raise CommandError("--labels: a label is given twice")
    return wanted


def _line(one: Annotated) -> str:
    return f"{one.column}\t{one.label or '-'}\t{one.candidates[0][1]:.2f}"


def _document(one: Annotated) -> dict[str, object]:
    candidates = [{"label": label, "confidence": confidence} for label, confidence in one.candidates]
    return {"column": one.column, "label": one.label, "candidates": candidates, "detail": one.detail}
