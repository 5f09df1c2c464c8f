"""Real tables for pretraining and calibration: JSON Lines, zstandard-compressed, one table a line.

The corpus is not part of the project: its folder is given by an argument or by `RPT_CORPUS`.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import zstandard

from model.errors import InputError
from model.tuples import Relation

TRAINING_SHARDS = ("train-00.jsonl.zst", "train-01.jsonl.zst")
VALIDATION_SHARD = "valid.jsonl.zst"


class Table(Protocol):
    """What training asks of a table, wherever it is kept."""

    @property
    def license(self) -> str:
        """SPDX name, or "unstated"."""

    @property
    def repository(self) -> str:
        """Owner and repository, the unit by which training and validation are kept apart."""

    @property
    def attributes(self) -> tuple[str, ...]:
        """Names of all attributes."""

    def __len__(self) -> int: ...

    def part(self, tuple_ids: Sequence[int], attributes: Sequence[int]) -> Relation:
        """Some tuples and some attributes, in the order given."""


@dataclass(frozen=True, slots=True)
class CorpusTable:
    """One table of the corpus: `table_id` is `owner/repository:path…`, `domain` one of the corpus' own."""

    table_id: str
    domain: str
    license: str
    relation: Relation

    @property
    def repository(self) -> str:
        """Owner and repository, the unit by which training and validation are kept apart."""
        return self.table_id.split(":", 1)[0]

    @property
    def attributes(self) -> tuple[str, ...]:
        """Names of all attributes."""
        return self.relation.attributes

    def __len__(self) -> int:
        return len(self.relation)

    def part(self, tuple_ids: Sequence[int], attributes: Sequence[int]) -> Relation:
        """Some tuples and some attributes, in the order given."""
        names = [self.attributes[attribute] for attribute in attributes]
        tuples = self.relation.tuples
        return Relation.of(names, [[tuples[tuple_id][attribute] for attribute in attributes] for tuple_id in tuple_ids])


def corpus_folder(path: str | Path | None = None) -> Path:
    """The corpus folder: `path`, else the environment's `RPT_CORPUS`.

    Raises:
        InputError: neither is given, or the folder is not there.
    """
    chosen = path or os.environ.get("RPT_CORPUS")
    if not chosen:
        raise InputError("no corpus: give its folder as an argument or as RPT_CORPUS", field="corpus")
    folder = Path(chosen)
    if not folder.is_dir():
        raise InputError("the corpus folder does not exist", field="corpus")
    return folder


def read_tables(path: Path, max_rows: int | None = None, limit: int | None = None) -> Iterator[CorpusTable]:
    """Tables of one shard in file order; each is cut to `max_rows` rows, and at most `limit` tables are read."""
    with path.open("rb") as raw, zstandard.ZstdDecompressor().stream_reader(raw) as stream:
        for number, line in enumerate(io.TextIOWrapper(stream, encoding="utf-8")):
            if limit is not None and number >= limit:
                return
            record = json.loads(line)
            rows = record["rows"][:max_rows] if max_rows else record["rows"]
            relation = Relation.of(record["columns"], rows, record["id"])
            yield CorpusTable(record["id"], record["domain"], record["license"], relation)
