"""JSON Lines are edited value by value; keys, spaces, order and number text stay."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.storage.formats.json_lines import JsonLinesFile
from service.storage.table_file import CellEdit, EditProblem, EditResult, RowIssue

Opener = Callable[[bytes], JsonLinesFile]


@pytest.fixture
def table_of(tmp_path: Path) -> Opener:
    """Open a table with the given bytes."""

    def make(content: bytes) -> JsonLinesFile:
        path = tmp_path / "table.jsonl"
        path.write_bytes(content)
        return JsonLinesFile(path)

    return make


def _rewrite(table: JsonLinesFile, edits: list[CellEdit]) -> tuple[bytes, list[EditResult]]:
    sink = io.BytesIO()
    results = list(table.rewrite(edits, sink))
    return sink.getvalue(), results


def _undo(edits: list[CellEdit], results: list[EditResult]) -> list[CellEdit]:
    return [
        CellEdit(edit.row, edit.column, edit.new, edit.old, raw=result.old_raw)
        for edit, result in zip(edits, results, strict=True)
        if result.problem is None
    ]


def test_values_are_text_exactly_as_written(table_of: Opener) -> None:
    table = table_of(b'{"a": 1.50, "b":true}\r\n\r\n{"b": null, "c": "\\u00e9", "a": 1e5}\n{"c": {"x": [1,  2]}}')
    (chunk,) = table.chunks()
    assert table.columns == ("a", "b", "c")
    assert chunk.rows == [("1.50", "true", None), ("1e5", None, "é"), (None, None, '{"x": [1,  2]}')]
    assert (chunk.row_numbers, chunk.lines, chunk.issues) == ([0, 1, 2], [1, 3, 4], [])


def test_an_edit_touches_its_value_only_and_can_be_undone(table_of: Opener) -> None:
    content = '\ufeff{ "n" :1.50,"c": "K\\u00f6ln" , "é": null}\r\n{"c": "x", "n": 7}\n'.encode()
    table = table_of(content)
    edits = [
        CellEdit(0, 0, "1.50", "1.25"),
        CellEdit(0, 1, "Köln", 'B"ü\n'),
        CellEdit(0, 2, None, "now"),
        CellEdit(1, 0, "7", "8"),
        CellEdit(1, 1, "x", "y"),
    ]
    changed, results = _rewrite(table, edits)
    assert changed == '\ufeff{ "n" :1.25,"c": "B\\"ü\\n" , "é": "now"}\r\n{"c": "y", "n": 8}\n'.encode()
    assert [result.old_raw for result in results] == ["1.50", '"K\\u00f6ln"', "null", "7", '"x"']
    assert _rewrite(table_of(changed), _undo(edits, results))[0] == content


@pytest.mark.parametrize("line", [b'{"a": 1}', b"{ }", b'{"a": 1 }', b"{}"])
def test_a_missing_key_is_appended_and_taken_away_again(table_of: Opener, line: bytes) -> None:
    content = b'{"a": 5, "b": "x", "c": "y"}\n' + line + b"\n"
    old = "1" if b"1" in line else None
    table = table_of(content)
    edits = [CellEdit(1, 0, old, "2"), CellEdit(1, 1, None, "p"), CellEdit(1, 2, None, "q")]
    changed, results = _rewrite(table, edits)
    second = changed.splitlines()[1]
    assert json.loads(second) == {"a": 2, "b": "p", "c": "q"}
    assert [result.problem for result in results] == [None] * 3
    assert _rewrite(table_of(changed), _undo(edits, results))[0] == content


def test_a_value_of_another_type_is_refused(table_of: Opener) -> None:
    content = b'{"n": 1, "b": true, "o": {"x": 1}, "s": "1"}\n{"n": null, "b": null}\n'
    edits = [
        CellEdit(0, 0, "1", "one"),
        CellEdit(0, 1, "true", "yes"),
        CellEdit(0, 2, '{"x": 1}', "{}"),
        CellEdit(0, 3, "1", "2"),
        CellEdit(1, 0, None, "2.5"),
        CellEdit(1, 1, None, "maybe"),
    ]
    changed, results = _rewrite(table_of(content), edits)
    assert changed == b'{"n": 1, "b": true, "o": {"x": 1}, "s": "2"}\n{"n": 2.5, "b": null}\n'
    wrong = EditProblem.WRONG_TYPE
    assert [result.problem for result in results] == [wrong, wrong, wrong, None, None, wrong]
    assert results[0].message == "the new value does not fit a cell that holds number"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"[1, 2]", "the line is not a JSON object"),
        (b'{"a": 1', "the line is not valid JSON"),
        (b'{"a": NaN}', "the line is not valid JSON"),
        (b'{"a": 1, }', "the line is not valid JSON"),
        (b'{"a" 1}', "the line is not valid JSON"),
        (b'{"a": "\\ud800"}', "the line is not valid JSON"),
        (b'{"a": 1, "a": 2}', "the key 'a' appears twice"),
        (b'{"a": 1} {"a": 2}', "the line holds more than one JSON object"),
        (b'{"a": "\xff"}', "the line is not valid utf-8"),
        (b'{"a": ' + b"[" * 100_000, "the line is not valid JSON"),
    ],
)
def test_a_broken_line_is_an_issue_and_passes_through(table_of: Opener, line: bytes, message: str) -> None:
    content = b'{"a": "x"}\n' + line + b'\n{"a": "y"}\n'
    table = table_of(content)
    (chunk,) = table.chunks()
    assert chunk.issues == [RowIssue(1, 2, message)]
    assert (chunk.rows, chunk.row_numbers) == ([("x",), ("y",)], [0, 2])
    changed, results = _rewrite(table, [CellEdit(1, 0, "x", "z"), CellEdit(2, 0, "y", "z")])
    assert changed == content.replace(b'"y"', b'"z"')
    assert [result.problem for result in results] == [EditProblem.DAMAGED, None]


_VALUES = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.lists(st.integers(), max_size=2)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.dictionaries(st.text(max_size=3), _VALUES, max_size=4), max_size=5),
    st.sampled_from(["\n", "\r\n", "\n\n"]),
    st.booleans(),
    st.data(),
)
def test_any_lines_are_edited_exactly(
    table_of: Opener, records: list[dict[str, object]], end: str, plain: bool, data: st.DataObject
) -> None:
    content = "".join(json.dumps(record, ensure_ascii=plain) + end for record in records).encode()
    table = table_of(content)
    assert _rewrite(table, [])[0] == content
    strings = [
        (row, table.columns.index(key))
        for row, record in enumerate(records)
        for key, value in record.items()
        if isinstance(value, str)
    ]
    chosen = sorted(data.draw(st.lists(st.sampled_from(strings), unique=True))) if strings else []
    edits = []
    for row, column in chosen:
        new = data.draw(st.text(max_size=4))
        old = records[row][table.columns[column]]
        edits.append(CellEdit(row, column, str(old), new))
        records[row][table.columns[column]] = new
    changed, results = _rewrite(table, edits)
    assert [json.loads(line) for line in changed.decode().split("\n") if line.strip()] == records
    assert _rewrite(table_of(changed), _undo(edits, results))[0] == content


def test_rows_come_in_chunks_of_the_size_asked_for(table_of: Opener) -> None:
    table = table_of(b'{"a": 1}\n' * 5)
    assert [chunk.row_numbers for chunk in table.chunks(2)] == [[0, 1], [2, 3], [4]]
