"""Names from values: words of names, n-grams of values, and a file that gives back what was saved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from model.errors import CheckpointError
from model.naming import BUCKETS, MOST_VALUES, NameModel, chosen_values, grams, name_words


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("dbo:countryCodes", ("country", "code")),
        ("Birth_City", ("birth", "city")),
        ("xsd:positiveInteger", ("positive", "integer")),
        ("companies", ("company",)),
        ("status", ("status",)),
        ("col 12", ("col",)),
        ("42", ()),
    ],
)
def test_words_of_a_name(name: str, words: tuple[str, ...]) -> None:
    assert name_words(name) == words


def test_the_values_that_are_looked_at_do_not_depend_on_their_order() -> None:
    values = [f"v{number:03d}" for number in range(200)] + [None, "", " "]
    chosen = chosen_values(values)
    assert len(chosen) == MOST_VALUES and chosen[0] == "v000" and chosen[-1] == "v199"
    assert chosen_values(reversed(values)) == chosen
    assert chosen_values(["b", "a", "b "]) == ["a", "b"]


def test_grams_are_places_in_the_table() -> None:
    assert set(grams("Boston").tolist()) & set(grams("Bosten").tolist())
    assert np.array_equal(grams("Boston"), grams("Boston"))
    assert set(grams("Boston").tolist()) != set(grams("boston").tolist())
    assert all(0 <= place < BUCKETS for place in grams("日本 😀 \ud800").tolist())


def test_rare_words_of_a_name_count_most() -> None:
    vectors = np.zeros((BUCKETS, 2), dtype=np.float32)
    vectors[7] = (1.0, 0.0)
    vectors[8] = (0.0, 1.0)
    nothing = np.zeros(2, dtype=np.float32)
    model = NameModel(("sport", "type"), vectors, np.eye(2, dtype=np.float32), nothing, np.array([-6.0, -3.0]))
    direction, added = model.speaking(model.places(["sport", "type"]))
    assert direction[7] / direction[8] == pytest.approx(2.0**4)
    assert direction[7] + direction[8] == pytest.approx(1.0)
    assert added == pytest.approx((6.0 * 16 + 3.0) / 17)
    assert model.speaking([1])[0][8] == pytest.approx(1.0)


def test_a_model_survives_saving(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = [
        rng.normal(size=shape).astype(np.float16).astype(np.float32) for shape in ((BUCKETS, 4), (2, 4), (2,), (2,))
    ]
    model = NameModel(("city", "code"), *arrays)
    model.save(tmp_path / "names.safetensors")
    loaded = NameModel.load(tmp_path / "names.safetensors")
    assert loaded.words == ("city", "code")
    assert loaded.log_odds(["Boston", "x"]).tolist() == model.log_odds(["Boston", "x"]).tolist()
    assert loaded.log_odds([]).tolist() == [0.0, 0.0]
    (tmp_path / "names.safetensors").write_bytes(b"no")
    with pytest.raises(CheckpointError, match=r"names\.safetensors"):
        NameModel.load(tmp_path / "names.safetensors")
