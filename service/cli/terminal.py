"""What the commands share of the terminal: messages and progress on stderr, and how they fail."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from types import TracebackType
from typing import Self

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from service.storage.files import same_file

PROBLEM = 1
SHOW_AFTER_SECONDS = 2.0
_STAGES = {
    "adapt": "Adapting to the table",
    "detect": "Judging rows",
    "repair": "Repairing cells",
    "practice": "Filling known cells",
    "complete": "Filling cells",
    "block": "Finding candidate pairs",
    "compare": "Comparing them",
    "judge": "Judging them",
    "columns": "Comparing columns",
    "cluster": "Putting records together",
    "annotate": "Judging columns",
    "extract": "Reading texts",
    "transform": "Transforming texts",
}


class CommandError(Exception):
    """A command cannot go on; the message is for the person at the terminal."""


def check_places(output: Path, inputs: Sequence[Path], *others: Path | None) -> None:
    """Refuse to write over an input, or two outputs into one file; `others` are further outputs, where there are any.

    Raises:
        CommandError: it says which.
    """
    written = [output, *(path for path in others if path is not None)]
    for path in written:
        if any(same_file(path, one) for one in inputs):
            raise CommandError(f"{path} is an input, and inputs are never written")
    if any(same_file(one, other) for one, other in combinations(written, 2)):
        raise CommandError("two outputs would be one file")


def console() -> Console:
    """Stderr as it is now: stdout belongs to the data."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def say(message: str, style: str = "") -> None:
    """Print one line to stderr; markup in the message is not interpreted."""
    console().print(Text(message, style=style))


@contextlib.contextmanager
def failing_plainly(*kinds: type[Exception]) -> Iterator[None]:
    """Turn the named errors, and `CommandError`, into a message on stderr and exit code 1."""
    caught: tuple[type[Exception], ...] = (CommandError, *kinds)
    try:
        yield
    except BrokenPipeError:
        # Whoever read our stdout has gone; without this the interpreter would fail again when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(PROBLEM) from None
    except caught as error:
        say(f"error: {error}", style="bold red")
        raise typer.Exit(PROBLEM) from None
    except KeyboardInterrupt:
        say("interrupted; nothing was written", style="bold red")
        raise typer.Exit(130) from None


class _RateColumn(ProgressColumn):
    """Rows or cells per second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.1f}/s", style="progress.data.speed")


class ProgressBars:
    """A bar for the stage at work, with rate and time to go; nothing shows in the first two seconds.

    Nothing shows at all where stderr is not a terminal.
    """

    def __init__(self, *, enabled: bool = True) -> None:
        target = console()
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _RateColumn(),
            TimeRemainingColumn(),
            console=target,
            transient=True,
            get_time=lambda: time.monotonic(),
            disable=not (enabled and target.is_terminal),
        )
        self._started_at = time.monotonic()
        self._shown = False
        self._stage = ""
        self._task = self._progress.add_task("", total=None)
        self._part = 0
        self._fraction = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def next_part(self, fraction: float) -> None:
        """A further part of the file is at work; behind it, `fraction` of the file is done."""
        self._part += 1
        self._fraction = fraction
        self._stage = ""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Show how far `stage` is."""
        if not self._shown and time.monotonic() - self._started_at >= SHOW_AFTER_SECONDS:
            self._shown = True
            self._progress.start()
        if stage != self._stage:
            self._stage = stage
            self._progress.reset(self._task, total=total, description=self._describe(stage))
        self._progress.update(self._task, completed=done, total=total)

    def refresh(self) -> None:
        """Draw now instead of at the next tick."""
        if self._shown:
            self._progress.refresh()

    def _describe(self, stage: str) -> str:
        words = _STAGES.get(stage, stage.capitalize())
        if self._part <= 1 and self._fraction >= 1:
            return words
        return f"{words} (part {self._part}, up to {self._fraction:.0%} of the file)"
