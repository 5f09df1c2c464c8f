"""`rpt finetune`: labels in, a named model beside the default one out, if it is the better of the two."""

from __future__ import annotations

import json
import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from service.cli.cleaning import ModelFolder, Quiet
from service.cli.judging import JudgingError, finetune_model
from service.cli.terminal import CommandError, ProgressBars, failing_plainly, say

FIELDS = ("text", "attribute", "value")


class Task(StrEnum):
    """What can be fine-tuned."""

    EXTRACT = "extract"


def finetune(
    data: Annotated[
        Path,
        typer.Option(metavar="FILE", help="JSON Lines of text, attribute, value (null: none) and, if given, group."),
    ],
    name: Annotated[str, typer.Option(help="Name of the new model: a-z, 0-9 and -, not 'default'.")],
    task: Annotated[Task, typer.Option(help="What the labels are of.")] = Task.EXTRACT,
    models: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of named models. Default: RPT_MODELS or ./models.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Training steps; makes it repeatable.")] = None,
    minutes: Annotated[float, typer.Option(min=0.01, help="Time for training, where no steps are named.")] = 5.0,
    seed: Annotated[int, typer.Option(help="Of the split of the labels and of training.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Publish it even if it is worse than the default.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Put it in the place of a model of this name.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON to stdout.")] = False,
    model: ModelFolder = None,
    quiet: Quiet = False,
) -> None:
    """Fine-tune extraction to your labels; the model is served by its name at once, without a restart.

    A fifth of the labelled texts judges the new model beside the old one; a worse one is not published.
    """
    with failing_plainly(JudgingError, OSError):
        labels = read_labels(data)
        folder = models or Path(os.environ.get("RPT_MODELS") or "models")
        options = {"steps": steps, "minutes": minutes, "seed": seed, "force": force, "replace": replace}
        with ProgressBars(enabled=not quiet) as bars:
            report = finetune_model(labels, folder, name, model, options, bars)
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
            say(f"F1 without examples rises by {report.gain}")
            if not report.calibrated:
                say(f"{calibrated} labels are too few to calibrate by: confidences are those of the old model")
        if report.path is None:
            raise CommandError("it is worse than the model it came from and was not published (--force would)")
        if not quiet:
            say(f'Published: {report.path}; ask for it with "model": "{name}"')


def read_labels(path: Path) -> list[tuple[str, str, str | None, str]]:
    """Text, attribute, value and group of each line.

    Raises:
        CommandError: a line that is no label; it says which, and never what stands there.
    """
    labels = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            one = json.loads(line)
            text, attribute, value = (one[field] for field in FIELDS)
            group = one.get("group", "")
        except (ValueError, KeyError, TypeError, AttributeError):
            raise CommandError(f"{path}, line {number}: it needs the fields {', '.join(FIELDS)}") from None
        if not all(isinstance(part, str) for part in (text, attribute, group)) or not isinstance(value, str | None):
            raise CommandError(f"{path}, line {number}: the fields are text, and value may be null")
        labels.append((text, attribute, value or None, group))
    return labels
