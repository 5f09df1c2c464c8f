"""The benchmark folder: where its sets lie and how they are read.

The folder is not part of the project: it is given by an argument or by `RPT_BENCH`. Every cell is read as
text, and the empty string is a missing value.
"""

from __future__ import annotations

import csv
import os
from pathlib import Path

from model.errors import InputError
from model.tuples import Relation


def benchmark_folder(path: str | Path | None = None) -> Path:
    """The benchmark folder: `path`, else the environment's `RPT_BENCH`.

    Raises:
        InputError: neither is given, or the folder is not there.
    """
    chosen = path or os.environ.get("RPT_BENCH")
    if not chosen:
        raise InputError("no benchmark data: give their folder as an argument or as RPT_BENCH", field="bench")
    folder = Path(chosen)
    if not folder.is_dir():
        raise InputError("the benchmark folder does not exist", field="bench")
    return folder


def read_relation(path: Path) -> Relation:
    """One CSV file with a header row, every cell as text.

    Raises:
        InputError: the file is not there or is empty.
        RelationError: a row is longer or shorter than the header.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file, strict=True))
    except OSError as error:
        raise InputError(f"the benchmark folder has no {path.parent.name}/{path.name}", field="bench") from error
    if not rows:
        raise InputError(f"{path.parent.name}/{path.name} is empty", field="bench")
    return Relation.of(rows[0], rows[1:], path.parent.name)
