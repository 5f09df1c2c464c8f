"""A folder of named models lists whole ones alone, and never one that is being made."""

from __future__ import annotations

from pathlib import Path

import pytest

from model.checkpoint import Checkpoint
from model.errors import InputError
from model.models import check_name, find_model, is_name, model_names, new_model

FILES = ("config.json", "tokenizer.json", "weights.safetensors", "calibration.json", "card.json")


def fill(folder: Path, mark: str = "") -> None:
    """A folder that looks like a checkpoint."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        (folder / name).write_text(mark, encoding="utf-8")


@pytest.mark.parametrize("name", ["a", "my-model-2", "0", "x" * 64, "-"])
def test_names_of_small_letters_digits_and_dashes_are_taken(name: str) -> None:
    check_name(name)
    assert is_name(name)


@pytest.mark.parametrize(
    "name", ["", "default", "A", "a b", "a/b", "..", ".new-x", "a\n", "x" * 65, "é", "a_b", "a.b", "١", "a\x00"]
)
def test_other_names_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        check_name(name)
    assert caught.value.field == "name"
    assert find_model(tmp_path, name) is None


def test_only_whole_models_are_listed(tmp_path: Path) -> None:
    for name in ("b", "a", "Upper", "default", ".new-c"):
        fill(tmp_path / name)
    fill(tmp_path / "half")
    (tmp_path / "half" / "card.json").unlink()
    (tmp_path / "file").write_text("x", encoding="utf-8")
    assert model_names(tmp_path) == ["a", "b"]
    assert find_model(tmp_path, "a") == tmp_path / "a" and find_model(tmp_path, "half") is None
    assert model_names(None) == [] and model_names(tmp_path / "nothing") == [] and find_model(None, "a") is None


def test_a_model_is_seen_once_it_is_published(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    with new_model(folder, "mine") as new:
        fill(new.path, "first")
        assert model_names(folder) == []
        assert new.publish() == folder / "mine"
        assert model_names(folder) == ["mine"]
    assert [one.name for one in folder.iterdir()] == ["mine"]


def test_a_model_of_the_same_name_is_replaced_whole(tmp_path: Path) -> None:
    for mark in ("first", "second"):
        with new_model(tmp_path, "mine") as new:
            fill(new.path, mark)
            new.publish()
    assert (tmp_path / "mine" / "card.json").read_text(encoding="utf-8") == "second"
    assert [one.name for one in tmp_path.iterdir()] == ["mine"]


def test_what_is_not_published_or_fails_leaves_nothing(tmp_path: Path) -> None:
    with new_model(tmp_path, "mine") as new:
        fill(new.path)
    with pytest.raises(RuntimeError), new_model(tmp_path, "mine") as new:
        fill(new.path)
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_is_a_whole_model(checkpoint: Checkpoint) -> None:
    assert all((checkpoint.path / name).is_file() for name in FILES)
