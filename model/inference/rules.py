"""What the caller knows about a table: patterns and domains of its values, checked within a bound of time.

A regular expression can take exponential time, and the caller writes it. So patterns are matched by an engine that can
be stopped, each distinct value once, and all of them together have `PATTERN_SECONDS`. Dependencies are rules too; they
vote (`model.inference.dependencies`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import cache

import regex
from rapidfuzz import process
from rapidfuzz.distance import OSA

from model.errors import OptionError
from model.tuples import DomainRule, FunctionalDependency, PatternRule, Rule, Value

MAX_PATTERN_CHARACTERS = 500
PATTERN_SECONDS = 5.0
"""Time for all patterns of one request."""

_SUGGESTIONS = 5
_COMPARED_CHARACTERS = 256


class Rules:
    """The patterns and domains of one request, asked value by value."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.dependencies = [rule for rule in rules if isinstance(rule, FunctionalDependency)]
        self._patterns = [(rule.attribute, compiled(rule)) for rule in rules if isinstance(rule, PatternRule)]
        self._domains = [rule for rule in rules if isinstance(rule, DomainRule)]
        self._sorted = {rule.attribute: sorted(rule.values) for rule in reversed(self._domains)}
        self._seconds = PATTERN_SECONDS
        self.allowed = cache(self._allowed)
        self.suggestions = cache(self._suggestions)

    def violated(self, attribute: int, value: Value) -> bool:
        """Whether a present value breaks a pattern or a domain of its attribute."""
        return bool(value) and not self.allowed(attribute, value or "")

    def _allowed(self, attribute: int, value: str) -> bool:
        """Whether a value satisfies every pattern and domain of its attribute.

        Raises:
            OptionError: the patterns have used up their time.
        """
        fits = all(self._matches(pattern, value) for place, pattern in self._patterns if place == attribute)
        return fits and all(value in rule.values for rule in self._domains if rule.attribute == attribute)

    def _matches(self, pattern: regex.Pattern[str], value: str) -> bool:
        began = time.monotonic()
        try:
            # Concurrent: the interpreter's lock is free while it matches, so that probes are answered.
            found = pattern.fullmatch(value, timeout=max(self._seconds, 1e-3), concurrent=True)
        except TimeoutError:
            message = f"the patterns need more than {PATTERN_SECONDS:.0f} s"
            raise OptionError(message, field="rules") from None
        self._seconds -= time.monotonic() - began
        return found is not None

    def _suggestions(self, attribute: int, value: Value) -> tuple[str, ...]:
        """Values of a domain that lie nearest to the observed one."""
        domain = self._sorted.get(attribute, [])
        cut = [one[:_COMPARED_CHARACTERS] for one in domain]
        observed = (value or "")[:_COMPARED_CHARACTERS]
        near = process.extract(observed, cut, scorer=OSA.normalized_similarity, limit=_SUGGESTIONS)
        return tuple(domain[place] for _, _, place in near)


def compiled(rule: PatternRule) -> regex.Pattern[str]:
    """The pattern of a rule.

    Raises:
        OptionError: it is too long, or no regular expression.
    """
    if len(rule.regex) > MAX_PATTERN_CHARACTERS:
        raise OptionError(f"a pattern is longer than {MAX_PATTERN_CHARACTERS} characters", field="rules")
    try:
        return regex.compile(rule.regex)
    except (regex.error, OverflowError, RecursionError, ValueError) as error:
        raise OptionError(f"a pattern is no regular expression: {error}", field="rules") from error


def check_rule(rule: Rule, width: int) -> None:
    """Refuse a rule that does not fit a relation of `width` attributes.

    Raises:
        OptionError: it names an attribute that is not there, or cannot be read.
    """
    named = (*rule.determinants, rule.dependent) if isinstance(rule, FunctionalDependency) else (rule.attribute,)
    if any(not 0 <= attribute < width for attribute in named):
        raise OptionError(f"a rule names a column outside the table's {width} columns", field="rules")
    if isinstance(rule, FunctionalDependency) and (not rule.determinants or rule.dependent in rule.determinants):
        raise OptionError("a dependency needs determinants, and the dependent cannot be one", field="rules")
    if isinstance(rule, PatternRule):
        compiled(rule)
