"""Examples are drawn from (seed, chunk) alone, carry true labels, and never show what they ask for."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from model.config import CorruptionConfig, TrainingConfig
from model.corpus import CorpusTable
from model.corruption import RETOLD, CorruptedRelation
from model.dataset import (
    TASKS,
    BatchShape,
    ChunkDataset,
    ExampleFactory,
    Query,
    Span,
    TrainingBatch,
    TrainingExample,
    collate,
    collate_inputs,
    make_chunk,
)
from model.serialization import Mask, TupleSerializer
from model.tokenizer import SpecialToken

TRAINING = TrainingConfig(seed=5, batch_tokens=1024, max_tokens=256, episodes_per_chunk=3, examples_per_episode=8)
Drawn = tuple[CorruptedRelation, int, np.ndarray, TrainingExample]


class RecordingFactory(ExampleFactory):
    """Remembers from which episode, target and context each example was made."""

    drawn: list[Drawn]

    def _example(
        self, episode: CorruptedRelation, target: int, context: np.ndarray, rng: random.Random
    ) -> TrainingExample:
        example = super()._example(episode, target, context, rng)
        self.drawn.append((episode, target, context, example))
        return example


@pytest.fixture(scope="module")
def factory(tables: list[CorpusTable], serializer: TupleSerializer) -> RecordingFactory:
    factory = RecordingFactory(tables, serializer, TRAINING, CorruptionConfig(clean_table_rate=0.0))
    factory.drawn = []
    return factory


@pytest.fixture(scope="module")
def drawn(factory: RecordingFactory) -> list[Drawn]:
    """Some hundred examples with their origin."""
    factory.drawn.clear()
    for number in range(40):
        factory.examples(random.Random(number))
    return list(factory.drawn)


def batch_numbers(batch: TrainingBatch) -> list[list[float]]:
    """All numbers of a batch, to compare two."""
    parts = [getattr(batch, field.name) for field in fields(batch)]
    tensors = [getattr(part, field.name) for part in parts[:2] for field in fields(part)] + parts[2:]
    return [tensor.flatten().tolist() for tensor in tensors]


def cell_ids(example: TrainingExample, attribute: int, serializer: TupleSerializer) -> list[int]:
    """Ids behind the `[V]` marker of one attribute of the target."""
    one = example.encoder_input
    column = int(one.column_ids[attribute])
    own = (one.columns == column) & (one.roles == 1) & (one.positions > serializer.config.value_position)
    return [int(token_id) for token_id in one.ids[own]]


def test_a_chunk_is_the_same_every_time(factory: RecordingFactory) -> None:
    once, again = make_chunk(factory, 3), make_chunk(factory, 3)
    assert [batch_numbers(batch) for batch in once] == [batch_numbers(batch) for batch in again]


def test_chunks_and_seeds_differ(
    factory: RecordingFactory, tables: list[CorpusTable], serializer: TupleSerializer
) -> None:
    reseeded = ExampleFactory(tables, serializer, replace(TRAINING, seed=6), CorruptionConfig(clean_table_rate=0.0))
    chunks = [make_chunk(factory, 0), make_chunk(factory, 1), make_chunk(reseeded, 0)]
    first = [batch_numbers(chunk[0]) for chunk in chunks]
    assert first[0] != first[1]
    assert first[0] != first[2]


def test_batches_are_the_same_whatever_the_number_of_workers(factory: RecordingFactory) -> None:
    workers = min(2, len(os.sched_getaffinity(0)))
    dataset = ChunkDataset(factory, 7, 4)
    alone = [batch_numbers(batch) for batches in DataLoader(dataset, batch_size=None) for batch in batches]
    loader = DataLoader(dataset, batch_size=None, num_workers=workers, multiprocessing_context="fork")
    shared = [batch_numbers(batch) for batches in loader for batch in batches]
    assert len(alone) > 4
    assert shared == alone


def test_a_dataset_starts_at_its_first_chunk_and_ends(factory: RecordingFactory) -> None:
    dataset = ChunkDataset(factory, 7, 2)
    assert len(dataset) == 2
    wanted = [batch_numbers(batch) for batch in make_chunk(factory, 8)]
    assert [batch_numbers(batch) for batch in dataset[1]] == wanted
    with pytest.raises(IndexError):
        dataset[2]


def test_the_token_budget_is_respected_and_no_example_is_lost(factory: RecordingFactory) -> None:
    for chunk in range(6):
        factory.drawn.clear()
        batches = make_chunk(factory, chunk)
        shapes = [batch.encoder.ids.shape for batch in batches]
        assert max(rows * length for rows, length in shapes) <= TRAINING.batch_tokens
        assert sum(rows for rows, _ in shapes) == len(factory.drawn) == 24
        assert max(len(example.encoder_input) for *_, example in factory.drawn) <= TRAINING.max_tokens


def test_batches_hold_examples_of_like_length(factory: RecordingFactory) -> None:
    batches = [batch for chunk in range(4) for batch in make_chunk(factory, chunk)]
    kept = sum(int(batch.encoder.keep.sum()) for batch in batches)
    assert kept / sum(batch.encoder.ids.numel() for batch in batches) > 0.75


def test_labels_are_what_the_corruption_did(drawn: list[Drawn]) -> None:
    seen: Counter[bool] = Counter()
    for episode, target, context, example in drawn:
        one = example.encoder_input
        rows = [target, *context.tolist()]
        attribute_of = {int(column): attribute for attribute, column in enumerate(one.column_ids)}
        for index, wrong in zip(example.cells.tolist(), example.wrong.tolist(), strict=True):
            assert one.ids[index] in (SpecialToken.VALUE, SpecialToken.SAME)
            row, attribute = rows[int(one.roles[index]) - 1], attribute_of[int(one.columns[index])]
            dirty, clean = (relation.tuples[row][attribute] or "" for relation in (episode.dirty, episode.clean))
            assert bool(wrong) == bool(episode.kinds[row][attribute]) == (dirty != clean)
            seen[bool(wrong)] += 1
    assert seen[True] > 100
    assert seen[False] > 1000


def test_every_cell_that_is_not_masked_has_one_label(drawn: list[Drawn]) -> None:
    for _, _, _, example in drawn:
        one = example.encoder_input
        masked = {query.column_id for query in example.queries if query.task == "fill"}
        own = [index for index in one.value_index.tolist() if int(one.columns[index]) not in masked]
        shown = len(set(one.roles.tolist())) - 1
        labels = example.cells.tolist()
        assert len(labels) == len(set(labels))
        unlabelled = set(own) - set(labels)  # masked, but the value is too long to be asked for
        assert len(unlabelled) + len(masked) <= 3
        assert len(labels) == len(own) - len(unlabelled) + shown * len(one.value_index)


def _fills(drawn: Sequence[Drawn]) -> list[tuple[Drawn, Query, int]]:
    found = []
    for origin in drawn:
        columns = origin[3].encoder_input.column_ids.tolist()
        fills = [query for query in origin[3].queries if query.task == "fill"]
        found += [(origin, query, columns.index(query.column_id)) for query in fills]
    return found


def test_a_masked_value_is_never_visible_where_it_stood(drawn: list[Drawn], serializer: TupleSerializer) -> None:
    shapes: Counter[str] = Counter()
    for (episode, target, _, example), query, attribute in _fills(drawn):
        truth = episode.clean.tuples[target][attribute]
        assert truth == episode.dirty.tuples[target][attribute]
        assert truth == serializer.tokenizer.decode(query.answer)
        ids = cell_ids(example, attribute, serializer)
        if ids in ([SpecialToken.MASK], [SpecialToken.NULL]):
            shapes[SpecialToken(ids[0]).name] += 1
            continue
        assert ids.count(SpecialToken.MASK) == 1
        place = ids.index(SpecialToken.MASK)
        before, after = serializer.tokenizer.decode(ids[:place]), serializer.tokenizer.decode(ids[place + 1 :])
        assert truth.startswith(before)
        assert truth.endswith(after)
        assert len(before) + len(after) < len(truth)
        shapes["span"] += 1
    assert min(shapes["MASK"], shapes["NULL"], shapes["span"]) > 10
    assert shapes["MASK"] > shapes["NULL"]


def test_no_mark_of_agreement_gives_a_masked_value_away(drawn: list[Drawn], serializer: TupleSerializer) -> None:
    for (_, _, _, example), query, attribute in _fills(drawn):
        one = example.encoder_input
        own = one.columns == query.column_id
        if SpecialToken.MASK in cell_ids(example, attribute, serializer):
            assert SpecialToken.SAME not in one.ids[own]


def test_repairs_ask_for_the_truth_of_wrong_and_of_right_cells(drawn: list[Drawn], serializer: TupleSerializer) -> None:
    seen: Counter[bool] = Counter()
    for episode, target, _, example in drawn:
        columns = example.encoder_input.column_ids.tolist()
        for query in (query for query in example.queries if query.task == "repair"):
            attribute = columns.index(query.column_id)
            truth = episode.clean.tuples[target][attribute] or ""
            assert serializer.tokenizer.decode(query.answer) == truth
            observed = episode.dirty.tuples[target][attribute]
            ids = cell_ids(example, attribute, serializer)
            shown = serializer.part_ids(observed, serializer.config.max_value_tokens)
            assert ids == shown
            seen[(observed or "") != truth] += 1
    assert min(seen.values()) > 50


def test_a_masked_name_is_asked_for_and_hidden(drawn: list[Drawn], serializer: TupleSerializer) -> None:
    count = 0
    for episode, _, _, example in drawn:
        one = example.encoder_input
        for query in (query for query in example.queries if query.task == "name"):
            attribute = one.column_ids.tolist().index(query.column_id)
            name = episode.dirty.attributes[attribute]
            assert serializer.tokenizer.decode(query.answer) == name
            own = (one.columns == query.column_id) & (one.positions < serializer.config.value_position)
            assert one.ids[own].tolist() == [SpecialToken.ATTRIBUTE, SpecialToken.MASK]
            count += 1
    assert 0.05 < count / len(drawn) < 0.3


def test_every_task_and_every_size_of_context_occur(drawn: list[Drawn]) -> None:
    tasks = Counter(query.task for *_, example in drawn for query in example.queries)
    assert set(tasks) == {"fill", "repair", "name"}
    sizes = Counter(len(set(example.encoder_input.roles.tolist())) - 1 for *_, example in drawn)
    assert set(sizes) == set(range(TRAINING.context_size + 1))


def test_column_ids_are_drawn_at_random(drawn: list[Drawn], serializer: TupleSerializer) -> None:
    firsts = Counter(int(example.encoder_input.column_ids[0]) for *_, example in drawn)
    assert len(firsts) > serializer.config.max_attributes / 2
    assert all(len(set(e.encoder_input.column_ids.tolist())) == len(e.encoder_input.column_ids) for *_, e in drawn)


def test_a_table_of_few_tuples_is_left_out(factory: RecordingFactory) -> None:
    assert len(factory.tables) == 5


def test_context_is_dropped_until_an_example_fits(tables: list[CorpusTable], serializer: TupleSerializer) -> None:
    short = TrainingConfig(batch_tokens=256, max_tokens=60)
    factory = ExampleFactory(tables, serializer, short, CorruptionConfig())
    examples = [example for number in range(6) for example in factory.examples(random.Random(number))]
    with_context = [example for example in examples if len(set(example.encoder_input.roles.tolist())) > 1]
    assert max(len(example.encoder_input) for example in with_context) <= 60


def test_collating_pads_with_nothing_and_packs_queries_behind_one_another(
    drawn: list[Drawn], serializer: TupleSerializer
) -> None:
    examples = [example for *_, example in drawn[:5]]
    position = serializer.config.value_position
    batch = collate(examples, position)
    for row, example in enumerate(examples):
        length = len(example.encoder_input)
        assert batch.encoder.ids[row, :length].tolist() == example.encoder_input.ids.tolist()
        assert batch.encoder.roles[row, :length].tolist() == example.encoder_input.roles.tolist()
        assert not bool(batch.encoder.keep[row, length:].any())
        assert batch.cell_index[batch.cell_example == row].tolist() == example.cells.tolist()
        assert batch.cell_wrong[batch.cell_example == row].tolist() == example.wrong.tolist()
        own = batch.target_example == row
        index = batch.target_index[own]
        assert batch.target_id[own].tolist() == [token for query in example.queries for token in query.answer]
        segments = batch.answers.segments[row, index].tolist()
        assert segments == [n for n, query in enumerate(example.queries, 1) for _ in query.answer]
        tasks = [list(TASKS)[number] for number in batch.target_task[own].tolist()]
        assert tasks == [query.task for query in example.queries for _ in query.answer]
        starts = [int(index[segments.index(number)]) for number in dict.fromkeys(segments)]
        assert batch.answers.ids[row, starts].tolist() == [TASKS[query.task] for query in example.queries]
        assert set(batch.answers.positions[row, starts].tolist()) == {position}
        assert batch.answers.columns[row, starts].tolist() == [query.column_id for query in example.queries]


def test_examples_of_one_task_alone_are_collated(serializer: TupleSerializer) -> None:
    position = serializer.config.value_position
    asked = serializer.serialize(["text", "color"], ["a red car", Mask()])
    question, red = int(asked.value_index[1]), int(asked.value_index[0]) + 2
    spans = (Span(question, red, red), Span(question, question, question))
    batch = collate([TrainingExample(asked), TrainingExample(asked, spans=spans)], position)
    assert batch.span_example.tolist() == [1, 1]
    assert batch.span_question.tolist() == [question, question]
    assert batch.span_start.tolist() == batch.span_end.tolist() == [red, question]
    assert batch.span_weight.tolist() == [1.0, 1.0]
    assert len(batch.cell_index) == len(batch.pair_index) == len(batch.target_id) == 0
    shape = BatchShape(4, len(asked) + 3, 8, 5, 6, 7, 3)
    padded = collate([TrainingExample(asked), TrainingExample(asked, spans=spans)], position, shape)
    assert padded.span_weight.tolist() == [1.0, 1.0, 0.0]
    assert padded.encoder.keep.any(1).all()


def test_inputs_can_be_padded_to_a_given_shape(drawn: list[Drawn]) -> None:
    batch = collate_inputs([drawn[0][3].encoder_input], length=300, rows=3)
    assert batch.ids.shape == (3, 300)
    assert not bool(batch.keep[1:].any())


def test_a_batch_moves_to_a_device_whole(drawn: list[Drawn], serializer: TupleSerializer) -> None:
    batch = collate([example for *_, example in drawn[:3]], serializer.config.value_position)
    moved = batch.to(torch.device("meta"))
    parts = [getattr(moved, field.name) for field in fields(moved)]
    tensors = [getattr(part, field.name) for part in parts[:2] for field in fields(part)] + parts[2:]
    assert {tensor.device.type for tensor in tensors} == {"meta"}
    assert batch_numbers(batch.to(torch.device("cpu"))) == batch_numbers(batch)


def test_match_labels_tell_duplicates_from_other_tuples(tables: list[CorpusTable], serializer: TupleSerializer) -> None:
    factory = RecordingFactory(tables, serializer, TRAINING, CorruptionConfig(duplicate_rate=1.0, conflict_rate=0.0))
    factory.drawn = []
    for number in range(60):
        factory.examples(random.Random(number))
    seen: Counter[float] = Counter()
    for episode, target, context, example in factory.drawn:
        for index, same in zip(example.tuples.tolist(), example.same.tolist(), strict=True):
            assert example.encoder_input.ids[index] == SpecialToken.TUPLE
            row = context[int(example.encoder_input.roles[index]) - 2]
            assert bool(same) == (episode.entities[row] == episode.entities[target])
            if not same:
                assert episode.clean.tuples[row] != episode.clean.tuples[target]
            seen[same] += 1
    assert seen[1.0] > 50 and seen[0.0] > 200


def test_what_a_duplicate_says_in_other_words_is_neither_judged_nor_asked_for(
    tables: list[CorpusTable], serializer: TupleSerializer
) -> None:
    factory = RecordingFactory(tables, serializer, TRAINING, CorruptionConfig(duplicate_rate=1.0, conflict_rate=0.0))
    factory.drawn = []
    for number in range(60):
        factory.examples(random.Random(number))
    retold = 0
    for episode, target, context, example in factory.drawn:
        one = example.encoder_input
        rows = [target, *context.tolist()]
        attribute_of = {int(column): attribute for attribute, column in enumerate(one.column_ids)}
        for index in example.cells.tolist():
            kind = episode.kinds[rows[int(one.roles[index]) - 1]][attribute_of[int(one.columns[index])]]
            assert kind != RETOLD
        asked = {attribute_of[query.column_id] for query in example.queries if query.task != "name"}
        retold += episode.kinds[target].count(RETOLD)
        assert not [attribute for attribute in asked if episode.kinds[target][attribute] == RETOLD]
    assert retold > 50


def test_fixed_shapes_are_few_and_full(tables: list[CorpusTable], serializer: TupleSerializer) -> None:
    training = replace(TRAINING, fixed_shapes=1, episodes_per_chunk=40, max_tokens=256, batch_tokens=2048)
    factory = ExampleFactory(tables, serializer, training, CorruptionConfig())
    batches = make_chunk(factory, 0)
    shapes = {length: BatchShape.of(length, training) for length in (72, 112, 176, 256)}
    assert len(batches) > 10
    for batch in batches:
        shape = shapes[batch.encoder.ids.shape[1]]
        assert batch.encoder.ids.shape == (shape.rows, shape.length)
        assert batch.answers.ids.shape == (shape.rows, shape.answer_length)
        sizes = [len(batch.cell_wrong), len(batch.pair_same), len(batch.target_id)]
        assert sizes == [shape.cells, shape.pairs, shape.targets]
        assert bool(batch.encoder.keep.any(dim=1).all())
        owners = batch.target_example[batch.target_weight > 0]
        assert 2 * len(set(owners.tolist())) >= shape.rows - 1
        asked = batch.answers.segments[batch.target_example, batch.target_index]
        assert bool((asked[batch.target_weight > 0] > 0).all())
        assert 0.05 < float(batch.target_weight.mean()) <= 1.0
    assert len({batch.encoder.ids.shape for batch in batches}) > 1
