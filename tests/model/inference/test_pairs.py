"""A pair is judged by itself, the same from either side; examples change what counts, and say so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.checkpoint import DEFAULT_PATH, Checkpoint, load_checkpoint
from model.errors import InputError, OptionError
from model.inference.batching import run_task
from model.inference.pairs import (
    DIRECTIONS,
    FEATURES,
    AlignedRelations,
    MatchingResult,
    PairOptions,
    TaughtPair,
    compare,
    match_pairs,
)
from model.rarity import WordRarity
from model.tuples import Decision, Relation, Value

NAMES = ("brand", "title", "price")
CAMERA = ("Sony", "Sony Cyber-shot DSC-W55 7.2 MP digital camera, silver", "149.99")
SAME = ("sony", "cyber-shot dscw55 digital camera 7.2 megapixels", "139.00")
OTHER = ("sony", "cyber-shot dsct20 digital camera 8.1 megapixels", "229.00")
RARITY = WordRarity.counted({"sony": 200, "camera": 400, "digital": 500, "silver": 300, "red": 300}, 20_000)

values = st.one_of(st.none(), st.text(max_size=40), st.sampled_from([*CAMERA, *SAME]))


@pytest.fixture(scope="module")
def shipped() -> Checkpoint:
    """The checkpoint in the box, whose trees are those that users meet."""
    return load_checkpoint(DEFAULT_PATH, precision="float32")


def relation(*rows: tuple[Value, ...], names: tuple[str, ...] = NAMES) -> Relation:
    return Relation.of(names, rows)


def judged(
    checkpoint: Checkpoint, left: Relation, right: Relation, options: PairOptions | None = None
) -> MatchingResult:
    pairs = [(one, other) for one in range(len(left)) for other in range(len(right))]
    return run_task(checkpoint, match_pairs(checkpoint, AlignedRelations.of(left, right), pairs, options))


def test_the_same_product_is_told_from_another_of_its_series(shipped: Checkpoint) -> None:
    same, other = judged(shipped, relation(CAMERA), relation(SAME, OTHER)).pairs
    assert same.probability > 0.75 and same.decision is Decision.MATCH
    assert other.probability < 0.2 and other.decision is Decision.NO_MATCH
    similarities = {one.attribute: one.similarity for one in same.similarities}
    assert similarities["brand"] == 1.0
    assert similarities["price"] == pytest.approx(139 / 149.99, abs=1e-3)
    assert "sony" in same.common and "silver" in same.only_left and "megapixels" in same.only_right
    assert not {"dsc", "w55", "dscw55"} & {*same.only_left, *same.only_right}


def test_nothing_in_common_is_no_match_and_equal_records_are_one(shipped: Checkpoint) -> None:
    left = relation(CAMERA, ("Acme", "garden hose 25 m", "19.90"))
    equal, apart, _, again = judged(shipped, left, left).pairs
    assert equal.probability > 0.95 and again.probability > 0.9
    assert apart.probability < 0.05


def test_a_pair_does_not_depend_on_unrelated_records(shipped: Checkpoint) -> None:
    alone = judged(shipped, relation(CAMERA), relation(SAME)).pairs[0]
    crowd = [("x" * n, f"thing {n} sony camera dscw55", str(n)) for n in range(40)]
    pairs = judged(shipped, relation(*crowd, CAMERA), relation(SAME, *crowd)).pairs
    assert next(one for one in pairs if (one.left, one.right) == (40, 0)) == replace(alone, left=40)


def test_order_of_columns_and_sides_changes_nothing(shipped: Checkpoint) -> None:
    there = judged(shipped, relation(CAMERA), relation(OTHER, SAME)).pairs
    turned = tuple(reversed(NAMES))
    back = judged(
        shipped,
        relation(CAMERA[::-1], names=turned),
        relation(OTHER[::-1], SAME[::-1], names=turned),
    ).pairs
    assert there == back
    exchanged = judged(shipped, relation(OTHER, SAME), relation(CAMERA)).pairs
    assert [one.probability for one in exchanged] == [one.probability for one in there]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(values, values), min_size=1, max_size=5))
def test_features_are_finite_and_the_same_from_either_side(rows: list[tuple[Value, Value]]) -> None:
    left, right = [one for one, _ in rows], [other for _, other in rows]
    there, back = compare(left, right, RARITY), compare(right, left, RARITY)
    assert there.features.shape == (len(FEATURES),)
    assert np.isfinite(there.features).all()
    np.testing.assert_allclose(there.features, back.features, rtol=1e-5, atol=1e-6)
    assert there.words == (back.words[0], back.words[2], back.words[1])


def test_features_say_what_they_are_called() -> None:
    found = dict(zip(FEATURES, compare(CAMERA, SAME, RARITY).features.tolist(), strict=True))
    assert found["longest_common_code"] == 6  # DSC-W55 and dscw55 are one code
    assert found["attributes_compared"] == 3 and found["attributes_equal"] == 1
    assert found["numbers_compared"] == 1 and found["nearness_of_numbers"] == pytest.approx(139 / 149.99, abs=1e-5)
    other = dict(zip(FEATURES, compare(CAMERA, OTHER, RARITY).features.tolist(), strict=True))
    assert other["codes_contradict"] == 1.0 and found["codes_contradict"] == 0.0


def test_more_of_what_speaks_for_a_match_never_lowers_it(shipped: Checkpoint) -> None:
    judge = shipped.judges["match"]
    base = compare(CAMERA, SAME, RARITY).features
    for place, name in enumerate(FEATURES):
        steps = np.repeat(base[None], 9, axis=0)
        steps[:, place] = np.linspace(0, 2 * base[place] + 1, 9)
        rises = np.diff(judge.logits(steps)) * DIRECTIONS[name]
        assert (rises >= -1e-6).all(), name


def test_examples_flip_whether_the_color_matters(shipped: Checkpoint) -> None:
    colors, names = ["red", "blue", "green", "silver"], ("title",)
    kinds = ["Aronda", "Update", "Pronto", "Comodo", "Magic", "Elixyr", "Wave", "Talos", "Diner"]

    def mug(kind: int, color: str) -> tuple[Value, ...]:
        return (f"Kahla coffee mug {kinds[kind]} {color}",)

    colored = [(mug(kind, colors[kind % 4]), mug(kind, colors[(kind + 1) % 4])) for kind in range(8)]
    apart = tuple(TaughtPair(mug(kind, "red"), mug((kind + 1) % 8, "red"), False) for kind in range(8))
    left, right = relation(mug(8, "silver"), names=names), relation(mug(8, "red"), mug(3, "silver"), names=names)
    before = judged(shipped, left, right).pairs[0]
    assert before.decision is Decision.MATCH  # another color is the same product, unless somebody says otherwise
    same = tuple(TaughtPair(*pair, True) for pair in colored)
    result = judged(shipped, left, right, PairOptions(examples=same + apart))
    assert result.ignored == tuple(sorted(colors))
    assert result.pairs[0].decision is Decision.MATCH and result.pairs[1].decision is not Decision.MATCH
    against = tuple(TaughtPair(*pair, False) for pair in colored)
    equal = tuple(TaughtPair(mug(kind, "red"), mug(kind, "red"), True) for kind in range(8))
    other = judged(shipped, left, right, PairOptions(examples=against + equal + apart))
    assert other.ignored == ()
    assert all(one.decision is not Decision.MATCH for one in other.pairs)
    assert other.pairs[0].probability < before.probability - 0.2


def test_the_review_band_is_the_callers(shipped: Checkpoint) -> None:
    pair = judged(shipped, relation(CAMERA), relation(SAME), PairOptions(review_band=(0.0, 1.0))).pairs[0]
    assert pair.decision is Decision.REVIEW


def test_columns_are_aligned_by_name() -> None:
    aligned = AlignedRelations.of(
        Relation.of(["Title", "year"], [["a", "1"]]), Relation.of(["year", "title", "x"], [["2", "b", "c"]])
    )
    assert sorted(aligned.names) == ["Title", "x", "year"]
    place = [aligned.place(name) for name in ("TITLE", "year", "x")]
    assert None not in place and aligned.place("y") is None
    assert [[row[p] for p in place if p is not None] for rows in aligned.rows for row in rows] == [
        ["a", "1", None],
        ["b", "2", "c"],
    ]


def test_wrong_calls_name_what_is_wrong(shipped: Checkpoint, checkpoint: Checkpoint) -> None:
    left = relation(CAMERA)
    aligned = AlignedRelations.of(left, left)
    with pytest.raises(InputError, match="pair 1 names"):
        run_task(shipped, match_pairs(shipped, aligned, [(0, 0), (0, 1)]))
    with pytest.raises(InputError, match="cannot judge pairs"):
        run_task(checkpoint, match_pairs(checkpoint, aligned, [(0, 0)]))
    both = (TaughtPair(CAMERA, SAME, True), TaughtPair(SAME, CAMERA, False))
    with pytest.raises(OptionError, match="example 1 answers"):
        judged(shipped, left, left, PairOptions(examples=both))
    with pytest.raises(OptionError, match="example 0 has not"):
        judged(shipped, left, left, PairOptions(examples=(TaughtPair(("a",), ("b",), True),)))


def test_empty_and_huge_values_are_judged(shipped: Checkpoint) -> None:
    left = relation((None, "", "\x00"), ("a" * 10_000_000, "b", "1"))
    result = judged(shipped, left, left)
    assert len(result.pairs) == 4
    assert all(0 <= one.probability <= 1 for one in result.pairs)
    assert judged(shipped, relation(), left).pairs == ()
