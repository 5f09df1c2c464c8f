"""`python -m model.finetuning.known_values`: count which words of column names values of the corpus stand under.

Kept are values of two repositories or more, and words that three use. Takes about two minutes.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from model.corpus import TRAINING_SHARDS, CorpusTable, corpus_folder, read_tables
from model.errors import InputError
from model.known_values import FILE, KnownValues, value_key
from model.naming import name_words

logger = logging.getLogger(__name__)

_VALUE_REPOSITORIES = 2
_WORD_REPOSITORIES = 3
_MAX_ROWS = 1000
_MOST = 255

Ints = npt.NDArray[np.int64]


def count_values(tables: Iterable[CorpusTable]) -> KnownValues:
    """The counts of some tables.

    Raises:
        InputError: no value, or no word of a name, stands in enough repositories.
    """
    repositories: dict[str, int] = {}
    words: dict[str, int] = {}
    used: dict[int, set[int]] = defaultdict(set)
    parts: list[Ints] = []
    for table in tables:
        repository = repositories.setdefault(table.repository, len(repositories))
        for attribute, name in enumerate(table.attributes):
            keys = {value_key(value) for value in set(table.relation.column(attribute)) if value} - {None}
            if not keys:
                continue
            own = {words.setdefault(word, len(words)) for word in name_words(name)}
            for word in own:
                used[word].add(repository)
            for word in (*own, -1):  # -1 counts every value, whatever its column is called
                parts.append(np.array([(key, word, repository) for key in keys], dtype=np.int64).reshape(-1, 3))
    cells = np.unique(np.concatenate(parts or [np.zeros((0, 3), dtype=np.int64)]), axis=0)
    pairs, counts = np.unique(cells[:, :2], axis=0, return_counts=True)  # ascending by value, then by word
    is_total = pairs[:, 1] == -1
    keys, totals = pairs[is_total, 0], counts[is_total]
    kept_words = sorted(word for word, place in words.items() if len(used[place]) >= _WORD_REPOSITORIES)
    kept_keys = totals >= _VALUE_REPOSITORIES
    if not kept_words or not kept_keys.any():
        raise InputError("no value stands under a word of a name in enough repositories", field="corpus")
    place_of = np.full(len(words) + 1, -1)
    place_of[[words[word] for word in kept_words]] = np.arange(len(kept_words))
    places = place_of[pairs[:, 1]]
    entry = ~is_total & (places >= 0)
    share = np.bincount(places[entry], counts[entry], len(kept_words)) / totals.sum()
    owner = np.searchsorted(keys, pairs[entry, 0])
    entry_kept = kept_keys[owner]
    lengths = np.bincount(owner[entry_kept], minlength=len(keys))[kept_keys]
    return KnownValues(
        tuple(kept_words),
        share.astype(np.float32),
        keys[kept_keys].astype(np.uint32),
        np.minimum(totals[kept_keys], _MOST).astype(np.uint8),
        np.cumsum([0, *lengths]).astype(np.uint32),
        places[entry][entry_kept].astype(np.uint16),
        np.minimum(counts[entry][entry_kept], _MOST).astype(np.uint8),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; gives 0."""
    parser = argparse.ArgumentParser(description="Count a checkpoint's known values on the training tables.")
    parser.add_argument("--corpus", help="folder of the corpus; default: RPT_CORPUS")
    parser.add_argument("--checkpoint", required=True, help=f"checkpoint folder; {FILE} is written there")
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    folder = corpus_folder(options.corpus)
    known = count_values(table for shard in TRAINING_SHARDS for table in read_tables(folder / shard, _MAX_ROWS))
    known.save(Path(options.checkpoint) / FILE)
    logger.info("%d values under %d words", len(known.keys), len(known.words))
    return 0


if __name__ == "__main__":
    sys.exit(main())
