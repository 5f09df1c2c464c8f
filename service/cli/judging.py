"""Where the command line meets the engine: columns and rows become a relation, repairs become judgements.

The one idea: a run over a file knows nothing of the model, and the model nothing of files; this is the only module of
the command line that knows both vocabularies, and the only one that imports the engine (late: it brings torch).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from service.table_run import Judge, Progress

if TYPE_CHECKING:
    pass


class JudgingError(Exception):
    """The model cannot be loaded, or refuses the table or the options."""


@dataclass(frozen=True, slots=True)
class JudgingOptions:
    """What the caller asks for; `columns` None judges all."""

    columns: frozenset[int] | None = None
    min_confidence: float = 0.5
    max_error_rate: float | None = None
    detect_only: bool = False


@dataclass(frozen=True, slots=True)
class WeightsDescription:
    """The model that was found; `expected_sha256` is what its card says, None where the card says nothing."""

    name: str
    version: str
    sha256: str
    expected_sha256: str | None


class Judges(Protocol):
    """A loaded model that can judge tables."""

    @property
    def model(self) -> Mapping[str, str]:
        """Name, version and hash."""

    def cleaning(self, options: JudgingOptions) -> Judge:
        """Flags wrong cells and repairs them."""

    def completion(self, options: JudgingOptions) -> Judge:
        """Fills missing cells."""


class Measured(Protocol):
    """The tables of an evaluation."""

    def to_markdown(self) -> str:
        """For people."""

    def to_json(self) -> object:
        """For programs."""


@contextlib.contextmanager
def load_judges(folder: Path | None = None) -> Iterator[Judges]:
    """Load the model of `folder`, or the one in the box, and let it go at the end.

    Raises:
        JudgingError: there is no model there, or it cannot be loaded.
    """
    raise NotImplementedError
    yield


def describe_weights(folder: Path | None = None) -> WeightsDescription:
    """Load a model only to say what it is."""
    raise NotImplementedError


def evaluate_model(
    tasks: Sequence[str], bench: Path, corpus: Path | None, folder: Path | None, progress: Progress
) -> Measured:
    """Measure a model."""
    raise NotImplementedError
