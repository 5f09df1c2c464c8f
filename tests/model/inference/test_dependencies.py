import random

import numpy as np
import pytest

from model.inference.columns import Column
from model.inference.dependencies import BEST_KEPT, MAX_DETERMINANTS, find_dependencies, poll, supporters
from model.tuples import FunctionalDependency


def columns(*values: str) -> list[Column]:
    """Columns written as words, one letter a tuple; a dot is a missing value."""
    return [Column([None if letter == "." else letter for letter in one]) for one in values]


def test_strength_is_agreement_above_chance() -> None:
    rng = random.Random(0)
    left = [rng.choice("abcdefgh") for _ in range(400)]
    same = Column([letter.upper() for letter in left])
    noisy = Column([letter if rng.random() < 0.9 else rng.choice("abcdefgh") for letter in left])
    unrelated = Column([rng.choice("abcdefgh") for _ in left])
    found = find_dependencies([Column(left), same, noisy, unrelated], [0, 1, 2, 3])
    strengths = [{one.determinants[0]: one.strength for one in dependencies} for dependencies in found]
    assert strengths[1][0] == pytest.approx(1.0, abs=0.02)
    # Two tuples agree on the noisy copy where both are right: about 0.91² + 0.09²/7.
    assert strengths[2][0] == pytest.approx(0.81, abs=0.06)
    assert 3 not in strengths[0] and strengths[3] == {}


def test_a_rule_is_not_learned_a_second_time() -> None:
    found = find_dependencies(columns("aabbccdd", "xxyyzzww"), [0, 1], [FunctionalDependency((0,), 1)])
    assert [(one.determinants, one.strength, one.weight) for one in found[1]] == [((0,), 1.0, 1.0)]
    assert [one.determinants for one in found[0]] == [(1,)]


def test_only_the_strongest_dependencies_vote() -> None:
    rng = random.Random(1)
    base = [rng.choice("abcdefghij") for _ in range(200)]
    copies = [
        [letter if rng.random() < 0.6 + 0.03 * rank else rng.choice("abcdefghij") for letter in base]
        for rank in range(12)
    ]
    found = find_dependencies([Column(base), *map(Column, copies)], list(range(13)))[0]
    assert len(found) == MAX_DETERMINANTS
    assert [one.strength for one in found] == sorted((one.strength for one in found), reverse=True)
    assert 12 in {one.determinants[0] for one in found} and 1 not in {one.determinants[0] for one in found}


def test_shares_and_the_observed_share_add_up_within_a_group() -> None:
    group, value = columns("aaaaaabb", "xxxyyz.w")
    dependencies = find_dependencies([group, value], [0, 1], [FunctionalDependency((0,), 1)])[1]
    votes = poll(dependencies, value)
    names = [[value.distinct[code] for code in row if code >= 0] for row in votes.values.tolist()]
    assert names[0] == ["x", "y", "z"]
    assert votes.shares[0, :3].tolist() == [
        pytest.approx(0.4, abs=1e-5),
        pytest.approx(0.4, abs=1e-5),
        pytest.approx(0.2, abs=1e-5),
    ]
    assert votes.observed[0] == pytest.approx(0.4, abs=1e-5)
    assert votes.supports[0, :3].tolist() == [2.0, 2.0, 1.0]
    # z stands once: its tuple has five companions and none of them holds it.
    assert votes.observed[5] == 0.0 and names[5] == ["x", "y"]
    # The tuple without a value hears its one companion, which hears nobody.
    assert names[6:] == [["w"], []]
    assert votes.voters.tolist() == [1] * 7 + [0]


def test_the_observed_value_counts_even_where_it_is_not_among_the_best() -> None:
    letters = "".join(letter * count for letter, count in zip("abcdefghijkl", range(14, 2, -1), strict=True))
    group, value = columns("g" * len(letters) + "hh", letters + "ab")
    dependencies = find_dependencies([group, value], [0, 1], [FunctionalDependency((0,), 1)])[1]
    votes = poll(dependencies, value)
    last = letters.index("l")
    assert votes.values.shape == (len(letters) + 2, BEST_KEPT)
    assert value.code_of["l"] not in votes.values[last].tolist()
    assert votes.observed[last] == pytest.approx(2 / (len(letters) - 1), abs=1e-5)


def test_supporters_are_the_agreeing_tuples_and_what_they_agree_on() -> None:
    zip_code, street, city = columns("aaabbb", "xyxyxy", "ppqrrr")
    rules = [FunctionalDependency((0,), 2), FunctionalDependency((1,), 2)]
    dependencies = find_dependencies([zip_code, street, city], [0, 1, 2], rules)[2]
    meaning = {value: city.meaning_of(value) for value in "pqr"}
    assert supporters(dependencies, city, 2, meaning["p"]) == ([0, 1], [0, 1])
    assert supporters(dependencies, city, 3, meaning["r"]) == ([0, 1], [4, 5])
    assert supporters(dependencies, city, 0, len(meaning)) == ([], [])


def test_spellings_of_one_value_vote_together() -> None:
    key, city = Column(list("aaaaaa")), Column(["Ames", "AMES", "ames ", "Bonn", "Bonn", "Oslo"])
    votes = poll(find_dependencies([key, city], [0, 1], [FunctionalDependency((0,), 1)])[1], city)
    assert city.usual.representatives[votes.values[5, 0]] == "Ames"
    assert votes.supports[5, :2].tolist() == [3.0, 2.0]


def test_tuples_that_share_an_unreliable_value_count_little() -> None:
    wrong, key, city = columns("xxxyyy", "abcabc", "pppqqq")
    rules = [FunctionalDependency((0,), 2), FunctionalDependency((1,), 2)]
    dependencies = find_dependencies([wrong, key, city], [0, 1, 2], rules)[2]
    reliability = np.ones((6, 3))
    reliability[:, 0] = 0.1
    believed, doubted = poll(dependencies, city), poll(dependencies, city, None, reliability)
    p, q = city.meaning_of("p"), city.meaning_of("q")
    assert believed.values[0, 0] == p and doubted.values[0, 0] == q


def test_a_tuple_counts_what_it_is_given() -> None:
    key, city = columns("aaaa", "pqqp")
    dependencies = find_dependencies([key, city], [0, 1], [FunctionalDependency((0,), 1)])[1]
    votes = poll(dependencies, city, np.array([1.0, 0.25, 0.25, 1.0]))
    assert votes.values[0, 0] == city.meaning_of("p")
    assert votes.supports[0, :2].tolist() == [1.0, 0.5]
    assert abs(votes.shares[0, 0] - 1.0 / 1.5) < 1e-5


def test_polls_of_nobody_are_zero() -> None:
    (empty,) = columns("....")
    votes = poll([], empty)
    assert votes.values.tolist() == [[-1] * BEST_KEPT] * 4
    assert not votes.shares.any() and not np.asarray(votes.observed).any()
