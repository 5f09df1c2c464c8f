"""What a window is made to be before it is corrupted: more to learn from, and nothing of it untrue."""

from __future__ import annotations

import random
import re
from collections import Counter

from model.augmentation import augment, with_derived_attribute, with_exchanged_words, with_plain_names
from model.config import TrainingConfig
from model.tuples import Relation

PEOPLE = Relation.of(
    ["name", "born", "city", "state"],
    [
        ["Ada Lovelace", "1815-12-10", "London", "England"],
        ["Alan Turing", "1912-06-23", "London", "England"],
        ["Grace Hopper", "1906-12-09", "New York", "United States"],
        ["Edsger Dijkstra", "1930-05-11", "Rotterdam", "Netherlands"],
        ["Barbara Liskov", "1939-11-07", "Los Angeles", "United States"],
    ],
)


def test_a_derived_attribute_is_a_function_of_the_tuple_and_leaves_the_others_alone() -> None:
    seen: set[str] = set()
    added = 0
    for seed in range(200):
        found = with_derived_attribute(PEOPLE, random.Random(seed))
        place = next((p for p, name in enumerate(found.attributes) if name not in PEOPLE.attributes), None)
        if place is None:
            assert found == PEOPLE
            continue
        assert found == with_derived_attribute(PEOPLE, random.Random(seed))
        added += 1
        rest = [[*values[:place], *values[place + 1 :]] for values in found.tuples]
        assert rest == [list(values) for values in PEOPLE.tuples]
        assert len({value for value in found.column(place) if value}) > 1
        seen |= {value or "" for value in found.column(place)}
    assert added > 150
    assert {"Lovelace", "AL", "London, England"} <= seen
    assert any(re.fullmatch("[0-9]{1,2}/[0-9]{1,2}/1815", value) for value in seen)


def test_the_same_value_derives_the_same_value() -> None:
    twice = Relation.of(PEOPLE.attributes, [values for values in PEOPLE.tuples for _ in range(2)])
    for seed in range(60):
        found = with_derived_attribute(twice, random.Random(seed))
        assert found.tuples[::2] == found.tuples[1::2]


def test_nothing_is_derived_from_nothing() -> None:
    for relation in (Relation.of(["a"], []), Relation.of(["a", "b"], [[None, ""]] * 9)):
        assert with_derived_attribute(relation, random.Random(0)) == relation


def test_exchanged_words_keep_what_is_equal_and_what_is_no_word() -> None:
    found = with_exchanged_words(PEOPLE, random.Random(3))
    assert found != PEOPLE
    assert found.column(1) == PEOPLE.column(1)
    for attribute in range(4):
        counts = [sorted(Counter(relation.column(attribute)).values()) for relation in (PEOPLE, found)]
        assert counts[0] == counts[1]
    words = [
        Counter(re.findall("[A-Za-z]{3,}", " ".join(v or "" for values in one.tuples for v in values)))
        for one in (PEOPLE, found)
    ]
    assert words[0].keys() == words[1].keys()
    assert with_exchanged_words(Relation.of(["a"], [[None], [""]]), random.Random(0)).column(0) == [None, ""]


def test_plain_names_only_count() -> None:
    for seed in range(20):
        names = with_plain_names(PEOPLE, random.Random(seed)).attributes
        assert [re.sub("[^0-9]", "", name) for name in names] == ["1", "2", "3", "4"]


def test_a_derived_attribute_is_computed_from_the_words_that_were_exchanged() -> None:
    both = TrainingConfig(derived_rate=1.0, exchanged_words_rate=1.0, plain_names_rate=0.0)
    joined = 0
    for seed in range(150):
        found = augment(PEOPLE, random.Random(seed), both)
        place = next((p for p, name in enumerate(found.attributes) if name not in PEOPLE.attributes), None)
        if place is not None:
            for values in found.tuples:
                rest = [value for at, value in enumerate(values) if at != place and value]
                joined += any(values[place] == f"{one}, {other}".upper() for one in rest for other in rest)
    assert joined > 4


def test_rates_of_zero_leave_a_window_as_it_is_and_rates_of_one_change_it() -> None:
    never = TrainingConfig(derived_rate=0.0, exchanged_words_rate=0.0, plain_names_rate=0.0)
    assert augment(PEOPLE, random.Random(1), never) == PEOPLE
    always = TrainingConfig(derived_rate=1.0, exchanged_words_rate=1.0, plain_names_rate=1.0)
    found = augment(PEOPLE, random.Random(1), always)
    assert len(found.attributes) == 5
    assert not set(found.attributes) & set(PEOPLE.attributes)
    assert found.tuples[0][0] != PEOPLE.tuples[0][0]
