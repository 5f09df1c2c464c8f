"""All measurements of a checkpoint in one report, losses shown as they are.

A report names the weights by their hash and prints its seed, so that anyone with the same folders gets the
same figures, save the speeds.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from model.checkpoint import Checkpoint
from model.evaluation.figures import EvaluationTable, Resampling
from model.evaluation.html import html_report
from model.evaluation.plots import draw_all
from model.evaluation.tasks import TASKS, Source, choose
from model.inference.batching import Progress


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """What was measured, with what weights, seed and resamples.

    Attributes:
        skipped: tasks that were not measured, each with its reason.
        seconds: what each task took.
    """

    name: str
    version: str
    sha256: str
    parameters: int
    precision: str
    resampling: Resampling
    tables: tuple[EvaluationTable, ...]
    skipped: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)

    def head(self) -> list[str]:
        """What was measured and how, one line each, and what was not measured."""
        took = ", ".join(f"{task} {seconds:,.0f}" for task, seconds in self.seconds.items())
        return [
            f"weights sha256 `{self.sha256}`, {self.parameters:,} parameters, computed in {self.precision}",
            f"seed {self.resampling.seed}; brackets: 95 % intervals of {self.resampling.resamples} bootstrap samples",
            *([f"seconds: {took}"] if took else []),
            *(f"not measured: {reason}" for reason in self.skipped),
        ]

    def to_markdown(self) -> str:
        """The report for people: a heading about the weights, then one section a table."""
        head = [f"# Evaluation of {self.name} {self.version}", "", *self.head()]
        sections = [table.to_markdown() for table in self.tables]
        return "\n\n".join(["\n".join(head), *sections]) + "\n"

    def pictures(self) -> dict[str, bytes]:
        """A PNG for each set of probabilities, by file name: reliability and abstention.

        Raises:
            OptionError: matplotlib is not installed.
        """
        return draw_all(one for table in self.tables for one in table.reliabilities)

    def to_html(self, pictures: Mapping[str, bytes]) -> str:
        """The report as one page that loads nothing, with the `pictures` of this report."""
        return html_report(self, pictures)

    def to_json(self) -> dict[str, object]:
        """The report for programs, as JSON values."""
        return {
            "model": {
                "name": self.name,
                "version": self.version,
                "sha256": self.sha256,
                "parameters": self.parameters,
                "precision": self.precision,
            },
            "seed": self.resampling.seed,
            "resamples": self.resampling.resamples,
            "tables": [table.to_json() for table in self.tables],
            "skipped": list(self.skipped),
            "seconds": {task: round(seconds, 3) for task, seconds in self.seconds.items()},
        }


def evaluate(
    tasks: Sequence[str],
    bench: Path,
    corpus: Path | None,
    checkpoint: Checkpoint,
    progress: Progress | None = None,
    *,
    seed: int = 0,
) -> EvaluationReport:
    """Measure a checkpoint.

    Args:
        tasks: names from `TASKS`; none means all, and then what cannot be measured is reported as skipped.
        bench: the benchmark folder.
        corpus: the corpus folder, which some tasks need; only its validation shard is measured on.
        seed: of bootstrap samples, and of the tables and cells that are sampled.

    Raises:
        OptionError: a task that does not exist, or needs the corpus without it.
        InputError: a folder does not hold the data of a task, or holds data that the checkpoint was trained on.
    """
    chosen, skipped = choose(tasks, corpus)
    resampling = Resampling(seed)
    source = Source(bench, corpus)
    tables: list[EvaluationTable] = []
    seconds: dict[str, float] = {}
    for task in chosen:
        began = time.monotonic()
        tables += TASKS[task](source, checkpoint, resampling, progress)
        seconds[task] = time.monotonic() - began
    return EvaluationReport(
        checkpoint.name,
        checkpoint.version,
        checkpoint.sha256,
        checkpoint.parameters,
        checkpoint.precision,
        resampling,
        tuple(tables),
        skipped,
        seconds,
    )
