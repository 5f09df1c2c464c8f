"""How a delimited file is written: its encoding, byte order mark and delimiter.

The one idea: prefer what can be proved. A byte order mark decides; bytes that are valid UTF-8 to the end of the file
are UTF-8; only then is a legacy code page guessed, and Windows-1252 is the answer when there is too little to guess
from. A delimiter is the one that gives most rows the header's width.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from charset_normalizer import from_bytes

from service.storage.formats.scanner import Marks, Units, scan
from service.storage.table_file import DialectError, EncodingError

SAMPLE_BYTES = 1 << 18
DELIMITERS = (",", "\t", ";", "|")
_READ_BYTES = 1 << 20
_ENOUGH_TO_GUESS = 48  # non-ASCII bytes below which a statistical guess is worse than the common default
_CODE_PAGES = (
    "cp1252", "iso8859_15", "cp1250", "iso8859_2", "cp1251", "koi8_r", "cp1253", "cp1254", "cp1257",
    "cp932", "euc_jp", "gb18030", "big5", "euc_kr", "mac_roman",
)  # fmt: skip
_MARKS: tuple[tuple[bytes, str], ...] = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16 LE, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_UNIT_TYPES = {"utf-16-le": "<u2", "utf-16-be": ">u2", "utf-32-le": "<u4", "utf-32-be": ">u4"}
_ALIASES = {"utf-8-sig": "utf-8", "ascii": "utf-8", "cp65001": "utf-8", "utf_8_sig": "utf-8"}


@dataclass(frozen=True, slots=True)
class Encoding:
    """How text is written as bytes: a Python codec name and the byte order mark found in front, if any."""

    codec: str
    mark: bytes = b""

    @property
    def width(self) -> int:
        """Bytes per code unit."""
        return np.dtype(self.unit_type).itemsize

    @property
    def unit_type(self) -> str:
        """The numpy type of one code unit, byte order included."""
        return _UNIT_TYPES.get(self.codec, "u1")

    def __str__(self) -> str:
        return f"{self.codec} with byte order mark" if self.mark else self.codec


def code_units(window: bytes, encoding: Encoding) -> Units:
    """The code units of `window`; an odd byte at the end belongs to none."""
    whole = len(window) - len(window) % encoding.width
    return np.frombuffer(window[:whole], dtype=encoding.unit_type)


def detect_encoding(file: BinaryIO, wanted: str | None = None) -> Encoding:
    """Find the encoding of a file, or settle the one that the caller asks for.

    Raises:
        EncodingError: `wanted` is unknown, or cannot keep bytes apart (UTF-7, ISO-2022 …).
    """
    head = _read_head(file, 4)
    found = {codec: mark for mark, codec in _MARKS if head.startswith(mark)}
    if wanted is not None:
        return _settle(wanted, found)
    for codec, mark in found.items():
        return Encoding(codec, mark)
    sample = _read_head(file, SAMPLE_BYTES)
    return Encoding(_wide_codec(sample) or _narrow_codec(file, sample))


def _read_head(file: BinaryIO, size: int) -> bytes:
    file.seek(0)
    return file.read(size)


def _settle(wanted: str, found: dict[str, bytes]) -> Encoding:
    try:
        name = codecs.lookup(wanted).name
    except LookupError:
        raise EncodingError(f"unknown encoding {wanted!r}") from None
    name = _ALIASES.get(name, name)
    if name in ("utf-16", "utf-32"):  # the byte order is the mark's, little-endian without one
        name = next((codec for codec in found if codec.startswith(name)), f"{name}-le")
    if name not in _UNIT_TYPES and not _keeps_ascii(name):
        raise EncodingError(f"encoding {wanted!r} is not supported: it does not write ASCII as single bytes")
    return Encoding(name, found.get(name, b""))


def _keeps_ascii(codec: str) -> bool:
    """Whether ASCII bytes are ASCII text and no other character begins with one (escapes, shifts)."""
    ascii_bytes = bytes(range(128))
    try:
        if ascii_bytes.decode(codec) != ascii_bytes.decode("ascii"):
            return False
        return all(first >= 128 for letter in "éДあ가中" for first in letter.encode(codec, errors="ignore")[:1])
    except (UnicodeError, LookupError):
        return False


def _wide_codec(sample: bytes) -> str | None:
    """UTF-16 without a mark: nearly every second byte of Western text is zero."""
    if len(sample) < 64 or b"\0" not in sample:
        return None
    zeros = np.frombuffer(sample[: len(sample) // 2 * 2], dtype=np.uint8).reshape(-1, 2) == 0
    even, odd = (float(share) for share in zeros.mean(axis=0))
    if odd > 0.6 and even < 0.05:
        return "utf-16-le"
    return "utf-16-be" if even > 0.6 and odd < 0.05 else None


def _narrow_codec(file: BinaryIO, sample: bytes) -> str:
    broken_at = _first_broken_utf8(file)
    if broken_at is None:
        return "utf-8"
    if broken_at >= len(sample):  # the sample is clean: look where it is not
        file.seek(max(0, broken_at - SAMPLE_BYTES // 2))
        sample = file.read(SAMPLE_BYTES)
    if _mostly_utf8(sample):
        return "utf-8"
    return _code_page(sample)


def _first_broken_utf8(file: BinaryIO) -> int | None:
    """Offset near the first byte that is not UTF-8, None when the whole file is."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    file.seek(0)
    position = 0
    while block := file.read(_READ_BYTES):
        try:
            decoder.decode(block)
        except UnicodeDecodeError as error:
            return position + error.start
        position += len(block)
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return position
    return None


def _mostly_utf8(sample: bytes) -> bool:
    """Whether UTF-8 with a few damaged bytes explains the sample: most non-ASCII sequences are valid."""
    text = sample.decode("utf-8", errors="replace")
    broken = text.count("�")
    valid = sum(1 for character in text if character > "\x7f") - broken
    return valid > 10 * broken


def _code_page(sample: bytes) -> str:
    foreign = bytes(byte for byte in sample if byte >= 128)
    if len(foreign) >= _ENOUGH_TO_GUESS:
        best = from_bytes(sample, cp_isolation=list(_CODE_PAGES)).best()
        if best is not None and _keeps_ascii(best.encoding):
            return codecs.lookup(best.encoding).name
    try:
        foreign.decode("cp1252")
    except UnicodeDecodeError:
        return "iso8859-1"  # every byte means something there
    return "cp1252"


def detect_delimiter(sample: bytes, encoding: Encoding, *, final: bool, quote: str = '"') -> str:
    """The delimiter under which most rows of the sample are as wide as the header; a comma when in doubt.

    `sample` starts behind the byte order mark; `final` says that it is the whole file.
    """
    units = code_units(sample, encoding)
    best, best_score = ",", (0.0, 0)
    for delimiter in DELIMITERS:
        score = _consistency(units, Marks(delimiter, quote), final)
        if score > best_score:
            best, best_score = delimiter, score
    return best


def _consistency(units: Units, marks: Marks, final: bool) -> tuple[float, int]:
    """Share of rows as wide as the first (zero for a width of one), then that width."""
    found = scan(units, marks, final=final)
    if not len(found):
        found = scan(units, marks, final=True)  # the header alone is longer than the sample
    widths = np.diff(found.offsets)
    blank = (widths == 1) & (found.starts[found.offsets[:-1]] == found.ends[found.offsets[:-1]])
    widths = widths[~blank]
    if not len(widths) or widths[0] == 1:
        return (0.0, 0)
    return (float((widths == widths[0]).mean()), int(widths[0]))


def check_delimiter(delimiter: str, encoding: Encoding, quote: str = '"') -> str:
    """Refuse a delimiter that cannot be told from other text.

    Raises:
        DialectError: not one ASCII character, a line end or the quote, or a part of other characters' bytes.
    """
    names = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}
    delimiter = names.get(delimiter.lower(), delimiter)
    if len(delimiter) != 1 or not delimiter.isascii() or delimiter in (quote, "\n", "\r", "\0"):
        raise DialectError(f"the delimiter must be one ASCII character, not a quote or line end: {delimiter!r}")
    if encoding.codec in ("shift_jis", "cp932", "gb18030", "gbk", "big5", "big5hkscs", "cp950") and delimiter > "/":
        if delimiter not in ";:<=>?":
            raise DialectError(f"{delimiter!r} can be part of a character in {encoding.codec}")
    return delimiter


def describe_line_ends(windows: Iterable[bytes]) -> str:
    """`LF`, `CRLF`, `CR`, `mixed` or `none`, from ASCII-compatible or widened sample bytes."""
    counts = dict.fromkeys(("CRLF", "LF", "CR"), 0)
    for window in windows:
        crlf = window.count(b"\r\n")
        counts["CRLF"] += crlf
        counts["LF"] += window.count(b"\n") - crlf
        counts["CR"] += window.count(b"\r") - crlf
    kinds = [kind for kind, count in counts.items() if count]
    return "none" if not kinds else kinds[0] if len(kinds) == 1 else "mixed"
