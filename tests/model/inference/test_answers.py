"""Evidence of answers: what examples, the other texts and the name of an attribute make of each candidate."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from model.inference.answers import EVIDENCE, FEATURES, Observations
from model.inference.pointing import AskedAttribute, Candidate, ExtractionExample, Pointing, ScoredTokens
from model.judge import Judge
from model.known_values import KnownValues
from model.naming import BUCKETS, NameModel
from tests.conftest import known_values, stump

STARTS, ENDS = np.array([0, 1, 5], dtype=np.int32), np.array([1, 5, 9], dtype=np.int32)
"""Characters of the tokens of a window."""


def counted(
    attributes: Sequence[AskedAttribute],
    texts: Sequence[str],
    pointings: Mapping[tuple[str, int], Pointing],
    names: NameModel | None = None,
    known: KnownValues | None = None,
    trees: Judge | None = None,
) -> Observations:
    observed = Observations(attributes, texts, pointings, names, known, trees)
    for text in texts:
        observed.count(text)
    return observed


def pointing(text: str, value: str, probability: float) -> Pointing:
    start = text.index(value)
    return Pointing((Candidate(start, start + len(value), math.log(probability)),), math.log(1 - probability), 0)


def features(observed: Observations, text: str, value: str) -> Mapping[str, float]:
    judged = observed.judge(text)[0]
    (number,) = [n for n, one in enumerate(judged.candidates) if text[one.start : one.end] == value]
    return dict(zip(FEATURES, judged.features[number].tolist(), strict=True))


def test_what_the_network_is_sure_of_in_other_texts_supports_a_value() -> None:
    texts = sorted(["mug by Acme", "Acme pan", "a cup of Acme", "a bowl"])
    pointings = {
        (text, 0): pointing(text, "Acme" if "Acme" in text else "bowl", 0.9 if "Acme" in text else 0.1)
        for text in texts
    }
    pointings["a cup of Acme", 0] = pointing("a cup of Acme", "cup", 0.3)
    observed = counted([AskedAttribute("brand")], texts, pointings)
    found = features(observed, "a cup of Acme", "Acme")
    assert found["support"] == pytest.approx(math.log1p(2))
    assert found["support_logit"] == pytest.approx(math.log(2.3 / 0.7), abs=1e-6)
    assert found["is_first"] == 0.0
    assert features(observed, "Acme pan", "Acme")["support"] == pytest.approx(math.log1p(1))


def test_examples_say_how_often_a_value_is_right_where_it_stands() -> None:
    examples = (
        ExtractionExample("red mug", "red"),
        ExtractionExample("red cup", None),
        ExtractionExample("12 cm pan", "12 cm"),
    )
    text = "a red bowl of 30 mm"
    observed = counted([AskedAttribute("color", None, examples)], [text], {(text, 0): pointing(text, "30 mm", 0.5)})
    known = features(observed, text, "red")
    assert known["example_logit"] == pytest.approx(math.log(0.5 / 0.5))
    assert (known["is_example"], known["same_shape"], known["log_probability"]) == (1.0, 1.0, -12.0)
    other = features(observed, text, "30 mm")
    assert (other["is_example"], other["same_shape"], other["example_logit"]) == (0.0, 1.0, 0.0)


def test_what_speaks_for_the_name_of_an_attribute_is_a_candidate() -> None:
    text = "Acme pan red steel"
    vectors = np.zeros((BUCKETS, 2), dtype=np.float32)
    for word, place in (("red", 0), ("steel", 1)):
        vectors[zlib.crc32(f"==<{word}>".encode()) % BUCKETS, place] = 100.0
    nothing = np.zeros(2, dtype=np.float32)
    names = NameModel(("color", "material"), vectors, np.eye(2, dtype=np.float32), nothing, nothing)
    pointings = {(text, 0): pointing(text, "Acme", 0.2)}
    observed = counted([AskedAttribute("main_color")], [text], pointings, names)
    red, acme = features(observed, text, "red"), features(observed, text, "Acme")
    assert red["named"] == red["named_gap"] > 1.0 and red["log_probability"] == -12.0
    assert acme["named"] == 0.0 and acme["named_gap"] == pytest.approx(-red["named"])
    judged = observed.judge(text)[0]
    number = [text[one.start : one.end] for one in judged.candidates].index("red")
    assert "written as values of that name" in (observed.reason(text, 0, judged, number).detail or "")
    silent = counted([AskedAttribute("weight")], [text], pointings, names).judge(text)[0]
    assert not silent.features[:, FEATURES.index("named")].any()


def test_what_speaks_for_another_attribute_that_is_asked_is_told() -> None:
    text = "red steel"
    vectors = np.zeros((BUCKETS, 2), dtype=np.float32)
    vectors[zlib.crc32(b"==<red>") % BUCKETS, 0] = 100.0
    nothing = np.zeros(2, dtype=np.float32)
    names = NameModel(("color", "material"), vectors, np.eye(2, dtype=np.float32), nothing, nothing)
    asked = [AskedAttribute("material"), AskedAttribute("color")]
    pointings = {(text, number): pointing(text, "red", 0.2) for number in range(2)}
    together = features(counted(asked, [text], pointings, names), text, "red")
    alone = features(counted(asked[:1], [text], pointings, names), text, "red")
    assert together["elsewhere_gap"] < -1.0 < alone["elsewhere_gap"] == 0.0
    color = counted(asked[::-1], [text], {(text, number): pointings[text, 0] for number in range(2)}, names)
    assert features(color, text, "red")["elsewhere_gap"] == 0.0  # it speaks for this one more than for the other


def test_the_network_says_how_probable_any_span_is() -> None:
    text = "a red mug"
    odds = np.log(np.array([[0.1, 0.2, 0.4], [0.1, 0.2, 0.4]])).astype(np.float16)
    tokens = ScoredTokens(0, STARTS, ENDS, odds)
    examples = (ExtractionExample("red cup", "red"),)
    start = text.index("mug")
    said = Pointing((Candidate(start, len(text), math.log(0.2)),), math.log(0.5), 0, (tokens,))
    observed = counted([AskedAttribute("color", None, examples)], [text], {(text, 0): said})
    assert features(observed, text, "red")["log_probability"] == pytest.approx(math.log(0.2 * 0.2 * 0.5), abs=2e-2)


def test_a_later_window_of_a_long_text_counts_its_characters_from_its_own_beginning() -> None:
    odds = np.log(np.array([[0.1, 0.2, 0.4], [0.1, 0.2, 0.4]])).astype(np.float16)
    windows = (
        ScoredTokens(0, STARTS, ENDS, np.full((2, 3), -9.0, dtype=np.float16)),
        ScoredTokens(6, STARTS, ENDS, odds),
    )
    said = Pointing((), math.log(0.5), 0, windows)
    assert said.log_probability(7, 11) == pytest.approx(math.log(0.2 * 0.2 * 0.5), abs=2e-2)
    assert said.log_probability(6, 9) == pytest.approx(math.log(0.1 * 0.2 * 0.5), abs=2e-2)  # both windows have it
    assert said.log_probability(0, 5) == pytest.approx(-18.0 + math.log(0.5), abs=2e-2)
    assert said.log_probability(3, 12) == -math.inf  # in no window as a whole


def test_where_the_network_failed_all_evidence_is_a_number() -> None:
    text = "a red mug"
    failed = Pointing((), math.nan, 0)
    examples = (ExtractionExample("red cup", "red"), ExtractionExample("a mug", None))
    judged = counted([AskedAttribute("color", None, examples)], [text], {(text, 0): failed}).judge(text)[0]
    assert judged.values == ("red",)
    assert np.isfinite(judged.features).all() and np.isfinite(judged.no_answer_features(np.array([0.5]))).all()


def test_values_that_stand_in_columns_of_that_name_are_known() -> None:
    text = "Nintendo Switch"
    known = known_values(("publisher",), {"Nintendo": (5, {0: 4})})
    pointings = {(text, 0): Pointing((Candidate(0, 8, -1.0), Candidate(9, 15, -2.0)), -1.0, 0)}
    observed = counted([AskedAttribute("Publisher")], [text], pointings, known=known)
    assert features(observed, text, "Nintendo")["stands_under"] == pytest.approx(math.log(4.03 / 0.08), abs=1e-5)
    assert features(observed, text, "Switch")["stands_under"] == 0.0
    silent = {(text, 0): Pointing((Candidate(9, 15, -2.0),), -1.0, 0)}
    example = AskedAttribute("Publisher", None, (ExtractionExample("by Nintendo", "Nintendo"),))
    told = counted([example], [text], silent, known=known)
    (judged,) = told.judge(text)
    example_of = replace(judged, features=judged.features * 1.0)
    example_of.features[1, FEATURES.index("is_example")] = 0.0
    assert "columns of that name" in (told.reason(text, 0, example_of, 1).detail or "")
    unheard = counted([AskedAttribute("weight")], [text], pointings, known=known)
    assert features(unheard, text, "Nintendo")["stands_under"] == 0.0


def test_trees_judge_the_evidence() -> None:
    text = "a red mug"
    trees = stump(EVIDENCE, "is_first", 0.5, -2.0, 3.0)
    said = Pointing((Candidate(2, 5, -1.0), Candidate(6, 9, -2.0)), -1.0, 0)
    asked = [AskedAttribute("color"), AskedAttribute("thing")]
    pointings = {(text, 0): said, (text, 1): Pointing((Candidate(6, 9, -1.0),), -1.0, 0)}
    color, thing = counted(asked, [text], pointings, trees=trees).judge(text)
    assert color.features[:, 0].tolist() == [3.0, -2.0] and thing.features[:, 0].tolist() == [3.0]
    without = counted(asked, [text], pointings).judge(text)[0]
    assert without.features[:, 0].tolist() == [0.0, 0.0]
    assert np.array_equal(without.features[:, 1:], color.features[:, 1:])


def test_an_example_that_is_judged_says_nothing_of_itself() -> None:
    own = ExtractionExample("a red-hot mug", "red")
    others = (
        ExtractionExample("red cup", "red"),
        ExtractionExample("red pan", None),
        ExtractionExample("12 cm pan", "12 cm"),
    )
    pointings = {(own.text, 0): pointing(own.text, "mug", 0.3)}
    with_it, without = (
        counted([AskedAttribute("color", None, examples)], [own.text], pointings).judge(own.text)[0]
        for examples in ((*others, own), others)
    )
    assert with_it.values == without.values == ("mug", "red")
    assert np.array_equal(with_it.features, without.features) and with_it.about == without.about
    assert with_it.features[1, FEATURES.index("is_example")] == 1.0
    alone = counted([AskedAttribute("color", None, (own,))], [own.text], pointings).judge(own.text)[0]
    assert alone.values == ("mug",)
