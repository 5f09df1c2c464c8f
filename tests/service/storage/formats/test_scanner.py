"""The span scanner reads as Python's csv module reads, and its two paths agree."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.storage.formats.delimited import unquote
from service.storage.formats.scanner import Marks, Scan, line_breaks, scan, scan_by_field

SOUP = st.text(alphabet='a,"\r\n;é\0 ', max_size=60)


def _units(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("latin-1"), dtype=np.uint8)


def _rows(text: str, found: Scan) -> list[list[str]]:
    fields = [text[start:end] for start, end in zip(found.starts, found.ends, strict=True)]
    values = [unquote(field, '"') if field.startswith('"') else field for field in fields]
    rows = [values[first:last] for first, last in zip(found.offsets[:-1], found.offsets[1:], strict=True)]
    return [[] if row == [""] and fields[first] == "" else row for row, first in zip(rows, found.offsets, strict=False)]


def _as_tuple(found: Scan) -> tuple[list[int], list[int], list[bool], list[int], int]:
    parts = (found.starts, found.ends, found.quoted, found.offsets)
    return (*(part.tolist() for part in parts), found.consumed)


@given(SOUP, st.sampled_from([",", ";", "a"]))
@example('"a""b","c\r\nd"\r\ne"e,f', ",")
@example('"abc"def,"g', ",")
@example('"a""', ",")
@example("a,\r", ",")
def test_any_text_is_read_as_the_csv_module_reads_it(text: str, delimiter: str) -> None:
    expected = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    assert _rows(text, scan(_units(text), Marks(delimiter), final=True)) == expected


@given(SOUP, st.booleans())
def test_fast_and_plain_path_agree(text: str, final: bool) -> None:
    units = _units(text)
    assert _as_tuple(scan(units, Marks(","), final=final)) == _as_tuple(scan_by_field(units, Marks(","), final=final))


@given(SOUP, st.integers(0, 60))
def test_rows_found_in_a_part_are_the_rows_of_the_whole(text: str, cut: int) -> None:
    part = scan(_units(text[:cut]), Marks(","), final=False)
    whole = scan(_units(text), Marks(","), final=True)
    count = len(part)
    assert whole.offsets[: count + 1].tolist() == part.offsets.tolist()
    assert whole.starts[: len(part.starts)].tolist() == part.starts.tolist()
    assert whole.ends[: len(part.ends)].tolist() == part.ends.tolist()


@pytest.mark.parametrize("kind", ["<u2", ">u2", "<u4"])
def test_wide_units_are_scanned_like_bytes(kind: str) -> None:
    text = 'a,"b,""\r\n"\r\n5" x,Ȣ,\n'  # U+0222 has a quote's byte in it
    units = np.array([ord(character) for character in text], dtype=kind)
    found = scan(units, Marks(","), final=True)
    assert _rows(text, found) == [["a", 'b,"\r\n'], ['5" x', "Ȣ", ""]]


def test_a_carriage_return_at_the_end_waits_for_its_line_feed() -> None:
    assert scan(_units("a,b\r"), Marks(","), final=False).consumed == 0
    assert scan(_units("a,b\r\n"), Marks(","), final=False).consumed == 5
    assert scan(_units("a,b\r"), Marks(","), final=True).consumed == 4


def test_line_breaks_count_crlf_once() -> None:
    assert line_breaks(_units("a\r\nb\rc\n\n")).tolist() == [2, 4, 6, 7]
