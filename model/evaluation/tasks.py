"""What can be measured, by name: every task has one signature and stands in one dict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from model.checkpoint import Checkpoint
from model.errors import OptionError
from model.evaluation.annotation import evaluate_annotate
from model.evaluation.cleaning import evaluate_cleaning
from model.evaluation.column_errors import evaluate_column_errors
from model.evaluation.extraction import evaluate_extract
from model.evaluation.false_alarms import evaluate_false_alarms
from model.evaluation.figures import EvaluationTable, Resampling
from model.evaluation.imputation import evaluate_imputation
from model.evaluation.leaks import evaluate_leaks
from model.evaluation.matching import evaluate_block, evaluate_cluster, evaluate_match
from model.evaluation.pair_matching import evaluate_pairs
from model.evaluation.prefix_completion import evaluate_completion
from model.evaluation.reconstruction import evaluate_reconstruction
from model.evaluation.rpt_table_1 import evaluate_rpt_table_1
from model.evaluation.schema_matching import evaluate_schema
from model.evaluation.transformation import evaluate_transform
from model.evaluation.unseen_errors import evaluate_unseen_errors
from model.inference.batching import Progress


@dataclass(frozen=True, slots=True)
class Source:
    """Where the data of an evaluation are."""

    bench: Path
    corpus: Path | None

    def corpus_for(self, task: str) -> Path:
        """The corpus folder.

        Raises:
            OptionError: none was given.
        """
        if self.corpus is None:
            raise OptionError(f"{task} needs the corpus folder", field="corpus")
        return self.corpus


Measure = Callable[[Source, Checkpoint, Resampling, Progress | None], list[EvaluationTable]]


def _cleaning(
    source: Source, checkpoint: Checkpoint, resampling: Resampling, progress: Progress | None
) -> list[EvaluationTable]:
    return evaluate_cleaning(source.bench, checkpoint, resampling=resampling, progress=progress)


def _imputation(
    source: Source, checkpoint: Checkpoint, resampling: Resampling, progress: Progress | None
) -> list[EvaluationTable]:
    return evaluate_imputation(source.bench, checkpoint, resampling=resampling, progress=progress)


def _false_alarms(
    source: Source, checkpoint: Checkpoint, resampling: Resampling, progress: Progress | None
) -> list[EvaluationTable]:
    return evaluate_false_alarms(source.bench, source.corpus, checkpoint, resampling=resampling, progress=progress)


def _column_errors(
    source: Source, checkpoint: Checkpoint, resampling: Resampling, progress: Progress | None
) -> list[EvaluationTable]:
    return evaluate_column_errors(source.bench, checkpoint, resampling, progress)


def _reconstruction(
    source: Source, checkpoint: Checkpoint, resampling: Resampling, progress: Progress | None
) -> list[EvaluationTable]:
    corpus = source.corpus_for("reconstruction")
    return evaluate_reconstruction(corpus, checkpoint, resampling=resampling, progress=progress)


def _completion(
    source: Source, checkpoint: Checkpoint, resampling: Resampling, progress: Progress | None
) -> list[EvaluationTable]:
    corpus = source.corpus_for("completion")
    return evaluate_completion(corpus, checkpoint, resampling=resampling, progress=progress)


def _rpt_table_1(
    source: Source, checkpoint: Checkpoint, resampling: Resampling, progress: Progress | None
) -> list[EvaluationTable]:
    return evaluate_rpt_table_1(source.bench, checkpoint, resampling=resampling, progress=progress)


def _unseen_errors(
    source: Source, checkpoint: Checkpoint, resampling: Resampling, progress: Progress | None
) -> list[EvaluationTable]:
    corpus = source.corpus_for("unseen-errors")
    return evaluate_unseen_errors(corpus, checkpoint, resampling=resampling, progress=progress)


def _block(
    source: Source, checkpoint: Checkpoint, resampling: Resampling, progress: Progress | None
) -> list[EvaluationTable]:
    return evaluate_block(source.bench, progress)


def _match(
    source: Source, checkpoint: Checkpoint, resampling: Resampling, progress: Progress | None
) -> list[EvaluationTable]:
    return evaluate_match(source.bench, resampling, progress)


def _pairs(
    source: Source, checkpoint: Checkpoint, resampling: Resampling, progress: Progress | None
) -> list[EvaluationTable]:
    return evaluate_pairs(source.bench, source.corpus_for("pairs"), checkpoint, resampling, progress)


def _cluster(
    source: Source, checkpoint: Checkpoint, resampling: Resampling, progress: Progress | None
) -> list[EvaluationTable]:
    return evaluate_cluster(source.bench, checkpoint, progress)


def _schema(
    source: Source, checkpoint: Checkpoint, resampling: Resampling, progress: Progress | None
) -> list[EvaluationTable]:
    return evaluate_schema(source.bench, checkpoint, source.corpus, resampling=resampling, progress=progress)


def _annotate(
    source: Source, checkpoint: Checkpoint, resampling: Resampling, progress: Progress | None
) -> list[EvaluationTable]:
    return evaluate_annotate(source.bench, checkpoint, resampling, progress)


def _extract(
    source: Source, checkpoint: Checkpoint, resampling: Resampling, progress: Progress | None
) -> list[EvaluationTable]:
    return evaluate_extract(source.bench, checkpoint, resampling, progress)


def _transform(
    source: Source, checkpoint: Checkpoint, resampling: Resampling, progress: Progress | None
) -> list[EvaluationTable]:
    return evaluate_transform(source.bench, checkpoint, resampling, progress)


def _leaks(
    source: Source, checkpoint: Checkpoint, resampling: Resampling, progress: Progress | None
) -> list[EvaluationTable]:
    return evaluate_leaks(source.bench, source.corpus_for("leaks"), checkpoint, progress)


TASKS: dict[str, Measure] = {
    "cleaning": _cleaning,
    "imputation": _imputation,
    "false-alarms": _false_alarms,
    "column-errors": _column_errors,
    "unseen-errors": _unseen_errors,
    "completion": _completion,
    "reconstruction": _reconstruction,
    "rpt-table-1": _rpt_table_1,
    "block": _block,
    "match": _match,
    "pairs": _pairs,
    "cluster": _cluster,
    "schema": _schema,
    "annotate": _annotate,
    "extract": _extract,
    "transform": _transform,
    "leaks": _leaks,
}
"""What can be measured, by name, in the order of the report."""

NEED_CORPUS = frozenset({"unseen-errors", "completion", "reconstruction", "pairs", "leaks"})
"""Tasks that are measured on corpus tables, or for which something is learned from them."""


def choose(tasks: Sequence[str], corpus: Path | None) -> tuple[list[str], tuple[str, ...]]:
    """The tasks to measure, each once, and what is skipped, each with its reason; no task named means all.

    Raises:
        OptionError: a task that does not exist.
    """
    for task in tasks:
        if task not in TASKS:
            message = f"there is no task {task!r} to evaluate; choose from {', '.join(TASKS)}"
            raise OptionError(message, field="tasks")
    if tasks:
        return list(dict.fromkeys(tasks)), ()
    chosen = [task for task in TASKS if corpus is not None or task not in NEED_CORPUS]
    return chosen, tuple(f"{task} (no corpus folder was given)" for task in TASKS if task not in chosen)
