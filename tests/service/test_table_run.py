"""A run reads a table part by part, writes a faithful copy and logs every flagged cell."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from service.patches import patch_table, read_patches
from service.storage.files import open_table
from service.storage.table_file import RowIssue
from service.table_run import Judgement, Progress, RunSummary, run_table

CONTENT = b'id,city,\r\n1,"Bostn",a\r\n2,Bostn\r\n3,Bostn,b\r\n4,Paris,"c"\r\n5,?,d\r\n'
Rows = list[tuple[str | None, ...]]


def _judge(names: Sequence[str], rows: Rows, progress: Progress) -> list[Judgement]:
    """Knows that Bostn is Boston, and that ? is wrong but not what is right; last row first."""
    city = list(names).index("city")
    found = []
    for row, values in enumerate(rows):
        progress("detect", row + 1, len(rows))
        if values[city] == "Bostn":
            found.append(Judgement(row, city, "repaired", "Boston", 0.96, 0.99, (("Boston", 0.96),), "model", (0,)))
        if values[city] == "?":
            found.append(Judgement(row, city, "abstained", None, None, 0.8))
            found.append(Judgement(row, 0, "repaired", "東", 0.4))
    return found[::-1]


def _run(path: Path, content: bytes, **options: object) -> tuple[bytes, list[dict[str, object]], RunSummary]:
    path.write_bytes(content)
    sink, log = io.BytesIO(), io.BytesIO()
    with open_table(path, encoding="cp1252") as table:
        summary = run_table(table, _judge, sink, log, **options)  # type: ignore[arg-type]
    return sink.getvalue(), [json.loads(line) for line in log.getvalue().splitlines()], summary


@pytest.mark.parametrize("rows_per_part", [1, 2, 100])
def test_the_copy_differs_in_repaired_cells_only(tmp_path: Path, rows_per_part: int) -> None:
    output, log, summary = _run(tmp_path / "t.csv", CONTENT, rows_per_part=rows_per_part)
    assert output == CONTENT.replace(b'"Bostn"', b'"Boston"').replace(b"3,Bostn", b"3,Boston")
    assert [(line["row"], line["column"], line["outcome"]) for line in log] == [
        (0, "city", "repaired"),
        (2, "city", "repaired"),
        (4, "id", "error"),
        (4, "city", "abstained"),
    ]
    assert log[0]["old_raw"] == '"Bostn"' and "old_raw" not in log[1]
    assert (log[2]["new"], log[2]["message"]) == ("東", "the new value cannot be written in cp1252")
    assert (summary.rows, summary.damaged_rows, summary.cells) == (4, 1, 12)
    assert summary.issues == [RowIssue(1, 3, "the row has 2 fields, the header has 3")]
    total = summary.total
    assert (total.flagged, total.repaired, total.abstained, total.errors) == (4, 2, 1, 1)
    assert {name: counts.flagged for name, counts in summary.by_column.items()} == {"city": 3, "id": 1}
    assert (summary.histogram[19], sum(summary.histogram)) == (2, 2)


def test_evidence_rows_are_rows_of_the_file_not_of_the_part(tmp_path: Path) -> None:
    _, log, summary = _run(tmp_path / "t.csv", CONTENT, rows_per_part=1)
    assert [line["evidence"]["rows"] for line in log[:2]] == [[0], [2]]  # type: ignore[index]
    assert summary.parts == 4 and summary.approximate
    _, _, whole = _run(tmp_path / "t.csv", CONTENT)
    assert whole.parts == 1 and not whole.approximate


def test_the_log_replays_and_undoes_the_run(tmp_path: Path) -> None:
    output, log, _ = _run(tmp_path / "t.csv", CONTENT)
    (tmp_path / "log").write_text("\n".join(json.dumps(line) for line in log), encoding="utf-8")
    patches = list(read_patches(tmp_path / "log"))
    again, back = io.BytesIO(), io.BytesIO()
    with open_table(tmp_path / "t.csv") as table:
        patch_table(table, patches, again, "apply")
    assert again.getvalue() == output
    (tmp_path / "out.csv").write_bytes(output)
    with open_table(tmp_path / "out.csv") as table:
        patch_table(table, patches, back, "revert")
    assert back.getvalue() == CONTENT


def test_an_error_of_the_judge_reaches_the_caller(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(CONTENT)

    def failing(names: Sequence[str], rows: Rows, progress: Progress) -> list[Judgement]:
        raise LookupError("no model")

    with open_table(tmp_path / "t.csv") as table, pytest.raises(LookupError, match="no model"):
        run_table(table, failing, io.BytesIO(), io.BytesIO())


def test_a_part_is_never_longer_than_asked_and_progress_is_told(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"city\n" + b"x\n" * 7)
    lengths: list[int] = []
    stages: list[tuple[str, int, int]] = []
    with open_table(tmp_path / "t.csv") as table:
        run_table(
            table,
            _judge,
            io.BytesIO(),
            io.BytesIO(),
            rows_per_part=3,
            progress=lambda *told: stages.append(told),
            on_part=lambda chunk: lengths.append(len(chunk.rows)),
        )
    assert lengths == [3, 3, 1]
    assert stages[:3] == [("detect", 1, 3), ("detect", 2, 3), ("detect", 3, 3)]
