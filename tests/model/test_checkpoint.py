"""One folder rebuilds a model: exactly, without pickle, or with an error that names the file."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from model.architecture import TupleDenoiser
from model.checkpoint import Checkpoint, load_checkpoint, native_precision, save_checkpoint
from model.errors import CheckpointError
from model.tokenizer import TupleTokenizer


@pytest.fixture()
def folder(checkpoint: Checkpoint, tmp_path: Path) -> Path:
    """A copy of a good checkpoint folder, to be damaged."""
    return Path(shutil.copytree(checkpoint.path, tmp_path / "copy"))


def test_weights_that_sixteen_bits_hold_come_back_exactly(denoiser: TupleDenoiser, checkpoint: Checkpoint) -> None:
    before, after = denoiser.state_dict(), checkpoint.denoiser.state_dict()
    assert before.keys() == after.keys()
    assert [name for name in before if not torch.equal(before[name], after[name])] == []
    assert {tensor.dtype for tensor in after.values()} == {torch.float32}


def test_a_loaded_model_is_ready_for_inference(checkpoint: Checkpoint, denoiser: TupleDenoiser) -> None:
    assert (checkpoint.name, checkpoint.version, checkpoint.precision) == ("tiny", "1.2.3", "float32")
    assert checkpoint.card == {"name": "tiny", "version": "1.2.3", "sha256": checkpoint.sha256}
    assert checkpoint.config == denoiser.config
    assert checkpoint.parameters == sum(parameter.numel() for parameter in denoiser.parameters())
    assert checkpoint.known_values is not None and checkpoint.known_values.log_odds("boston") is not None
    assert not checkpoint.denoiser.training
    assert not any(parameter.requires_grad for parameter in checkpoint.denoiser.parameters())
    assert checkpoint.serializer.tokenizer.decode(checkpoint.serializer.tokenizer.encode("Chloé")) == "Chloé"


def test_a_folder_holds_safetensors_and_json_and_nothing_else(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir() if path.is_file()) == [
        "calibration.json",
        "card.json",
        "config.json",
        "judges.safetensors",
        "names.safetensors",
        "tokenizer.json",
        "values.safetensors",
        "weights.safetensors",
    ]
    for path in folder.glob("*.json"):
        json.loads(path.read_text(encoding="utf-8"))
    assert {tensor.dtype for tensor in load_file(folder / "weights.safetensors").values()} == {torch.float16}


def test_every_file_can_be_read_by_whoever_may_read_the_others(
    denoiser: TupleDenoiser, tokenizer: TupleTokenizer, tmp_path: Path
) -> None:
    save_checkpoint(tmp_path / "new", denoiser, tokenizer, {})
    assert len({path.stat().st_mode for path in (tmp_path / "new").iterdir()}) == 1


def test_calibration_is_absent_until_it_is_fitted(bare_checkpoint: Checkpoint, checkpoint: Checkpoint) -> None:
    assert bare_checkpoint.calibration is None
    assert checkpoint.calibration is not None
    assert checkpoint.calibration.source == "made by hand"


def test_the_hash_is_that_of_the_weights_file_and_stays(
    checkpoint: Checkpoint, denoiser: TupleDenoiser, tokenizer: TupleTokenizer, tmp_path: Path
) -> None:
    digest = hashlib.sha256((checkpoint.path / "weights.safetensors").read_bytes()).hexdigest()
    save_checkpoint(tmp_path / "again", denoiser, tokenizer, {"name": "another card"})
    assert checkpoint.sha256 == digest == load_checkpoint(tmp_path / "again").sha256


def test_other_weights_have_another_hash(checkpoint: Checkpoint, folder: Path) -> None:
    weights = load_file(folder / "weights.safetensors")
    weights["decoder.output_bias"][20] += 1
    save_file(weights, folder / "weights.safetensors")
    assert load_checkpoint(folder).sha256 != checkpoint.sha256


def test_saving_replaces_what_was_there(folder: Path, denoiser: TupleDenoiser, tokenizer: TupleTokenizer) -> None:
    save_checkpoint(folder, denoiser, tokenizer, {"name": "new"})
    assert load_checkpoint(folder).name == "new"


def test_a_name_is_the_folder_where_the_card_has_none(folder: Path) -> None:
    (folder / "card.json").write_text("{}", encoding="utf-8")
    loaded = load_checkpoint(folder)
    assert (loaded.name, loaded.version) == ("copy", "0")


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_precision_is_chosen_by_the_caller(folder: Path, precision: str) -> None:
    loaded = load_checkpoint(folder, precision=precision)
    assert loaded.precision == precision
    assert {str(p.dtype) for p in loaded.denoiser.parameters()} == {f"torch.{precision}"}


def test_automatic_precision_is_that_of_the_processor(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_checkpoint(folder).precision == native_precision()
    for flags, expected in ((set(), "float32"), ({"avx2"}, "float32"), ({"avx512_bf16"}, "bfloat16")):
        monkeypatch.setattr("model.checkpoint._processor_flags", lambda flags=flags: flags)
        assert native_precision() == expected


def test_an_unknown_precision_is_refused(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="not 'int4'"):
        load_checkpoint(folder, precision="int4")


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nowhere"):
        load_checkpoint(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["config.json", "card.json", "tokenizer.json", "weights.safetensors"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=name.replace(".", r"\.")):
        load_checkpoint(folder)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (name, content)
        for name in ("config.json", "card.json", "tokenizer.json", "weights.safetensors", "calibration.json")
        for content in (b"", b"{", b"[]", b"\xff\xfe\x00", b'"text"', b"{}")
        if (name, content) != ("card.json", b"{}")  # an empty card is a card
    ],
)
def test_a_damaged_file_is_named(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    expected = "format None" if (name, content) == ("config.json", b"{}") else name.replace(".", r"\.")
    with pytest.raises(CheckpointError, match=expected):
        load_checkpoint(folder)


def test_half_a_weights_file_is_refused(folder: Path) -> None:
    weights = folder / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r"weights\.safetensors"):
        load_checkpoint(folder)


def test_weights_of_another_shape_are_refused(folder: Path) -> None:
    record = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    record["model"]["feed_forward"] *= 2
    (folder / "config.json").write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"weights\.safetensors"):
        load_checkpoint(folder)


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused(folder: Path, tokenizer: TupleTokenizer) -> None:
    texts = [f"{a}{b}{c}" for a in "abcdefgh" for b in "ijklmnop" for c in "qrstuvw"] * 2
    larger = TupleTokenizer.train(texts, 600)
    assert larger.vocabulary_size > tokenizer.vocabulary_size
    larger.save(folder / "tokenizer.json")
    with pytest.raises(CheckpointError, match=r"tokenizer\.json"):
        load_checkpoint(folder)


def test_another_format_version_is_refused(folder: Path) -> None:
    record = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(record | {"format": 99}), encoding="utf-8")
    with pytest.raises(CheckpointError, match="format 99 is not 1"):
        load_checkpoint(folder)


@pytest.mark.parametrize("change", [{"width": 33}, {"colour": "red"}])
def test_an_impossible_config_is_named(folder: Path, change: dict[str, object]) -> None:
    record = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    record["model"] |= change
    (folder / "config.json").write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"config\.json"):
        load_checkpoint(folder)


def test_a_checkpoint_beside_the_shipped_one_is_found_by_its_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("model.checkpoint.DEFAULT_PATH", folder.parent / "default")
    assert load_checkpoint("copy").path == folder
    with pytest.raises(CheckpointError, match="no checkpoint folder 'other'"):
        load_checkpoint("other")
