"""A delimited file comes back byte for byte, whatever its dialect, except where it was told to change."""

from __future__ import annotations

import contextlib
import csv
import io
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from service.storage.formats.delimited import DelimitedFile, unquote
from service.storage.table_file import (
    CellEdit,
    EditProblem,
    EditResult,
    FormatError,
    RowIssue,
    TableFileError,
)

TableOf = Callable[..., contextlib.AbstractContextManager[DelimitedFile]]
BOMS = {"utf-8": b"\xef\xbb\xbf", "utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff", "cp1252": b"", "gb18030": b""}


@dataclass(frozen=True)
class Written:
    """A table together with exactly how each of its fields is written."""

    codec: str
    mark: bytes
    delimiter: str
    cells: list[list[str]]
    raws: list[list[str]]
    line_ends: list[str]

    def content(self, changed: dict[tuple[int, int], str] | None = None) -> bytes:
        """The file's bytes, some raw fields replaced; row 0 is the header."""
        changed = changed or {}
        text = ""
        for row, (fields, end) in enumerate(zip(self.raws, self.line_ends, strict=True)):
            text += self.delimiter.join(changed.get((row, column), raw) for column, raw in enumerate(fields)) + end
        return self.mark + text.encode(self.codec)


def _letters(codec: str) -> st.SearchStrategy[str]:
    some = {"cp1252": "aé€ÿœ", "gb18030": "a東京漢ɐ"}
    return (
        st.sampled_from(some[codec])
        if codec in some
        else st.characters(exclude_categories=["Cs"], exclude_characters="\ufeff")
    )


def _must_quote(value: str, delimiter: str, width: int) -> bool:
    return any(mark in value for mark in (delimiter, '"', "\r", "\n")) or (width == 1 and not value)


def _quoted(value: str) -> str:
    return '"' + value.replace('"', '""') + '"'


def _raw(value: str, delimiter: str, width: int, style: str) -> str:
    if (
        style == "literal quotes"
        and value
        and value[0] != '"'
        and not _must_quote(value.replace('"', ""), delimiter, 0)
    ):
        return value  # quotes inside an unquoted field are text
    return _quoted(value) if style == "all" or _must_quote(value, delimiter, width) else value


@st.composite
def tables(draw: st.DrawFn) -> Written:
    """Any table in any dialect: quoting style and line end may change from field to field and row to row."""
    codec = draw(st.sampled_from(sorted(BOMS)))
    mark = draw(st.sampled_from([BOMS[codec], b""] if codec == "utf-8" else [BOMS[codec]]))
    delimiter = draw(st.sampled_from([",", ";", "\t"] + (["|"] if codec != "gb18030" else [])))
    letters = _letters(codec)
    marks = st.sampled_from([",", ";", "\t", "|", '"', "\r", "\n", "\0", "0", "'", " "])
    value = st.text(st.one_of(letters, marks), max_size=6) | st.just("007")
    width = draw(st.integers(1, 4))
    cells = draw(st.lists(st.lists(value, min_size=width, max_size=width), min_size=1, max_size=6))
    style = st.sampled_from(["minimal", "all", "literal quotes"])
    raws = [[_raw(field, delimiter, width, draw(style)) for field in row] for row in cells]
    ends = [draw(st.sampled_from(["\n", "\r\n", "\r"])) for _ in cells]
    for index in range(len(ends) - 1):  # a bare CR in front of a row that begins with LF would be one CRLF
        if ends[index] == "\r" and raws[index + 1][0].startswith("\n"):
            ends[index] = "\n"
    if draw(st.booleans()) and any(cells[-1]):
        ends[-1] = ""
    return Written(codec, mark, delimiter, cells, raws, ends)


@contextlib.contextmanager
def _opened(content: bytes, written: Written | None = None) -> Iterator[DelimitedFile]:
    """The bytes as an open table, read in windows so small that rows lie across their ends."""
    codec, delimiter = (written.codec, written.delimiter) if written else (None, None)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "table.csv")
        path.write_bytes(content)
        with DelimitedFile(path, encoding=codec, delimiter=delimiter, window_bytes=64) as table:
            yield table


def _read(table: DelimitedFile, size: int = 3) -> list[list[str | None]]:
    return [list(row) for chunk in table.chunks(size) for row in chunk.rows]


def _rewrite(table: DelimitedFile, edits: list[CellEdit]) -> tuple[bytes, list[EditResult]]:
    sink = io.BytesIO()
    results = list(table.rewrite(edits, sink))
    return sink.getvalue(), results


@given(tables())
def test_any_table_is_read_as_written_and_copied_unchanged(written: Written) -> None:
    with _opened(written.content(), written) as table:
        assert list(table.columns) == written.cells[0]
        assert _read(table) == written.cells[1:]
        assert _rewrite(table, []) == (written.content(), [])


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(tables(), st.data())
def test_edits_change_their_cells_and_no_other_byte_and_can_be_undone(written: Written, data: st.DataObject) -> None:
    width = len(written.cells[0])
    places = [(row, column) for row in range(1, len(written.cells)) for column in range(width)]
    chosen = data.draw(st.lists(st.sampled_from(places), unique=True, max_size=4)) if places else []
    letters = st.one_of(_letters(written.codec), st.sampled_from('",;\r\n\0|'))
    wanted = {place: data.draw(st.text(letters, max_size=5)) for place in sorted(chosen)}
    edits = [CellEdit(row - 1, column, written.cells[row][column], new) for (row, column), new in wanted.items()]
    raws = {}
    for (row, column), new in wanted.items():
        keep_quotes = written.raws[row][column].startswith('"')
        raws[row, column] = _quoted(new) if keep_quotes or _must_quote(new, written.delimiter, width) else new

    with _opened(written.content(), written) as table:
        changed, results = _rewrite(table, edits)
    assert [result.problem for result in results] == [None] * len(edits)
    assert changed == written.content(raws)

    with _opened(changed, written) as table:
        now = [[wanted.get((row, column), value) for column, value in enumerate(cells)]
               for row, cells in enumerate(written.cells)]  # fmt: skip
        assert _read(table) == now[1:]
        undo = [
            CellEdit(edit.row, edit.column, edit.new, edit.old, raw=result.old_raw or edit.old)
            for edit, result in zip(edits, results, strict=True)
        ]
        assert _rewrite(table, undo)[0] == written.content()


@given(st.binary(max_size=200) | st.text(alphabet='a,;"\r\n\té|', max_size=80).map(str.encode))
@example(b"")
@example(b"\xef\xbb\xbf")
@example(b"\xff\xfea")
@example(b"\n\n\n")
@example(b'a,b\n"never closed,\n')
@example(b"a,b\n\xff,1\n")
def test_any_bytes_at_all_come_back_unchanged(content: bytes) -> None:
    with contextlib.ExitStack() as stack:
        try:
            table = stack.enter_context(_opened(content))
        except TableFileError:
            return  # refused, not altered
        assert _rewrite(table, []) == (content, [])
        rows = sum(len(chunk.rows) + len(chunk.issues) for chunk in table.chunks())
        numbers = [number for chunk in table.chunks(2) for number in chunk.row_numbers]
        issues = [issue.row for chunk in table.chunks(2) for issue in chunk.issues]
        assert sorted(numbers + issues) == list(range(rows))


@given(tables())
def test_values_are_those_of_the_csv_module(written: Written) -> None:
    text = written.content()[len(written.mark) :].decode(written.codec)
    expected = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=written.delimiter) if row]
    with _opened(written.content(), written) as table:
        assert [list(table.columns), *_read(table)] == expected


@pytest.fixture
def table_of(tmp_path: Path) -> TableOf:
    """Open a table with the given bytes, everything detected."""

    def make(content: bytes, **options: str) -> DelimitedFile:
        path = tmp_path / "table.csv"
        path.write_bytes(content)
        return DelimitedFile(path, **options)  # type: ignore[arg-type]

    return make


def test_ragged_rows_are_reported_with_row_and_line_and_pass_through(table_of: TableOf) -> None:
    content = b'a,b\r\n1,"x\r\ny"\r\n2\r\n\r\n3,4,5\r\n6,7\r\n'
    with table_of(content) as table:
        (chunk,) = table.chunks()
        assert chunk.rows == [("1", "x\r\ny"), ("6", "7")]
        assert chunk.row_numbers == [0, 3]
        assert chunk.lines == [2, 7]
        assert chunk.issues == [
            RowIssue(1, 4, "the row has 1 fields, the header has 2"),
            RowIssue(2, 6, "the row has 3 fields, the header has 2"),
        ]
        edits = [CellEdit(1, 0, "2", "9"), CellEdit(3, 1, "7", "8")]
        changed, results = _rewrite(table, edits)
        assert changed == content.replace(b"6,7", b"6,8")
        assert [result.problem for result in results] == [EditProblem.DAMAGED, None]


def test_a_value_that_the_encoding_cannot_write_is_refused_and_the_cell_kept(table_of: TableOf) -> None:
    content = "n,city\n1,Köln\n2,Genf\n".encode("cp1252")
    with table_of(content) as table:
        edits = [CellEdit(0, 1, "Köln", "東京"), CellEdit(1, 1, "Genf", "Genève")]
        changed, results = _rewrite(table, edits)
        assert changed == "n,city\n1,Köln\n2,Genève\n".encode("cp1252")
        assert results[0].problem is EditProblem.NOT_ENCODABLE
        assert results[0].message == "the new value cannot be written in cp1252"


def test_an_edit_of_another_value_or_of_no_cell_is_refused(table_of: TableOf) -> None:
    with table_of(b"a,b\n1,2\n") as table:
        edits = [CellEdit(-1, 0, "a", "z"), CellEdit(0, 0, "7", "z"), CellEdit(0, 5, "", "z"), CellEdit(8, 0, "1", "z")]
        changed, results = _rewrite(table, edits)
        assert changed == b"a,b\n1,2\n"
        kinds = [EditProblem.MISSING, EditProblem.MISMATCH, EditProblem.MISSING, EditProblem.MISSING]
        assert [result.problem for result in results] == kinds


def test_edits_out_of_order_are_refused(table_of: TableOf) -> None:
    with table_of(b"a\n1\n2\n") as table, pytest.raises(TableFileError, match="in order"):
        _rewrite(table, [CellEdit(1, 0, "2", "3"), CellEdit(0, 0, "1", "3")])


def test_looking_at_a_cell_returns_its_raw_field_and_changes_nothing(table_of: TableOf) -> None:
    with table_of(b'a,b\n"x ""y""",2\n') as table:
        changed, results = _rewrite(table, [CellEdit(0, 0, 'x "y"', replace=False), CellEdit(0, 1, "2", replace=False)])
        assert changed == b'a,b\n"x ""y""",2\n'
        assert [result.old_raw for result in results] == ['"x ""y"""', None]


def test_broken_utf8_in_one_cell_costs_its_row_only(table_of: TableOf) -> None:
    content = b"name,n\n" + "Zürich,1\n".encode() * 20 + b"Z\xffrich,2\n" + b"Bern,3\n"
    with table_of(content) as table:
        (chunk,) = table.chunks()
        assert table.details["encoding"] == "utf-8"
        assert len(chunk.rows) == 21 and chunk.rows[-1] == ("Bern", "3")
        assert chunk.issues == [RowIssue(20, 22, "column 'name' is not valid utf-8")]


def test_a_quote_that_is_never_closed_is_an_issue_not_a_cell(table_of: TableOf) -> None:
    with table_of(b'a,b\n1,2\n3,"4\n5,6\n') as table:
        (chunk,) = table.chunks()
        assert chunk.rows == [("1", "2")]
        assert chunk.issues == [RowIssue(1, 3, "a quote is opened and never closed")]


def test_a_row_longer_than_the_limit_names_its_line(table_of: TableOf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.storage.formats.delimited.MAX_ROW_BYTES", 1 << 20)
    with table_of(b'a,b\n1,2\n"' + b"x\n" * (1 << 20), delimiter=",") as table:
        with pytest.raises(FormatError, match=r"line 3: a row is longer than 1 MiB: is a quote never closed"):
            _read(table)


def test_a_megabyte_cell_is_read_and_edited(table_of: TableOf) -> None:
    big = "né,\n" * 300_000
    content = f'a;b\n"{big}";1\nx;2\n'.encode()
    with table_of(content) as table:
        assert _read(table) == [[big, "1"], ["x", "2"]]
        changed, _ = _rewrite(table, [CellEdit(0, 1, "1", "one")])
        assert changed == content.replace(b'";1\n', b'";one\n')


@pytest.mark.parametrize(
    ("content", "columns", "rows"),
    [
        (b"", (), []),
        (b"a,b", ("a", "b"), []),
        (b"a,b\r\n", ("a", "b"), []),
        (b"only\n1\n\n2", ("only",), [["1"], ["2"]]),
        (b"\xef\xbb\xbfid;n\n007;\n", ("id", "n"), [["007", ""]]),
        (b"a,,a\n1,2,3\n", ("a", "", "a"), [["1", "2", "3"]]),
        (b"a,b\n\x00,\x00x\n", ("a", "b"), [["\0", "\0x"]]),
        ("a\tb\n😀\t2\n".encode("utf-16"), ("a", "b"), [["😀", "2"]]),
    ],
)
def test_small_files_of_every_kind_are_read(
    table_of: TableOf, content: bytes, columns: tuple[str, ...], rows: list[list[str]]
) -> None:
    with table_of(content) as table:
        assert (table.columns, _read(table)) == (columns, rows)


def test_details_show_what_was_detected(table_of: TableOf) -> None:
    with table_of(b"\xff\xfe" + "a;b\r\n1;2\r\n".encode("utf-16-le")) as table:
        assert table.details == {
            "format": "delimited text",
            "encoding": "utf-16-le with byte order mark",
            "delimiter": "semicolon",
            "line ends": "CRLF",
        }


def test_a_file_that_changes_while_it_is_read_is_an_error(table_of: TableOf) -> None:
    with table_of(b"a,b\n1,2\n") as table:
        table.path.write_bytes(b"a,b\n1,22\n")
        with pytest.raises(TableFileError, match="changed while it was read"):
            _rewrite(table, [])


@pytest.mark.parametrize(
    ("raw", "value"),
    [('""', ""), ('"a"', "a"), ('"a""b"', 'a"b'), ('"a"b"c', 'ab"c'), ('"', ""), ('"a""', 'a"'), ('""""', '"')],
)
def test_unquote_reads_as_the_csv_module(raw: str, value: str) -> None:
    assert unquote(raw, '"') == value == next(csv.reader([raw]))[0]
