"""Tables to be linked, in small, with the layout of the benchmark folder."""

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.model.evaluation.conftest import CITIES, write_csv

LINKED = ("one", "two", "three")


@pytest.fixture(scope="session")
def linked_bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three sets of two tables each that share 60 of 90 and 80 records, and a table of entities with copies."""
    bench = tmp_path_factory.mktemp("linked")
    for name in LINKED:
        rng = random.Random(name)
        things = [_thing(rng, number) for number in range(110)]
        first = [[f"a{number}", *things[number]] for number in range(90)]
        second = [[f"b{number}", *_retold(rng, things[number])] for number in range(30, 110)]
        folder = bench / "matching" / name
        write_csv(folder / "tableA.csv", ("id", "name", "city", "class"), first)
        write_csv(folder / "tableB.csv", ("id", "name", "city", "class"), second)
        pairs = [(f"a{number}", f"b{number}", "1") for number in range(30, 90)]
        pairs += [(f"a{rng.randrange(90)}", f"b{rng.randrange(90, 110)}", "0") for _ in range(120)]
        rng.shuffle(pairs)
        for part, start, end in (("train", 0, 100), ("valid", 100, 120), ("test", 120, 180)):
            write_csv(folder / f"{part}.csv", ("ltable_id", "rtable_id", "label"), pairs[start:end])
    rng = random.Random(5)
    copies = [(number, _thing(rng, number)) for number in range(40)]
    rows = [[str(place), f"e{number}", *thing[:2]] for place, (number, thing) in enumerate(copies * 2)]
    for name in ("cora", "patstat"):
        write_csv(bench / "matching-clusters" / name / "records.csv", ("record_id", "cluster_id", "name", "city"), rows)
    return bench


def _thing(rng: random.Random, number: int) -> list[str]:
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=6)) for _ in range(4)]
    return [" ".join([*words, f"x{number}{rng.randint(100, 999)}"]), rng.choice(CITIES)[1], str(number)]


def _retold(rng: random.Random, thing: Sequence[str]) -> list[str]:
    """Without one word, the others in another order, another city now and then."""
    words = thing[0].split()
    words.remove(rng.choice(words[:4]))
    rng.shuffle(words)
    return [" ".join(words), thing[1] if rng.random() < 0.8 else rng.choice(CITIES)[1], thing[2]]
