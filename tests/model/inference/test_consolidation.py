"""Each attribute gets the value to believe, with who says so and what lost."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from rapidfuzz.distance import OSA

from model.errors import InputError, OptionError
from model.inference import consolidation
from model.inference.consolidation import (
    ConsolidationOptions,
    Consolidator,
    GoldenRecord,
    LosingValue,
    Preference,
    PreferenceExample,
    Provenance,
    Reason,
)
from model.tuples import Value


def golden(rows: Sequence[tuple[Value, ...]], tables: Sequence[int] | None = None, **options: Any) -> GoldenRecord:
    names = [f"attribute {place}" for place in range(len(rows[0]))]
    return Consolidator(names, rows, tables, ConsolidationOptions(**options)).consolidate(range(len(rows)))


def of(*values: Value, **options: Any) -> Provenance:
    """Provenance of one attribute that holds these values."""
    return golden([(value,) for value in values], **options).provenance[0]


def preferring(*examples: tuple[str, str]) -> dict[str, Any]:
    return {"examples": tuple(PreferenceExample(0, preferred, other) for preferred, other in examples)}


def by_rule(rule: str) -> dict[str, Any]:
    return {"preferences": (Preference(0, rule),)}


# Votes ------------------------------------------------------------------------------------------------


def test_what_most_tuples_hold_wins_and_the_others_are_kept() -> None:
    found = of("red", "blue", "red")
    assert found == Provenance(
        0, "red", (0, 2), Reason.FREQUENCY, round(2 / 3, 6), None, (LosingValue("blue", (1,), False),)
    )


def test_each_attribute_is_chosen_by_itself() -> None:
    found = golden([("a", "x"), ("a", "y"), ("b", "y")])
    assert found.values == ("a", "y")
    assert [one.members for one in found.provenance] == [(0, 1), (1, 2)]
    assert [one.attribute for one in found.provenance] == [0, 1]


def test_a_value_without_rivals_is_the_only_value() -> None:
    found = of("red", None, "", "red")
    assert (found.value, found.reason, found.confidence, found.members) == ("red", Reason.ONLY_VALUE, 1.0, (0, 3))


def test_missing_never_wins_over_a_value() -> None:
    assert of(None, "", None, "x").value == "x"


def test_missing_everywhere_stays_missing() -> None:
    assert of(None, "", None) == Provenance(0, None, (), Reason.MISSING, 0.0, None, ())


def test_one_member_is_its_own_golden_record() -> None:
    found = golden([("a", None, "007")])
    assert found.values == ("a", None, "007")
    assert [one.reason for one in found.provenance] == [Reason.ONLY_VALUE, Reason.MISSING, Reason.ONLY_VALUE]


def test_spellings_of_one_value_vote_together_and_the_commonest_is_written() -> None:
    found = of("Los Angeles", "LOS ANGELES", "los-angeles ", "Los Angeles", "Atlanta", "Atlanta", "Atlanta")
    assert (found.value, found.members, found.reason) == ("Los Angeles", (0, 1, 2, 3), Reason.FREQUENCY)
    assert found.confidence == round(4 / 7, 6)
    assert [(one.value, one.members, one.agrees) for one in found.losing] == [
        ("Atlanta", (4, 5, 6), False),
        ("LOS ANGELES", (1,), True),
        ("los-angeles ", (2,), True),
    ]


def test_among_equally_frequent_spellings_the_tidy_mixed_and_long_one_is_written() -> None:
    assert of("ARNIE MORTONS", "Arnie Morton's", "arnie mortons", " Arnie  Morton's").value == "Arnie Morton's"
    assert of("ibm corp", "IBM CORP", "Ibm Corp").value == "Ibm Corp"
    assert of("I.B.M.", "IBM").value == "I.B.M."
    assert of("IBM", "I.B.M.").reason is Reason.COMPLETENESS


@pytest.mark.parametrize(
    ("one", "other"),
    [("1.5", "15"), ("-5", "5"), ("10-12", "1012"), ("12:30", "1230"), ("007", "7"), ("C++", "C"), (".5", "5"),
     ("?", "-"), ("1,5", "1.5"), ("कि", "क")],
)  # fmt: skip
def test_marks_that_change_the_meaning_keep_values_apart(one: str, other: str) -> None:
    assert [losing.agrees for losing in of(one, one, other).losing] == [False]


@pytest.mark.parametrize(
    ("one", "other"), [("310/246-1501", "310-246-1501"), ("St. John's", "st johns"), ("No.5", "no 5"), ("-", "- ")]
)
def test_marks_that_do_not_change_it_do_not(one: str, other: str) -> None:
    assert [losing.agrees for losing in of(one, one, other).losing] == [True]


def test_leading_zeros_are_kept() -> None:
    assert golden([("00501",), ("00501",), ("501",)]).values == ("00501",)


# Support ----------------------------------------------------------------------------------------------


def test_a_truncated_form_supports_the_fuller_one_and_not_the_other_way() -> None:
    found = of("Chicag", "Chicag", "Chicago")
    assert (found.value, found.reason) == ("Chicago", Reason.COMPLETENESS)
    assert found.confidence == pytest.approx((1 + 2 * 0.6) / 3, abs=1e-6)
    assert of("Chicag", "Chicag", "Chicag", "Chicago").value == "Chicag"
    others = ("Arnie Morton's", "Oceana, the restaurant of the ocean")
    assert of("Arnie Morton's of Chicago", *others).value == "Arnie Morton's of Chicago"


def test_a_misspelled_form_supports_the_right_one() -> None:
    assert of("san francisco", "san francisco", "san frncisco", "oakland", "oakland").value == "san francisco"
    found = of("san francisco", "los angeles city", "san frncisco")
    assert (found.value, found.reason) == ("san francisco", Reason.COMPLETENESS)
    assert found.confidence == 0.5
    assert of("Smith, John", "John Smith", "Bartholomew").value == "Smith, John"


def test_other_numbers_support_nobody() -> None:
    assert of("iPhone 10", "iPhone 12", "iPhone 12").confidence == round(2 / 3, 6)
    assert of("Main Street 12", "Main Street 125").confidence == 0.5
    assert of("1.5", "1.50").confidence == 0.5


def test_a_short_beginning_of_a_word_supports_nobody() -> None:
    assert of("Java", "Java", "JavaScript").value == "Java"


def test_among_values_as_frequent_the_most_complete_is_taken_then_the_first_text() -> None:
    assert (of("blue", "white").value, of("blue", "white").reason) == ("white", Reason.COMPLETENESS)
    assert (of("white", "black").value, of("white", "black").reason) == ("black", Reason.TIE)


def test_losing_values_come_by_how_many_hold_them_then_by_text() -> None:
    assert [one.value for one in of("b", "d", "b", "b", "c", "c", "a").losing] == ["c", "a", "d"]


def test_many_different_values_are_not_all_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = 0
    support = consolidation._support

    def counted(*groups: Any) -> float:
        nonlocal compared
        compared += 1
        return support(*groups)

    monkeypatch.setattr(consolidation, "_support", counted)
    found = of(*(f"name {number}" for number in range(3000)), "name 7")
    assert (found.value, len(found.losing)) == ("name 7", 2999)
    assert 0 < compared <= 50 * 49


def test_huge_values_and_odd_characters_are_kept_and_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    huge, long = "x" * 10_000_000, "m" * 5000
    lengths: list[int] = []

    class Watched:
        @staticmethod
        def normalized_similarity(one: str, other: str, score_cutoff: float) -> float:
            lengths.extend((len(one), len(other)))
            return float(OSA.normalized_similarity(one, other, score_cutoff=score_cutoff))

    monkeypatch.setattr(consolidation, "OSA", Watched)
    found = of(huge, huge + "y", "a\0b", "ab", "\ud800", "abcdefgh", "abcdefgx", long, long[1:] + "n")
    everything = {found.value, *(one.value for one in found.losing)}
    assert everything == {huge, huge + "y", "a\0b", "ab", "\ud800", "abcdefgh", "abcdefgx", long, long[1:] + "n"}
    assert found.value == "ab"
    assert lengths and max(lengths) <= 200
    assert not of("x" * 20_000, "X" * 20_000).losing[0].agrees


# Preferences ------------------------------------------------------------------------------------------


def test_larger_numbers_are_inferred() -> None:
    found = of("iPhone 9", "iPhone 11", "iPhone 9", **preferring(("iPhone 12", "iPhone 10"), ("iPhone 10", "iPhone 9")))
    assert (found.value, found.reason, found.confidence) == ("iPhone 11", Reason.PREFERENCE, 0.75)
    assert found.detail is not None and found.detail.startswith("largest") and "2 examples" in found.detail


def test_smaller_numbers_are_inferred() -> None:
    found = of("$1,299.00", "$999.50", **preferring(("$12", "$15")))
    assert (found.value, found.reason) == ("$999.50", Reason.PREFERENCE)


def test_newer_and_older_dates_are_inferred_whatever_their_format() -> None:
    rows = ("3 March 2020", "2021-01-05", "2021-01-05 10:30", "04/12/2019")
    assert of(*rows, **preferring(("2021-03-01", "2019-01-01"))).value == "2021-01-05 10:30"
    assert of(*rows, **preferring(("2019-03-31", "2020-01-01"))).value == "04/12/2019"


def test_longer_and_shorter_texts_are_inferred() -> None:
    longer = preferring(("canon eos 5 black camera kit", "canon eos 7"))
    assert of("nikon d40", "nikon d40", "nikon d40 with lens", **longer).value == "nikon d40 with lens"
    shorter = preferring(("canon eos", "canon eos black camera kit"))
    found = of("nikon d40", "nikon d40 with lens", "nikon d40 with lens", **shorter)
    assert (found.value, found.reason) == ("nikon d40", Reason.PREFERENCE)


def test_where_only_digits_differ_numbers_are_meant_before_lengths_and_else_after() -> None:
    assert of("iPhone 8 in black", "iPhone 11", **preferring(("iPhone 12", "iPhone 9"))).value == "iPhone 11"
    longer = preferring(("canon 7 with a bag", "canon 5"))
    assert of("nikon 3 with a bag", "nikon 9", **longer).value == "nikon 3 with a bag"


def test_the_table_is_inferred() -> None:
    rows = [("aa",), ("bb",), ("cc",), ("dd",), ("ee",), ("ee",), ("ff",)]
    tables = [0, 1, 0, 1, 0, 0, 1]
    examples = (PreferenceExample(0, "bb", "aa"), PreferenceExample(0, "dd", "cc"))
    consolidator = Consolidator(["a"], rows, tables, ConsolidationOptions(examples=examples))
    found = consolidator.consolidate([4, 5, 6]).provenance[0]
    assert (found.value, found.reason) == ("ff", Reason.PREFERENCE)
    assert found.detail == "table:1: explains 2 examples"


def test_examples_that_contradict_each_other_leave_it_to_the_votes() -> None:
    found = of("12", "10", "10", **preferring(("12", "10"), ("9", "11")))
    assert (found.value, found.reason) == ("10", Reason.FREQUENCY)
    assert found.detail == "no comparison explains the examples"


def test_examples_speak_of_their_own_attribute_only() -> None:
    options = ConsolidationOptions(examples=(PreferenceExample(0, "12", "10"),))
    found = Consolidator(["a", "b"], [("1", "1"), ("1", "1"), ("2", "2")], None, options).consolidate([0, 1, 2])
    assert found.values == ("2", "1")


def test_what_a_comparison_cannot_read_loses_to_what_it_can() -> None:
    assert of("unknown", "unknown", "7", **preferring(("12", "10"))).value == "7"
    found = of("unknown", "unknown", "none", **preferring(("12", "10")))
    assert (found.value, found.reason) == ("unknown", Reason.FREQUENCY)


@pytest.mark.parametrize(
    ("rule", "value"),
    [("newest", "2021-01-01"), ("oldest", "1999-12-31"), ("longest", "all of the things"), ("shortest", "12"),
     ("largest", "40 pieces"), ("smallest", "12"), ("most_words", "all of the things"), ("most_frequent", "a b"),
     ("table:1", "40 pieces"), ("newest:1", "12")],
)  # fmt: skip
def test_rules_choose(rule: str, value: str) -> None:
    values = ("2021-01-01", "1999-12-31", "all of the things", "12", "40 pieces", "a b", "a b")
    dates = ("2001-01-01", "2002-01-01", None, "2020-01-01", "2003-01-01", "2004-01-01", "2005-01-01")
    rows = [*zip(values, dates, strict=True)]
    found = golden(rows, [0, 0, 0, 0, 1, 0, 0], **by_rule(rule)).provenance[0]
    assert (found.value, found.reason, found.detail, found.confidence) == (value, Reason.PREFERENCE, rule, 1.0)


def test_fewer_words_may_be_preferred() -> None:
    assert of("a very long name", "antidisestablishment", **by_rule("fewest_words")).value == "antidisestablishment"


def test_the_newest_tuple_wins_where_values_are_as_frequent() -> None:
    rows = [("a long street name", "2019-05-01"), ("short", "2021-05-01")]
    found = golden(rows, date_attribute=1)
    assert (found.values[0], found.provenance[0].reason) == ("short", Reason.RECENCY)
    assert golden([*rows, rows[0]], date_attribute=1).values[0] == "a long street name"
    assert golden(rows).values[0] == "a long street name"


def test_a_rule_comes_before_examples_which_decide_its_ties() -> None:
    options = {**by_rule("table:1"), **preferring(("12", "10"))}
    assert golden([("99",), ("1",), ("2",)], [0, 1, 1], **options).values == ("2",)


# Score ------------------------------------------------------------------------------------------------


def test_a_score_decides_between_even_votes_and_does_not_outvote_clear_ones() -> None:
    def score(attribute: int, values: Sequence[str]) -> list[float]:
        assert attribute == 0
        return [0.0 if value == "black" else -9.0 for value in values]

    found = of("white", "black", "purple", score=score)
    assert (found.value, found.reason) == ("black", Reason.MODEL)
    assert found.confidence == pytest.approx((1 / 3 + 0.5) / 1.5, abs=1e-3)
    found = of("white", "white", "white", "white", "black", score=score)
    assert (found.value, found.reason) == ("white", Reason.FREQUENCY)


@pytest.mark.parametrize("scores", [[0.0], [0.0, float("nan")], [0.0, float("inf")]])
def test_a_score_that_is_none_is_refused(scores: list[float]) -> None:
    with pytest.raises(InputError, match="one finite number"):
        of("white", "black", score=lambda attribute, values: scores)


# Order, completeness and input ------------------------------------------------------------------------


def test_the_order_of_members_changes_nothing() -> None:
    rows = [("Chicago", "1"), ("chicago", "2"), ("CHICAGO!", "02"), ("Chicag", None), ("Boston", "")]
    seen = set()
    for order in permutations(range(5)):
        found = golden([rows[place] for place in order])
        back = np.array(order)
        seen.add(
            tuple(
                (one.value, tuple(sorted(back[list(one.members)].tolist())), one.reason, one.confidence)
                + tuple((lost.value, tuple(sorted(back[list(lost.members)].tolist()))) for lost in one.losing)
                for one in found.provenance
            )
        )
    assert len(seen) == 1
    assert golden(rows) == Consolidator(["a", "b"], rows).consolidate([4, 2, 2, 0, 1, 3, 4])


def test_every_value_of_every_member_is_the_winner_or_a_loser() -> None:
    rng = np.random.default_rng(0)
    texts = ["Chicago", "chicago", "Chicag", "", None, "12", "-12", " ", "?", "Chicago IL"]
    rows = [(texts[int(a)], texts[int(b)]) for a, b in rng.integers(0, len(texts), (200, 2))]
    consolidator = Consolidator(["a", "b"], rows)
    for start in range(0, 200, 8):
        members = range(start, start + 8)
        for one in consolidator.consolidate(members).provenance:
            held = {member: rows[member][one.attribute] for member in members if rows[member][one.attribute]}
            told: dict[int, Value] = {member: lost.value for lost in one.losing for member in lost.members}
            told |= {member: one.value for member in one.members if member not in told}
            assert told == held and one.value in held.values()
            assert 0 < one.confidence <= 1


def test_wrong_members_and_tuples_are_refused() -> None:
    consolidator = Consolidator(["a"], [("x",)])
    for members in ([], [1], [-1]):
        with pytest.raises(InputError, match="members are one or more"):
            consolidator.consolidate(members)
    with pytest.raises(InputError) as caught:
        Consolidator(["a"], [("x",), ("x", "y")])
    assert caught.value.tuple_id == 1
    with pytest.raises(InputError, match="as many tables"):
        Consolidator(["a"], [("x",)], [0, 1])


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"preferences": (Preference(1, "newest"),)}, "preferences"),
        ({"preferences": (Preference(0, "newest"), Preference(0, "oldest"))}, "preferences"),
        ({"preferences": (Preference(0, "best"),)}, "preferences"),
        ({"preferences": (Preference(0, "table:1"),)}, "preferences"),
        ({"preferences": (Preference(0, "newest:1"),)}, "preferences"),
        ({"preferences": (Preference(0, "newest:" + "9" * 5000),)}, "preferences"),
        ({"examples": (PreferenceExample(-1, "a", "b"),)}, "examples"),
        ({"date_attribute": 1}, "date_attribute"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any], field: str) -> None:
    with pytest.raises(OptionError) as caught:
        Consolidator(["a"], [("x",)], None, ConsolidationOptions(**options))
    assert caught.value.field == field
