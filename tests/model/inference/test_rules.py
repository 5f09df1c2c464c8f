"""Rules are checked value by value, and no pattern can hold up the service."""

from __future__ import annotations

import threading
import time

import pytest

from model.errors import OptionError
from model.inference import rules as rules_module
from model.inference.rules import MAX_PATTERN_CHARACTERS, Rules, check_rule
from model.tuples import DomainRule, FunctionalDependency, PatternRule


def test_a_value_must_satisfy_every_rule_of_its_attribute() -> None:
    rules = Rules([PatternRule(0, "[0-9]{5}"), PatternRule(0, "0.*"), DomainRule(1, frozenset({"Boston", "Austin"}))])
    assert [rules.violated(0, value) for value in ("02116", "12116", "0211", "02116x")] == [False, True, True, True]
    assert [rules.violated(1, value) for value in ("Boston", "Bostn")] == [False, True]
    assert not rules.violated(2, "anything")
    assert not rules.violated(0, None) and not rules.violated(0, "")


def test_the_nearest_values_of_a_domain_are_suggested() -> None:
    rules = Rules([DomainRule(0, frozenset({"Boston", "Austin", "Denver", "Houston", "Chicago", "Bonn"}))])
    assert rules.suggestions(0, "Bostn")[0] == "Boston"
    assert len(rules.suggestions(0, "Bostn")) == 5
    assert rules.suggestions(1, "Bostn") == ()


def test_dependencies_are_kept_apart() -> None:
    dependency = FunctionalDependency((0,), 1)
    assert Rules([dependency, DomainRule(0, frozenset({"a"}))]).dependencies == [dependency]


def test_a_pattern_without_end_is_stopped_and_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules_module, "PATTERN_SECONDS", 0.5)
    rules = Rules([PatternRule(0, "(a|a)+b|(a|aa)+c")])
    ticks: list[float] = []
    ended = threading.Event()

    def tick() -> None:
        while not ended.is_set():
            ticks.append(time.monotonic())
            time.sleep(0.01)

    other = threading.Thread(target=tick)
    other.start()
    began = time.monotonic()
    with pytest.raises(OptionError, match="the patterns need more than"):
        rules.violated(0, "a" * 60)
    seconds = time.monotonic() - began
    ended.set()
    other.join()
    assert 0.3 < seconds < 10
    assert len(ticks) > 5  # the interpreter's lock was free


def test_long_values_of_a_domain_are_compared_by_their_beginnings() -> None:
    rules = Rules([DomainRule(0, frozenset({"x" * 100_000, "y" * 100_000}))])
    assert rules.suggestions(0, "y" * 99_999)[0][0] == "y"


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (PatternRule(0, "("), "no regular expression"),
        (PatternRule(0, "a" * (MAX_PATTERN_CHARACTERS + 1)), "longer than"),
        (PatternRule(2, "a"), "outside the table's 2 columns"),
        (FunctionalDependency((), 0), "needs determinants"),
        (FunctionalDependency((0, 1), 1), "the dependent cannot be one"),
    ],
)
def test_a_rule_that_does_not_fit_is_refused(rule: object, message: str) -> None:
    with pytest.raises(OptionError, match=message) as caught:
        check_rule(rule, 2)  # type: ignore[arg-type]
    assert caught.value.field == "rules"
