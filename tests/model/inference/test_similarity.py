"""What two records have in common, by hand for small pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import pytest

from model.inference import similarity
from model.inference.blocking import Blocking
from model.inference.records import Records
from model.inference.similarity import GENERAL, PairFeatures, Similarity
from model.tuples import Relation, Value


class TruePairs(Protocol):
    @property
    def relations(self) -> Sequence[Relation]: ...


def compared(*rows: Sequence[Value], names: Sequence[str] = ("a", "b")) -> dict[str, float]:
    """Features of the first row with the second, each in a table of its own; further rows stand in the first table."""
    first, second, *others = rows
    records = Records.of(
        [Relation.of(names[: len(first)], [first, *others]), Relation.of(names[: len(first)], [second])]
    )
    left = next(number for number, place in enumerate(records.places) if place.tuple_id == 0)
    found = Similarity(records, Blocking(records).vectors).features(np.array([left]), np.array([len(records) - 1]))
    return dict(zip(found.names, found.values[0].tolist(), strict=True))


def rarity(holders: int, records: int) -> float:
    return float(np.log((1 + records) / (1 + holders)) + 1)


def test_equal_records_are_alike_in_everything() -> None:
    same = compared(["Anna Weber", "x7"], ["anna weber", "X7"])
    assert same["cosine_of_characters"] == pytest.approx(1) == same["cosine_of_words"]
    found = compared(["Anna Weber", "7"], ["anna weber", "7.0"])
    assert 0.5 < found["cosine_of_characters"] < 0.9
    assert found["attributes_compared"] == found["attributes_equal"] == 2
    assert found["attributes_apart"] == 0
    assert found["least_of_attributes"] == found["mean_of_attributes"] == found["greatest_of_attributes"] == 1


def test_words_count_by_their_rarity_among_the_records() -> None:
    """Of four records, three have `red`, two `shoe`; the pair has both and one rare word on one side."""
    found = compared(["red shoe"], ["red shoe zumba"], ["red"], ["hat"], names=("a",))
    red, shoe, zumba = rarity(3, 4), rarity(2, 4), rarity(1, 4)
    whole = red + shoe + zumba
    assert found["share_of_words_left"] == pytest.approx(1)
    assert found["share_of_words_right"] == pytest.approx((red + shoe) / whole)
    assert found["share_of_words"] == pytest.approx((red + shoe) / whole)
    assert found["rarest_word_only_left"] == 0
    assert found["rarest_word_only_right"] == pytest.approx(zumba)
    squares = red**2 + shoe**2
    assert found["cosine_of_words"] == pytest.approx(squares / np.sqrt(squares * (squares + zumba**2)))
    assert found["a: only_right"] == pytest.approx(zumba)
    assert found["a: similarity"] == pytest.approx(2 * 8 / 22)


def test_a_code_is_the_same_with_and_without_its_hyphen() -> None:
    found = compared(["bosch sbv-40s"], ["bosch sbv40s"], names=("a",))
    assert found["rarest_common_code"] == pytest.approx(np.log(3 / 3)) == 0
    third = compared(["bosch sbv-40s"], ["bosch sbv40s"], ["miele"], names=("a",))
    assert third["rarest_common_code"] == pytest.approx(np.log(4 / 3))
    assert third["rarest_code_only_left"] == third["rarest_code_only_right"] == 0


def test_a_code_that_differs_stands_on_either_side() -> None:
    found = compared(["bosch sbv40s"], ["bosch sbv41s"], ["miele"], names=("a",))
    assert found["rarest_common_code"] == found["rarest_code_within"] == 0
    assert found["rarest_code_only_left"] == found["rarest_code_only_right"] == pytest.approx(np.log(4 / 2))


def test_a_code_inside_the_others_text_is_found_there() -> None:
    found = compared(["epson elplp12 lamp"], ["epson v13h010elplp12 lamp"], ["miele"], names=("a",))
    assert found["rarest_code_within"] == pytest.approx(np.log(4 / 2))
    assert found["rarest_code_only_left"] == 0
    assert found["rarest_code_only_right"] == pytest.approx(np.log(4 / 2))
    apart = compared(["epson elplp12 lamp"], ["epson elplp 12 lamp"], ["miele"], names=("a",))
    assert apart["rarest_code_within"] == pytest.approx(np.log(4 / 2))


def test_numbers_in_texts_are_counted_as_they_are_written() -> None:
    found = compared(["box 12 of 007 at 5"], ["12 boxes of 7"], names=("a",))
    assert (found["common_numbers"], found["numbers_only_left"], found["numbers_only_right"]) == (1, 2, 1)


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ("10", "8", 0.8),
        ("-5", "5", 0.0),
        ("0", "0", 1.0),
        ("01234", "1234", 1.0),
        ("$1,200", "1200.00", 1.0),
        ("5551234567", "5551234568", 0.99),
        ("1999", "2000", 0.99),
        ("0", "3", 0.0),
    ],
)
def test_numbers_are_as_alike_as_they_are_near_and_equal_only_where_they_are(
    left: str, right: str, expected: float
) -> None:
    found = compared([left], [right], names=("a",))
    assert found["a: similarity"] == pytest.approx(expected)
    assert found["a: missing"] == 0
    assert found["attributes_equal"] == (expected == 1)


@pytest.mark.parametrize(("left", "right"), [(None, "7"), ("", "7"), ("7", None), (None, ""), ("  ", "  ")])
@pytest.mark.parametrize("other", ["8", "text"])
def test_a_missing_value_is_no_agreement(left: Value, right: Value, other: str) -> None:
    found = compared([left, "same"], [right, "same"], [other, "same"])
    assert all(np.isnan(one) for name, one in found.items() if name.startswith("a: ") and name != "a: missing")
    assert np.isnan(found["a: similarity"])
    assert found["a: missing"] == 1
    assert found["attributes_compared"] == found["attributes_equal"] == 1
    assert found["mean_of_attributes"] == 1


def test_nothing_in_common_to_compare_is_unknown() -> None:
    found = compared([None, "x"], ["x", None])
    assert found["attributes_compared"] == 0
    assert all(np.isnan(found[f"{kind}_of_attributes"]) for kind in ("least", "greatest", "mean"))


def test_attributes_far_apart_are_counted() -> None:
    found = compared(["Anna Weber", "Berlin"], ["Anna Weber", "Paris"])
    assert (found["attributes_compared"], found["attributes_equal"], found["attributes_apart"]) == (2, 1, 1)
    assert found["greatest_of_attributes"] == 1
    assert found["least_of_attributes"] == pytest.approx(found["b: similarity"])
    assert found["mean_of_attributes"] == pytest.approx((1 + found["b: similarity"]) / 2)


def test_attributes_rather_alike_are_neither_equal_nor_apart() -> None:
    found = compared(["Anna Weber"], ["Anna Wobxr"], names=("a",))
    assert 0.7 < found["a: similarity"] < 0.9
    assert found["attributes_equal"] == found["attributes_apart"] == 0


def test_words_in_another_order_are_equal() -> None:
    assert compared(["Weber Anna"], ["Anna Weber"], names=("a",))["a: similarity"] == 1


def features_of(relations: Sequence[Relation]) -> tuple[PairFeatures, Similarity, np.ndarray, np.ndarray]:
    records = Records.of(relations)
    blocking = Blocking(records)
    left, right = blocking.pairs()
    made = Similarity(records, blocking.vectors)
    return made.features(left, right), made, left, right


def test_chunks_give_the_same_as_the_whole(linked: TruePairs, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, made, left, right = features_of(linked.relations)
    monkeypatch.setattr(similarity, "_CHUNK", 500)
    parts = made.features(left, right)
    assert len(left) > 3000
    assert np.array_equal(whole.values, parts.values, equal_nan=True)
    assert np.array_equal(whole.similarities, parts.similarities, equal_nan=True)
    assert np.array_equal(made.of_attributes(left, right), parts.similarities, equal_nan=True)


def test_an_attribute_without_values_adds_nothing_but_a_column_of_unknowns(linked: TruePairs) -> None:
    plain, *_ = features_of(linked.relations)
    wider = [Relation.of(("empty", *one.attributes), [(None, *row) for row in one.tuples]) for one in linked.relations]
    found, *_ = features_of(wider)
    assert found.names == plain.names
    assert np.array_equal(found.values, plain.values, equal_nan=True)
    assert np.isnan(found.similarities[:, 1]).all()  # brand, empty, price, title
    assert np.array_equal(np.delete(found.similarities, 1, axis=1), plain.similarities, equal_nan=True)


def test_no_pairs_have_no_features_but_all_names() -> None:
    records = Records.of([Relation.of(("a", "b"), [["x", "1"]])])
    none = np.zeros(0, np.int64)
    found = Similarity(records, Blocking(records).vectors).features(none, none)
    assert found.names[: len(GENERAL)] == GENERAL
    assert found.values.shape == (0, len(found.names)) == (0, len(GENERAL) + 7 + 2)
    assert found.similarities.shape == (0, 2)


def test_odd_texts_are_compared() -> None:
    for text in ("an\x00na", "bro\ud800ken", "北京市", "x" * 10_000_000, "---"):
        found = compared([text], [text], ["other"], names=("a",))
        assert found["a: similarity"] == 1
