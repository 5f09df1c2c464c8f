"""Batches of fixed shape, shared by all tasks that run.

A task is a generator: it yields the model calls it needs and is resumed with their answers, so it holds
no thread and many can share a batch. Every batch of a bucket has one shape, whatever stands in it:
inputs are padded to the bucket's length and missing rows are dummies. A row's numbers then do not
depend on how many other rows there are, nor on which; `tests/model/inference/test_batching.py` asserts
that bit for bit.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, TypeVar

import numpy as np
import torch

from model.architecture import EncoderBatch
from model.checkpoint import Checkpoint
from model.dataset import collate_inputs
from model.errors import InputError
from model.inference.generation import MAX_QUERIES, AnswerQuery, ScoredValue, answer_queries
from model.serialization import EncoderInput

BUCKETS = (64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448, 480, 512, 640, 768, 1024)
"""Lengths that encoder inputs are padded to."""

BATCH_TOKENS = 2048
"""Encoder tokens of one pass; its rows are this many over the bucket's length."""

ANSWER_ROWS = 32
"""Calls that the decoder answers together, whatever their length: its steps cost little more for many than for few."""

Progress = Callable[[str, int, int], None]
"""Called with a stage's name, how much of it is done, and how much there is."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class DetectCall:
    """Asks for the detection logits of the target's cells: float32 (attributes,).

    Attributes:
        checkpoint: weights that answer instead of the pool's own.
    """

    encoder_input: EncoderInput
    checkpoint: Checkpoint | None = None

    @property
    def encoder_tokens(self) -> int:
        """Tokens that the encoder reads for it, without padding."""
        return len(self.encoder_input)


@dataclass(frozen=True, slots=True)
class AnswerCall:
    """Asks the decoder: for each query its generated and given values with their likelihoods.

    Attributes:
        checkpoint: weights that answer instead of the pool's own.
    """

    encoder_input: EncoderInput
    queries: tuple[AnswerQuery, ...]
    checkpoint: Checkpoint | None = None

    def __post_init__(self) -> None:
        if len(self.queries) > MAX_QUERIES:
            raise ValueError(f"{len(self.queries)} queries in one call, at most {MAX_QUERIES}")

    @property
    def encoder_tokens(self) -> int:
        """Tokens that the encoder reads for it, without padding."""
        return len(self.encoder_input)


@dataclass(frozen=True, slots=True)
class SpanCall:
    """Asks where the answers to questions stand: start and end scores of every token, float32 (questions, length, 2).

    Attributes:
        questions: the `[V]` marker of each question.
        checkpoint: weights that answer instead of the pool's own.
    """

    encoder_input: EncoderInput
    questions: tuple[int, ...]
    checkpoint: Checkpoint | None = None

    @property
    def encoder_tokens(self) -> int:
        """Tokens that the encoder reads for it, without padding."""
        return len(self.encoder_input)


@dataclass(frozen=True, slots=True)
class StepCall:
    """Asks for a piece of work that shares no batch, such as one training step; answered by an empty list.

    What it works on belongs to the task that asks, so company changes nothing here either.
    """

    run: Callable[[], object]

    @property
    def encoder_tokens(self) -> int:
        """None on behalf of an answer: who trains counts by itself."""
        return 0


BatchedCall = DetectCall | AnswerCall | SpanCall
ModelCall = BatchedCall | StepCall
ModelAnswer = np.ndarray | list[list[ScoredValue]]
ModelTask = Generator[list[ModelCall], list[ModelAnswer], T]

STEP_TURNS = 4
"""Batches that other tasks get between two steps of one that trains: a step takes as long as some batches."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A task that ended: with a result, or with the error that it raised."""

    task_id: int
    result: object | None
    error: Exception | None


@dataclass(slots=True)
class _Running:
    task: ModelTask[Any]
    calls: list[ModelCall] = field(default_factory=list)
    answers: list[ModelAnswer | None] = field(default_factory=list)
    waiting: list[int] = field(default_factory=list)
    error: Exception | None = None
    started: bool = False


def bucket(length: int) -> int:
    """The padded length of an input of `length` tokens.

    Raises:
        InputError: the input is longer than the longest bucket.
    """
    for size in BUCKETS:
        if length <= size:
            return size
    raise InputError(f"a serialized tuple of {length} tokens is longer than {BUCKETS[-1]}")


class StateCache:
    """Encoder states of suspicious tuples: what detection has read, repair need not read again.

    A state depends on its input and the weights, so an answer is the same with and without it. The oldest go first.
    """

    def __init__(self, limit: int = 128 * 2**20) -> None:
        self._limit = limit
        self._size = 0
        self._states: OrderedDict[bytes, torch.Tensor] = OrderedDict()

    def keep(self, weights: str, encoder_input: EncoderInput, states: torch.Tensor) -> None:
        """Remember the states of one input, (padded length, width), under the weights of this hash."""
        self.find(weights, encoder_input)  # kept already, perhaps: counted once
        kept = states.clone()
        self._states[_key(weights, encoder_input)] = kept
        self._size += kept.nbytes
        while self._size > self._limit:
            self._size -= self._states.popitem(last=False)[1].nbytes

    def find(self, weights: str, encoder_input: EncoderInput) -> torch.Tensor | None:
        """The states of an input that was kept, once: they are forgotten here."""
        found = self._states.pop(_key(weights, encoder_input), None)
        self._size -= 0 if found is None else found.nbytes
        return found


def _key(weights: str, encoder_input: EncoderInput) -> bytes:
    parts = (encoder_input.ids, encoder_input.positions, encoder_input.columns, encoder_input.roles)
    content = b"".join(part.tobytes() for part in parts)
    return hashlib.blake2b(weights.encode() + content, digest_size=16).digest()


_SUSPICIOUS_LOGIT = -3.0
"""Tuples with a cell at least this likely to be wrong, by the model alone, are kept for repair."""


def run_batch(
    checkpoint: Checkpoint, calls: Sequence[BatchedCall], cache: StateCache | None = None
) -> list[ModelAnswer]:
    """Answer calls of one kind and one bucket in one padded batch."""
    kind, size = type(calls[0]), bucket(max(len(call.encoder_input) for call in calls))
    if len(calls) > capacity(kind, size):
        raise ValueError(f"{len(calls)} calls for a batch of {capacity(kind, size)}")
    inputs = [call.encoder_input for call in calls]
    with torch.inference_mode():
        if kind is DetectCall:
            states = _encode(checkpoint, inputs, size)
            logits = list(_detect(checkpoint, states, inputs))
            for row, (one, judged) in enumerate(zip(inputs, logits, strict=True)):
                if cache is not None and float(judged.max(initial=-np.inf)) > _SUSPICIOUS_LOGIT:
                    cache.keep(checkpoint.sha256, one, states[row])
            return list(logits)
        if kind is SpanCall:
            return list(_spans(checkpoint, [call for call in calls if isinstance(call, SpanCall)], size))
        batch, states = _encode_for_answers(checkpoint, inputs, size, cache or StateCache())
        queries = [call.queries for call in calls if isinstance(call, AnswerCall)]
        return list(answer_queries(checkpoint, states, batch, queries))


def capacity(kind: type, size: int) -> int:
    """How many calls of one kind and one bucket a batch takes."""
    if kind is StepCall:
        return 1
    return ANSWER_ROWS if kind is AnswerCall else max(1, BATCH_TOKENS // size)


def _encode(checkpoint: Checkpoint, inputs: Sequence[EncoderInput], size: int) -> torch.Tensor:
    """One encoder pass of the bucket's shape; rows that are not there are copies of the first."""
    rows = capacity(DetectCall, size)
    return checkpoint.denoiser.encode(collate_inputs([*inputs, *[inputs[0]] * (rows - len(inputs))], size))


def _encode_for_answers(
    checkpoint: Checkpoint, inputs: Sequence[EncoderInput], size: int, cache: StateCache
) -> tuple[EncoderBatch, torch.Tensor]:
    """States from the cache, or from as many encoder passes as are needed, filled up to `ANSWER_ROWS` rows."""
    states = [cache.find(checkpoint.sha256, one) for one in inputs]
    missing = [row for row, one in enumerate(states) if one is None]
    rows = capacity(DetectCall, size)
    for start in range(0, len(missing), rows):
        part = missing[start : start + rows]
        for row, one in zip(part, _encode(checkpoint, [inputs[row] for row in part], size), strict=False):
            states[row] = one
    filled = [one for one in states if one is not None]
    padding = ANSWER_ROWS - len(inputs)
    batch = collate_inputs([*inputs, *[inputs[0]] * padding], size)
    return batch, torch.stack([*filled, *[filled[0]] * padding])


def _detect(checkpoint: Checkpoint, states: torch.Tensor, inputs: Sequence[EncoderInput]) -> Iterator[np.ndarray]:
    """Detection logits of each input, judged in chunks of one shape."""
    example = np.concatenate([np.full(len(one.value_index), row) for row, one in enumerate(inputs)])
    index = np.concatenate([one.value_index for one in inputs]).astype(np.int64)
    logits = np.empty(len(example), dtype=np.float32)
    for start in range(0, len(example), _DETECTION_CHUNK):
        chosen = np.arange(start, start + _DETECTION_CHUNK) % len(example)
        part = checkpoint.denoiser.detect(states, torch.from_numpy(example[chosen]), torch.from_numpy(index[chosen]))
        logits[start : start + _DETECTION_CHUNK] = part.numpy()[: len(example) - start]
    start = 0
    for one in inputs:
        yield logits[start : start + len(one.value_index)]
        start += len(one.value_index)


_DETECTION_CHUNK = 256


def _spans(checkpoint: Checkpoint, calls: Sequence[SpanCall], size: int) -> Iterator[np.ndarray]:
    """Start and end scores of each call's questions, asked in chunks of one shape."""
    inputs = [call.encoder_input for call in calls]
    batch = collate_inputs([*inputs, *[inputs[0]] * (capacity(SpanCall, size) - len(inputs))], size)
    states = checkpoint.denoiser.encode(batch)
    asked = [(row, question) for row, call in enumerate(calls) for question in call.questions]
    parts = []
    for start in range(0, len(asked), _QUESTION_CHUNK):
        chosen = [asked[place % len(asked)] for place in range(start, start + _QUESTION_CHUNK)]
        example, index = torch.tensor(chosen, dtype=torch.int64).T
        parts.append(checkpoint.denoiser.span_logits(states, batch, example, index).numpy())
    scores = np.concatenate(parts) if parts else np.zeros((0, size, 2), dtype=np.float32)
    start = 0
    for call in calls:
        yield scores[start : start + len(call.questions), : len(call.encoder_input)]
        start += len(call.questions)


_QUESTION_CHUNK = 16


class TaskPool:
    """Runs many tasks at once, one batch at a time; tasks take turns in deciding what kind of batch it is."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self._cache = StateCache()
        self._tasks: dict[int, _Running] = {}
        self._next = 0
        self._owed = 0  # batches that others get before the next training step

    def __len__(self) -> int:
        return len(self._tasks)

    def add(self, task: ModelTask[Any]) -> int:
        """Take a task in; nothing of it runs before the next `step`."""
        self._next += 1
        self._tasks[self._next] = _Running(task)
        return self._next

    def cancel(self, task_id: int) -> None:
        """Forget a task; its generator is closed. An unknown id is no error."""
        running = self._tasks.pop(task_id, None)
        if running is not None:
            running.task.close()

    def step(self) -> list[Finished]:
        """Run one batch; gives the tasks that ended by it."""
        finished = [one for task_id in list(self._tasks) for one in self._start(task_id)]
        chosen = self._choose()
        if not chosen:
            return finished
        calls = [self._tasks[task_id].calls[number] for task_id, number in chosen]
        for (task_id, number), answer in zip(chosen, self._answer(calls), strict=True):
            running = self._tasks[task_id]
            if isinstance(answer, Exception):
                running.error = running.error or answer
            else:
                running.answers[number] = answer
            running.waiting.remove(number)
        for task_id in dict.fromkeys(task_id for task_id, _ in chosen):
            running = self._tasks[task_id]
            if running.error is not None or not running.waiting:
                finished += self._resume(task_id)
        return finished

    def _answer(self, calls: Sequence[ModelCall]) -> list[ModelAnswer | Exception]:
        """Answers of one batch; where it fails, of each call by itself, so that only a faulty call has no answer."""
        try:
            if isinstance(calls[0], StepCall):
                calls[0].run()
                return [[]]
            batched = [call for call in calls if not isinstance(call, StepCall)]
            return [*run_batch(calls[0].checkpoint or self.checkpoint, batched, self._cache)]
        except Exception as error:  # whatever a call raises belongs to the task that made it
            return [error] if len(calls) == 1 else [self._answer([call])[0] for call in calls]

    def _start(self, task_id: int) -> list[Finished]:
        running = self._tasks[task_id]
        if running.started:
            return []
        running.started = True
        return self._resume(task_id)

    def _resume(self, task_id: int) -> list[Finished]:
        """Hand a task its answers, or the error of its call, and take its next calls, until it waits or ends."""
        running = self._tasks[task_id]
        answers: list[ModelAnswer] | None = [one for one in running.answers if one is not None] or None
        error, running.error = running.error, None
        while True:
            try:
                if error is not None:
                    calls = running.task.throw(error)
                else:
                    calls = next(running.task) if answers is None else running.task.send(answers)
            except StopIteration as stop:
                del self._tasks[task_id]
                return [Finished(task_id, stop.value, None)]
            except Exception as raised:  # whatever a task raises belongs to its caller, not to the pool
                del self._tasks[task_id]
                return [Finished(task_id, None, raised)]
            error = _unfit(calls)
            if error is not None:
                continue
            if calls:
                running.calls, running.answers = calls, [None] * len(calls)
                running.waiting = list(range(len(calls)))
                return []
            answers = []

    def _choose(self) -> list[tuple[int, int]]:
        """Calls for one batch: one task's oldest call decides kind and bucket, others like it join.

        The task that decided goes to the end, so that a long one does not make the others wait for its end. After a
        training step the other tasks get some batches before the next one.
        """
        chosen: list[tuple[int, int]] = []
        key: _Kind | None = None
        leader, rows = 0, 0
        resting = self._owed > 0 and not all(self._trains(task_id) for task_id in self._tasks)
        for task_id, running in self._tasks.items():
            if resting and self._trains(task_id):
                continue
            for number in running.waiting:
                this = _kind(running.calls[number])
                if key is None:
                    key, rows, leader = this, capacity(this[0], this[1]), task_id
                if this == key and len(chosen) < rows:
                    chosen.append((task_id, number))
        if key is not None:
            self._owed = STEP_TURNS if key[0] is StepCall else max(0, self._owed - 1)
            self._tasks[leader] = self._tasks.pop(leader)
        return chosen

    def _trains(self, task_id: int) -> bool:
        running = self._tasks[task_id]
        return any(isinstance(running.calls[number], StepCall) for number in running.waiting)


_Kind = tuple[type, int, str]


def _kind(call: ModelCall) -> _Kind:
    """What calls of one batch have in common: class, bucket, and weights where they are not the pool's own."""
    if isinstance(call, StepCall):
        return StepCall, 0, ""
    return type(call), bucket(len(call.encoder_input)), "" if call.checkpoint is None else call.checkpoint.sha256


def _unfit(calls: Sequence[ModelCall]) -> InputError | None:
    """The error of the first call that no batch can hold."""
    try:
        for call in calls:
            _kind(call)
    except InputError as error:
        return error
    return None


def answered_by(checkpoint: Checkpoint, task: ModelTask[T]) -> ModelTask[T]:
    """The same task with its calls answered by `checkpoint`, whatever pool it runs in."""
    answers: list[ModelAnswer] | None = None
    error: Exception | None = None
    with closing(task):
        while True:
            try:
                if error is not None:
                    calls = task.throw(error)
                else:
                    calls = next(task) if answers is None else task.send(answers)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
            error = None
            try:
                answers = yield [
                    call if isinstance(call, StepCall) else replace(call, checkpoint=checkpoint) for call in calls
                ]
            except Exception as raised:  # the task may want to handle the error of its own call
                error = raised


def run_task(checkpoint: Checkpoint, task: ModelTask[T]) -> T:
    """Run one task alone, to its end; raises what it raises."""
    return next(run_tasks(checkpoint, [task]))


def run_tasks(checkpoint: Checkpoint, tasks: Iterable[ModelTask[T]], at_once: int = 16) -> Iterator[T]:
    """Run many tasks, up to `at_once` in shared batches; gives their results in order, raises what the first raises."""
    pool = TaskPool(checkpoint)
    coming = iter(tasks)
    running: dict[int, None] = {}
    ended: dict[int, Finished] = {}
    while True:
        running |= {pool.add(task): None for task in islice(coming, at_once - len(pool))}
        if not running:
            return
        first = next(iter(running))
        while first not in ended:
            ended |= {one.task_id: one for one in pool.step()}
        del running[first]
        finished = ended.pop(first)
        if finished.error is not None:
            raise finished.error
        yield finished.result  # type: ignore[misc]
