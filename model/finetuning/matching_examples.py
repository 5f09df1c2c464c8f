"""Pairs of records for the match head: a record with some others behind it, each the same entity or not.

RPT's collaborative training (PVLDB 14(8), 2021, section 4) learns what a match is from many domains. Two sources are
mixed: windows of corpus tables in which entities are told twice, with the nearest tuples of the same table as the
hardest of negatives, and labelled pairs of several sets. Half of the examples are one pair alone, the others a record
with its rivals, so that one head serves both. What attributes there are, how they are called, and whether a record is
one line of text are varied, as the next two tables will have others.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model.config import CorruptionConfig, TrainingConfig
from model.corpus import Table
from model.dataset import ExampleFactory, TrainingExample
from model.evaluation.matching_sets import MatchingSet
from model.inference.context import select_context
from model.serialization import Part, TupleSerializer
from model.tokenizer import SpecialToken
from model.tuples import Value

CORRUPTION = CorruptionConfig(duplicate_rate=0.8, max_duplicates=0.7, clean_table_rate=0.0)
"""What a window of the corpus suffers: most often, many of its entities are told twice."""

_CORPUS_SHARE = 0.4
_ALONE_SHARE = 0.5
_TOLD_FIRST = 0.7
_MERGED_SHARE = 0.2
_DROPPED_ATTRIBUTE = 0.15
_UNNAMED_SHARE = 0.08
_LOWERED_SHARE = 0.3
_LOST_VALUE = 0.04


@dataclass(frozen=True, slots=True)
class Group:
    """A record and others, each with 1 where it is the same entity."""

    names: Sequence[str]
    target: Sequence[Value]
    others: Sequence[tuple[Sequence[Value], bool]]


class MatchFactory:
    """Draws examples from corpus tables and from the labelled training pairs of `sets`."""

    def __init__(
        self,
        tables: Sequence[Table],
        sets: Sequence[MatchingSet],
        serializer: TupleSerializer,
        training: TrainingConfig,
    ) -> None:
        self.serializer = serializer
        self.training = training
        self._windows = ExampleFactory(tables, serializer, training, CORRUPTION) if tables else None
        self._labelled = [_by_record(one) for one in sets]
        self._weights = [len(groups) ** 0.5 for groups in self._labelled]
        if self._windows is None and not self._labelled:
            raise ValueError("matching is learned from corpus tables or labelled sets; neither was given")

    def examples(self, rng: random.Random) -> list[TrainingExample]:
        """The examples of one window, or of some records of one set."""
        if self._windows is not None and (not self._labelled or rng.random() < _CORPUS_SHARE):
            groups = window_groups(self._windows, rng)
        else:
            chosen = rng.choices(self._labelled, self._weights)[0]
            groups = rng.sample(chosen, min(self.training.examples_per_episode, len(chosen)))
        made = (self._example(group, rng) for group in groups)
        return [example for example in made if example is not None]

    def _example(self, group: Group, rng: random.Random) -> TrainingExample | None:
        others = rng.sample(list(group.others), len(group.others))
        if rng.random() < _ALONE_SHARE:
            same = [one for one in others if one[1]]
            others = [rng.choice(same if same and rng.random() < 0.4 else others)]
        else:
            others = others[: rng.randint(1, self.training.context_size)]
        names, target, rows = _varied(group.names, group.target, [values for values, _ in others], rng)
        column_ids = rng.sample(range(1, self.serializer.config.max_attributes + 1), len(names))
        while rows:
            encoder_input = self.serializer.serialize(names, target, rows, column_ids)
            if len(encoder_input) <= self.training.max_tokens:
                tuples = np.flatnonzero(encoder_input.ids == SpecialToken.TUPLE)[1:].astype(np.int64)
                labels = np.asarray([answer for _, answer in others[: len(rows)]], dtype=np.float32)
                return TrainingExample(encoder_input, tuples=tuples, same=labels)
            rows.pop()
        return None


def _by_record(one: MatchingSet) -> list[Group]:
    """The labelled training pairs of a set, by the record of either table."""
    first, second = one.relations
    names = list(dict.fromkeys((*first.attributes, *second.attributes)))
    aligned = []
    for relation in one.relations:
        places = {name: attribute for attribute, name in enumerate(relation.attributes)}
        aligned.append([[row[places[name]] if name in places else None for name in names] for row in relation.tuples])
    groups: dict[tuple[int, int], list[tuple[Sequence[Value], bool]]] = {}
    for left, right, label in one.parts["train"]:
        groups.setdefault((0, left), []).append((aligned[1][right], bool(label)))
        groups.setdefault((1, right), []).append((aligned[0][left], bool(label)))
    return [Group(names, aligned[side][row], others) for (side, row), others in sorted(groups.items())]


def window_groups(windows: ExampleFactory, rng: random.Random) -> list[Group]:
    """Tuples of one corrupted window with those nearest to them, and with those that tell of the same entity."""
    episode = windows.episode(rng)
    relation, entities, truth = episode.dirty, episode.entities, episode.clean.tuples
    told: dict[int, list[int]] = {}
    for tuple_id, entity in enumerate(entities):
        told.setdefault(entity, []).append(tuple_id)
    twice = [tuple_id for tuple_id, entity in enumerate(entities) if len(told[entity]) > 1]
    wanted = min(windows.training.examples_per_episode, len(relation))
    chosen = rng.sample(twice, min(len(twice), round(wanted * _TOLD_FIRST)))
    rest = sorted(set(range(len(relation))) - set(chosen))
    chosen += rng.sample(rest, min(len(rest), wanted - len(chosen)))
    nearest = select_context(relation, windows.training.context_size, np.asarray(chosen))
    groups = []
    for tuple_id, near in zip(chosen, nearest.tolist(), strict=True):
        same = [other for other in told[entities[tuple_id]] if other != tuple_id]
        behind = list(dict.fromkeys([*rng.sample(same, min(len(same), 2)), *near]))
        others = [
            (relation.tuples[other], entities[other] == entities[tuple_id])
            for other in behind
            if entities[other] == entities[tuple_id] or truth[other] != truth[tuple_id]
        ]
        if others:
            groups.append(Group(relation.attributes, relation.tuples[tuple_id], others))
    return groups


def _varied(
    names: Sequence[str], target: Sequence[Value], rows: Sequence[Sequence[Value]], rng: random.Random
) -> tuple[list[Part], list[Part], list[Sequence[Part]]]:
    """The same records with other attributes: some left out, all in one, unnamed, lower case, a value lost."""
    kept = [place for place in range(len(names)) if rng.random() >= _DROPPED_ATTRIBUTE] or [0]
    if not any(target[place] for place in kept):
        kept = list(range(len(names)))
    records = [[row[place] for place in kept] for row in (target, *rows)]
    shown: list[str] = [names[place] for place in kept]
    if len(kept) > 1 and rng.random() < _MERGED_SHARE:
        orders = [rng.sample(range(len(kept)), len(kept)) if rng.random() < 0.5 else list(range(len(kept)))] * 2
        if rng.random() < 0.5:
            orders[1] = rng.sample(range(len(kept)), len(kept))
        records = [[_joined(row, orders[number > 0])] for number, row in enumerate(records)]
        shown = [rng.choice(("title", "name", "text", "description"))]
    else:
        records = [[None if rng.random() < _LOST_VALUE else value for value in row] for row in records]
    if rng.random() < _LOWERED_SHARE:
        records = [[value.lower() if value else value for value in row] for row in records]
    parts: list[list[Part]] = [list(row) for row in records]
    named: list[Part] = list(shown) if rng.random() >= _UNNAMED_SHARE else [""] * len(shown)
    return named, parts[0], list(parts[1:])


def _joined(values: Sequence[Value], order: Sequence[int]) -> Value:
    return " ".join(value for value in (values[place] for place in order) if value) or None
