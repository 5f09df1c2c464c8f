"""Adapt a copy of the weights to one relation: RPT pretrained on the dirty tables that it then cleaned.

The one idea: minutes of the pretraining itself (the same corruption, examples, losses and loop) with the caller's
relation as the only table, as a task that makes one step a call. Whoever shares the device gets its turns between two
steps, and a caller who leaves ends it there.

The result is a function of relation, weights and options. The relation is taken in canonical order, the number of
steps follows from its size, never from a clock, and a step runs on one thread: the gradient of a layer norm is summed
thread by thread, so that another number of threads would be another sum.
"""

from __future__ import annotations

import copy
import hashlib
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from typing import TypeVar

import torch
from safetensors.torch import save

from model.architecture import TupleDenoiser
from model.checkpoint import PRECISIONS, Checkpoint
from model.config import CorruptionConfig, TrainingConfig
from model.corpus import CorpusTable
from model.dataset import ExampleFactory, TrainingBatch, make_chunk
from model.errors import ModelError, OptionError
from model.inference.batching import ModelTask, Progress, StepCall, answered_by
from model.inference.canonical import Canonical
from model.training import make_optimizer, train_step
from model.tuples import Adaptation, AdaptationOptions, CleaningResult, CompletionResult, Relation

MIN_TUPLES = 8
"""Fewer make no episode: there would be no context to learn from."""

MIN_STEPS = 20
"""A small relation is read several times; below this the warm-up alone would be most of it."""

Result = TypeVar("Result", CleaningResult, CompletionResult)


@dataclass(frozen=True, slots=True)
class Adapted:
    """Weights of their own for one relation, and what they took."""

    checkpoint: Checkpoint
    adaptation: Adaptation


def steps_for(relation: Relation, options: AdaptationOptions) -> int:
    """Optimizer steps for a relation of this size.

    Raises:
        OptionError: the relation is too small, or the options allow no step.
    """
    if len(relation) < MIN_TUPLES:
        raise OptionError(f"adapt needs {MIN_TUPLES} rows or more, the table has {len(relation)}", field="adapt")
    if options.max_steps < 1 or options.cells_per_step < 1:
        raise OptionError("adapt needs at least one step, and one cell a step", field="adapt")
    cells = len(relation) * len(relation.attributes)
    return min(options.max_steps, max(MIN_STEPS, cells // options.cells_per_step))


def adapt(
    checkpoint: Checkpoint,
    relation: Relation,
    options: AdaptationOptions | None = None,
    progress: Progress | None = None,
) -> ModelTask[Adapted]:
    """Train a copy of the weights on `relation`; `checkpoint` itself is left as it is.

    Raises:
        OptionError: the relation is too small.
        ModelError: the loss is not a number any more.
    """
    options = options or AdaptationOptions()
    began = time.monotonic()
    run = _Run(checkpoint, Canonical.of(relation).relation, _training(steps_for(relation, options), options))
    for step in range(run.training.steps):
        yield [StepCall(run.step)]
        if progress is not None:
            progress("adapt", step + 1, run.training.steps)
    adapted = run.finish()
    seconds = round(time.monotonic() - began, 3)
    return Adapted(adapted, Adaptation(run.training.steps, run.encoder_tokens, seconds, adapted.sha256))


def adapting(
    checkpoint: Checkpoint,
    relation: Relation,
    options: AdaptationOptions,
    progress: Progress | None,
    make: Callable[[Checkpoint], ModelTask[Result]],
) -> ModelTask[Result]:
    """Adapt to `relation`, run the task that `make` gives for the adapted weights, and forget them."""
    one = yield from adapt(checkpoint, relation, options, progress)
    result = yield from answered_by(one.checkpoint, make(one.checkpoint))
    seconds = round(one.adaptation.seconds + result.usage.seconds, 3)
    return replace(result, usage=replace(result.usage, adaptation=one.adaptation, seconds=seconds))


def _training(steps: int, options: AdaptationOptions) -> TrainingConfig:
    """Small batches, so that a step is short, of the relation as it is; other fields are those of pretraining."""
    return TrainingConfig(
        seed=options.seed,
        steps=steps,
        warmup_steps=steps // 10,
        learning_rate=options.learning_rate,
        batch_tokens=1024,
        max_tokens=512,
        episodes_per_chunk=4,
        context_size=4,
        match_weight=0.0,
        derived_rate=0.0,
        exchanged_words_rate=0.0,
        plain_names_rate=0.0,
    )


class _Run:
    """A copy of the weights, its optimizer, and the batches that it still learns from."""

    def __init__(self, checkpoint: Checkpoint, relation: Relation, training: TrainingConfig) -> None:
        self.training = training
        self.encoder_tokens = 0
        self._checkpoint = checkpoint
        self._denoiser: TupleDenoiser = copy.deepcopy(checkpoint.denoiser).float().requires_grad_(True).train()
        self._optimizer = make_optimizer(self._denoiser, training)
        table = CorpusTable("the relation at hand", "", "", relation)
        self._batches = _batches(ExampleFactory([table], checkpoint.serializer, training, CorruptionConfig()))
        self._done = 0

    def step(self) -> None:
        """One optimizer step."""
        with _one_thread():
            batch = next(self._batches)
            losses = train_step(self._denoiser, self._optimizer, batch, self._done, self.training)
            loss = float(losses.total.detach())
        if not math.isfinite(loss):
            raise ModelError("adapting to this table failed: the training loss is not a finite number")
        self._done += 1
        self.encoder_tokens += int(batch.encoder.keep.sum())

    def finish(self) -> Checkpoint:
        """The trained copy as a checkpoint of the same precision."""
        self._optimizer.zero_grad(set_to_none=True)
        denoiser = self._denoiser.to(PRECISIONS[self._checkpoint.precision]).eval().requires_grad_(False)
        sha256 = hashlib.sha256(save(denoiser.state_dict())).hexdigest()
        return replace(self._checkpoint, denoiser=denoiser, sha256=sha256)


def _batches(factory: ExampleFactory) -> Iterator[TrainingBatch]:
    for chunk in count():
        yield from make_chunk(factory, chunk)


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
