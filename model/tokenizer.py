"""Lossless byte-level BPE, and the special tokens that no text can forge.

Special tokens own the ids below `len(SpecialToken)` and exist only as ids: the BPE below never sees
their names, so the text `[V]` is three ordinary characters. BPE ids are shifted up behind them. Every
digit is its own token, case is kept, and `decode(encode(text)) == text` for every Python string,
lone surrogates included.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from functools import lru_cache
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from model.errors import CheckpointError


class SpecialToken(IntEnum):
    """Ids with a meaning of their own (RPT section 2; END, SAME, TUPLE and the tasks are ours)."""

    PAD = 0
    ATTRIBUTE = 1
    VALUE = 2
    MASK = 3
    NULL = 4
    SAME = 5
    TUPLE = 6
    END = 7
    FILL = 8
    REPAIR = 9
    NAME = 10
    MATCH = 11
    EXTRACT = 12
    TRANSFORM = 13
    CUT = 14
    SPARE = 15


def _byte_of_character() -> dict[str, int]:
    """GPT-2's printable stand-in for each byte, inverted: the alphabet of byte-level BPE."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    characters = {chr(byte): byte for byte in printable}
    others = [byte for byte in range(256) if byte not in printable]
    return characters | {chr(256 + offset): byte for offset, byte in enumerate(others)}


class TupleTokenizer:
    """Text to ids and back. `vocabulary_size` counts special tokens and BPE tokens."""

    def __init__(self, bpe: Tokenizer) -> None:
        self._bpe = bpe
        alphabet = _byte_of_character()
        shift = len(SpecialToken)
        vocabulary = bpe.get_vocab()
        self._bytes: list[bytes] = [b""] * (shift + len(vocabulary))
        for token, token_id in vocabulary.items():
            self._bytes[shift + token_id] = bytes(alphabet[character] for character in token)
        self._byte_ids = {token[0]: token_id for token_id, token in enumerate(self._bytes) if len(token) == 1}
        self.vocabulary_size = len(self._bytes)
        self._cached_encode = lru_cache(maxsize=200_000)(self._encode)

    @classmethod
    def train(cls, texts: Iterable[str], vocabulary_size: int = 16384) -> TupleTokenizer:
        """Learn the merges from `texts`; `vocabulary_size` includes the special tokens."""
        bpe = Tokenizer(models.BPE())
        bpe.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )
        bpe.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=vocabulary_size - len(SpecialToken),
            initial_alphabet=sorted(_byte_of_character()),
            show_progress=False,
            min_frequency=2,
            max_token_length=16,
        )
        bpe.train_from_iterator(texts, trainer)
        return cls(bpe)

    def encode(self, text: str) -> tuple[int, ...]:
        """Ids of `text`; no special token is among them. Short texts are remembered."""
        return self._cached_encode(text) if len(text) <= 64 else self._encode(text)

    def _encode(self, text: str) -> tuple[int, ...]:
        shift = len(SpecialToken)
        try:
            return tuple(shift + token_id for token_id in self._bpe.encode(text).ids)
        except (UnicodeEncodeError, TypeError):  # a lone surrogate: no UTF-8, so byte by byte
            return tuple(self._byte_ids[byte] for byte in text.encode("utf-8", "surrogatepass"))

    def decode(self, ids: Iterable[int]) -> str:
        """Text of `ids`, special tokens left out; bytes that are no UTF-8 become U+FFFD."""
        joined = b"".join(self._bytes[token_id] for token_id in ids)
        try:
            return joined.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            return joined.decode("utf-8", "replace")

    def token_bytes(self, token_id: int) -> bytes:
        """UTF-8 bytes that one token stands for; empty for a special token."""
        return self._bytes[token_id]

    def save(self, path: Path) -> None:
        """Write the BPE as one JSON file."""
        path.write_text(self._bpe.to_str(pretty=False), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> TupleTokenizer:
        """Read what `save` wrote.

        Raises:
            CheckpointError: the file is missing or is no tokenizer.
        """
        try:
            return cls(Tokenizer.from_str(path.read_text(encoding="utf-8")))
        except Exception as error:  # tokenizers raises plain Exception for what it cannot parse
            raise CheckpointError(f"cannot read the tokenizer {path.name}: {error!r}") from error
