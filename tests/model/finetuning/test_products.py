"""Invented products: many kinds, one kind a relation."""

from __future__ import annotations

import random

from model.finetuning.products import invented_products


def test_products_have_brands_types_and_codes() -> None:
    relations = [invented_products(random.Random(seed), 10) for seed in range(200)]
    assert {len(relation) for relation in relations} == {10}
    names = {name.lower() for relation in relations for name in relation.attributes}
    assert {"brand", "material", "color", "weight", "gender", "model number", "lens material"} <= names
    values = {value for relation in relations for row in relation.tuples for value in row}
    assert {None, "Cotton", "Black", "Men", "Guitar"} <= values
    assert len(values) > 3000


def test_products_follow_from_the_seed() -> None:
    assert invented_products(random.Random(3), 5) == invented_products(random.Random(3), 5)
    assert invented_products(random.Random(3), 5) != invented_products(random.Random(4), 5)
