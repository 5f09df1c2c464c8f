"""Names of models, and that only whole ones are listed."""

from __future__ import annotations

from pathlib import Path

import pytest

from model.checkpoint import Checkpoint, load_checkpoint
from model.errors import InputError
from model.models import check_name, find_model, model_names, new_model
from tests.model.finetuning.conftest import copied


@pytest.mark.parametrize("name", ["", "default", "Shoes", "a b", "../x", ".hidden", "a/b", "a" * 65, "é", "a\n"])
def test_a_name_that_is_none_is_refused(tmp_path: Path, checkpoint: Checkpoint, name: str) -> None:
    with pytest.raises(InputError, match="1 to 64"):
        check_name(name)
    assert find_model(tmp_path, name) is None


def test_a_model_is_seen_when_it_is_published_and_not_before(tmp_path: Path, checkpoint: Checkpoint) -> None:
    folder = tmp_path / "models"
    assert model_names(None) == model_names(folder) == []
    with new_model(folder, "shoes-2") as new:
        copied(checkpoint, new.path)
        assert model_names(folder) == [] and find_model(folder, "shoes-2") is None
        assert new.publish() == folder / "shoes-2"
    assert model_names(folder) == ["shoes-2"]
    assert load_checkpoint(folder / "shoes-2").sha256 == checkpoint.sha256
    assert [one.name for one in folder.iterdir()] == ["shoes-2"]


def test_what_is_not_published_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="broke"), new_model(tmp_path, "shoes") as new:
        (new.path / "config.json").write_text("{}")
        raise ValueError("broke")
    assert list(tmp_path.iterdir()) == []


def test_a_model_is_replaced_whole(tmp_path: Path, checkpoint: Checkpoint) -> None:
    for text in ("old", "new"):
        with new_model(tmp_path, "shoes") as new:
            copied(checkpoint, new.path)
            (new.path / "note").write_text(text)
            new.publish()
    assert (tmp_path / "shoes" / "note").read_text() == "new" and model_names(tmp_path) == ["shoes"]
    assert [one.name for one in tmp_path.iterdir()] == ["shoes"]


def test_a_half_written_folder_is_not_listed(tmp_path: Path, checkpoint: Checkpoint) -> None:
    copied(checkpoint, tmp_path / "half")
    (tmp_path / "half" / "card.json").unlink()
    (tmp_path / "file").write_text("no folder")
    assert model_names(tmp_path) == []
