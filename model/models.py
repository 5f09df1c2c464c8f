"""A folder of named models: one checkpoint folder each, listed only when it is whole.

What is being made lies under a name that no model can have and is renamed when it is done, so whoever lists the folder
at that moment sees the old state or the new one.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from model.errors import InputError

DEFAULT = "default"
"""The name that means the model of the process itself."""

_NAME = re.compile(r"[a-z0-9-]{1,64}")
_WHOLE = ("config.json", "tokenizer.json", "weights.safetensors", "calibration.json", "card.json")


def check_name(name: str) -> None:
    """Refuse what cannot be the name of a model of one's own.

    Raises:
        InputError: as told.
    """
    if not is_name(name):
        raise InputError(
            "a model's name has 1 to 64 of the characters a-z, 0-9 and -, and is not 'default'", field="name"
        )


def is_name(name: str) -> bool:
    """Whether a model may have this name."""
    return _NAME.fullmatch(name) is not None and name != DEFAULT


def model_names(folder: Path | None) -> list[str]:
    """The models of a folder, sorted; none where there is no folder."""
    if folder is None or not folder.is_dir():
        return []
    return sorted(one.name for one in folder.iterdir() if find_model(folder, one.name) is not None)


def find_model(folder: Path | None, name: str) -> Path | None:
    """The checkpoint folder of a named model; None where there is no such model, or it is not whole."""
    if folder is None or not is_name(name):
        return None
    path = folder / name
    return path if all((path / file).is_file() for file in _WHOLE) else None


class NewModel:
    """A model that is being made in `path`; nobody sees it until it is published."""

    def __init__(self, folder: Path, name: str, path: Path) -> None:
        self._folder = folder
        self._name = name
        self.path = path

    def publish(self) -> Path:
        """Give it its name, in place of a model of that name; gives where it is."""
        target = self._folder / self._name
        if target.exists():
            old = Path(tempfile.mkdtemp(prefix=".old-", dir=self._folder)) / self._name
            target.rename(old)
            self.path.rename(target)
            shutil.rmtree(old.parent, ignore_errors=True)
        else:
            self.path.rename(target)
        return target


@contextlib.contextmanager
def new_model(folder: Path, name: str) -> Iterator[NewModel]:
    """Room for a model; what is not published is removed.

    Raises:
        InputError: as `check_name`.
        OSError: the folder cannot be written to.
    """
    check_name(name)
    folder.mkdir(parents=True, exist_ok=True)
    room = Path(tempfile.mkdtemp(prefix=".new-", dir=folder))
    try:
        made = room / name
        made.mkdir()
        yield NewModel(folder, name, made)
    finally:
        shutil.rmtree(room, ignore_errors=True)
