import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import zstandard

from model.checkpoint import Checkpoint
from model.errors import InputError
from model.evaluation.leaks import Overlap, Probes, compare, evaluate_leaks, leak_table, read_bench_rows, row_key

Rows = list[list[str]]
ROWS: Rows = [[f"Item number {row} of many", f"Street {row}", "Birmingham"] for row in range(40)]


def test_rows_are_compared_whatever_the_order_and_case_of_their_values() -> None:
    assert row_key(["Oslo  Bay", "NORWAY", "number 7"]) == row_key(["number 7", None, "oslo bay", "Norway", "1"])
    assert row_key(["Oslo", "Norway"]) is None  # two values tell little
    assert row_key(["abc", "def", "ghi"]) is None  # so do three short ones
    assert row_key(["7", "12", "", None]) is None


def test_shared_rows_and_shared_values_are_told_apart() -> None:
    probes = Probes()
    probes.add("cleaning/hospital", ROWS)
    same = compare("t", [[*row[::-1], "1"] for row in ROWS[:10]], probes)
    assert same == Overlap("t", 10, 10, 10, 10, "cleaning/hospital")
    assert same.shares_rows and not same.shares_values  # ten long values may be chance, ten rows are not
    others = compare("u", [[row[0], "another thing", "elsewhere"] for row in ROWS], probes)
    assert (others.equal_rows, others.equal_values, others.values) == (0, 40, 40)
    assert others.shares_values and not others.shares_rows
    nothing = compare("v", [["Quite another item", "Avenue 3", "Birmingham"]], probes)
    assert nothing == Overlap("v", 1, 0, 1, 0, "")


def test_a_few_shared_rows_in_a_large_table_are_chance() -> None:
    assert not Overlap("t", 1000, 5, 0, 0, "a").shares_rows
    assert Overlap("t", 100, 5, 0, 0, "a").shares_rows
    assert not Overlap("t", 10, 4, 0, 0, "a").shares_rows
    table = leak_table(
        "title", {"one": [Overlap("t", 100, 60, 9, 3, "cleaning/beers"), Overlap("u", 5, 0, 1, 0, "")]}, ()
    )
    assert {name: figure.value for name, figure in table.rows[0].figures.items()} == {
        "tables": 2,
        "rows compared": 105,
        "equal rows": 60,
        "long values": 10,
        "equal long values": 3,
        "tables that share rows": 1,
        "that share values": 0,
    }
    assert table.notes[0].startswith("1 tables share rows") and "; 0 others" in table.notes[0]
    assert table.notes[1] == "t shares 60 of 100 rows and 3 of 9 long values, most of them with cleaning/beers."


def write_shard(path: Path, tables: dict[str, Sequence[Sequence[str]]]) -> None:
    lines = "".join(
        json.dumps({"id": name, "license": "MIT", "domain": "other", "columns": ["a", "b", "c"], "rows": rows}) + "\n"
        for name, rows in tables.items()
    )
    path.write_bytes(zstandard.compress(lines.encode()))


def test_a_copied_benchmark_table_and_a_copied_validation_table_are_found(
    tmp_path: Path, checkpoint: Checkpoint
) -> None:
    bench, corpus = tmp_path / "bench", tmp_path / "corpus"
    (bench / "cleaning" / "hospital").mkdir(parents=True)
    corpus.mkdir()
    text = "a,b,c\n" + "".join(",".join(row) + "\n" for row in ROWS)
    (bench / "cleaning" / "hospital" / "clean.csv").write_text(text, encoding="utf-8")
    (bench / "x").mkdir()
    (bench / "x" / "y.jsonl").write_text(json.dumps({"a": ["one\u2028two", {"b": "three"}]}) + "\n", encoding="utf-8")
    assert dict(read_bench_rows(bench)) == {"cleaning/hospital": ROWS, "x": [["one\u2028two", "three"]]}
    fresh = [[f"Another {row} here", f"Road {row}", "Montgomery"] for row in range(30)]
    write_shard(corpus / "train-00.jsonl.zst", {"o/r:leak.csv": ROWS, "o/r:fresh.csv": [["q", "r", "s"]]})
    write_shard(corpus / "train-01.jsonl.zst", {"o/s:copy.csv": fresh})
    write_shard(corpus / "valid.jsonl.zst", {"o/v:table.csv": fresh})
    against_bench, against_validation = evaluate_leaks(bench, corpus, checkpoint)
    shared = {row.system: row.figures["tables that share rows"].value for row in against_bench.rows}
    assert shared == {"train-00.jsonl.zst": 1, "train-01.jsonl.zst": 0, "valid.jsonl.zst": 0}
    assert against_bench.notes[1].startswith("o/r:leak.csv shares 40 of 40 rows")
    shared = {row.system: row.figures["tables that share rows"].value for row in against_validation.rows}
    assert shared == {"train-00.jsonl.zst": 0, "train-01.jsonl.zst": 1}
    assert "The card of tiny does not name its training sources." in against_validation.notes
    with pytest.raises(InputError, match=r"valid\.jsonl\.zst"):
        evaluate_leaks(bench, tmp_path, checkpoint)
