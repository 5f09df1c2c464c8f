"""What it says that two records agree is read off the table: rare values and identifying attributes say most."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import pytest

from model.inference import agreement as module
from model.inference.agreement import Agreement, agreement
from model.inference.blocking import Blocking
from model.inference.columns import Floats, Ints
from model.inference.records import Records
from model.inference.similarity import Similarity
from model.tuples import Relation, Value


class TruePairs(Protocol):
    @property
    def relations(self) -> Sequence[Relation]: ...
    @property
    def pairs(self) -> frozenset[tuple[int, int]]: ...


@dataclass(frozen=True)
class Weighed:
    """Candidate pairs and what their attributes say."""

    records: Records
    left: Ints
    right: Ints
    similarities: np.ndarray
    found: Agreement

    @cached_property
    def probability(self) -> dict[tuple[int, int], float]:
        """By tuple numbers, the lesser first."""
        rows = np.array([place.tuple_id for place in self.records.places])
        pairs = zip(rows[self.left].tolist(), rows[self.right].tolist(), strict=True)
        return {(min(pair), max(pair)): one for pair, one in zip(pairs, self.found.probabilities.tolist(), strict=True)}

    def weights(self, attribute: str) -> Floats:
        return np.asarray(self.found.weights[:, self.records.attributes.index(attribute)])

    def likeness(self, attribute: str) -> Floats:
        return np.asarray(self.similarities[:, self.records.attributes.index(attribute)])


def weighed(*relations: Relation, told: dict[tuple[int, int], int] | None = None) -> Weighed:
    records = Records.of(relations)
    blocking = Blocking(records, 20)
    left, right = blocking.pairs()
    similarity = Similarity(records, blocking.vectors)
    similarities = similarity.of_attributes(left, right)
    rows = [place.tuple_id for place in records.places]
    pairs = [(rows[a], rows[b]) for a, b in zip(left.tolist(), right.tolist(), strict=True)]
    known = np.array([(told or {}).get((min(pair), max(pair)), 0) for pair in pairs], dtype=np.int64)
    found = agreement(records, similarity, left, right, similarities, known if told else None)
    return Weighed(records, left, right, similarities, found)


def table(names: Sequence[str], rows: Sequence[Sequence[Value]]) -> Relation:
    return Relation.of(names, rows)


@pytest.fixture(scope="module")
def people_weighed(duplicated: TruePairs) -> Weighed:
    return weighed(*duplicated.relations)


def test_true_pairs_are_probable_and_others_are_not(people_weighed: Weighed, duplicated: TruePairs) -> None:
    likely = {pair for pair, one in people_weighed.probability.items() if one > 0.5}
    assert len(duplicated.pairs) == 125
    assert len(likely & duplicated.pairs) >= 123
    assert len(likely - duplicated.pairs) <= 2


def test_the_share_of_matching_pairs_is_near_the_truth(people_weighed: Weighed) -> None:
    assert people_weighed.found.share_matched == pytest.approx(125 / (400 * 399 / 2), rel=0.1)
    share = people_weighed.found.share_matched
    assert people_weighed.found.prior == pytest.approx(np.log(share / (1 - share)))


def test_weights_have_the_signs_that_they_should(people_weighed: Weighed) -> None:
    for attribute, least in (("name", 5.0), ("street", 5.0), ("phone", 5.0), ("city", 1.0)):
        weights, likeness = people_weighed.weights(attribute), people_weighed.likeness(attribute)
        assert weights[likeness == 1].min() > least
        assert weights[likeness < 0.6].max() < -3
        assert (weights[np.isnan(likeness)] == 0).all()
    assert np.isnan(people_weighed.likeness("phone")).sum() > 100
    assert people_weighed.weights("name")[people_weighed.likeness("name") == 1].min() > (
        people_weighed.weights("city").max() + 2
    )
    lot = people_weighed.weights("queue")
    assert np.abs(lot).max() < 0.4
    assert {1.0, 0.0} <= set(people_weighed.likeness("queue").tolist())


def test_a_rare_value_says_more_than_a_frequent_one(duplicated: TruePairs) -> None:
    relation = duplicated.relations[0]
    city = relation.attributes.index("city")
    rows = [list(row) for row in relation.tuples]
    for row in rows:
        row[city] = "Berlin" if row[city] in ("Paris", "Rome", "Madrid", "London", "Oslo") else row[city]
    made = weighed(table(relation.attributes, rows))
    held = np.array([row[made.records.attributes.index("city")] for row in made.records.values])[made.left]
    equal = made.likeness("city") == 1
    frequent, rare = made.weights("city")[equal & (held == "Berlin")], made.weights("city")[equal & (held == "Lima")]
    assert len(frequent) and len(rare)
    assert rare.min() > frequent.max() + 0.8
    assert frequent.max() > 0


def test_permuted_rows_and_columns_have_the_permuted_probabilities(duplicated: TruePairs) -> None:
    relation = duplicated.relations[0]
    rng = np.random.default_rng(0)
    rows, columns = rng.permutation(400).tolist(), rng.permutation(5).tolist()
    moved = table(
        [relation.attributes[one] for one in columns],
        [[relation.tuples[row][column] for column in columns] for row in rows],
    )
    plain, again = weighed(relation).probability, weighed(moved).probability
    assert sorted(again.values()) == sorted(plain.values())
    back = {frozenset(relation.tuples[rows[one]] for one in pair): value for pair, value in again.items()}
    assert back == {frozenset(relation.tuples[one] for one in pair): value for pair, value in plain.items()}


def test_an_attribute_without_values_says_nothing_and_changes_nothing(duplicated: TruePairs) -> None:
    relation = duplicated.relations[0]
    wider = weighed(table(("empty", *relation.attributes), [(None, *row) for row in relation.tuples]))
    assert (wider.weights("empty") == 0).all()
    assert wider.probability == weighed(relation).probability


def test_records_with_nothing_in_common_hardly_change_a_probability(duplicated: TruePairs) -> None:
    relation, rng = duplicated.relations[0], random.Random(0)

    def drawn(letters: int) -> str:
        return "".join(rng.choice("cqwxyjhCQWXYJH0123456789") for _ in range(letters))

    unrelated = [
        [f"{drawn(7)} {drawn(8)}", drawn(12), rng.choice(("Hwy", "Xyq", "Jcc")), drawn(9), rng.choice("wxyz")]
        for _ in range(400)
    ]
    plain, more = weighed(relation).probability, weighed(table(relation.attributes, [*relation.tuples, *unrelated]))
    moved = [abs(one - more.probability[pair]) for pair, one in plain.items() if pair in more.probability]
    assert len(moved) > 0.9 * len(plain)
    assert max(moved) < 0.05
    assert more.found.share_matched == pytest.approx(125 / (800 * 799 / 2), rel=0.2)


# Copies -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("others", [0, 3, 50, 400])
@pytest.mark.parametrize("names", [("name", "street", "city", "phone", "queue"), ("name",)])
def test_copies_are_one_entity_and_count_once(duplicated: TruePairs, names: Sequence[str], others: int) -> None:
    relation = duplicated.relations[0]
    columns = [relation.attributes.index(name) for name in names]
    copy = ["Jonathan Smithers", "Mill Lane 3", "Leeds", "555-1234", "a"][: len(names)]
    rows = [[row[column] for column in columns] for row in relation.tuples[:others]]
    few = weighed(table(names, [*[copy] * 3, *rows]))
    many = weighed(table(names, [*[copy] * 800, *rows]))
    probabilities = [many.probability[one, one + 1] for one in range(799)]
    assert min(probabilities) > 0.9
    assert few.probability[0, 1] == pytest.approx(probabilities[0], abs=0.01)
    assert many.found.share_matched == pytest.approx(few.found.share_matched, rel=0.01)


def test_copies_of_one_record_do_not_make_strangers_alike(duplicated: TruePairs) -> None:
    relation = duplicated.relations[0]
    more = weighed(table(relation.attributes, [*relation.tuples, *[relation.tuples[0]] * 600]))
    likely = {pair for pair, one in more.probability.items() if one > 0.5 and max(pair) < 400}
    assert len(likely & duplicated.pairs) >= 120
    assert len(likely - duplicated.pairs) <= 2


# Known answers ----------------------------------------------------------------------------------------


def test_known_answers_teach_which_attributes_count(duplicated: TruePairs) -> None:
    """Families: one street and city, other names. Told that they are one entity, the name counts less."""
    relation = duplicated.relations[0]
    families = [[f"{one}q Vwxy", row[1] or "Lane 1", row[2], None, row[4]] for one, row in enumerate(relation.tuples)]
    rows = [*relation.tuples[:60], *families[:60]]
    pairs = [(one, 60 + one) for one in range(60) if relation.tuples[one][1]]
    plain = weighed(table(relation.attributes, rows))
    answer = {pair: 1 for pair in pairs[:20]}
    yes, no = (weighed(table(relation.attributes, rows), told={pair: sign for pair in answer}) for sign in (1, -1))
    rest = [pair for pair in pairs[20:] if pair in plain.probability]
    means = [float(np.mean([made.probability[pair] for pair in rest])) for made in (no, plain, yes)]
    assert len(rest) > 20
    assert means[0] < means[2] - 0.3
    assert means[0] <= means[1] + 0.01 and means[1] <= means[2] + 0.01


def test_answers_that_agree_with_the_table_change_no_decision(duplicated: TruePairs) -> None:
    relation = duplicated.relations[0]
    plain = weighed(relation)
    some = sorted(plain.probability)[::40]
    told = {pair: 1 if pair in duplicated.pairs else -1 for pair in [*some, *sorted(duplicated.pairs)[:10]]}
    taught = weighed(relation, told=told)
    assert {p for p, one in taught.probability.items() if one > 0.5} == {
        p for p, one in plain.probability.items() if one > 0.5
    }


# Edges ------------------------------------------------------------------------------------------------


def test_two_tables_are_weighed_across(duplicated: TruePairs) -> None:
    relation = duplicated.relations[0]
    halves = [table(relation.attributes, relation.tuples[start::2]) for start in (0, 1)]
    true = {(a // 2, b // 2) if not a % 2 else (b // 2, a // 2) for a, b in duplicated.pairs if a % 2 != b % 2}
    records = Records.of(halves)
    blocking = Blocking(records)
    left, right = blocking.pairs()
    similarity = Similarity(records, blocking.vectors)
    found = agreement(records, similarity, left, right, similarity.of_attributes(left, right))
    assert found.share_matched == pytest.approx(len(true) / 40_000, rel=0.15)
    likely = {
        (records.places[a].tuple_id, records.places[b].tuple_id)
        for a, b, one in zip(left.tolist(), right.tolist(), found.probabilities.tolist(), strict=True)
        if one > 0.5
    }
    assert len(true) > 50
    assert len(likely & true) >= len(true) - 2
    assert len(likely - true) <= 2


def test_no_pairs_have_no_weights() -> None:
    made = weighed(table(("a", "b"), [["x", None]]))
    assert made.found.weights.shape == (0, 2)
    assert len(made.found.probabilities) == 0


def test_drawn_strangers_tell_about_the_same_as_all(duplicated: TruePairs, monkeypatch: pytest.MonkeyPatch) -> None:
    relation = duplicated.relations[0]
    monkeypatch.setattr(module, "RANDOM_PAIRS", 100_000)
    whole = weighed(relation).probability
    monkeypatch.setattr(module, "RANDOM_PAIRS", 20_000)
    drawn = weighed(relation).probability
    assert drawn != whole
    assert max(abs(drawn[pair] - one) for pair, one in whole.items()) < 0.1
