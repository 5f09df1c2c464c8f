"""Pairs of one table: trees that know pairs of many domains, and what this table's attributes say."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from model.checkpoint import Checkpoint, load_checkpoint
from model.inference import deduplication
from model.inference.agreement import LEVELS, Agreement
from model.inference.batching import run_task
from model.inference.blocking import Blocking
from model.inference.columns import Ints
from model.inference.deduplication import WHOLE_RECORD, PairsOfTable
from model.inference.pairs import PairJudge
from model.inference.records import Records
from model.inference.resolution import Method, ResolutionOptions, ResolutionResult, resolve
from model.inference.similarity import Similarity
from model.tuples import PairExample, RecordPlace, Relation

NAMES = ("name", "address", "city", "phone", "kind")
_SYLLABLES = "bar ca del fon gra hol jin kes lom mar nor pel quin ros sil tor ul ven wil zan".split()

_LETTERS = ["".join(random.Random(number).choices("abcdefghijklmnoprstuvwz", k=7)) for number in range(2000)]


@pytest.fixture(scope="module")
def shipped() -> Checkpoint:
    return load_checkpoint()


@pytest.fixture(scope="module")
def bare(shipped: Checkpoint) -> Checkpoint:
    """The same without trees of pairs."""
    return replace(shipped, judges={})


def restaurants(strangers: int = 160, doubled: int = 30, seed: int = 0) -> tuple[Relation, frozenset[tuple[int, int]]]:
    """Restaurants of few cities and kinds, and which rows are one: some stand twice, written a little otherwise."""
    rng = random.Random(seed)

    def word() -> str:
        return "".join(rng.choice(_SYLLABLES) for _ in range(rng.randint(2, 3)))

    def phone(digits: str, sign: str) -> str:
        return sign.join((digits[:3], digits[3:6], digits[6:]))

    rows = []
    for _ in range(strangers):
        area = rng.choice(("212", "310", "415", "404"))
        digits = area + "".join(rng.choice("0123456789") for _ in range(7))
        city = {"212": "new york", "310": "los angeles", "415": "san francisco", "404": "atlanta"}[area]
        name = f"{word()} {rng.choice(('grill', 'cafe', 'house', 'bistro'))}"
        kind = rng.choice(("american", "italian", "french", "asian"))
        rows.append((name, f"{rng.randint(1, 999)} {word()} st.", city, phone(digits, "-"), kind))
    pairs = set()
    for place in range(doubled):
        name, address, city, number, kind = rows[place]
        name = name.replace("cafe", "café") if "cafe" in name else f"{name} restaurant"
        other = (name, address.replace("st.", "street"), city, number.replace("-", "/"), rng.choice(("diner", kind)))
        pairs.add((place, len(rows)))
        rows.append(other)
    return Relation.of(NAMES, rows, "restaurants"), frozenset(pairs)


def resolved(checkpoint: Checkpoint, relation: Relation, examples: Sequence[PairExample] = ()) -> ResolutionResult:
    options = ResolutionOptions(consolidate=False, examples=tuple(examples))
    return run_task(checkpoint, resolve(checkpoint, [relation], options))


def joined(result: ResolutionResult) -> frozenset[tuple[int, int]]:
    return frozenset(
        (a.tuple_id, b.tuple_id) for one in result.entities for a in one.members for b in one.members if a < b
    )


def f1(found: frozenset[tuple[int, int]], true: frozenset[tuple[int, int]]) -> float:
    return 2 * len(found & true) / (len(found) + len(true))


def with_column(relation: Relation, name: str, values: Sequence[str]) -> Relation:
    rows = [(*row, value) for row, value in zip(relation.tuples, values, strict=True)]
    return Relation.of((*relation.attributes, name), rows, relation.name)


def test_few_duplicates_are_found_among_rows_that_are_alike(shipped: Checkpoint, bare: Checkpoint) -> None:
    relation, true = restaurants(500, 20)
    result = resolved(shipped, relation)
    assert result.method is Method.AGREEMENT
    assert f1(joined(result), true) > 0.95
    # Expectation maximization alone takes one city, kind and area code for a match.
    assert f1(joined(resolved(bare, relation)), true) < 0.2


def test_a_column_that_tells_nothing_does_no_harm(shipped: Checkpoint) -> None:
    relation, true = restaurants()
    rng = random.Random(1)
    crowded = with_column(relation, "guests", [" ".join(rng.choices(_LETTERS, k=12)) for _ in relation.tuples])
    judged, pairs = judge(shipped, crowded)
    shown = [pairs.records.names[attribute] for attribute in pairs._shown.tolist()]
    assert "guests" not in shown and {"name", "address"} <= set(shown)
    assert f1(joined(resolved(shipped, crowded)), true) > 0.95
    assert len(judged.weights) == len(pairs.left)


def judge(
    checkpoint: Checkpoint, relation: Relation, told: dict[int, int] | None = None
) -> tuple[Agreement, PairsOfTable]:
    """The agreement of all candidate pairs of a relation; `told` are known answers by pair."""
    records = Records.of([relation])
    blocking = Blocking(records, 20)
    left, right = blocking.pairs()
    similarity = Similarity(records, blocking.vectors)
    answers: Ints = np.zeros(len(left), dtype=np.int64)
    for pair, answer in (told or {}).items():
        answers[pair] = answer
    alike = similarity.of_attributes(left, right)
    pairs = PairsOfTable(records, similarity, PairJudge.of(checkpoint), left, right, alike, answers)
    for step in pairs.steps():
        step()
    return pairs.result(), pairs


def test_columns_that_always_agree_together_say_it_once(shipped: Checkpoint) -> None:
    relation, _ = restaurants()
    code = {"new york": "NY", "los angeles": "LA", "san francisco": "SF", "atlanta": "AT"}
    twice = with_column(relation, "code", [code[row[2] or ""] for row in relation.tuples])
    plain, of_plain = judge(shipped, relation)
    doubled, of_twice = judge(shipped, twice)
    names = of_twice.records.names
    both = [names.index("city"), names.index("code")]
    assert len(set(of_twice._groups[both].tolist())) == 1
    assert len(set(of_plain._groups.tolist())) == len(NAMES)
    city = of_plain.records.names.index("city")
    apart, apart_twice = of_plain._levels[:, city] == len(LEVELS), of_twice._levels[:, both[0]] == len(LEVELS)
    once, together = plain.weights[apart, city].mean(), doubled.weights[apart_twice][:, both].sum(axis=1).mean()
    assert once < -0.1 and together == pytest.approx(once, rel=0.3)


def test_what_decides_is_said_and_adds_up(shipped: Checkpoint) -> None:
    relation, true = restaurants()
    for pair in resolved(shipped, relation).pairs:
        names = [one.attribute for one in pair.agreements]
        assert sorted(names) == sorted((*NAMES, WHOLE_RECORD))
    judged, _ = judge(shipped, relation)
    logits = judged.weights.sum(axis=1) + judged.prior
    assert np.allclose(judged.probabilities, 1 / (1 + np.exp(-logits)))
    assert judged.share_matched == pytest.approx(len(true) / (190 * 189 / 2), rel=0.3)


def test_permuted_rows_and_columns_have_the_permuted_probabilities(shipped: Checkpoint) -> None:
    relation, _ = restaurants()
    rng = random.Random(3)
    rows, columns = rng.sample(range(len(relation)), len(relation)), rng.sample(range(len(NAMES)), len(NAMES))
    turned = Relation.of(
        [NAMES[column] for column in columns],
        [[relation.tuples[row][column] for column in columns] for row in rows],
        "turned",
    )
    before = {(one.left.tuple_id, one.right.tuple_id): one.probability for one in resolved(shipped, relation).pairs}
    after = {
        tuple(sorted((rows[one.left.tuple_id], rows[one.right.tuple_id]))): one.probability
        for one in resolved(shipped, turned).pairs
    }
    assert after == before and before


def test_of_a_large_table_only_doubtful_pairs_are_read_and_it_says_nearly_the_same(
    shipped: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    relation, true = restaurants()
    whole, pairs = judge(shipped, relation)
    monkeypatch.setattr(deduplication, "MOST_PAIRS", 400)
    some, fewer = judge(shipped, relation)
    assert pairs._asked.all() and 400 < fewer._asked.sum() < len(pairs._asked)
    assert ((some.probabilities > 0.5) == (whole.probabilities > 0.5)).mean() > 0.99
    assert f1(joined(resolved(shipped, relation)), true) > 0.9


def test_known_answers_are_learned_from(shipped: Checkpoint) -> None:
    relation, true = restaurants()
    examples = [PairExample(RecordPlace(0, a), RecordPlace(0, b), False) for a, b in sorted(true)[:15]]
    before, after = joined(resolved(shipped, relation)), joined(resolved(shipped, relation, examples))
    assert not after & frozenset(sorted(true)[:15])
    assert len(after & true) < len(before & true) - 15


@pytest.mark.parametrize("rows", [[], [["one"]], [["one"], ["two"]], [["same"]] * 30, [[None], [None]]])
def test_tables_with_nothing_to_learn_from_are_resolved(shipped: Checkpoint, rows: list[list[str | None]]) -> None:
    result = resolved(shipped, Relation.of(["name"], rows, "small"))
    assert sum(len(one.members) for one in result.entities) == len(rows)
    if len(rows) == 30:
        assert len(result.entities) == 1


def test_telling_apart_is_the_area_under_the_curve() -> None:
    rng = np.random.default_rng(0)
    total, says = rng.integers(0, 6, 200).astype(np.float64), rng.random(200)
    labels, twice = np.r_[np.ones(200), np.zeros(200)], np.r_[total, total]
    expected = roc_auc_score(labels, twice, sample_weight=np.r_[says, 1 - says])
    assert deduplication._told_apart(total, says) == pytest.approx(expected)
