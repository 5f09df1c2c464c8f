"""What kind of thing a value is written as, and which words of a label speak of such kinds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

KINDS = (
    "year", "date", "time", "integer", "decimal", "money", "percent", "email", "url", "phone", "code", "flag", "text",
)  # fmt: skip

_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_DATE = rf"""\d{{4}}[-/.]\d{{1,2}}[-/.]\d{{1,2}}(?:[T ].*)?|\d{{1,2}}[-/.]\d{{1,2}}[-/.]\d{{2,4}}
    |\d{{1,2}}(?:st|nd|rd|th)?[ -]{_MONTH}[ ,-]*\d{{2,4}}|{_MONTH}[ -]\d{{1,2}}(?:st|nd|rd|th)?[ ,-]+\d{{2,4}}
    |{_MONTH}[ ,-]*\d{{4}}|\d{{4}}[ -]{_MONTH}(?:[ -]\d{{1,2}})?|\d{{1,2}}[ -]{_MONTH}"""
_NUMBER = r"[-+−]?(?:\d{1,3}(?:[, ']\d{3})+|\d+)"
CURRENCY = r"(?:[$€£¥₹]|(?:us|au|ca|hk|nz)\$|usd|eur|gbp|jpy|inr|chf|rs\.?)"
_PATTERNS = (
    ("year", r"(?:1[4-9]|20)\d\d(?: ?[-–/] ?(?:(?:1[4-9]|20)?\d\d)?)?"),
    ("date", _DATE),
    ("time", r"\d{1,2}:\d{2}(?::\d{2})?(?:\.\d+)? ?(?:am|pm)?"),
    ("email", r"[^@\s]+@[^@\s]+\.[a-z]{2,}"),
    ("url", r"(?:https?://|www\.)\S+|[a-z0-9-]+(?:\.[a-z0-9-]+)*\.(?:com|org|net|gov|edu|io|de|uk)(?:/\S*)?"),
    ("percent", rf"{_NUMBER}(?:[.,]\d+)? ?%"),
    ("money", rf"{CURRENCY} ?{_NUMBER}(?:\.\d+)?(?: ?(?:k|m|bn|million|billion))?|{_NUMBER}(?:\.\d+)? ?{CURRENCY}"),
    ("phone", r"\+?\(?\d{1,4}\)?[ .-]?\d{2,4}[ .-]\d{3,4}(?:[ .-]?\d{2,4})?"),
    ("integer", rf"#?{_NUMBER}"),
    ("decimal", rf"{_NUMBER}?[.,]\d+(?: ?[a-z°²³\"']{{1,4}}\.?)?|{_NUMBER} ?[a-z°²³\"']{{1,3}}\.?|\d+'\s?\d*\"?"),
    ("flag", r"true|false|yes|no|y|n"),
)
_COMPILED = [(kind, re.compile(pattern, re.IGNORECASE | re.VERBOSE if kind == "date" else re.IGNORECASE))
             for kind, pattern in _PATTERNS]  # fmt: skip
_CODE = re.compile(r"(?=.*\d)[A-Za-z0-9]+(?:[-/.:_][A-Za-z0-9]+)*|[A-Z0-9]{2,6}(?:[-/ ][A-Z0-9]{2,6})?")

SPEAKING_WORDS: dict[str, tuple[dict[str, float], tuple[str, ...]]] = {
    "date": ({"date": 1.0, "year": 1.0, "time": 0.4}, (
        "date", "day", "datetime", "timestamp", "birthday", "dob", "founded", "established", "released", "created")),
    "year": ({"year": 1.0, "date": 0.4}, ("year", "season", "vintage")),
    "time": ({"time": 1.0, "date": 0.3}, ("time", "hour", "duration", "clock")),
    "integer": ({"integer": 1.0, "year": 0.3}, (
        "integer", "int", "count", "quantity", "population", "total", "rank", "age", "vote", "goal", "attendance")),
    "decimal": ({"decimal": 1.0, "integer": 0.4, "percent": 0.4, "year": 0.2}, (
        "double", "float", "decimal", "real", "measurement", "height", "weight", "length", "width", "depth", "area",
        "elevation", "latitude", "longitude", "lat", "lon", "lng", "score", "rate", "ratio", "average", "distance")),
    "number": ({"integer": 0.8, "decimal": 0.8, "year": 0.3, "percent": 0.5}, ("number", "numeric", "num", "amount")),
    "money": ({"money": 1.0, "decimal": 0.5, "integer": 0.4}, (
        "money", "monetary", "price", "cost", "salary", "revenue", "budget", "fee", "gross", "income", "expense")),
    "percent": ({"percent": 1.0, "decimal": 0.4, "integer": 0.2}, ("percent", "percentage", "pct", "share")),
    "email": ({"email": 1.0}, ("email", "mail")),
    "url": ({"url": 1.0}, ("url", "uri", "link", "website", "homepage", "web", "domain")),
    "phone": ({"phone": 1.0, "integer": 0.2}, ("phone", "telephone", "mobile", "fax", "tel")),
    "code": ({"code": 1.0, "integer": 0.4, "url": 0.3, "phone": 0.2}, (
        "id", "identifier", "code", "key", "sku", "isbn", "issn", "iata", "icao", "ticker", "symbol", "uuid")),
    "flag": ({"flag": 1.0, "integer": 0.1}, ("flag", "boolean", "bool", "active", "enabled")),
}  # fmt: skip
"""For each kind of label: how well values of a kind fit it, and the words that say so."""

_ACCEPTED = {word: fits for fits, words in SPEAKING_WORDS.values() for word in words}


def kind_of(value: str) -> str:
    """The kind that a value is written as; `text` where it is no other."""
    text = value.strip()
    if len(text) > 80:
        return "text"
    for kind, pattern in _COMPILED:
        if pattern.fullmatch(text):
            return kind
    return "code" if _CODE.fullmatch(text) else "text"


def kind_shares(values: Sequence[str]) -> dict[str, float]:
    """Share of each kind among values; kinds that no value is of are left out."""
    kinds = [kind_of(value) for value in values]
    return {kind: kinds.count(kind) / len(kinds) for kind in KINDS if kind in kinds}


def accepted_kinds(words: Iterable[str]) -> dict[str, float]:
    """How well each kind fits a label of these words; nothing where the words speak of no kind."""
    accepted: dict[str, float] = {}
    for word in words:
        for kind, fit in _ACCEPTED.get(word, {}).items():
            accepted[kind] = max(fit, accepted.get(kind, 0.0))
    return accepted
