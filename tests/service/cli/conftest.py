"""Commands with fake judges: no model is loaded."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service.cli import cleaning as cleaning_commands

UseJudges = Callable[[object], None]


@pytest.fixture
def use_judges(monkeypatch: pytest.MonkeyPatch) -> UseJudges:
    """Lets the commands of a test ask the object that is given."""

    def use(fake: object) -> None:
        @contextlib.contextmanager
        def load(folder: Path | None) -> Iterator[object]:
            yield fake

        monkeypatch.setattr(cleaning_commands, "load_judges", load)

    return use
