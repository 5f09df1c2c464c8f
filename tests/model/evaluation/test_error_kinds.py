import pytest

from model.evaluation.error_kinds import ErrorKind, error_kind


@pytest.mark.parametrize(
    ("dirty", "true", "kind"),
    [
        (None, "Oslo", ErrorKind.EMPTIED),
        ("", "Oslo", ErrorKind.EMPTIED),
        ("N/A", "Oslo", ErrorKind.EMPTIED),
        ("Oslo", "", ErrorKind.FILLED),
        ("N/A", None, ErrorKind.FILLED),
        ("12.0", "12", ErrorKind.FORMAT),
        ("$1,200", "1200.00", ErrorKind.FORMAT),
        ("OSLO ", "Oslo", ErrorKind.FORMAT),
        ("555-12 34", "(555) 1234", ErrorKind.FORMAT),
        ("12", "13", ErrorKind.OTHER),
        ("1200", "1300", ErrorKind.TYPO),
        ("birmxngham", "birmingham", ErrorKind.TYPO),
        ("brimingham", "birmingham", ErrorKind.TYPO),
        ("birmxxxham", "birmingham", ErrorKind.OTHER),
        ("Oslo", "Bonn", ErrorKind.OTHER),
        ("--", "---", ErrorKind.TYPO),
        ("12 oz", "12 OUNCE", ErrorKind.OTHER),
    ],
)
def test_kinds_are_told_from_dirty_and_true_value(dirty: str | None, true: str | None, kind: ErrorKind) -> None:
    assert error_kind(dirty, true) is kind
