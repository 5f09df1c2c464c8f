"""`rpt finetune`: labels in, a named model beside the default one out, if it is the better of the two."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from service.cli.cleaning import ModelFolder, Quiet
from service.cli.judging import JudgingError, finetune_model
from service.cli.terminal import CommandError, ProgressBars, failing_plainly, say
from service.cli.whole_tables import read_whole
from service.storage.table_file import TableFileError


class Task(StrEnum):
    """What can be fine-tuned."""

    EXTRACT = "extract"
    TRANSFORM = "transform"


FIELDS = {Task.EXTRACT: ("text", "attribute", "value"), Task.TRANSFORM: ("input", "output")}
"""What a label of each task says, beside its group."""

GROUP = "group"
_PROBLEMS = (JudgingError, TableFileError, OSError, UnicodeError)
_RISES = {Task.EXTRACT: "F1 without examples", Task.TRANSFORM: "The share of right outputs"}


def finetune(
    data: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="JSON Lines or a table: text, attribute, value (null: none), or input, output; and, if given, group.",
        ),
    ],
    name: Annotated[str, typer.Option(help="Name of the new model: a-z, 0-9 and -, not 'default'.")],
    task: Annotated[Task, typer.Option(help="What the labels are of.")] = Task.EXTRACT,
    models: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of named models. Default: RPT_MODELS or ./models.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Training steps; makes it repeatable.")] = None,
    minutes: Annotated[float, typer.Option(min=0.01, help="Time for training, where no steps are named.")] = 5.0,
    seed: Annotated[int, typer.Option(help="Of the split of the labels and of training.")] = 0,
    force: Annotated[
        bool, typer.Option("--force", help="Publish it even if it is no better than the default.")
    ] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Put it in the place of a model of this name.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON to stdout.")] = False,
    model: ModelFolder = None,
    quiet: Quiet = False,
) -> None:
    """Fine-tune a task to your labels; the model is served by its name at once, without a restart.

    A fifth of the labels judges the new model beside the old one; one that is no better is not published.
    """
    with failing_plainly(*_PROBLEMS):
        labels = read_labels(data, task)
        folder = models or Path(os.environ.get("RPT_MODELS") or "models")
        options = {"steps": steps, "minutes": minutes, "seed": seed, "force": force, "replace": replace}
        with ProgressBars(enabled=not quiet) as bars:
            report = finetune_model(task.value, labels, folder, name, model, options, bars)
        if as_json:
            figures = {
                "gain": report.gain.to_json(),
                "published": None if report.path is None else str(report.path),
                "steps": report.steps,
                "seconds": report.seconds,
                "labels": dict(zip(("trained", "calibrated", "judged"), report.labels, strict=True)),
                "figures": report.table.to_json(),
            }
            typer.echo(json.dumps(figures, ensure_ascii=False))
        else:
            typer.echo(report.table.to_markdown())
        if not quiet:
            trained, calibrated, judged = report.labels
            say(f"{report.steps} steps on {trained} labels in {report.seconds:.0f} s; {judged} labels judge it")
            say(f"{_RISES[task]} rises by {report.gain}")
            if not report.calibrated:
                say(f"{calibrated} labels are too few to calibrate by: confidences are those of the old model")
        if report.path is None:
            raise CommandError("it is no better than the model it came from and was not published (--force would)")
        if not quiet:
            say(f'Published: {report.path}; ask for it with "model": "{name}"')


def read_labels(path: Path, task: Task) -> list[dict[str, str | None]]:
    """The labels of a file: JSON Lines, or any table that the commands read; an empty cell is no value.

    Raises:
        CommandError: a line that is no label; it says which, and never what stands there.
        TableFileError: the table cannot be read.
    """
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        return [_label(record, task, f"{path}, line {number}") for number, record in _records(path)]
    table = read_whole(str(path), None, None)
    if table.damaged:
        raise CommandError(f"{path}: {table.damaged} damaged rows cannot be labels")
    rows = [dict(zip(table.names, row, strict=True)) for row in table.rows]
    return [
        _label({name: row[name] or None for name in row if name != GROUP} | {GROUP: row.get(GROUP) or ""}, task, place)
        for row, place in zip(rows, (f"{path}, row {number}" for number in table.numbers), strict=True)
    ]


def _records(path: Path) -> Iterator[tuple[int, object]]:
    """Line numbers with what the lines say; a line that is no JSON says nothing."""
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except ValueError:
                yield number, None


def _label(record: object, task: Task, place: str) -> dict[str, str | None]:
    fields = FIELDS[task]
    if not isinstance(record, dict) or not set(fields) <= record.keys():
        raise CommandError(f"{place}: it needs the fields {', '.join(fields)}")
    label = {field: record[field] for field in fields} | {GROUP: record.get(GROUP, "")}
    if not all(isinstance(value, str) or (value is None and field == "value") for field, value in label.items()):
        raise CommandError(f"{place}: the fields are text{', and value may be null' if 'value' in fields else ''}")
    return {field: value or None if field == "value" else value for field, value in label.items()}
