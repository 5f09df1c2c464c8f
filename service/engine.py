"""The loaded model and its one thread: the only door from the service to `model`.

The one idea: a request is a task that asks for model calls, and one thread runs all admitted tasks in shared batches.
Whoever asks gets a future; it always ends, with a result, with the error that the task raised, or cancelled. What
can be admitted is bounded, so a full engine says so at once instead of growing.

    loading ──▶ ready ──▶ draining ──▶ stopped
       └──────▶ failed
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from model.checkpoint import Checkpoint, load_checkpoint
from model.errors import CheckpointError, InputError, ModelError
from model.finetuning.adapt import MIN_TUPLES as MIN_ADAPTED_ROWS
from model.inference.annotation import BUILT_IN as BUILT_IN_LABELS
from model.inference.annotation import (
    Annotation,
    AnnotationOptions,
    AnnotationResult,
    LabelCandidate,
    LabelledColumn,
    annotate,
)
from model.inference.batching import ModelTask, Progress, StepCall, TaskPool
from model.inference.blocking import BlockingPlan
from model.inference.cleaning import clean
from model.inference.clustering import Cardinality
from model.inference.completion import complete
from model.inference.extraction import Extraction, ExtractionOutcome, ExtractionResult, extract
from model.inference.normalization import (
    NormalizationExample,
    NormalizationOptions,
    NormalizationOutcome,
    NormalizationResult,
    NormalizedAttribute,
    NormalizedCell,
    normalize,
)
from model.inference.pairs import AlignedRelations, ComparedPair, MatchingResult, PairOptions, TaughtPair, match_pairs
from model.inference.pointing import AskedAttribute, ExtractionExample
from model.inference.resolution import (
    ChosenValue,
    Entity,
    NamedPreference,
    NamedPreferenceExample,
    PairDoubt,
    ResolutionOptions,
    ResolutionResult,
    plan_task,
    resolve,
)
from model.inference.rules import check_rule
from model.inference.schema_matching import (
    ColumnMatch,
    Schema,
    SchemaExample,
    SchemaMatchingOptions,
    SchemaMatchingResult,
    match_schema,
)
from model.inference.transformation import (
    Transformation,
    TransformationOptions,
    TransformationOutcome,
    TransformationResult,
    TransformExample,
    transform,
)
from model.models import DEFAULT, check_name, find_model, model_names
from model.tuples import (
    Adaptation,
    AdaptationOptions,
    Cell,
    CellExample,
    CleaningOptions,
    CleaningResult,
    Completion,
    CompletionOptions,
    CompletionResult,
    CompletionTarget,
    DomainRule,
    Evidence,
    FunctionalDependency,
    JudgedPair,
    Outcome,
    PairExample,
    PatternRule,
    RecordPlace,
    Relation,
    Repair,
    RepairCandidate,
    Rule,
    Suggestion,
    Usage,
)

if TYPE_CHECKING:
    from model.evaluation.report import EvaluationReport
    from model.finetuning.finetune import FinetuneReport as FinetuneReport  # the command line names it

# The routes and the command line speak to the model in these words, and through this module alone.
__all__ = [
    "BUILT_IN_LABELS",
    "MIN_ADAPTED_ROWS",
    "Adaptation",
    "AdaptationOptions",
    "AlignedRelations",
    "Annotation",
    "AnnotationOptions",
    "AnnotationResult",
    "AskedAttribute",
    "BlockingPlan",
    "Cardinality",
    "Cell",
    "CellExample",
    "ChosenValue",
    "CleaningOptions",
    "CleaningResult",
    "ColumnMatch",
    "ComparedPair",
    "Completion",
    "CompletionOptions",
    "CompletionResult",
    "CompletionTarget",
    "DomainRule",
    "Engine",
    "EngineState",
    "Entity",
    "Evidence",
    "Extraction",
    "ExtractionExample",
    "ExtractionOutcome",
    "ExtractionResult",
    "FunctionalDependency",
    "InputError",
    "JudgedPair",
    "LabelCandidate",
    "LabelledColumn",
    "Load",
    "MatchingResult",
    "ModelDescription",
    "ModelError",
    "NamedPreference",
    "NamedPreferenceExample",
    "NormalizationExample",
    "NormalizationOptions",
    "NormalizationResult",
    "NormalizationOutcome",
    "NormalizedAttribute",
    "NormalizedCell",
    "NotReadyError",
    "Outcome",
    "PairDoubt",
    "PairExample",
    "PairOptions",
    "PatternRule",
    "QueueFullError",
    "RecordPlace",
    "Relation",
    "Repair",
    "RepairCandidate",
    "ResolutionOptions",
    "ResolutionResult",
    "Rule",
    "Schema",
    "SchemaExample",
    "SchemaMatchingOptions",
    "SchemaMatchingResult",
    "Suggestion",
    "TaughtPair",
    "TransformExample",
    "Transformation",
    "TransformationOptions",
    "TransformationOutcome",
    "TransformationResult",
    "UnknownModelError",
    "Usage",
    "check_rule",
    "evaluate",
    "finetune",
]

logger = logging.getLogger(__name__)

T = TypeVar("T")
TASKS = ("clean", "complete", "match", "resolve", "match-schema", "transform", "annotate", "extract", "normalize")
"""What the model can be asked to do, as the card says it."""


class NotReadyError(Exception):
    """The model is loading, could not be loaded, or takes no new requests because it is stopping."""


class UnknownModelError(Exception):
    """There is no model of this name."""

    def __init__(self) -> None:
        super().__init__("GET /v1/models lists the models that are served")


class QueueFullError(Exception):
    """As many requests are at work and waiting as are allowed; `retry_after` seconds from now may be better."""

    def __init__(self, retry_after: int) -> None:
        super().__init__("too many requests are at work")
        self.retry_after = retry_after


class EngineState(StrEnum):
    """Where an engine is in its life."""

    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"
    DRAINING = "draining"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """What is loaded; `size` is that of the weights file in bytes, `card` is the model card as JSON."""

    name: str
    version: str
    sha256: str
    parameters: int
    size: int
    precision: str
    max_name_tokens: int
    max_value_tokens: int
    max_attributes: int
    max_context: int
    card: dict[str, Any]
    tasks: tuple[str, ...] = TASKS


@dataclass(frozen=True, slots=True)
class Load:
    """How busy an engine is: requests in shared batches, and requests that wait for their turn."""

    running: int
    waiting: int


@dataclass(slots=True)
class _Job:
    make: Callable[[Checkpoint], ModelTask[Any]]
    future: Future[Any]
    began: float
    adapts: bool
    model: str | None = None


class Engine:
    """A model, its thread and its queue.

    Args:
        folder: checkpoint folder; None is the one in the box.
        precision: as of `load_checkpoint`.
        threads: torch threads; 0 leaves torch's own choice.
        models: folder of named models, which may come and go while the engine runs; None has none.
        max_requests: running and waiting requests together.
        max_running: requests that share batches at one time.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        precision: str = "auto",
        threads: int = 0,
        models: Path | None = None,
        max_requests: int = 32,
        max_running: int = 4,
    ) -> None:
        self._folder = folder
        self._precision = precision
        self._threads = threads
        self._models = models
        self._named: dict[str, Checkpoint] = {}
        self._max_requests = max_requests
        self._max_running = max_running
        self._changed = threading.Condition()
        self._waiting: deque[_Job] = deque()
        self._running: dict[int, _Job] = {}
        self._state = EngineState.LOADING
        self._problem: str | None = None
        self._description: ModelDescription | None = None
        self._seconds = 1.0  # of a request, smoothed
        self._thread = threading.Thread(target=self._work, name="device", daemon=True)

    @property
    def state(self) -> EngineState:
        """Where the engine is in its life."""
        return self._state

    @property
    def load(self) -> Load:
        """Requests at work and waiting."""
        with self._changed:
            return Load(len(self._running), len(self._waiting))

    @property
    def description(self) -> ModelDescription:
        """What is loaded.

        Raises:
            NotReadyError: nothing is loaded yet.
        """
        if self._description is None:
            raise NotReadyError(self._problem or "the model is being loaded")
        return self._description

    @property
    def descriptions(self) -> list[ModelDescription]:
        """All models that can be asked, the one of the process first.

        Raises:
            NotReadyError: nothing is loaded yet.
        """
        own = self.description
        named = (self._describe_named(name) for name in model_names(self._models) if name != own.name)
        return [own, *(one for one in named if one is not None)]

    def describe(self, name: str | None, task: str | None = None) -> ModelDescription:
        """One model; None, `default` and its own name mean the one of the process.

        Args:
            task: what it is to be asked for, if anything.

        Raises:
            NotReadyError: nothing is loaded yet.
            UnknownModelError: there is no such model.
            InputError: it was fine-tuned to another task.
        """
        own = self.description
        if name in (None, DEFAULT, own.name):
            return own
        found = self._describe_named(name)
        if found is None:
            raise UnknownModelError
        if task is not None and task not in found.tasks:
            raise InputError(f"the model was fine-tuned to {found.tasks[0]}, not to {task}", field="model")
        return found

    def _describe_named(self, name: str) -> ModelDescription | None:
        """What a named model's card says; None where it is gone or is none that was fine-tuned from a model."""
        path = find_model(self._models, name)
        try:
            return None if path is None else _describe_card(name, path, self.description)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def start(self) -> None:
        """Begin to load the model in its own thread; `state` tells when it is ready."""
        self._thread.start()

    def wait_ready(self) -> None:
        """Wait until the model is loaded.

        Raises:
            NotReadyError: it cannot be.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._state is not EngineState.LOADING)
        self._check_open()

    def check_open(self) -> None:
        """Say now what `submit` would say.

        Raises:
            NotReadyError, QueueFullError: no request can be taken.
        """
        with self._changed:
            self._check_open()

    def _check_open(self) -> None:
        if self._state is not EngineState.READY:
            raise NotReadyError(self._problem or _WHY_CLOSED[self._state])
        ahead = len(self._waiting) + len(self._running)
        if ahead >= self._max_requests:
            raise QueueFullError(retry_after=min(60, max(1, math.ceil(self._seconds))))

    def _check_adapting(self) -> None:
        """Adapting takes minutes: at most half of the places are for those who ask for it."""
        if sum(job.adapts for job in (*self._waiting, *self._running.values())) >= max(1, self._max_requests // 2):
            raise QueueFullError(retry_after=60)

    def submit(
        self, make: Callable[[Checkpoint], ModelTask[T]], *, adapts: bool = False, model: str | None = None
    ) -> Future[T]:
        """Queue a task; cancelling the future takes it out again, even half done.

        Args:
            adapts: the task trains weights of its own. One such task is at work at a time, so that its memory is
                bounded; the others wait, and whoever came behind them goes first.
            model: a named model that answers instead of the one of the process.

        Raises:
            NotReadyError, QueueFullError: it cannot be taken.
            UnknownModelError: there is no such model.
        """
        if model is not None:
            self.describe(model)
        future: Future[T] = Future()
        with self._changed:
            self._check_open()
            if adapts:
                self._check_adapting()
            self._waiting.append(_Job(make, future, time.monotonic(), adapts, model))
            self._changed.notify_all()
        return future

    def clean(
        self, relation: Relation, options: CleaningOptions, progress: Progress | None = None
    ) -> Future[CleaningResult]:
        """Flag and repair wrong cells."""
        adapts = options.adapt is not None
        return self.submit(lambda checkpoint: clean(checkpoint, relation, options, progress), adapts=adapts)

    def complete(
        self, relation: Relation, options: CompletionOptions, progress: Progress | None = None
    ) -> Future[CompletionResult]:
        """Fill missing cells."""
        adapts = options.adapt is not None
        return self.submit(lambda checkpoint: complete(checkpoint, relation, options, progress), adapts=adapts)

    def resolve(
        self, relations: Sequence[Relation], options: ResolutionOptions, progress: Progress | None = None
    ) -> Future[ResolutionResult]:
        """Find the entities of one relation or two."""
        return self.submit(lambda checkpoint: resolve(checkpoint, relations, options, progress))

    def match(
        self, aligned: AlignedRelations, pairs: Sequence[tuple[int, int]], options: PairOptions
    ) -> Future[MatchingResult]:
        """Judge pairs of a tuple of either relation."""
        return self.submit(lambda checkpoint: match_pairs(checkpoint, aligned, pairs, options))

    def plan_resolution(self, relations: Sequence[Relation], options: ResolutionOptions) -> Future[BlockingPlan]:
        """What `resolve` would compare."""
        return self.submit(lambda _: plan_task(relations, options))

    def match_schema(
        self, source: Schema, target: Schema, options: SchemaMatchingOptions, progress: Progress | None = None
    ) -> Future[SchemaMatchingResult]:
        """Find which columns of two tables are one."""
        return self.submit(lambda checkpoint: match_schema(checkpoint, source, target, options, progress))

    def extract(
        self,
        texts: Sequence[str | None],
        attributes: Sequence[AskedAttribute],
        progress: Progress | None = None,
        *,
        model: str | None = None,
    ) -> Future[ExtractionResult]:
        """Find the values of attributes in texts."""
        self.describe(model, "extract")
        return self.submit(lambda checkpoint: extract(checkpoint, texts, attributes, progress), model=model)

    def transform(
        self,
        examples: Sequence[TransformExample],
        inputs: Sequence[str],
        options: TransformationOptions,
        progress: Progress | None = None,
        *,
        model: str | None = None,
    ) -> Future[TransformationResult]:
        """Rewrite inputs as examples show."""
        self.describe(model, "transform")
        return self.submit(lambda checkpoint: transform(checkpoint, examples, inputs, options, progress), model=model)

    def normalize(
        self, relation: Relation, options: NormalizationOptions, progress: Progress | None = None
    ) -> Future[NormalizationResult]:
        """Rewrite values into the format of their column."""
        return self.submit(lambda checkpoint: normalize(checkpoint, relation, options, progress))

    def annotate(
        self, relation: Relation, options: AnnotationOptions, progress: Progress | None = None
    ) -> Future[AnnotationResult]:
        """Label the columns of a table."""
        return self.submit(lambda checkpoint: annotate(checkpoint, relation, options, progress))

    def drain(self) -> None:
        """Take no new requests; those at work and waiting go on."""
        with self._changed:
            if self._state in (EngineState.LOADING, EngineState.READY):
                self._state = EngineState.DRAINING
                self._changed.notify_all()

    def stop(self, seconds: float = 0.0) -> None:
        """Drain for at most `seconds`, cancel what is left, and end the thread."""
        self.drain()
        deadline = time.monotonic() + seconds
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting and not self._running, max(0.0, seconds))
            self._state = EngineState.STOPPED
            for job in (*self._waiting, *self._running.values()):
                job.future.cancel()
            self._waiting.clear()
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(max(5.0, deadline - time.monotonic()))

    def _work(self) -> None:
        """The device thread: load, then run batches until stopped."""
        try:
            checkpoint = self._load()
        except Exception as error:
            # What is wrong with a checkpoint is said in words; only what nobody foresaw needs its places in the code.
            logger.log(logging.ERROR, "the model cannot be loaded", exc_info=not isinstance(error, ModelError))
            with self._changed:
                self._problem = f"the model cannot be loaded: {error}"
                self._state = EngineState.FAILED
                self._changed.notify_all()
            return
        with self._changed:
            if self._state is EngineState.LOADING:
                self._state = EngineState.READY
            self._changed.notify_all()
        pool = TaskPool(checkpoint)
        while self._admit(pool, checkpoint):
            try:
                for finished in pool.step():
                    self._finish(finished.task_id, finished.result, finished.error)
            except Exception as error:  # a fault of the pool itself must not leave anybody waiting
                logger.exception("the batch failed")
                pool = TaskPool(checkpoint)
                for task_id in list(self._running):
                    self._finish(task_id, None, error)

    def _load(self) -> Checkpoint:
        if self._threads:
            torch.set_num_threads(self._threads)
        checkpoint = load_checkpoint(self._folder, precision=self._precision)
        if checkpoint.calibration is None:
            raise ModelError("the checkpoint has not been calibrated")
        self._description = _describe(checkpoint)
        return checkpoint

    def _admit(self, pool: TaskPool, checkpoint: Checkpoint) -> bool:
        """Wait for work, take what may run, drop what was cancelled; False when it is time to end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._running or self._state is EngineState.STOPPED)
            if self._state is EngineState.STOPPED:
                for task_id in list(self._running):
                    pool.cancel(task_id)
                self._running.clear()
                return False
            for task_id in [task_id for task_id, job in self._running.items() if job.future.cancelled()]:
                pool.cancel(task_id)
                del self._running[task_id]
            self._waiting = deque(job for job in self._waiting if not job.future.cancelled())
            while len(self._running) < self._max_running and (job := self._next_job()) is not None:
                try:
                    self._running[pool.add(self._task(job, checkpoint))] = job
                except Exception as error:  # what cannot even begin belongs to the one who asked
                    _end(job.future, None, error)
            self._changed.notify_all()
            return True

    def _task(self, job: _Job, own: Checkpoint) -> ModelTask[Any]:
        """What a request does; weights that it names are loaded as its first step, while nobody waits for the lock."""
        if job.model is None:
            return job.make(own)
        name = job.model

        def named() -> ModelTask[Any]:
            found: list[Checkpoint] = []
            yield [StepCall(lambda: found.append(self._answering(name, own)))]
            return (yield from job.make(found[0]))

        return named()

    def _answering(self, name: str, own: Checkpoint) -> Checkpoint:
        """The weights that a request names; a named model is loaded when it is asked for the first time.

        Raises:
            UnknownModelError: it has gone since it was asked for.
            CheckpointError: it cannot be read.
        """
        if self.describe(name) is self.description:
            return own
        path, wanted = find_model(self._models, name), self.describe(name).sha256
        known = self._named.pop(name, None)
        if known is None or _finetuned(known.card)["sha256"] != wanted:
            if path is None:
                raise UnknownModelError
            known = load_checkpoint(path, precision=self._precision)
            if known.calibration is None:
                raise CheckpointError("the model has not been calibrated")
        while len(self._named) >= _MOST_NAMED:
            del self._named[next(iter(self._named))]
        self._named[name] = known  # the one that was asked for last is last
        return known

    def _next_job(self) -> _Job | None:
        """Take the one that has waited longest; those that adapt are passed over while another one does."""
        adapting = any(job.adapts for job in self._running.values())
        for number, job in enumerate(self._waiting):
            if not (adapting and job.adapts):
                del self._waiting[number]
                return job
        return None

    def _finish(self, task_id: int, result: object, error: Exception | None) -> None:
        with self._changed:
            job = self._running.pop(task_id)
            self._seconds = 0.7 * self._seconds + 0.3 * (time.monotonic() - job.began)
            self._changed.notify_all()
        _end(job.future, result, error)


def _end(future: Future[Any], result: object, error: Exception | None) -> None:
    with contextlib.suppress(InvalidStateError):  # cancelled at the last moment
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)


_WHY_CLOSED = {
    EngineState.LOADING: "the model is being loaded",
    EngineState.FAILED: "the model cannot be loaded",
    EngineState.DRAINING: "the service is stopping",
    EngineState.STOPPED: "the service has stopped",
}


def _describe(checkpoint: Checkpoint) -> ModelDescription:
    config = checkpoint.config
    return ModelDescription(
        name=checkpoint.name,
        version=checkpoint.version,
        sha256=checkpoint.sha256,
        parameters=checkpoint.parameters,
        size=(checkpoint.path / "weights.safetensors").stat().st_size,
        precision=checkpoint.precision,
        max_name_tokens=config.max_name_tokens,
        max_value_tokens=config.max_value_tokens,
        max_attributes=config.max_attributes,
        max_context=config.max_context,
        card=checkpoint.card,
    )


_MOST_NAMED = 4
"""Named models that stay in memory, those that were asked for last."""


def _finetuned(card: dict[str, Any]) -> dict[str, Any]:
    record = card.get("finetuned")
    return record if isinstance(record, dict) else {}


def _describe_card(name: str, path: Path, own: ModelDescription) -> ModelDescription:
    """A named model by its card, without its weights being loaded."""
    card = json.loads((path / "card.json").read_text(encoding="utf-8"))
    record = _finetuned(card)
    return replace(
        own,
        name=name,
        version=str(card["version"]),
        sha256=str(record["sha256"]),
        parameters=int(record["parameters"]),
        size=sum(file.stat().st_size for file in path.rglob("*.safetensors")),
        card=card,
        tasks=(str(record["task"]),),
    )


def finetune(
    task: str,
    labels: Sequence[Mapping[str, Any]],
    folder: Path,
    name: str,
    base: Path | None,
    options: Mapping[str, Any],
    progress: Progress,
) -> FinetuneReport:
    """Fine-tune a task to labels and publish the model by its name.

    Args:
        task: `extract` or `transform`.
        labels: fields of `Label` or of `PairLabel`.
        options: fields of `FinetuneOptions`.

    Raises:
        ModelError: as `model.finetuning.finetune.finetune`.
    """
    from model.finetuning.finetune import FinetuneOptions
    from model.finetuning.finetune import finetune as train
    from model.finetuning.finetune_extraction import ExtractionLabels
    from model.finetuning.finetune_transformation import PairLabel, TransformLabels
    from model.finetuning.labelled_texts import Label

    check_name(name)
    asked = FinetuneOptions(**options)
    checkpoint = load_checkpoint(base, precision="float32")
    if task == "extract":
        texts = ExtractionLabels([Label(**one) for one in labels], asked.seed)
        return train(checkpoint, texts, folder, name, asked, progress)
    pairs = TransformLabels([PairLabel(**one) for one in labels], asked.seed)
    return train(checkpoint, pairs, folder, name, asked, progress)


def evaluate(
    tasks: Sequence[str], bench: Path, corpus: Path | None, folder: Path | None, seed: int, progress: Progress
) -> EvaluationReport:
    """Measure a checkpoint on benchmark tables; `seed` says which tables and cells are sampled.

    Raises:
        ModelError: no checkpoint, no data, or no such task.
    """
    from model.evaluation.report import evaluate as measure

    return measure(tasks, bench, corpus, load_checkpoint(folder), progress, seed=seed)
