"""A patch log replays and undoes a run byte for byte, and refuses a file that it does not belong to."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from service.patches import Direction, Patch, PatchConflictError, PatchError, PatchEvidence, patch_table, read_patches
from service.storage.files import open_table

CONTENT = '\ufeffid;"city";note\r\n007;"Bostn";"a ""b"""\r\n\r\n8;x\r\n9; Köln;\n'.encode()
CHANGED = '\ufeffid;"city";note\r\n007;"Boston";"b"\r\n\r\n8;x\r\n9;"Kö;ln";\n'.encode()


def _patch(row: int, column: str, index: int, old: str | None, new: str | None, **more: object) -> Patch:
    fields = {"row": row, "column": column, "column_index": index, "old": old, "new": new, "outcome": "repaired"}
    return Patch.model_validate(fields | more)


PATCHES = [
    _patch(0, "city", 1, "Bostn", "Boston", old_raw='"Bostn"', confidence=0.9),
    _patch(0, "note", 2, 'a "b"', "b", old_raw='"a ""b"""'),
    _patch(2, "id", 0, "9", "8", outcome="abstained"),
    _patch(2, "city", 1, " Köln", "Kö;ln"),
    _patch(2, "note", 2, "", "東", outcome="error", message="cannot be written"),
]


def _run(path: Path, content: bytes, patches: list[Patch], direction: Direction) -> tuple[bytes, int]:
    path.write_bytes(content)
    sink = io.BytesIO()
    with open_table(path) as table:
        count = patch_table(table, patches, sink, direction)
    return sink.getvalue(), count


def test_apply_and_revert_are_exact_opposites(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    assert _run(path, CONTENT, PATCHES, "apply") == (CHANGED, 3)
    assert _run(path, CHANGED, PATCHES, "revert") == (CONTENT, 3)


def test_a_part_of_the_patches_can_be_undone(tmp_path: Path) -> None:
    expected = CHANGED.replace(b'"Boston"', b'"Bostn"')
    assert _run(tmp_path / "t.csv", CHANGED, PATCHES[:1], "revert") == (expected, 1)


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        (_patch(0, "city", 1, "Bostxn", "Boston"), "row 0, column 'city': the cell does not hold the value"),
        (_patch(1, "city", 1, "x", "y"), "row 1, column 'city': the row is damaged"),
        (_patch(5, "city", 1, "x", "y"), "row 5, column 'city': the table has no such row"),
        (_patch(0, "town", 1, "Bostn", "Boston"), "row 0, column 'town': column 1 is called 'city' in this file"),
        (_patch(0, "x", 3, "Bostn", "Boston"), "row 0, column 'x': the table has no such column"),
    ],
)
def test_a_patch_that_does_not_fit_is_refused_with_row_and_column(tmp_path: Path, patch: Patch, message: str) -> None:
    with pytest.raises(PatchConflictError) as caught:
        _run(tmp_path / "t.csv", CONTENT, [patch], "apply")
    assert str(caught.value).startswith(message)
    assert (caught.value.row, caught.value.column) == (patch.row, patch.column)


def test_patches_out_of_order_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PatchError, match="in order of row"):
        _run(tmp_path / "t.csv", CONTENT, [PATCHES[3], PATCHES[0]], "apply")


def test_a_log_survives_writing_and_reading(tmp_path: Path) -> None:
    evidence = PatchEvidence(source="model", rows=(3, 4), detail="seen twice")
    patches = [*PATCHES, _patch(7, "", 0, None, "x\ny", outcome="filled", evidence=evidence.model_dump())]
    log = tmp_path / "log.jsonl"
    log.write_bytes(b"".join(patch.line() for patch in patches))
    assert list(read_patches(log)) == patches


def test_a_line_has_the_fields_of_the_contract() -> None:
    line = json.loads(PATCHES[2].line())
    fields = ["row", "column", "column_index", "old", "new", "outcome", "confidence", "evidence"]
    assert list(line) == fields
    assert json.loads(PATCHES[1].line())["old_raw"] == '"a ""b"""'


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{", "line 2: not a patch: the line: Invalid JSON"),
        (b'{"row": 0}', "line 2: not a patch: column: Field required"),
        (PATCHES[0].line().replace(b'"row":0', b'"row":-1'), "line 2: not a patch: row"),
        (PATCHES[0].line().replace(b"repaired", b"guessed"), "line 2: not a patch: outcome"),
    ],
)
def test_a_damaged_log_names_its_line(tmp_path: Path, line: bytes, message: str) -> None:
    log = tmp_path / "log.jsonl"
    log.write_bytes(PATCHES[0].line() + line + b"\n")
    with pytest.raises(PatchError) as caught:
        list(read_patches(log))
    assert message in str(caught.value)


def test_a_missing_log_is_named(tmp_path: Path) -> None:
    with pytest.raises(PatchError, match=r"log\.jsonl: No such file"):
        list(read_patches(tmp_path / "log.jsonl"))
