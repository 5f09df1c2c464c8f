"""A workbook's first sheet is read as text, and its copy is CSV."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from service.storage.formats.workbook import WorkbookFile
from service.storage.table_file import CellEdit, EditProblem, FormatError

_PARTS = {
    "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Override PartName="/xl/workbook.xml" '
    'ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/>'
    '<Override PartName="/xl/worksheets/sheet1.xml" '
    'ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/></Types>',
    "_rels/.rels": '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    '<Relationship Id="r1" Target="xl/workbook.xml" '
    'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"/></Relationships>',
    "xl/workbook.xml": '<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" '
    'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships">'
    '<sheets><sheet name="Guests" sheetId="1" r:id="r1"/></sheets></workbook>',
    "xl/_rels/workbook.xml.rels": '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    '<Relationship Id="r1" Target="worksheets/sheet1.xml" '
    'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet"/></Relationships>',
}


def _write_workbook(path: Path, rows: list[list[str | int | None]]) -> None:
    lines = []
    for number, row in enumerate(rows, start=1):
        cells = []
        for column, value in zip("ABCD", row, strict=False):
            if isinstance(value, str):
                cells.append(f'<c r="{column}{number}" t="inlineStr"><is><t>{value}</t></is></c>')
            elif value is not None:
                cells.append(f'<c r="{column}{number}"><v>{value}</v></c>')
        lines.append(f'<row r="{number}">{"".join(cells)}</row>')
    sheet = (
        '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
        f"<sheetData>{''.join(lines)}</sheetData></worksheet>"
    )
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**_PARTS, "xl/worksheets/sheet1.xml": sheet}.items():
            archive.writestr(name, content)


def test_the_first_sheet_is_read_as_text_and_written_as_csv(tmp_path: Path) -> None:
    path = tmp_path / "guests.xlsx"
    _write_workbook(path, [["name", "zip"], ["Ann, B", "007"], [None, 12]])
    sink = io.BytesIO()
    with WorkbookFile(path) as table:
        assert table.columns == ("name", "zip")
        assert [row for chunk in table.chunks() for row in chunk.rows] == [("Ann, B", "007"), (None, "12")]
        edits = [CellEdit(0, 1, "007", "008"), CellEdit(1, 0, "Bob", "x"), CellEdit(5, 0, None, "x")]
        results = list(table.rewrite(edits, sink))
    assert [result.problem for result in results] == [None, EditProblem.MISMATCH, EditProblem.MISSING]
    assert sink.getvalue() == b'name,zip\n"Ann, B",008\n,12\n'
    assert table.output_suffix == ".csv"


def test_a_broken_workbook_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "guests.xlsx"
    path.write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(FormatError, match="not a readable workbook"):
        WorkbookFile(path)
