"""Training examples, drawn from (seed, chunk, episode): any one can be made again alone.

An *episode* is a window of one real table, corrupted as a whole, so that errors are correlated and the
context is as dirty as the target. From its tuples come examples: one encoder input, a label for each
cell that detection can judge, and decoder queries for every task of the mixture:

    fill     a masked or missing value, one masked span inside it (RPT's value and token masking), or a
             half-typed one
    repair   the true value of a corrupted cell, and of a clean one, which must come back unchanged
    name     a masked attribute name (RPT's attribute-name masking)

A *chunk* is a few episodes, length-sorted into batches of a token budget.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from model.architecture import DecoderBatch, EncoderBatch
from model.augmentation import augment
from model.config import CorruptionConfig, TrainingConfig
from model.corpus import Table
from model.corruption import RETOLD, CorruptedRelation, corrupt_relation, is_error, mask_span
from model.inference.context import select_context
from model.serialization import EncoderInput, Mask, Part, TupleSerializer
from model.tokenizer import SpecialToken
from model.tuples import Relation

_FEWEST, _MOST = 24, 300
"""Tuples of a window."""

TASKS = {
    "fill": SpecialToken.FILL,
    "repair": SpecialToken.REPAIR,
    "name": SpecialToken.NAME,
    "transform": SpecialToken.TRANSFORM,
}
"""What the decoder can be asked; `transform` by fine-tuning alone."""


@dataclass(frozen=True, slots=True)
class Query:
    """One thing that the decoder is asked: a task about a column, and the ids it should write."""

    task: str
    column_id: int
    answer: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Span:
    """Where the answer to a question stands, as indices of encoder tokens.

    Attributes:
        question: the `[V]` marker of the attribute that is asked for, whose value is a `Mask`.
        start, end: first and last token of the answer; both `question` where there is none.
    """

    question: int
    start: int
    end: int


def _no_places() -> np.ndarray:
    return np.zeros(0, dtype=np.int64)


def _no_labels() -> np.ndarray:
    return np.zeros(0, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class TrainingExample:
    """One encoder input with its labels; an example of one task has those of that task alone.

    Attributes:
        cells, wrong: indices of `[V]` markers, and 1 where the cell was corrupted.
        tuples, same: indices of the `[T]` markers of context tuples, and 1 where one tells of the target's entity.
        queries: what the decoder is asked.
        spans: questions with their answers in the text.
    """

    encoder_input: EncoderInput
    cells: np.ndarray = field(default_factory=_no_places)
    wrong: np.ndarray = field(default_factory=_no_labels)
    tuples: np.ndarray = field(default_factory=_no_places)
    same: np.ndarray = field(default_factory=_no_labels)
    queries: tuple[Query, ...] = ()
    spans: tuple[Span, ...] = ()


class ExampleSource(Protocol):
    """Where a run's examples come from, some at a time."""

    @property
    def serializer(self) -> TupleSerializer:
        """What wrote the examples."""

    @property
    def training(self) -> TrainingConfig:
        """The run they are for."""

    def examples(self, rng: random.Random) -> list[TrainingExample]:
        """The examples of one episode, which follow from `rng` alone."""


@dataclass(frozen=True, slots=True)
class TrainingBatch:
    """What one forward pass needs, padded.

    Every label has a weight: 1, or 0 where it only fills a fixed shape.

    Attributes:
        cell_example, cell_index, cell_wrong, cell_weight: detection labels, (cells,).
        pair_example, pair_index, pair_same, pair_weight: match labels of context tuples, (pairs,).
        target_example, target_index, target_id, target_task, target_weight: next-token labels, (targets,).
        span_example, span_question, span_start, span_end, span_weight: labels of questions, (questions,).
    """

    encoder: EncoderBatch
    answers: DecoderBatch
    cell_example: Tensor
    cell_index: Tensor
    cell_wrong: Tensor
    cell_weight: Tensor
    pair_example: Tensor
    pair_index: Tensor
    pair_same: Tensor
    pair_weight: Tensor
    target_example: Tensor
    target_index: Tensor
    target_id: Tensor
    target_task: Tensor
    target_weight: Tensor
    span_example: Tensor
    span_question: Tensor
    span_start: Tensor
    span_end: Tensor
    span_weight: Tensor

    def to(self, device: torch.device) -> TrainingBatch:
        """The same batch on another device."""
        tensors = [tensor.to(device) for tensor in self.tensors()]
        return TrainingBatch(EncoderBatch(*tensors[:4]), DecoderBatch(*tensors[4:8]), *tensors[8:])

    def tensors(self) -> list[Tensor]:
        """All tensors: of the encoder, of the decoder, labels."""
        encoder = [getattr(self.encoder, name) for name in EncoderBatch.__slots__]
        answers = [getattr(self.answers, name) for name in DecoderBatch.__slots__]
        labels = [getattr(self, name) for name in self.__slots__ if name not in ("encoder", "answers")]
        return [*encoder, *answers, *labels]


@dataclass(frozen=True, slots=True)
class BatchShape:
    """A shape that a batch is padded to: a GPU can repeat what it recorded for one."""

    rows: int
    length: int
    answer_length: int
    targets: int
    cells: int
    pairs: int
    questions: int

    @classmethod
    def of(cls, length: int, training: TrainingConfig) -> BatchShape:
        """The shape for inputs of at most `length` tokens; labels that do not fit are left out, which is rare."""
        rows = max(1, training.batch_tokens // length)
        targets = rows * (18 + length // 20) if training.answer_weight else 0
        cells = rows * (16 + length // 6) if training.detection_weight else 0
        pairs = rows * max(1, training.context_size) if training.match_weight else 0
        questions = rows * training.questions
        return cls(rows, length, 96, targets, cells, pairs, questions)


FIXED_LENGTHS = (72, 112, 176, 256, 368, 512)
"""Input lengths of the fixed shapes; the longest is `max_tokens`."""


class ExampleFactory:
    """Draws episodes and examples from tables; holds no state of its own beyond the tables."""

    def __init__(
        self,
        tables: Sequence[Table],
        serializer: TupleSerializer,
        training: TrainingConfig,
        corruption: CorruptionConfig,
    ) -> None:
        self.tables = [table for table in tables if len(table) >= 8]
        self.serializer = serializer
        self.training = training
        self.corruption = corruption
        self._cumulative = np.cumsum(table_weights(self.tables))

    def episode(self, rng: random.Random) -> CorruptedRelation:
        """A corrupted window of a table: up to 300 of its tuples and 14 of its attributes, before anything is added."""
        point = rng.random() * self._cumulative[-1]
        table = self.tables[min(int(np.searchsorted(self._cumulative, point)), len(self.tables) - 1)]
        return corrupt_relation(augment(_window(table, rng), rng, self.training), rng, self.corruption)

    def examples(self, rng: random.Random) -> list[TrainingExample]:
        """All examples of one episode."""
        episode = self.episode(rng)
        wanted = min(self.training.examples_per_episode, len(episode.dirty))
        targets = _choose_targets(episode, wanted, rng)
        contexts = self.contexts(episode.dirty, np.asarray(targets))
        return [self._example(episode, target, context, rng) for target, context in zip(targets, contexts, strict=True)]

    def contexts(self, relation: Relation, targets: np.ndarray) -> np.ndarray:
        """The tuples that may stand behind each target, best first; shapes as in `select_context`."""
        return select_context(relation, self.training.context_size, targets)

    def context_size(self, available: int, rng: random.Random) -> int:
        """How many of the `available` context tuples one example has."""
        return 0 if rng.random() < 0.12 else rng.randint(min(1, available), available)

    def _example(
        self, episode: CorruptedRelation, target: int, context: np.ndarray, rng: random.Random
    ) -> TrainingExample:
        names: list[Part] = list(episode.dirty.attributes)
        values: list[Part] = list(episode.dirty.tuples[target])
        width = len(names)
        column_ids = rng.sample(range(1, self.serializer.config.max_attributes + 1), width)
        rows = [list(episode.dirty.tuples[row]) for row in context[: self.context_size(len(context), rng)]]
        masked = _mask_values(episode, target, values, rng)
        named = _mask_name(names, rng)
        encoder_input = self.serializer.serialize(names, values, rows, column_ids)
        while len(encoder_input) > self.training.max_tokens and rows:
            rows.pop()
            encoder_input = self.serializer.serialize(names, values, rows, column_ids)
        cells, wrong = _cell_labels(episode, target, context[: len(rows)], masked, encoder_input)
        tuples, same = _pair_labels(episode, target, context[: len(rows)], encoder_input)
        queries = self._queries(episode, target, masked, named, column_ids, rng)
        return TrainingExample(encoder_input, cells, wrong, tuples, same, tuple(queries))

    def _queries(
        self,
        episode: CorruptedRelation,
        target: int,
        masked: list[int],
        named: int | None,
        column_ids: list[int],
        rng: random.Random,
    ) -> Iterator[Query]:
        truth, kinds = episode.clean.tuples[target], episode.kinds[target]
        wanted = [("fill", attribute) for attribute in masked]
        wrong = [place for place, kind in enumerate(kinds) if is_error(kind) and place not in masked]
        wanted += [("repair", attribute) for attribute in rng.sample(wrong, min(4, len(wrong)))]
        intact = [a for a, kind in enumerate(kinds) if not kind and truth[a] and a not in masked]
        wanted += [("repair", attribute) for attribute in rng.sample(intact, min(1, len(intact)))]
        for task, attribute in wanted:
            answer = self.serializer.answer_ids(truth[attribute])
            if answer is not None:
                yield Query(task, column_ids[attribute], tuple(answer))
        if named is not None:
            answer = self.serializer.answer_ids(episode.dirty.attributes[named])
            if answer is not None:
                yield Query("name", column_ids[named], tuple(answer))


def table_weights(tables: Sequence[Table]) -> np.ndarray:
    """Large tables weigh more, but a repository with many tables does not drown the others."""
    per_repository: dict[str, int] = {}
    for table in tables:
        per_repository[table.repository] = per_repository.get(table.repository, 0) + 1
    rows = np.array([min(len(table), 1000) for table in tables], dtype=np.float64)
    share = np.array([per_repository[table.repository] for table in tables], dtype=np.float64)
    return np.sqrt(rows / share)


def _window(table: Table, rng: random.Random) -> Relation:
    """Some tuples (half the time consecutive ones) and some attributes of `table`; few tuples as likely as many."""
    count = min(len(table), round(_FEWEST * (_MOST / _FEWEST) ** rng.random()))
    if rng.random() < 0.5:
        start = rng.randint(0, len(table) - count)
        chosen = list(range(start, start + count))
    else:
        chosen = sorted(rng.sample(range(len(table)), count))
    width = len(table.attributes)
    limit = min(width, rng.randint(4, 14))
    return table.part(chosen, sorted(rng.sample(range(width), limit)))


def _choose_targets(episode: CorruptedRelation, wanted: int, rng: random.Random) -> list[int]:
    """Up to three quarters of the targets carry an error, the rest are drawn from all tuples."""
    dirty = [row for row, kinds in enumerate(episode.kinds) if any(map(is_error, kinds))]
    chosen = rng.sample(dirty, min(len(dirty), wanted * 3 // 4))
    taken = set(chosen)
    others = [row for row in range(len(episode.dirty)) if row not in taken]
    return chosen + rng.sample(others, min(len(others), wanted - len(chosen)))


def _mask_values(episode: CorruptedRelation, target: int, values: list[Part], rng: random.Random) -> list[int]:
    """Hide one to three intact values in place: as `[M]`, as missing, one span of it, or all but its beginning.

    The encoder is the cost and a query is nearly free, so a wide tuple is asked more; at most half of it is hidden.
    """
    intact = [a for a, kind in enumerate(episode.kinds[target]) if not kind and values[a]]
    masked = rng.sample(intact, min((len(intact) + 1) // 2, rng.choice((1, 2, 2, 3))))
    for attribute in masked:
        draw, value = rng.random(), values[attribute]
        if draw < 0.6 or not isinstance(value, str):
            values[attribute] = Mask()
        elif draw < 0.8:
            values[attribute] = None
        elif draw < 0.92:
            values[attribute] = Mask(*mask_span(value, rng))
        else:
            values[attribute] = Mask(value[: rng.randrange(len(value))])
    return masked


def _mask_name(names: list[Part], rng: random.Random) -> int | None:
    """Hide one attribute name in place, in one example of four."""
    if rng.random() > 1 / 4:
        return None
    attribute = rng.randrange(len(names))
    if not names[attribute]:
        return None
    names[attribute] = Mask()
    return attribute


def _cell_labels(
    episode: CorruptedRelation, target: int, context: np.ndarray, masked: list[int], encoder_input: EncoderInput
) -> tuple[np.ndarray, np.ndarray]:
    """Marker indices and labels of the target's unmasked cells and of all context cells."""
    cells, wrong = [], []
    for attribute, kind in enumerate(episode.kinds[target]):
        if attribute not in masked and kind != RETOLD:
            cells.append(encoder_input.value_index[attribute])
            wrong.append(bool(kind))
    for rank, row in enumerate(context):
        for attribute, kind in enumerate(episode.kinds[row]):
            if kind != RETOLD:
                cells.append(encoder_input.context_index[rank, attribute])
                wrong.append(bool(kind))
    return np.asarray(cells, dtype=np.int64), np.asarray(wrong, dtype=np.float32)


def _pair_labels(
    episode: CorruptedRelation, target: int, context: np.ndarray, encoder_input: EncoderInput
) -> tuple[np.ndarray, np.ndarray]:
    """Marker indices and labels of the context tuples; none of a tuple that is the same, but not known to be."""
    places = np.flatnonzero(encoder_input.ids == SpecialToken.TUPLE)[1:]
    truth, entities = episode.clean.tuples, episode.entities
    known = [(place, entities[row] == entities[target]) for place, row in zip(places, context, strict=True)
             if entities[row] == entities[target] or truth[row] != truth[target]]  # fmt: skip
    tuples = np.asarray([place for place, _ in known], dtype=np.int64)
    return tuples, np.asarray([same for _, same in known], dtype=np.float32)


class ChunkDataset(Dataset[list[TrainingBatch]]):
    """Chunk number to its batches; a chunk depends on (seed, number) alone, whichever process makes it."""

    def __init__(self, factory: ExampleSource, first: int, chunks: int) -> None:
        self.factory = factory
        self.first = first
        self.chunks = chunks

    def __len__(self) -> int:
        return self.chunks

    def __getitem__(self, number: int) -> list[TrainingBatch]:
        if not 0 <= number < self.chunks:
            raise IndexError(number)
        return make_chunk(self.factory, self.first + number)


def make_chunk(factory: ExampleSource, chunk: int) -> list[TrainingBatch]:
    """All batches of one chunk, in a shuffled order of its own."""
    training = factory.training
    examples: list[TrainingExample] = []
    for episode in range(training.episodes_per_chunk):
        rng = random.Random(f"{training.seed}:{chunk}:{episode}")
        examples += factory.examples(rng)
    random.Random(f"{training.seed}:{chunk}:examples").shuffle(examples)
    place = factory.serializer.config.value_position
    batches = (
        _fixed_batches(examples, training, place) if training.fixed_shapes else _batches(examples, training, place)
    )
    random.Random(f"{training.seed}:{chunk}:order").shuffle(batches)
    return batches


def _batches(examples: Sequence[TrainingExample], training: TrainingConfig, place: int) -> list[TrainingBatch]:
    """All examples, sorted by length, each batch padded to its longest."""
    examples = sorted(examples, key=lambda example: len(example.encoder_input))
    batches, start = [], 0
    for end in range(1, len(examples) + 1):
        full = end == len(examples) or (end + 1 - start) * len(examples[end].encoder_input) > training.batch_tokens
        if full:
            batches.append(collate(examples[start:end], place))
            start = end
    return batches


def _fixed_batches(examples: Sequence[TrainingExample], training: TrainingConfig, place: int) -> list[TrainingBatch]:
    """Batches of fixed shapes; what would fill less than half of one is left out, and what is longer than all."""
    batches, shorter = [], 0
    for length in (*(length for length in FIXED_LENGTHS if length < training.max_tokens), training.max_tokens):
        shape = BatchShape.of(length, training)
        fitting = [example for example in examples if shorter < len(example.encoder_input) <= length]
        parts = [fitting[start : start + shape.rows] for start in range(0, len(fitting), shape.rows)]
        batches += [collate(part, place, shape) for part in parts if 2 * len(part) >= shape.rows]
        shorter = length
    return batches


def collate_inputs(inputs: Sequence[EncoderInput], length: int | None = None, rows: int | None = None) -> EncoderBatch:
    """Pad encoder inputs to a common (or given) length, and to `rows` rows where given."""
    length = length or max(len(one) for one in inputs)
    padded = np.zeros((4, rows or len(inputs), length), dtype=np.int64)
    for row, one in enumerate(inputs):
        for part, array in enumerate((one.ids, one.positions, one.columns, one.roles)):
            padded[part, row, : len(one)] = array
    return EncoderBatch(*torch.from_numpy(padded))


def collate(examples: Sequence[TrainingExample], value_position: int, shape: BatchShape | None = None) -> TrainingBatch:
    """Pad and pack examples: queries of one example stand behind one another in one decoder row."""
    packed = [_pack_queries(one.queries, value_position, shape.answer_length if shape else None) for one in examples]
    length = shape.answer_length if shape else max(1, max(len(row[0]) for row in packed))
    answers = np.zeros((4, shape.rows if shape else len(examples), length), dtype=np.int64)
    targets: list[tuple[int, int, int, int]] = []
    for row, (ids, positions, columns, segments, wanted) in enumerate(packed):
        for part, array in enumerate((ids, positions, columns, segments)):
            answers[part, row, : len(array)] = array
        targets += [(row, index, token, task) for index, token, task in wanted]
    cells = _gathered([(one.cells, one.wrong) for one in examples])
    pairs = _gathered([(one.tuples, one.same) for one in examples])
    asked = list(np.asarray(targets, dtype=np.int64).reshape(-1, 4).T)
    questions = [(row, s.question, s.start, s.end) for row, one in enumerate(examples) for s in one.spans]
    spans = list(np.asarray(questions, dtype=np.int64).reshape(-1, 4).T)
    inputs = [example.encoder_input for example in examples]
    if shape:  # a row without a token would have nothing to look at
        inputs += inputs[:1] * (shape.rows - len(inputs))
    return TrainingBatch(
        collate_inputs(inputs, shape.length if shape else None),
        DecoderBatch(*torch.from_numpy(answers)),
        *_filled(cells, shape.cells if shape else None),
        *_filled(pairs, shape.pairs if shape else None),
        *_filled(asked, shape.targets if shape else None, _NO_TARGET),
        *_filled(spans, shape.questions if shape else None, (0, 0, 0, 0)),
    )


def _gathered(labels: Sequence[tuple[np.ndarray, np.ndarray]]) -> list[np.ndarray]:
    """Markers and labels of all examples: whose they are, where they stand, and what is true of them."""
    owners = np.repeat(np.arange(len(labels)), [len(markers) for markers, _ in labels])
    return [owners, *(np.concatenate(parts) for parts in zip(*labels, strict=True))]


_NO_TARGET = (0, 0, int(SpecialToken.END), 0)
"""What fills next-token labels: a token that can be written, as nothing can be copied where padding is asked for."""


def _filled(columns: list[np.ndarray], size: int | None, filler: Sequence[int] = (0, 0, 0)) -> list[Tensor]:
    """The labels and their weights, cut or filled to `size` where it is given."""
    weights = np.ones(len(columns[0]), dtype=np.float32)
    if size is None:
        return [torch.from_numpy(np.ascontiguousarray(column)) for column in (*columns, weights)]
    filled = []
    for column, value in zip((*columns, weights), (*filler, 0), strict=True):
        padded = np.full(size, value, dtype=column.dtype)
        padded[: len(column)] = column[:size]
        filled.append(torch.from_numpy(padded))
    return filled


def _pack_queries(
    queries: Sequence[Query], value_position: int, limit: int | None = None
) -> tuple[list[int], list[int], list[int], list[int], list[tuple[int, int, int]]]:
    ids: list[int] = []
    positions: list[int] = []
    columns: list[int] = []
    segments: list[int] = []
    wanted: list[tuple[int, int, int]] = []
    order = list(TASKS)
    for number, query in enumerate(queries, start=1):
        start, length = len(ids), len(query.answer)
        if limit is not None and start + length > limit:
            break
        ids += [TASKS[query.task], *query.answer[:-1]]
        positions += range(value_position, value_position + length)
        columns += [query.column_id] * length
        segments += [number] * length
        wanted += [(start + step, token, order.index(query.task)) for step, token in enumerate(query.answer)]
    return ids, positions, columns, segments, wanted
