"""What attributes agree on is weighed as the table itself suggests."""

from __future__ import annotations

import random

import numpy as np
import pytest

from model.inference.agreement import Agreement, agreement
from model.inference.blocking import Blocking
from model.inference.records import Records
from model.inference.similarity import Similarity
from model.tuples import Relation


def judged(rows: list[list[str | None]]) -> tuple[Records, np.ndarray, np.ndarray, Agreement]:
    records = Records.of([Relation.of(["name", "phone", "colour", "empty"], rows)])
    blocking = Blocking(records, 10)
    left, right = blocking.pairs()
    similarity = Similarity(records, blocking.vectors)
    found = similarity.features(left, right).similarities
    return records, left, right, agreement(records, similarity, left, right, found)


@pytest.fixture(scope="module")
def people() -> list[list[str | None]]:
    """240 people, 60 of them twice, with a misspelling; the first name is shared by a third of them."""
    rng = random.Random(1)
    rows: list[list[str | None]] = []
    for number in range(240):
        first = "maria" if number % 3 == 0 else "".join(rng.choices("aeioulmnrst", k=6))
        last = "".join(rng.choices("abcdefghiklmnoprstu", k=8))
        rows.append([f"{first} {last}", f"{rng.randrange(10**8, 10**9)}", rng.choice(["red", "blue"]), None])
    for name, phone, colour, _ in rows[:60]:
        assert name is not None
        rows.append([name[:-2] + name[-1], phone if rng.random() < 0.8 else None, colour, None])
    return rows


def test_weights_have_the_signs_that_they_should(people: list[list[str | None]]) -> None:
    records, left, right, found = judged(people)
    same = np.array(
        [
            abs(records.places[one].tuple_id - records.places[other].tuple_id) == 240
            for one, other in zip(left.tolist(), right.tolist(), strict=True)
        ]
    )
    name, phone, colour = (records.attributes.index(one) for one in ("name", "phone", "colour"))
    assert same.sum() == 60
    held = np.array([records.values[int(one)][phone] is not None for one in left])
    held &= np.array([records.values[int(one)][phone] is not None for one in right])
    assert found.weights[same & held, phone].min() > 3
    assert found.weights[~same & held, phone].mean() < -1
    assert found.weights[same, name].min() > 2
    assert np.abs(found.weights[:, colour]).max() < found.weights[same & held, phone].min()
    assert (found.weights[~held, phone] == 0).all()
    assert (found.weights[:, records.attributes.index("empty")] == 0).all()
    assert found.share_matched == pytest.approx(60 / (300 * 299 / 2), rel=0.5)
    assert (found.probabilities[same] > 0.5).mean() > 0.95 > 0.05 > (found.probabilities[~same] > 0.5).mean()


def test_agreement_on_a_rare_value_says_more() -> None:
    rng = random.Random(2)
    names = ("smith" if number % 2 else "".join(rng.choices("abcdefgh", k=7)) for number in range(120))
    rows: list[list[str | None]] = [[name, str(number * 7919), None, None] for number, name in enumerate(names)]
    rows += [[row[0], str(place), None, None] for place, row in enumerate(rows[:2])]
    records, left, right, found = judged(rows)
    name = records.attributes.index("name")
    weights = {
        records.values[int(one)][name]: found.weights[pair, name]
        for pair, (one, other) in enumerate(zip(left, right, strict=True))
        if records.values[int(one)][name] == records.values[int(other)][name]
    }
    assert weights[rows[0][0]] > weights["smith"] + 1


def test_a_column_without_values_changes_nothing(people: list[list[str | None]]) -> None:
    whole = judged(people)[3]
    records = Records.of([Relation.of(["name", "phone", "colour"], [row[:3] for row in people])])
    blocking = Blocking(records, 10)
    left, right = blocking.pairs()
    similarity = Similarity(records, blocking.vectors)
    without = agreement(records, similarity, left, right, similarity.features(left, right).similarities)
    assert without.probabilities.tolist() == pytest.approx(whole.probabilities.tolist(), abs=1e-9)


def test_no_pairs_have_no_weights() -> None:
    records, _, _, found = judged([["a", "b", "c", "d"]])
    assert found.weights.shape == (0, len(records.attributes)) and found.probabilities.shape == (0,)
