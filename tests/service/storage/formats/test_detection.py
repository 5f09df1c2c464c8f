"""What a file is written in: proved where it can be, guessed only where it cannot."""

from __future__ import annotations

import io

import pytest

from service.storage.formats.detection import (
    SAMPLE_BYTES,
    Encoding,
    check_delimiter,
    detect_delimiter,
    detect_encoding,
)
from service.storage.table_file import DialectError, EncodingError

CYRILLIC = "Москва, улица Ленина; Санкт-Петербург, Невский проспект; Новосибирск, Красный проспект\n"


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (b"a,b\n1,2\n", Encoding("utf-8")),
        (b"\xef\xbb\xbfa,b\n", Encoding("utf-8", b"\xef\xbb\xbf")),
        ("Zürich".encode(), Encoding("utf-8")),
        ("a".encode("utf-16"), Encoding("utf-16-le", b"\xff\xfe")),
        (b"\xfe\xff\x00a", Encoding("utf-16-be", b"\xfe\xff")),
        (b"\xff\xfe\x00\x00a\x00\x00\x00", Encoding("utf-32-le", b"\xff\xfe\x00\x00")),
        (("name,city\n" * 10).encode("utf-16-le"), Encoding("utf-16-le")),
        (("name,city\n" * 10).encode("utf-16-be"), Encoding("utf-16-be")),
        ("Zürich,10 €\n".encode("cp1252"), Encoding("cp1252")),
        (b"a\x81b\xfc\n", Encoding("iso8859-1")),
        ((CYRILLIC * 3).encode("cp1251"), Encoding("cp1251")),
        (b"", Encoding("utf-8")),
    ],
)
def test_encoding_is_detected(content: bytes, encoding: Encoding) -> None:
    assert detect_encoding(io.BytesIO(content)) == encoding


def test_a_late_byte_that_is_not_utf8_is_noticed() -> None:
    content = b"a,b\n" * SAMPLE_BYTES + "Köln,1\n".encode("cp1252")
    assert detect_encoding(io.BytesIO(content)) == Encoding("cp1252")


def test_a_few_broken_bytes_in_much_utf8_stay_utf8() -> None:
    assert detect_encoding(io.BytesIO("Zürich\n".encode() * 30 + b"\xff\n")) == Encoding("utf-8")


@pytest.mark.parametrize(
    ("wanted", "content", "encoding"),
    [
        ("latin-1", "Zürich".encode(), Encoding("iso8859-1")),
        ("utf-8-sig", b"\xef\xbb\xbfa", Encoding("utf-8", b"\xef\xbb\xbf")),
        ("UTF8", b"a", Encoding("utf-8")),
        ("utf-16", b"\xfe\xff\x00a", Encoding("utf-16-be", b"\xfe\xff")),
        ("utf-16", b"a\x00", Encoding("utf-16-le")),
        ("utf-16-le", b"\xff\xfe\x00\x00", Encoding("utf-16-le", b"\xff\xfe")),
    ],
)
def test_a_wanted_encoding_is_taken(wanted: str, content: bytes, encoding: Encoding) -> None:
    assert detect_encoding(io.BytesIO(content), wanted) == encoding


@pytest.mark.parametrize("wanted", ["utf-7", "iso2022_jp", "hz", "klingon", "cp037"])
def test_an_encoding_that_hides_ascii_is_refused(wanted: str) -> None:
    with pytest.raises(EncodingError):
        detect_encoding(io.BytesIO(b"a,b"), wanted)


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [
        ("a,b\n1,2\n", ","),
        ("a;b\n1,5;2,5\n3,5;4,5\n", ";"),
        ("a\tb\n1,2,3\t4\n", "\t"),
        ("a|b|c\n1|2|3\n", "|"),
        ('a,b\n"x;y;z","p\n;q"\n', ","),
        ("name, first;age\nMiller, J;3\nSmith, K;4\n", ","),
        ("name;age\nMiller, J;3\nSmith, K, L;4\n", ";"),
        ("only\n1,2\n3\n", ","),
        ("", ","),
        ("a;b", ";"),
    ],
)
def test_delimiter_is_the_one_that_makes_rows_as_wide_as_the_header(text: str, delimiter: str) -> None:
    for encoding in (Encoding("utf-8"), Encoding("utf-16-be")):
        assert detect_delimiter(text.encode(encoding.codec), encoding, final=True) == delimiter


@pytest.mark.parametrize("delimiter", ["", ",,", "é", '"', "\n"])
def test_a_delimiter_that_cannot_be_one_is_refused(delimiter: str) -> None:
    with pytest.raises(DialectError):
        check_delimiter(delimiter, Encoding("utf-8"))


def test_a_delimiter_that_other_characters_contain_is_refused() -> None:
    with pytest.raises(DialectError, match="part of a character"):
        check_delimiter("|", Encoding("gb18030"))
    assert check_delimiter("tab", Encoding("gb18030")) == "\t"
    assert check_delimiter("|", Encoding("cp1251")) == "|"
