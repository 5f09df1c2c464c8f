import numpy as np
import pytest

from model.inference.columns import (
    MISSING,
    Column,
    SimilarValue,
    collapsed,
    exact,
    folded,
    has_mojibake,
    has_odd_blanks,
    is_missing_spelling,
    number_of,
    pattern_of,
    similarities,
    similarity,
)


def test_values_are_numbered_in_the_order_of_their_text() -> None:
    column = Column(["b", None, "a", "", "b"])
    assert column.distinct == ["a", "b"]
    assert column.codes.tolist() == [1, MISSING, 0, MISSING, 1]
    assert column.counts.tolist() == [1, 2]
    assert (column.present, column.repeated) == (3, 2)
    assert column.top_share == pytest.approx(2 / 3)
    assert (column.count("b"), column.count("c")) == (2, 0)


def test_sums_of_exact_values_do_not_depend_on_their_order() -> None:
    values = exact(np.random.default_rng(0).random(10_000))
    shuffled = np.random.default_rng(1).permutation(values)
    assert float(np.cumsum(values)[-1]) == float(np.cumsum(shuffled)[-1]) == float(values.sum())


@pytest.mark.parametrize(
    ("value", "pattern", "shape"),
    [
        ("9:05 a.m.", "9:99 a.a.", "9:9 a.a."),
        ("415/982-2000", "999/999-9999", "9/9-9"),
        ("O'Neil", "A'Aaaa", "A'Aa"),
        ("北京 7", "aa 9", "a 9"),
        ("", "", ""),
    ],
)
def test_patterns_name_classes_of_characters(value: str, pattern: str, shape: str) -> None:
    assert pattern_of(value) == pattern
    assert collapsed(pattern_of(value)) == shape


@pytest.mark.parametrize(
    ("value", "number"),
    [("007", 7.0), ("1,234.50", 1234.5), ("-3", -3.0), ("$529.00", 529.0), ("12.5 %", 12.5), (".5", 0.5)],
)
def test_numbers_are_read_with_separators_and_units(value: str, number: float) -> None:
    assert number_of(value) == number


@pytest.mark.parametrize("value", ["", "12 oz", "1,23", "1.2.3", "-", ".", "nan", "inf", "1e5", "9" * 60])
def test_other_text_is_no_number(value: str) -> None:
    assert np.isnan(number_of(value))


def test_marks_are_recognized() -> None:
    assert [value for value in ("N/A", " null ", "-", "999", "none", "nobody", "99") if is_missing_spelling(value)] == [
        "N/A",
        " null ",
        "-",
        "999",
        "none",
    ]
    assert [value for value in ("a b", " a", "a ", "a  b", "a\u00a0 b") if has_odd_blanks(value)] == [
        " a",
        "a ",
        "a  b",
        "a\u00a0 b",
    ]
    assert [value for value in ("café", "cafÃ©", "donâ€™t", "\ufffd", "São") if has_mojibake(value)] == [
        "cafÃ©",
        "donâ€™t",
        "\ufffd",
    ]


def test_folding_ignores_case_and_blanks_only() -> None:
    assert folded("  New  YORK ") == folded("new york")
    assert folded("new-york") != folded("new york")


def test_similarity_counts_a_transposition_once() -> None:
    assert similarity("boston", "bsoton") == pytest.approx(5 / 6)
    assert similarities(["boston", "a"], ["bsoton", "a"]).tolist() == [pytest.approx(5 / 6), 1.0]
    assert similarities([], []).tolist() == []


def test_differences_of_case_and_blanks_are_counted_together() -> None:
    total, best = Column(["New York"] * 3 + ["NEW YORK", "new  york", "Boston"]).folded_counts
    assert total.tolist() == [1, 5, 5, 5]
    assert best.tolist() == [1, 3, 3, 3]


def test_a_pair_of_characters_that_no_other_value_has_is_rarest() -> None:
    column = Column(["heart attack", "heart failure", "heaxt attack", "heart", "smart"])
    rarest, mean = column.bigrams
    odd = column.code_of["heaxt attack"]
    assert rarest[odd] == 0.0
    assert rarest[column.code_of["heart"]] == pytest.approx(np.log1p(1), abs=1e-5)
    assert mean[column.code_of["heart"]] > mean[odd]


def test_similar_values_stay_within_a_fixed_amount_of_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model.inference.columns._SIMILARITY_WORK", 1)
    frequent = [f"value{number:03d}" for number in range(40)]
    column = Column([value for rank, value in enumerate(frequent) for _ in range(50 - rank)] + ["valuex39", "valuex00"])
    # Only the sixteen most frequent values are compared with: 039 is not among them, 000 is.
    assert SimilarValue("value000", 0.875, 50) in column.similar[column.code_of["valuex00"]]
    assert "value039" not in [one.value for one in column.similar[column.code_of["valuex39"]]]


def test_an_empty_column_has_no_figures_that_are_not_numbers() -> None:
    column = Column([None, ""])
    assert (column.distinct_ratio, column.top_share, column.numeric_share) == (1.0, 0.0, 0.0)
    assert (column.patterns.top, column.patterns.top_share) == ("", 0.0)
    assert column.similar == [] and column.bigrams[0].tolist() == []


def test_values_that_begin_with_a_prefix_come_by_count_then_by_text() -> None:
    column = Column(["ba", "bb", "bb", "a", "bc", None, "c", "bc", "ba", "bb", ""])
    assert column.starting_with("b", 9) == ["bb", "ba", "bc"]
    assert column.starting_with("b", 1) == ["bb"]
    assert column.starting_with("", 9) == ["bb", "ba", "bc", "a", "c"]
    assert column.starting_with("bd", 9) == column.starting_with("z", 9) == []
