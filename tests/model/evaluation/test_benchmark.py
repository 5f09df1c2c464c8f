from pathlib import Path

import pytest

from model.errors import InputError, RelationError
from model.evaluation.benchmark import benchmark_folder, read_relation


def test_every_cell_is_read_as_text(tmp_path: Path) -> None:
    path = tmp_path / "tiny" / "dirty.csv"
    path.parent.mkdir()
    path.write_bytes(b'zip,name\n01001,"Oak, ""Elm""\nand Ash"\n,NA\n')
    relation = read_relation(path)
    assert relation.attributes == ("zip", "name")
    assert relation.tuples == (("01001", 'Oak, "Elm"\nand Ash'), ("", "NA"))
    assert relation.name == "tiny"


def test_absent_and_damaged_files_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    folder.mkdir()
    with pytest.raises(InputError, match=r"no tiny/dirty\.csv"):
        read_relation(folder / "dirty.csv")
    (folder / "dirty.csv").write_bytes(b"")
    with pytest.raises(InputError, match=r"tiny/dirty\.csv is empty"):
        read_relation(folder / "dirty.csv")
    (folder / "dirty.csv").write_bytes(b"a,b\n1,2\n3\n")
    with pytest.raises(RelationError, match="row 1 has 1 values"):
        read_relation(folder / "dirty.csv")


def test_the_folder_comes_from_the_argument_or_else_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RPT_BENCH", raising=False)
    with pytest.raises(InputError, match="RPT_BENCH"):
        benchmark_folder()
    monkeypatch.setenv("RPT_BENCH", str(tmp_path))
    assert benchmark_folder() == tmp_path
    with pytest.raises(InputError, match="does not exist"):
        benchmark_folder(tmp_path / "absent")
