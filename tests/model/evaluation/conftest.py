"""A benchmark folder and a corpus folder in small, made by the tests."""

import csv
import io
import json
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
import zstandard

CITIES = (("35233", "Birmingham"), ("94107", "Oakland"), ("10001", "New York"))


def write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text.getvalue(), encoding="utf-8", newline="")


@pytest.fixture(scope="session")
def small_bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sets by the names of the real ones, of 24 and 18 rows and three columns."""
    bench = tmp_path_factory.mktemp("bench")
    rows = [[f"r{number}", *CITIES[number % 3]] for number in range(24)]
    dirty = [list(row) for row in rows]
    dirty[4][2], dirty[7][2] = "Oaklamd", ""
    for name in ("hospital", "flights", "beers"):
        write_csv(bench / "cleaning" / name / "dirty.csv", ("id", "zip", "city"), dirty)
        write_csv(bench / "cleaning" / name / "clean.csv", ("id", "zip", "city"), rows)
    for name in ("Buy", "Restaurant"):
        folder = bench / "imputation" / name
        for part, start, end in (("train", 0, 10), ("valid", 10, 13), ("test", 13, 18)):
            write_csv(folder / f"{part}.csv", ("id", "zip", "city"), rows[start:end])
        (folder / "target.txt").write_text("city\n", encoding="utf-8")
    return bench


@pytest.fixture(scope="session")
def small_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A validation shard of two repositories, one with three tables and one with one; a fifth table is too short."""
    corpus = tmp_path_factory.mktemp("corpus")
    rng = random.Random(0)
    records = []
    for number, owner in enumerate(("a/one", "a/one", "a/one", "b/two", "c/short")):
        count = 5 if owner == "c/short" else 40
        rows = [
            [f"{rng.randint(1, 9)}.5", f"2020-01-{row % 28 + 1:02d}", *rng.choice(CITIES), f"item {number} {row}"]
            for row in range(count)
        ]
        columns = ["price", "day", "zip", "city", "name"]
        source = f"{owner}:table{number}.csv"
        records.append({"id": source, "license": "MIT", "domain": "other", "columns": columns, "rows": rows})
    lines = "".join(json.dumps(record) + "\n" for record in records)
    (corpus / "valid.jsonl.zst").write_bytes(zstandard.ZstdCompressor().compress(lines.encode()))
    return corpus
