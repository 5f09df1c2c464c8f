"""Opening a table file of any format, and putting a copy in place.

The one idea: a file at its final name is complete. Copies are written beside it under another name and renamed when
they are whole, and no path that is being read is ever written.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from service.storage.table_file import FileFormat, FormatError, TableFile, TableFileError

_SUFFIXES = {
    ".csv": FileFormat.CSV,
    ".tsv": FileFormat.CSV,
    ".tab": FileFormat.CSV,
    ".psv": FileFormat.CSV,
    ".txt": FileFormat.CSV,
    ".jsonl": FileFormat.JSON_LINES,
    ".ndjson": FileFormat.JSON_LINES,
    ".parquet": FileFormat.PARQUET,
    ".pq": FileFormat.PARQUET,
    ".xlsx": FileFormat.XLSX,
    ".xlsm": FileFormat.XLSX,
}


def detect_format(path: Path) -> FileFormat:
    """The format of a file by its first bytes, then by its name; delimited text when neither says more.

    Raises:
        FormatError: a compressed or otherwise binary file that is none of ours.
    """
    with path.open("rb") as file:
        head = file.read(8)
    by_name = suffix_format(path)
    if head.startswith(b"PAR1"):
        return FileFormat.PARQUET
    if head.startswith(b"PK\x03\x04"):
        if by_name is FileFormat.XLSX:
            return FileFormat.XLSX
        raise FormatError("a zip archive is not a table; unpack it first", path=path)
    if head.startswith((b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ")):
        raise FormatError("a compressed file is not a table; unpack it first", path=path)
    if by_name in (FileFormat.PARQUET, FileFormat.XLSX):
        raise FormatError(f"the name says {by_name.value}, the bytes do not", path=path)
    return by_name or FileFormat.CSV


def suffix_format(path: Path) -> FileFormat | None:
    """The format that a file name promises, None where it promises none."""
    return _SUFFIXES.get(path.suffix.lower())


def open_table(
    path: str | Path,
    *,
    format: FileFormat | None = None,
    encoding: str | None = None,
    delimiter: str | None = None,
) -> TableFile:
    """Open a table file; what is not given is detected and shown in `details`.

    Raises:
        TableFileError: the file is missing or not a table, or the options do not fit it.
    """
    path = Path(path)
    try:
        found = format or detect_format(path)
        if found is not FileFormat.CSV and (encoding or delimiter):
            raise FormatError(f"encoding and delimiter are for delimited text, not for {found.value}", path=path)
        return _open_as(found, path, encoding, delimiter)
    except OSError as error:
        raise TableFileError(error.strerror or str(error), path=path) from None


def _open_as(found: FileFormat, path: Path, encoding: str | None, delimiter: str | None) -> TableFile:
    # Arrow and the workbook reader are slow to import, and most files need neither.
    if found is FileFormat.PARQUET:
        from service.storage.formats.parquet import ParquetFile

        return ParquetFile(path)
    if found is FileFormat.XLSX:
        from service.storage.formats.workbook import WorkbookFile

        return WorkbookFile(path)
    if found is FileFormat.JSON_LINES:
        from service.storage.formats.json_lines import JsonLinesFile

        return JsonLinesFile(path)
    from service.storage.formats.delimited import DelimitedFile

    return DelimitedFile(path, encoding=encoding, delimiter=delimiter)


def copy_name(table: TableFile, word: str) -> Path:
    """The default name of a rewritten copy beside its original: `hotels.csv` becomes `hotels.cleaned.csv`."""
    return table.path.with_name(f"{table.path.stem}.{word}{table.output_suffix}")


def same_file(left: Path, right: Path) -> bool:
    """Whether two paths are one file, links followed."""
    try:
        return os.path.samefile(left, right)
    except OSError:
        return left.resolve() == right.resolve()


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[BinaryIO]:
    """Write a file beside `path` and rename it there when the block ends without an exception.

    Raises:
        TableFileError: the place cannot be written.
    """
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        raise TableFileError(error.strerror or str(error), path=path) from None
    finally:
        part.unlink(missing_ok=True)
