"""What can be measured, by name: every task has one signature and stands in one dict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

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
from model.evaluation.normalization import evaluate_normalize
from model.evaluation.one_table import evaluate_one_table
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


class _OnFolder(Protocol):
    def __call__(
        self, folder: Path, checkpoint: Checkpoint, /, *, resampling: Resampling, progress: Progress | None
    ) -> list[EvaluationTable]: ...


def _on_bench(evaluate: _OnFolder) -> Measure:
    return lambda source, checkpoint, resampling, progress: evaluate(
        source.bench, checkpoint, resampling=resampling, progress=progress
    )


def _on_corpus(task: str, evaluate: _OnFolder) -> Measure:
    return lambda source, checkpoint, resampling, progress: evaluate(
        source.corpus_for(task), checkpoint, resampling=resampling, progress=progress
    )


TASKS: dict[str, Measure] = {
    "cleaning": _on_bench(evaluate_cleaning),
    "imputation": _on_bench(evaluate_imputation),
    "false-alarms": lambda source, checkpoint, resampling, progress: evaluate_false_alarms(
        source.bench, source.corpus, checkpoint, resampling=resampling, progress=progress
    ),
    "column-errors": _on_bench(evaluate_column_errors),
    "unseen-errors": _on_corpus("unseen-errors", evaluate_unseen_errors),
    "completion": _on_corpus("completion", evaluate_completion),
    "reconstruction": _on_corpus("reconstruction", evaluate_reconstruction),
    "rpt-table-1": _on_bench(evaluate_rpt_table_1),
    "block": lambda source, checkpoint, resampling, progress: evaluate_block(source.bench, progress),
    "match": lambda source, checkpoint, resampling, progress: evaluate_match(source.bench, resampling, progress),
    "pairs": lambda source, checkpoint, resampling, progress: evaluate_pairs(
        source.bench, source.corpus_for("pairs"), checkpoint, resampling, progress
    ),
    "cluster": lambda source, checkpoint, resampling, progress: [
        *evaluate_cluster(source.bench, checkpoint, progress),
        *evaluate_one_table(source.bench, source.corpus, checkpoint, progress),
    ],
    "schema": lambda source, checkpoint, resampling, progress: evaluate_schema(
        source.bench, checkpoint, source.corpus, resampling=resampling, progress=progress
    ),
    "annotate": _on_bench(evaluate_annotate),
    "extract": _on_bench(evaluate_extract),
    "transform": _on_bench(evaluate_transform),
    "normalize": lambda source, checkpoint, resampling, progress: evaluate_normalize(
        source.bench, source.corpus, checkpoint, resampling=resampling, progress=progress
    ),
    "leaks": lambda source, checkpoint, resampling, progress: evaluate_leaks(
        source.bench, source.corpus_for("leaks"), checkpoint, progress
    ),
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
