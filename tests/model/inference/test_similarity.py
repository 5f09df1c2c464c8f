"""Features of a pair are what can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from model.inference import similarity as module
from model.inference.blocking import Blocking
from model.inference.records import Records
from model.inference.similarity import GENERAL, Similarity
from model.tuples import Relation

LEFT = Relation.of(
    ["name", "price"],
    [["sony switcher sbv-40s", "100"], ["red lamp 120", None], ["projector lamp elplp12", "0.50"]],
)
RIGHT = Relation.of(
    ["name", "price"],
    [["sony sbv40s switcher", "80"], ["red lamp 60", "3"], ["epson lamp elplp12xyz", "0.5"]],
)


@pytest.fixture(scope="module")
def features() -> dict[tuple[int, int], dict[str, float]]:
    records = Records.of([LEFT, RIGHT])
    found = Similarity(records, Blocking(records).vectors)
    number = {place: one for one, place in enumerate(records.places)}
    places = [(left, right) for left in range(3) for right in range(3)]
    sides = [[number[one] for one in records.places if one.relation == side] for side in (0, 1)]
    by_tuple = [{records.places[one].tuple_id: one for one in side} for side in sides]
    left = np.array([by_tuple[0][one] for one, _ in places])
    right = np.array([by_tuple[1][other] for _, other in places])
    compared = found.features(left, right)
    return {
        pair: dict(zip(compared.names, row.tolist(), strict=True))
        for pair, row in zip(places, compared.values, strict=True)
    }


def test_a_code_is_the_same_with_and_without_its_hyphen(features: dict[tuple[int, int], dict[str, float]]) -> None:
    same, other = features[0, 0], features[0, 1]
    assert same["rarest_common_code"] == pytest.approx(np.log(7 / 3), abs=1e-5)
    assert same["rarest_code_only_left"] == same["rarest_code_only_right"] == 0.0
    assert other["rarest_common_code"] == 0.0
    assert other["rarest_code_only_left"] == pytest.approx(np.log(7 / 3), abs=1e-5)


def test_a_code_inside_the_other_text_is_seen(features: dict[tuple[int, int], dict[str, float]]) -> None:
    pair = features[2, 2]
    assert pair["rarest_code_within"] == pytest.approx(np.log(7 / 2), abs=1e-5)
    assert pair["rarest_code_only_left"] == 0.0 and pair["rarest_code_only_right"] > 0


def test_numbers_that_differ_are_counted(features: dict[tuple[int, int], dict[str, float]]) -> None:
    pair = features[1, 1]
    assert (pair["common_numbers"], pair["numbers_only_left"], pair["numbers_only_right"]) == (0.0, 1.0, 2.0)
    assert pair["name: similarity"] == pytest.approx(max(1 - 3 / 23 * 1.0, 0.0), abs=0.05)


def test_prices_are_near_by_their_ratio_and_missing_ones_are_not_compared(
    features: dict[tuple[int, int], dict[str, float]],
) -> None:
    assert features[0, 0]["price: similarity"] == pytest.approx(0.8)
    assert features[2, 2]["price: similarity"] == 1.0
    missing = features[1, 1]
    assert np.isnan(missing["price: similarity"]) and missing["price: missing"] == 1.0
    assert missing["attributes_compared"] == 1.0 and features[0, 0]["attributes_compared"] == 2.0


def test_equal_words_in_another_order_are_one_text(features: dict[tuple[int, int], dict[str, float]]) -> None:
    records = Records.of([Relation.of(["n"], [["blue big car"], ["car blue big"], ["green boat"]])])
    found = Similarity(records, Blocking(records).vectors).features(np.array([0, 0]), np.array([1, 2]))
    named = [dict(zip(found.names, row.tolist(), strict=True)) for row in found.values]
    assert named[0]["share_of_words"] == pytest.approx(1.0) and named[0]["n: similarity"] == pytest.approx(1.0)
    assert named[0]["cosine_of_words"] == pytest.approx(1.0)
    assert named[1]["share_of_words"] == 0.0 and named[1]["rarest_word_only_left"] > 0


def test_parts_give_the_same_as_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    records = Records.of([LEFT, RIGHT])
    left, right = (one.ravel() for one in np.meshgrid(np.arange(3), np.arange(3, 6)))
    whole = Similarity(records, Blocking(records).vectors).features(left, right).values
    monkeypatch.setattr(module, "_CHUNK", 2)
    parts = Similarity(records, Blocking(records).vectors).features(left, right).values
    assert np.array_equal(whole, parts, equal_nan=True)


def test_no_pairs_have_no_features() -> None:
    records = Records.of([LEFT])
    found = Similarity(records, Blocking(records).vectors).features(np.zeros(0, np.int64), np.zeros(0, np.int64))
    assert found.values.shape == (0, len(found.names)) and found.names[: len(GENERAL)] == GENERAL
    assert found.similarities.shape == (0, 2)
