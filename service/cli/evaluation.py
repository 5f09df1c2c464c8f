"""`rpt evaluate`, `rpt pretrain` and `rpt compress`: the model's own measurements, its training, and a smaller one."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from service.cli.judging import JudgingError, Measured, evaluate_model
from service.cli.terminal import PROBLEM, CommandError, ProgressBars, failing_plainly, say
from service.storage.files import written_whole
from service.storage.table_file import TableFileError

_SUFFIXES = (".md", ".json", ".html")


def pretrain(context: typer.Context) -> None:
    """Pretrain a model: everything behind `pretrain` goes to `python -m model.pretraining`."""
    # A process of its own: training sets threads and number formats for itself, and needs none of the service.
    finished = subprocess.run([sys.executable, "-m", "model.pretraining", *context.args], check=False)
    raise typer.Exit(finished.returncode)


def compress(context: typer.Context) -> None:
    """Make a smaller model: everything behind `compress` goes to `python -m model.compression`."""
    if importlib.util.find_spec("model.compression") is None:
        say("rpt compress: model.compression is not installed here; models that it made are served without it")
        raise typer.Exit(PROBLEM)
    finished = subprocess.run([sys.executable, "-m", "model.compression", *context.args], check=False)
    raise typer.Exit(finished.returncode)


def evaluate(
    bench: Annotated[Path, typer.Option("--bench", metavar="DIR", help="The benchmark folder.")],
    tasks: Annotated[
        list[str] | None, typer.Argument(metavar="[TASK]…", help="cleaning, imputation, …; all where none is named.")
    ] = None,
    corpus: Annotated[
        Path | None,
        typer.Option("--corpus", metavar="DIR", help="The corpus folder; only its validation shard is measured on."),
    ] = None,
    report: Annotated[
        list[Path] | None,
        typer.Option("--report", metavar="PATH", help="Also write the tables: .md, .json or .html; may be repeated."),
    ] = None,
    plots: Annotated[
        Path | None,
        typer.Option("--plots", metavar="DIR", help="Folder for the PNGs; with .html they go beside it by themselves."),
    ] = None,
    model: Annotated[Path | None, typer.Option("--model", metavar="DIR", help="A checkpoint folder.")] = None,
    seed: Annotated[
        int, typer.Option("--seed", help="Seed of the sampled tables and cells, and of the intervals.")
    ] = 0,
) -> None:
    """Measure the model on benchmark tables beside baselines without learning; the tables go to stdout."""
    for folder in (bench, corpus):
        if folder is not None and not folder.is_dir():
            raise typer.BadParameter(f"there is no folder {folder}")
    reports = report or []
    for path in reports:
        if path.suffix.lower() not in _SUFFIXES:
            raise typer.BadParameter(f"a report is .md, .json or .html, not {path.suffix or 'a file without suffix'}")
    pages = [path for path in reports if path.suffix.lower() == ".html"]
    plots = plots or (pages[0].with_name(f"{pages[0].stem}-plots") if pages else None)
    with failing_plainly(JudgingError, TableFileError, OSError):
        if plots is not None and importlib.util.find_spec("matplotlib") is None:
            # Said before the measuring, which takes minutes.
            raise CommandError("pictures need matplotlib: pip install '.[evaluation]', or write .md or .json")
        with ProgressBars() as bars:
            measured = evaluate_model(tasks or [], bench, corpus, model, seed, bars)
        typer.echo(measured.to_markdown())
        pictures = measured.pictures() if plots is not None else {}
        for path in reports:
            _write(path, _report_text(measured, path.suffix.lower(), pictures))
            say(f"Report: {path}")
        if plots is not None:
            plots.mkdir(parents=True, exist_ok=True)
            for name, content in pictures.items():
                with written_whole(plots / name) as file:
                    file.write(content)
            say(f"Pictures: {plots}")


def _report_text(measured: Measured, suffix: str, pictures: Mapping[str, bytes]) -> str:
    if suffix == ".json":
        return json.dumps(measured.to_json(), ensure_ascii=False, indent=2)
    return measured.to_html(pictures) if suffix == ".html" else measured.to_markdown()


def _write(path: Path, text: str) -> None:
    with written_whole(path) as file:
        file.write(text.rstrip("\n").encode() + b"\n")
