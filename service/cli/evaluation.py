"""`rpt evaluate` and `rpt pretrain`: the model's own measurements and its training, from the same command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from service.cli.judging import JudgingError, evaluate_model
from service.cli.terminal import ProgressBars, failing_plainly, say
from service.storage.files import written_whole
from service.storage.table_file import TableFileError


def pretrain(context: typer.Context) -> None:
    """Pretrain a model: everything behind `pretrain` goes to `python -m model.pretraining`."""
    # A process of its own: training sets threads and number formats for itself, and needs none of the service.
    finished = subprocess.run([sys.executable, "-m", "model.pretraining", *context.args], check=False)
    raise typer.Exit(finished.returncode)


def evaluate(
    bench: Annotated[Path, typer.Option("--bench", metavar="DIR", help="The benchmark folder.")],
    tasks: Annotated[
        list[str] | None, typer.Argument(metavar="[TASK]…", help="cleaning, imputation, …; all where none is named.")
    ] = None,
    corpus: Annotated[Path | None, typer.Option("--corpus", metavar="DIR", help="The corpus folder.")] = None,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="PATH", help="Also write the tables: .md or .json.")
    ] = None,
    model: Annotated[Path | None, typer.Option("--model", metavar="DIR", help="A checkpoint folder.")] = None,
) -> None:
    """Measure the model on benchmark tables beside baselines without learning; the tables go to stdout."""
    for folder in (bench, corpus):
        if folder is not None and not folder.is_dir():
            raise typer.BadParameter(f"there is no folder {folder}")
    if report is not None and report.suffix.lower() not in (".md", ".json"):
        raise typer.BadParameter(f"a report is .md or .json, not {report.suffix or 'a file without suffix'}")
    with failing_plainly(JudgingError, TableFileError, OSError):
        with ProgressBars() as bars:
            measured = evaluate_model(tasks or [], bench, corpus, model, bars)
        typer.echo(measured.to_markdown())
        if report is not None:
            is_json = report.suffix.lower() == ".json"
            text = measured.to_json() if is_json else measured.to_markdown()
            with written_whole(report) as file:
                written = text if isinstance(text, str) else json.dumps(text, ensure_ascii=False, indent=2)
                file.write(written.rstrip("\n").encode() + b"\n")
            say(f"Report: {report}")
