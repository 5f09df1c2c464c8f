"""All measurements of a checkpoint in one report, losses shown as they are.

A report names the weights by their hash and prints its seed, so that anyone with the same folders gets the
same figures, save the speeds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from model.checkpoint import Checkpoint
from model.errors import OptionError
from model.evaluation.cleaning import evaluate_cleaning
from model.evaluation.figures import EvaluationTable, Resampling
from model.evaluation.imputation import evaluate_imputation
from model.evaluation.reconstruction import evaluate_reconstruction
from model.inference.batching import Progress


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """What was measured, with what weights, seed and resamples.

    Attributes:
        skipped: tasks that were not measured, each with its reason.
    """

    name: str
    version: str
    sha256: str
    parameters: int
    precision: str
    resampling: Resampling
    tables: tuple[EvaluationTable, ...]
    skipped: tuple[str, ...] = ()

    def to_markdown(self) -> str:
        """The report for people: a heading about the weights, then one section a table."""
        head = [
            f"# Evaluation of {self.name} {self.version}",
            "",
            f"weights sha256 `{self.sha256}`, {self.parameters:,} parameters, computed in {self.precision}",
            f"seed {self.resampling.seed}; brackets: 95 % intervals of {self.resampling.resamples} bootstrap samples",
        ]
        skipped = [f"not measured: {reason}" for reason in self.skipped]
        sections = [table.to_markdown() for table in self.tables]
        return "\n\n".join(["\n".join([*head, *skipped]), *sections]) + "\n"

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
        }


@dataclass(frozen=True, slots=True)
class _Source:
    """Where the data of an evaluation are."""

    bench: Path
    corpus: Path | None


_Measure = Callable[[_Source, Checkpoint, Resampling, Progress | None], list[EvaluationTable]]


def _cleaning(
    source: _Source, checkpoint: Checkpoint, resampling: Resampling, progress: Progress | None
) -> list[EvaluationTable]:
    return evaluate_cleaning(source.bench, checkpoint, resampling=resampling, progress=progress)


def _imputation(
    source: _Source, checkpoint: Checkpoint, resampling: Resampling, progress: Progress | None
) -> list[EvaluationTable]:
    return evaluate_imputation(source.bench, checkpoint, resampling=resampling, progress=progress)


def _reconstruction(
    source: _Source, checkpoint: Checkpoint, resampling: Resampling, progress: Progress | None
) -> list[EvaluationTable]:
    if source.corpus is None:
        raise OptionError("reconstruction needs the corpus folder", field="corpus")
    return evaluate_reconstruction(source.corpus, checkpoint, resampling=resampling, progress=progress)


TASKS: dict[str, _Measure] = {
    "cleaning": _cleaning,
    "imputation": _imputation,
    "reconstruction": _reconstruction,
}
"""What can be measured, by name."""


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
        tasks: names from `TASKS`; none means all, and then what needs an absent corpus is reported as skipped.
        bench: the benchmark folder.
        corpus: the corpus folder, which reconstruction needs.
        seed: of bootstrap samples and of the cells that reconstruction hides.

    Raises:
        OptionError: a task that does not exist, or one that needs the corpus without it.
        InputError: a folder does not hold the data of a task.
    """
    unknown = [task for task in tasks if task not in TASKS]
    if unknown:
        raise OptionError(f"there is no task {unknown[0]!r} to evaluate; choose from {', '.join(TASKS)}", field="tasks")
    resampling = Resampling(seed)
    skipped = ("reconstruction (no corpus folder was given)",) if not tasks and corpus is None else ()
    chosen = list(dict.fromkeys(tasks)) or [task for task in TASKS if task != "reconstruction" or corpus is not None]
    source = _Source(bench, corpus)
    tables = [table for task in chosen for table in TASKS[task](source, checkpoint, resampling, progress)]
    return EvaluationReport(
        checkpoint.name,
        checkpoint.version,
        checkpoint.sha256,
        checkpoint.parameters,
        checkpoint.precision,
        resampling,
        tuple(tables),
        skipped,
    )
