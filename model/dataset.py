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
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from model.architecture import DecoderBatch, EncoderBatch
from model.config import CorruptionConfig, TrainingConfig
from model.corpus import Table
from model.corruption import CorruptedRelation, corrupt_relation, mask_span
from model.inference.context import select_context
from model.serialization import EncoderInput, Mask, Part, TupleSerializer
from model.tokenizer import SpecialToken
from model.tuples import Relation

TASKS = {"fill": SpecialToken.FILL, "repair": SpecialToken.REPAIR, "name": SpecialToken.NAME}


@dataclass(frozen=True, slots=True)
class Query:
    """One thing that the decoder is asked: a task about a column, and the ids it should write."""

    task: str
    column_id: int
    answer: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TrainingExample:
    """One encoder input with its labels: `cells` are indices of `[V]` markers, `wrong` is 1 where corrupted."""

    encoder_input: EncoderInput
    cells: np.ndarray
    wrong: np.ndarray
    queries: tuple[Query, ...]


@dataclass(frozen=True, slots=True)
class TrainingBatch:
    """What one forward pass needs, padded.

    Attributes:
        cell_example, cell_index, cell_wrong: detection labels, (cells,).
        target_example, target_index, target_id, target_task: next-token labels, (targets,).
    """

    encoder: EncoderBatch
    answers: DecoderBatch
    cell_example: Tensor
    cell_index: Tensor
    cell_wrong: Tensor
    target_example: Tensor
    target_index: Tensor
    target_id: Tensor
    target_task: Tensor

    def to(self, device: torch.device) -> TrainingBatch:
        """The same batch on another device."""
        labels = [getattr(self, name).to(device) for name in self.__slots__ if name not in ("encoder", "answers")]
        encoder = EncoderBatch(*(getattr(self.encoder, name).to(device) for name in EncoderBatch.__slots__))
        answers = DecoderBatch(*(getattr(self.answers, name).to(device) for name in DecoderBatch.__slots__))
        return TrainingBatch(encoder, answers, *labels)


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
        self._cumulative = np.cumsum(_table_weights(self.tables))

    def episode(self, rng: random.Random) -> CorruptedRelation:
        """A corrupted window of a table: 24 to 120 tuples, at most 14 attributes."""
        point = rng.random() * self._cumulative[-1]
        table = self.tables[min(int(np.searchsorted(self._cumulative, point)), len(self.tables) - 1)]
        return corrupt_relation(_window(table, rng), rng, self.corruption)

    def examples(self, rng: random.Random) -> list[TrainingExample]:
        """All examples of one episode."""
        episode = self.episode(rng)
        wanted = min(self.training.examples_per_episode, len(episode.dirty))
        targets = _choose_targets(episode, wanted, rng)
        contexts = select_context(episode.dirty, self.training.context_size, np.asarray(targets))
        return [self._example(episode, target, context, rng) for target, context in zip(targets, contexts, strict=True)]

    def _example(
        self, episode: CorruptedRelation, target: int, context: np.ndarray, rng: random.Random
    ) -> TrainingExample:
        names: list[Part] = list(episode.dirty.attributes)
        values: list[Part] = list(episode.dirty.tuples[target])
        width = len(names)
        column_ids = rng.sample(range(1, self.serializer.config.max_attributes + 1), width)
        size = 0 if rng.random() < 0.12 else rng.randint(min(1, len(context)), len(context))
        rows = [list(episode.dirty.tuples[row]) for row in context[:size]]
        masked = _mask_values(episode, target, values, rng)
        named = _mask_name(names, rng)
        encoder_input = self.serializer.serialize(names, values, rows, column_ids)
        while len(encoder_input) > self.training.max_tokens and rows:
            rows.pop()
            encoder_input = self.serializer.serialize(names, values, rows, column_ids)
        cells, wrong = _cell_labels(episode, target, context[: len(rows)], masked, encoder_input)
        queries = self._queries(episode, target, masked, named, column_ids, rng)
        return TrainingExample(encoder_input, cells, wrong, tuple(queries))

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
        wrong = [attribute for attribute, kind in enumerate(kinds) if kind and attribute not in masked]
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


def _table_weights(tables: Sequence[Table]) -> np.ndarray:
    """Large tables weigh more, but a repository with many tables does not drown the others."""
    per_repository: dict[str, int] = {}
    for table in tables:
        per_repository[table.repository] = per_repository.get(table.repository, 0) + 1
    rows = np.array([min(len(table), 1000) for table in tables], dtype=np.float64)
    share = np.array([per_repository[table.repository] for table in tables], dtype=np.float64)
    return np.sqrt(rows / share)


def _window(table: Table, rng: random.Random) -> Relation:
    """Some tuples (half the time consecutive ones) and some attributes of `table`."""
    count = min(len(table), rng.randint(24, 120))
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
    dirty = [row for row, kinds in enumerate(episode.kinds) if any(kinds)]
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
        if attribute not in masked:
            cells.append(encoder_input.value_index[attribute])
            wrong.append(bool(kind))
    for rank, row in enumerate(context):
        for attribute, kind in enumerate(episode.kinds[row]):
            cells.append(encoder_input.context_index[rank, attribute])
            wrong.append(bool(kind))
    return np.asarray(cells, dtype=np.int64), np.asarray(wrong, dtype=np.float32)


class ChunkDataset(Dataset[list[TrainingBatch]]):
    """Chunk number to its batches; a chunk depends on (seed, number) alone, whichever process makes it."""

    def __init__(self, factory: ExampleFactory, first: int, chunks: int) -> None:
        self.factory = factory
        self.first = first
        self.chunks = chunks

    def __len__(self) -> int:
        return self.chunks

    def __getitem__(self, number: int) -> list[TrainingBatch]:
        if not 0 <= number < self.chunks:
            raise IndexError(number)
        return make_chunk(self.factory, self.first + number)


def make_chunk(factory: ExampleFactory, chunk: int) -> list[TrainingBatch]:
    """All batches of one chunk, in a shuffled order of its own."""
    training = factory.training
    examples: list[TrainingExample] = []
    for episode in range(training.episodes_per_chunk):
        rng = random.Random(f"{training.seed}:{chunk}:{episode}")
        examples += factory.examples(rng)
    examples.sort(key=lambda example: len(example.encoder_input))
    batches, start = [], 0
    for end in range(1, len(examples) + 1):
        full = end == len(examples) or (end + 1 - start) * len(examples[end].encoder_input) > training.batch_tokens
        if full:
            batches.append(collate(examples[start:end], factory.serializer.config.value_position))
            start = end
    random.Random(f"{training.seed}:{chunk}:order").shuffle(batches)
    return batches


def collate_inputs(inputs: Sequence[EncoderInput], length: int | None = None, rows: int | None = None) -> EncoderBatch:
    """Pad encoder inputs to a common (or given) length, and to `rows` rows where given."""
    length = length or max(len(one) for one in inputs)
    padded = np.zeros((4, rows or len(inputs), length), dtype=np.int64)
    for row, one in enumerate(inputs):
        for part, array in enumerate((one.ids, one.positions, one.columns, one.roles)):
            padded[part, row, : len(one)] = array
    return EncoderBatch(*torch.from_numpy(padded))


def collate(examples: Sequence[TrainingExample], value_position: int) -> TrainingBatch:
    """Pad and pack examples: queries of one example stand behind one another in one decoder row."""
    packed = [_pack_queries(example.queries, value_position) for example in examples]
    length = max(1, max(len(row[0]) for row in packed))
    answers = np.zeros((4, len(examples), length), dtype=np.int64)
    targets: list[tuple[int, int, int, int]] = []
    for row, (ids, positions, columns, segments, wanted) in enumerate(packed):
        for part, array in enumerate((ids, positions, columns, segments)):
            answers[part, row, : len(array)] = array
        targets += [(row, index, token, task) for index, token, task in wanted]
    cells = np.concatenate([example.cells for example in examples])
    owners = np.repeat(np.arange(len(examples)), [len(example.cells) for example in examples])
    wrong = np.concatenate([example.wrong for example in examples])
    columns_of_targets = torch.tensor(targets, dtype=torch.int64).reshape(-1, 4).unbind(1)
    return TrainingBatch(
        collate_inputs([example.encoder_input for example in examples]),
        DecoderBatch(*torch.from_numpy(answers)),
        torch.from_numpy(owners),
        torch.from_numpy(cells),
        torch.from_numpy(wrong),
        *columns_of_targets,
    )


def _pack_queries(
    queries: Sequence[Query], value_position: int
) -> tuple[list[int], list[int], list[int], list[int], list[tuple[int, int, int]]]:
    ids: list[int] = []
    positions: list[int] = []
    columns: list[int] = []
    segments: list[int] = []
    wanted: list[tuple[int, int, int]] = []
    order = list(TASKS)
    for number, query in enumerate(queries, start=1):
        start, length = len(ids), len(query.answer)
        ids += [TASKS[query.task], *query.answer[:-1]]
        positions += range(value_position, value_position + length)
        columns += [query.column_id] * length
        segments += [number] * length
        wanted += [(start + step, token, order.index(query.task)) for step, token in enumerate(query.answer)]
    return ids, positions, columns, segments, wanted
