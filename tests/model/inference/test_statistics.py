"""Hermetic: small relations made here; what is asserted was counted by hand."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.inference.statistics import CANDIDATE_FEATURES, CELL_FEATURES, RelationStatistics, Vote
from model.tuples import Cell, FunctionalDependency, Relation, Value

NAMES = ("zip", "city", "state", "phone", "name")


def clinics(rows: int = 60, seed: int = 0) -> list[list[Value]]:
    """Zip determines city, city determines state; phones are unique; some values are missing."""
    rng = random.Random(seed)
    places = [("01001", "Agawam", "MA"), ("01002", "Amherst", "MA"), ("06001", "Avon", "CT"), ("06002", "Bloom", "CT")]
    table: list[list[Value]] = []
    for row in range(rows):
        zip_code, city, state = rng.choice(places)
        name = rng.choice(["Oak Clinic", "Elm Clinic", "Ash Clinic"])
        table.append([zip_code, city, state, f"413-555-{row:04d}", rng.choice([name, name, None, ""])])
    return table


def feature(statistics: RelationStatistics, cell: Cell, name: str) -> float:
    return float(statistics.cell_features()[cell.tuple_id, cell.attribute, CELL_FEATURES.index(name)])


def candidate(statistics: RelationStatistics, cell: Cell, value: str, name: str) -> float:
    return float(statistics.candidate_features(cell, value)[CANDIDATE_FEATURES.index(name)])


def test_agreeing_tuples_vote_for_the_value_that_a_dependency_demands() -> None:
    table = clinics()
    table[7][:3] = ["01001", "Agawxm", "MA"]
    statistics = RelationStatistics(Relation.of(NAMES, table))
    best = statistics.votes(Cell(7, 1))[0]
    holders = [row for row, values in enumerate(table) if values[0] == "01001" and row != 7]
    # State votes too, but a weak dependency weighs little against the zip.
    assert best.value == "Agawam"
    assert best.share > 0.85
    assert best.determinants[0] == 0
    assert len(best.tuple_ids) == 5 and set(best.tuple_ids) <= set(holders)
    assert feature(statistics, Cell(7, 1), "vote_contradicts") == 1.0
    assert feature(statistics, Cell(7, 1), "vote_observed_share") == 0.0
    assert feature(statistics, Cell(7, 1), "is_singleton") == 1.0
    clean = holders[0]
    assert feature(statistics, Cell(clean, 1), "vote_contradicts") == 0.0


def test_a_tuple_is_left_out_of_its_own_poll() -> None:
    table: list[list[Value]] = [["a", "1"], ["a", "2"], ["b", "3"], ["b", "3"], ["c", "4"], ["c", "4"]]
    statistics = RelationStatistics(Relation.of(("g", "v"), table), [FunctionalDependency((0,), 1)])
    votes = statistics.votes(Cell(0, 1))
    # Two tuples in the group: the one companion has the only vote, for its own value.
    assert votes == [Vote("2", 1.0, 1.0, (1,), (0,))]
    assert feature(statistics, Cell(0, 1), "vote_observed_share") == 0.0
    assert feature(statistics, Cell(2, 1), "vote_observed_share") == 1.0


def test_a_given_rule_with_two_determinants_votes_with_strength_one() -> None:
    table: list[list[Value]] = [
        ["ma", "heart", "ma_1"],
        ["ma", "heart", "ma_1"],
        ["ma", "heart", "ct_1"],
        ["ct", "heart", "ct_1"],
        ["ct", "heart", None],
        [None, "heart", "x"],
    ]
    rule = FunctionalDependency((0, 1), 2)
    statistics = RelationStatistics(Relation.of(("state", "measure", "average"), table), [rule])
    assert [(vote.value, vote.share) for vote in statistics.votes(Cell(2, 2))][0] == ("ma_1", 1.0)
    assert statistics.votes(Cell(4, 2))[0].determinants == (0, 1)
    assert feature(statistics, Cell(2, 2), "vote_strength") == 1.0
    # A missing determinant puts a tuple in no group.
    assert feature(statistics, Cell(5, 2), "voters") == 0.0


def test_missing_values_never_vote_but_receive_votes() -> None:
    table: list[list[Value]] = [["a", ""], ["a", None], ["a", "1"], ["b", "2"], ["b", "2"], ["b", "2"]]
    statistics = RelationStatistics(Relation.of(("g", "v"), table), [FunctionalDependency((0,), 1)])
    assert [vote.value for vote in statistics.votes(Cell(0, 1))] == ["1"]
    assert statistics.votes(Cell(2, 1)) == []
    assert feature(statistics, Cell(0, 1), "is_missing") == 1.0
    assert feature(statistics, Cell(0, 1), "column_missing_share") == pytest.approx(2 / 6)


def test_a_near_constant_attribute_is_determined_by_nothing() -> None:
    rng = random.Random(1)
    table: list[list[Value]] = [[str(rng.randrange(10)), "yes" if row % 50 else "no"] for row in range(200)]
    statistics = RelationStatistics(Relation.of(("g", "constant"), table))
    # Within each group agreement is 96 %, which the value's own frequency gives as well.
    assert float(statistics.cell_features()[:, 1, CELL_FEATURES.index("vote_strength")].max()) == 0.0


def test_a_key_determines_nothing() -> None:
    table: list[list[Value]] = [[f"id{row}", "a" if row % 2 else "b"] for row in range(40)]
    statistics = RelationStatistics(Relation.of(("id", "v"), table))
    assert statistics.votes(Cell(0, 1)) == []
    assert feature(statistics, Cell(0, 0), "column_is_key") == 1.0
    assert feature(statistics, Cell(0, 1), "column_is_key") == 0.0


def test_similar_values_are_more_frequent_and_nearest_first() -> None:
    values = ["birmingham"] * 5 + ["birxingham"] + ["birmingha"] * 2 + ["boston"] * 9
    statistics = RelationStatistics(Relation.of(("city",), [[value] for value in values]))
    near = statistics.similar_values(Cell(5, 0))
    assert [(one.value, round(one.similarity, 6), one.count) for one in near] == [
        ("birmingham", 0.9, 5),
        ("birmingha", 0.8, 2),
    ]
    assert statistics.similar_values(Cell(0, 0)) == []
    assert feature(statistics, Cell(5, 0), "similar_log_ratio") == pytest.approx(np.log(5))
    assert feature(statistics, Cell(5, 0), "similar_distance") == pytest.approx(np.log(2))


def test_candidate_features_compare_a_candidate_with_what_stands_there() -> None:
    table = clinics()
    table[7][:3] = ["01001", "agawam ", "MA"]
    statistics = RelationStatistics(Relation.of(NAMES, table))
    cell = Cell(7, 1)
    agawam = sum(values[1] == "Agawam" for values in table)
    assert candidate(statistics, cell, "Agawam", "candidate_vote_is_top") == 1.0
    assert candidate(statistics, cell, "Agawam", "candidate_is_folded_equal") == 1.0
    assert candidate(statistics, cell, "Agawam", "candidate_log_count") == pytest.approx(np.log1p(agawam))
    assert candidate(statistics, cell, "Agawam", "candidate_distance") == pytest.approx(np.log(3))
    assert candidate(statistics, cell, "Avon", "candidate_vote_is_top") == 0.0
    assert candidate(statistics, cell, "nowhere", "candidate_in_column") == 0.0
    assert candidate(statistics, cell, "agawam ", "candidate_in_column") == 0.0
    assert candidate(statistics, cell, "", "candidate_is_missing") == 1.0
    assert candidate(statistics, Cell(7, 3), "413-555-0100", "candidate_has_top_pattern") == 1.0
    assert candidate(statistics, Cell(7, 3), "413.555.0100", "candidate_has_top_pattern") == 0.0


def test_a_candidate_that_stands_in_the_tuples_other_text_is_marked() -> None:
    table: list[list[Value]] = [["Sony Remote RM-EZ4", None], ["Canon VIXIA", "Canon"], ["Washer 7", "LG"]]
    statistics = RelationStatistics(Relation.of(("name", "maker"), table))
    assert candidate(statistics, Cell(0, 1), "sony", "candidate_stands_elsewhere") == 1.0
    assert candidate(statistics, Cell(0, 1), "Canon", "candidate_stands_elsewhere") == 0.0
    # What stands in the cell itself is not elsewhere.
    assert candidate(statistics, Cell(2, 1), "LG", "candidate_stands_elsewhere") == 0.0


@pytest.mark.parametrize(
    ("odd", "name", "expected"),
    [
        ("N/A", "is_missing_spelling", 1.0),
        (" 7", "has_odd_blanks", 1.0),
        ("7  8", "has_odd_blanks", 1.0),
        ("CafÃ©", "has_mojibake", 1.0),
        ("seven", "is_numeric", 0.0),
        ("1,007.50", "is_numeric", 1.0),
    ],
)
def test_marks_of_a_value_are_features(odd: str, name: str, expected: float) -> None:
    values = [str(number) for number in range(10, 40)] + [odd]
    statistics = RelationStatistics(Relation.of(("n",), [[value] for value in values]))
    assert feature(statistics, Cell(30, 0), name) == expected
    assert feature(statistics, Cell(0, 0), name) == (1.0 if name == "is_numeric" else 0.0)


def test_a_number_far_from_the_others_deviates() -> None:
    values = [str(number) for number in range(10, 41)] + ["2500"]
    statistics = RelationStatistics(Relation.of(("n",), [[value] for value in values]))
    assert feature(statistics, Cell(31, 0), "numeric_deviation") > 5.0
    assert feature(statistics, Cell(15, 0), "numeric_deviation") == 0.0


def test_patterns_are_compared_with_runs_and_without() -> None:
    values = ["9:05 a.m."] * 3 + ["10:15 a.m."] + ["9h05"]
    statistics = RelationStatistics(Relation.of(("time",), [[value] for value in values]))
    shares = [
        (feature(statistics, Cell(row, 0), "pattern_share"), feature(statistics, Cell(row, 0), "shape_share"))
        for row in (0, 3, 4)
    ]
    assert np.allclose(shares, [(0.6, 0.8), (0.2, 0.8), (0.2, 0.2)])


VALUES = st.one_of(st.none(), st.sampled_from(["", "a", "b", "ab", "abc", "A", "1", "2.5", "N/A"]), st.text(max_size=6))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(VALUES, VALUES, VALUES), max_size=12), st.randoms(use_true_random=False))
def test_no_order_of_tuples_or_attributes_changes_a_bit(table: list[tuple[Value, ...]], rng: random.Random) -> None:
    _assert_same_in_every_order(("a", "b", "c"), table, rng)


def test_no_order_changes_a_bit_of_a_larger_relation() -> None:
    table = clinics(333, seed=3)
    for row, values in enumerate(table):
        values[4] = (values[4] or "") + " x" * (row % 5)
    _assert_same_in_every_order(NAMES, [tuple(values) for values in table], random.Random(5))


def _contents(values: tuple[Value, ...]) -> list[str]:
    return [value or "" for value in values]


def _assert_same_in_every_order(names: tuple[str, ...], table: list[tuple[Value, ...]], rng: random.Random) -> None:
    rows = rng.sample(range(len(table)), len(table))
    attributes = rng.sample(range(len(names)), len(names))
    shuffled = [[table[row][attribute] for attribute in attributes] for row in rows]
    plain = RelationStatistics(Relation.of(names, table))
    other = RelationStatistics(Relation.of([names[attribute] for attribute in attributes], shuffled))
    features = plain.cell_features()
    assert np.isfinite(features).all()
    assert features[rows][:, attributes].tobytes() == other.cell_features().tobytes()
    for place, row in list(enumerate(rows))[:20]:
        for column, attribute in enumerate(attributes):
            here, there = Cell(row, attribute), Cell(place, column)
            votes, others = plain.votes(here), other.votes(there)
            assert [(v.value, v.share, v.support) for v in votes] == [(v.value, v.share, v.support) for v in others]
            assert [v.determinants for v in votes] == [tuple(attributes[d] for d in v.determinants) for v in others]
            # A missing value is one, whether it is None or empty: such tuples are interchangeable.
            supporting = [[_contents(table[i]) for i in vote.tuple_ids] for vote in votes]
            assert supporting == [[_contents(table[rows[i]]) for i in vote.tuple_ids] for vote in others]
            assert plain.similar_values(here) == other.similar_values(there)
            for value in (*(vote.value for vote in votes), "b", ""):
                one, two = plain.candidate_features(here, value), other.candidate_features(there, value)
                assert np.isfinite(one).all()
                assert one.tobytes() == two.tobytes()


def test_empty_relations_have_empty_features() -> None:
    assert RelationStatistics(Relation.of(("a", "b"), [])).cell_features().shape == (0, 2, len(CELL_FEATURES))
    missing = RelationStatistics(Relation.of(("a", "b"), [[None, ""], ["", None]]))
    assert np.isfinite(missing.cell_features()).all()
    assert missing.votes(Cell(0, 0)) == [] and missing.similar_values(Cell(0, 0)) == []
    assert candidate(missing, Cell(0, 0), "x", "observed_is_missing") == 1.0


def test_values_of_a_column_are_found_in_the_text_of_a_row() -> None:
    rows = [
        ("Sony", "a", "x"),
        ("sony", "b", "x"),
        ("Sony", "c", "x"),
        ("Sony Ericsson", "d", "x"),
        ("LG", "e", "x"),
        ("X", "f", "x"),
        (None, "phone (SONY  Ericsson), black; not an lgx", "x"),
        ("LG", "the LG. of LG", "x"),
    ]
    statistics = RelationStatistics(Relation.of(("brand", "title", "x"), rows))
    assert statistics.values_in_text(Cell(6, 0)) == ["Sony Ericsson", "Sony"]
    assert statistics.values_in_text(Cell(6, 0), limit=1) == ["Sony Ericsson"]
    assert statistics.values_in_text(Cell(7, 0)) == ["LG"]
    assert statistics.values_in_text(Cell(0, 0)) == []  # one character says too little
