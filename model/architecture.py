"""The tuple denoiser: a BART-style encoder-decoder over serialized tuples, and its heads.

The encoder reads a target tuple with its context and is the whole cost; the shallow decoder writes one
short answer per query. A query names a task and a column id, so one encoder pass serves every cell of
the tuple. Blocks are post-norm with GELU (BART, Lewis et al. 2020), so a BERT encoder of the same shape
can warm-start them. The output distribution mixes the vocabulary with a copy of encoder tokens
(pointer-generator, See et al. 2017): a small model then corrects by looking, not by remembering.

Read top to bottom: inputs, attention, blocks, encoder, decoder, heads, whole.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.config import BlockSizes, ModelConfig


@dataclass(frozen=True, slots=True)
class EncoderBatch:
    """Padded encoder inputs; every tensor is (batch, length) int64, ids 0 where padded."""

    ids: Tensor
    positions: Tensor
    columns: Tensor
    roles: Tensor

    @property
    def keep(self) -> Tensor:
        """True where a real token stands, (batch, length)."""
        return self.ids != 0


@dataclass(frozen=True, slots=True)
class DecoderBatch:
    """Queries packed behind one another, each a task token and the answer so far.

    All tensors are (batch, length) int64. `segments` tells the queries of one example apart (0 is
    padding): a token sees the earlier tokens of its own segment only.
    """

    ids: Tensor
    positions: Tensor
    columns: Tensor
    segments: Tensor

    def self_mask(self) -> Tensor:
        """True where attention may look, (batch, 1, length, length)."""
        same = self.segments[:, :, None] == self.segments[:, None, :]
        length = self.ids.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=self.ids.device).tril()
        return (same & causal)[:, None]


class Attention(nn.Module):
    """Multi-head attention; keys and values may be projected once and used again.

    `query_key` and `value` are the dimensions of one head. Scores are scaled by the head width of the uncut model,
    width / heads, whatever is left of it: to remove a dimension of queries and keys is then to set it to zero.
    """

    def __init__(self, config: ModelConfig, query_key: int, value: int) -> None:
        super().__init__()
        self.heads = config.heads
        self.scale = (config.width // config.heads) ** -0.5
        self.query = nn.Linear(config.width, config.heads * query_key)
        self.key = nn.Linear(config.width, config.heads * query_key)
        self.value = nn.Linear(config.width, config.heads * value)
        self.out = nn.Linear(config.heads * value, config.width)

    def split(self, states: Tensor) -> Tensor:
        """(batch, length, heads * head width) to (batch, heads, length, head width)."""
        batch, length, width = states.shape
        return states.view(batch, length, self.heads, width // self.heads).transpose(1, 2)

    def project(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of `states`, each (batch, heads, length, head width)."""
        return self.split(self.key(states)), self.split(self.value(states))

    def attend(self, states: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        """Attention of `states` over projected keys and values; `mask` is True where it may look."""
        queries = self.split(self.query(states))
        on_cpu = queries.device.type == "cpu"
        if on_cpu and queries.requires_grad:
            mixed = _plain_attention(queries, keys, values, mask, self.scale)
        elif on_cpu and queries.shape[2] >= _LONG and mask.shape[:3] == (queries.shape[0], 1, 1):
            mixed = _row_attention(queries, keys, values, mask, self.scale)
        else:
            mixed = F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask, scale=self.scale)
        batch, _, length, _ = mixed.shape
        merged: Tensor = self.out(mixed.transpose(1, 2).reshape(batch, length, -1))
        return merged


_LONG = 128


def _row_attention(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor, scale: float) -> Tensor:
    """The same, row by row, so that its scores stay in the cache: 1.6 times as fast as the fused kernel at length 448.

    `mask` is (batch, 1, 1, keys), and nothing has a gradient.
    """
    _, heads, length, _ = queries.shape
    queries = queries * scale
    bias = torch.zeros(mask.shape, dtype=queries.dtype).masked_fill(~mask, float("-inf"))
    mixed = queries.new_empty(*queries.shape[:-1], values.shape[-1])
    for row in range(queries.shape[0]):
        scores = torch.baddbmm(bias[row].expand(heads, length, -1), queries[row], keys[row].transpose(-1, -2))
        mixed[row] = scores.softmax(-1) @ values[row]
    return mixed


def _plain_attention(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor, scale: float) -> Tensor:
    """The same attention written out: its backward pass is three times as fast on a CPU at these lengths.

    Scores are most of its memory traffic, so the queries are scaled instead of them, and the mask is added.
    """
    scores: Tensor = (queries * scale) @ keys.transpose(-1, -2)
    bias = torch.zeros(mask.shape, dtype=scores.dtype, device=mask.device).masked_fill(~mask, float("-inf"))
    return (scores + bias).softmax(-1).to(values.dtype) @ values


class FeedForward(nn.Module):
    """Two linear maps with a GELU between."""

    def __init__(self, config: ModelConfig, hidden: int) -> None:
        super().__init__()
        self.inner = nn.Linear(config.width, hidden)
        self.outer = nn.Linear(hidden, config.width)

    def forward(self, states: Tensor) -> Tensor:
        """(…, width) to (…, width)."""
        output: Tensor = self.outer(F.gelu(self.inner(states)))
        return output


def _feed_forward(config: ModelConfig, sizes: BlockSizes) -> FeedForward:
    """The block, or the experts that `model.compression` made of it."""
    if not sizes.experts:
        return FeedForward(config, sizes.feed_forward)
    from model.compression.experts import ExpertFeedForward

    return ExpertFeedForward(config, sizes)


class EncoderBlock(nn.Module):
    """Self-attention and feed-forward, each followed by a residual and a layer norm."""

    def __init__(self, config: ModelConfig, sizes: BlockSizes) -> None:
        super().__init__()
        self.attention = Attention(config, sizes.query_key, sizes.value)
        self.attention_norm = nn.LayerNorm(config.width, eps=1e-12)
        self.feed_forward = _feed_forward(config, sizes)
        self.feed_forward_norm = nn.LayerNorm(config.width, eps=1e-12)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """`states` (batch, length, width), `mask` (batch, 1, 1, length)."""
        keys, values = self.attention.project(states)
        states = self.attention_norm(states + self.dropout(self.attention.attend(states, keys, values, mask)))
        output: Tensor = self.feed_forward_norm(states + self.dropout(self.feed_forward(states)))
        return output


class DecoderBlock(nn.Module):
    """Self-attention, attention over the encoder's states, feed-forward; post-norm."""

    def __init__(self, config: ModelConfig, sizes: BlockSizes) -> None:
        super().__init__()
        self.attention = Attention(config, sizes.query_key, sizes.value)
        self.attention_norm = nn.LayerNorm(config.width, eps=1e-12)
        self.cross_attention = Attention(config, sizes.cross_query_key, sizes.cross_value)
        self.cross_attention_norm = nn.LayerNorm(config.width, eps=1e-12)
        self.feed_forward = _feed_forward(config, sizes)
        self.feed_forward_norm = nn.LayerNorm(config.width, eps=1e-12)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, states: Tensor, self_mask: Tensor, cross: tuple[Tensor, Tensor], cross_mask: Tensor) -> Tensor:
        """Whole answers at once: `states` (batch, length, width), masks as in `DecoderBatch`."""
        keys, values = self.attention.project(states)
        return self.rest(states, self.attention.attend(states, keys, values, self_mask), cross, cross_mask)

    def rest(self, states: Tensor, attended: Tensor, cross: tuple[Tensor, Tensor], cross_mask: Tensor) -> Tensor:
        """All that follows self-attention, shared by the cached and the uncached path."""
        states = self.attention_norm(states + self.dropout(attended))
        seen = self.cross_attention.attend(states, *cross, cross_mask)
        states = self.cross_attention_norm(states + self.dropout(seen))
        output: Tensor = self.feed_forward_norm(states + self.dropout(self.feed_forward(states)))
        return output


class Encoder(nn.Module):
    """Embeddings of token, position in the cell, column and role, then the blocks."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.tokens = nn.Embedding(config.vocabulary_size, config.width)
        self.positions = nn.Embedding(config.positions, config.width)
        self.columns = nn.Embedding(config.max_attributes + 1, config.width)
        self.roles = nn.Embedding(config.roles, config.width)
        self.norm = nn.LayerNorm(config.width, eps=1e-12)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(EncoderBlock(config, sizes) for sizes in config.blocks_of_encoder)

    def embed(self, ids: Tensor, positions: Tensor, columns: Tensor, roles: Tensor) -> Tensor:
        """Sum of the four embeddings, normalized; the decoder uses the same tables."""
        summed = self.tokens(ids) + self.positions(positions) + self.columns(columns) + self.roles(roles)
        embedded: Tensor = self.dropout(self.norm(summed))
        return embedded

    def embed_batch(self, batch: EncoderBatch) -> Tensor:
        """Embeddings of a batch, (batch, length, width)."""
        return self.embed(batch.ids, batch.positions, batch.columns, batch.roles)

    def forward(self, batch: EncoderBatch) -> Tensor:
        """Hidden states, (batch, length, width)."""
        states = self.embed_batch(batch)
        mask = batch.keep[:, None, None, :]
        for block in self.blocks:
            states = block(states, mask)
        return states


@dataclass(slots=True)
class DecoderCache:
    """What generation keeps between steps.

    `cross` holds one (keys, values) pair per block over the encoder's states, (batch, heads, length,
    head width); `past` one per block over the written tokens, (batch * slots, heads, steps, head width).
    """

    cross: list[tuple[Tensor, Tensor]]
    past: list[tuple[Tensor, Tensor]]

    def reorder(self, rows: Tensor) -> None:
        """Make row i of the past what row `rows[i]` was: beams that survive take their history along."""
        self.past = [(keys[rows], values[rows]) for keys, values in self.past]


class Decoder(nn.Module):
    """Writes answers: shared embeddings, blocks with cross-attention, vocabulary and copy in one mixture."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(DecoderBlock(config, sizes) for sizes in config.blocks_of_decoder)
        self.output = nn.Linear(config.width, config.width)
        self.output_norm = nn.LayerNorm(config.width, eps=1e-12)
        self.output_bias = nn.Parameter(torch.zeros(config.vocabulary_size))
        self.copy_query = nn.Linear(config.width, config.width)
        self.copy_key = nn.Linear(config.width, config.width)
        self.copy_gate = nn.Linear(config.width, 1)

    def cross(self, states: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Keys and values of the encoder's states for every block."""
        return [block.cross_attention.project(states) for block in self._blocks()]

    def _blocks(self) -> list[DecoderBlock]:
        return [block for block in self.blocks if isinstance(block, DecoderBlock)]

    def forward(
        self, embedded: Tensor, self_mask: Tensor, cross: list[tuple[Tensor, Tensor]], cross_mask: Tensor
    ) -> Tensor:
        """Hidden states of packed queries, (batch, length, width)."""
        states = embedded
        for block, pair in zip(self._blocks(), cross, strict=True):
            states = block(states, self_mask, pair, cross_mask)
        return states

    def step(self, embedded: Tensor, cache: DecoderCache, cross_mask: Tensor) -> Tensor:
        """One more token for each slot: `embedded` (batch, slots, width); the cache grows by one."""
        batch, slots, width = embedded.shape
        states = embedded
        for number, (block, pair) in enumerate(zip(self._blocks(), cache.cross, strict=True)):
            flat = states.reshape(batch * slots, 1, width)
            keys, values = block.attention.project(flat)
            if cache.past[number:]:
                earlier = cache.past[number]
                keys, values = torch.cat([earlier[0], keys], 2), torch.cat([earlier[1], values], 2)
                cache.past[number] = (keys, values)
            else:
                cache.past.append((keys, values))
            every = torch.ones(1, 1, 1, keys.shape[2], dtype=torch.bool, device=keys.device)
            attended = block.attention.attend(flat, keys, values, every).reshape(batch, slots, width)
            states = block.rest(states, attended, pair, cross_mask)
        return states

    def copy_attention(self, hidden: Tensor, copy_keys: Tensor, keep: Tensor) -> Tensor:
        """Log-probability of copying each encoder token: (batch, queries, length), float32."""
        scores: Tensor = self.copy_query(hidden) @ copy_keys.transpose(1, 2) / hidden.shape[-1] ** 0.5
        return scores.float().masked_fill(~keep[:, None, :], float("-inf")).log_softmax(-1)

    def gate(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities of writing from the vocabulary and of copying, each (…, 1) float32."""
        logit = self.copy_gate(hidden).float()
        return F.logsigmoid(logit), F.logsigmoid(-logit)

    def vocabulary(self, hidden: Tensor, tokens: Tensor) -> Tensor:
        """Log-probabilities over the vocabulary, (…, vocabulary) float32; `tokens` is the tied embedding."""
        scores: Tensor = self.output_norm(F.gelu(self.output(hidden))) @ tokens.T + self.output_bias
        return scores.float().log_softmax(-1)


class Head(nn.Module):
    """One hidden layer, then `outputs` numbers."""

    def __init__(self, config: ModelConfig, inputs: int, outputs: int) -> None:
        super().__init__()
        self.inner = nn.Linear(inputs, config.width)
        self.outer = nn.Linear(config.width, outputs)

    def forward(self, states: Tensor) -> Tensor:
        """(…, inputs) to (…, outputs)."""
        output: Tensor = self.outer(F.gelu(self.inner(states)))
        return output


class TupleDenoiser(nn.Module):
    """Encoder, decoder and heads. Masks are inferred from ids: 0 is padding.

    Heads: `detection` judges the `[V]` marker of a cell; `match` judges the `[T]` marker of a context
    tuple against the target; `embedding` maps a `[T]` or `[V]` state to a unit vector; `span` gives every
    token a start and an end score for a question.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.detection = Head(config, config.width, 1)
        self.match = Head(config, config.width, 1)
        self.embedding = Head(config, config.width, config.width)
        self.span = Head(config, config.width, 2)
        self.apply(_initialize)

    def encode(self, batch: EncoderBatch) -> Tensor:
        """Hidden states of the encoder, (batch, length, width)."""
        states: Tensor = self.encoder(batch)
        return states

    def detect(self, states: Tensor, example: Tensor, index: Tensor) -> Tensor:
        """Logit that a cell is wrong, float32 (cells,): cell i has its marker at `states[example[i], index[i]]`."""
        logits: Tensor = self.detection(states[example, index]).squeeze(-1)
        return logits.float()

    def match_logits(self, states: Tensor, example: Tensor, index: Tensor) -> Tensor:
        """Logit that a context tuple, by its `[T]` marker, is the same entity as the target; float32 (pairs,)."""
        logits: Tensor = self.match(states[example, index]).squeeze(-1)
        return logits.float()

    def embed(self, states: Tensor, example: Tensor, index: Tensor) -> Tensor:
        """Unit vectors of tuples (`[T]`) or cells (`[V]`), float32 (markers, width)."""
        return F.normalize(self.embedding(states[example, index]).float(), dim=-1)

    def span_logits(self, states: Tensor, batch: EncoderBatch, example: Tensor, index: Tensor) -> Tensor:
        """Start and end scores of the answer to each question, float32 (questions, length, 2).

        Question i has its marker at `states[example[i], index[i]]` and is asked of every token of its example
        (additive attention); pointing at its own marker says that there is no answer. Minus infinity on padding.
        """
        asked = states[example] + states[example, index][:, None]
        scores: Tensor = self.span(asked).float()
        return scores.masked_fill(~batch.keep[example][..., None], float("-inf"))

    def embed_answers(self, ids: Tensor, positions: Tensor, columns: Tensor) -> Tensor:
        """Decoder embeddings: the encoder's tables, role 0."""
        return self.encoder.embed(ids, positions, columns, torch.zeros_like(ids))

    def copy_keys(self, states: Tensor, batch: EncoderBatch) -> Tensor:
        """What the copy attention looks for: a token's state and what it is, (batch, length, width)."""
        keys: Tensor = self.decoder.copy_key(states + self.encoder.embed_batch(batch))
        return keys

    def decode(self, states: Tensor, batch: EncoderBatch, answers: DecoderBatch) -> Tensor:
        """Hidden states of packed answers, (batch, answer length, width)."""
        embedded = self.embed_answers(answers.ids, answers.positions, answers.columns)
        cross_mask = batch.keep[:, None, None, :]
        hidden: Tensor = self.decoder(embedded, answers.self_mask(), self.decoder.cross(states), cross_mask)
        return hidden

    def copying(self, hidden: Tensor, copy_keys: Tensor, batch: EncoderBatch) -> tuple[Tensor, Tensor]:
        """The gate's log share for writing, (batch, queries, 1), and log-probabilities of copying each encoder token
        with the gate's share in them, (batch, queries, length); float32."""
        write, copy = self.decoder.gate(hidden)
        return write, self.decoder.copy_attention(hidden, copy_keys, batch.keep) + copy

    def token_log_probabilities(
        self,
        hidden: Tensor,
        copying: tuple[Tensor, Tensor],
        batch: EncoderBatch,
        example: Tensor,
        index: Tensor,
        targets: Tensor,
    ) -> Tensor:
        """Log-probability of given next tokens, float32 (positions,).

        Args:
            hidden: decoder states, (batch, answer length, width).
            copying: what `copying` says of them.
            example, index, targets: position i asks for token `targets[i]` after `hidden[example[i], index[i]]`.
        """
        write, copied = copying
        vocabulary = self.decoder.vocabulary(hidden[example, index], self.encoder.tokens.weight)
        written = vocabulary.gather(1, targets[:, None]).squeeze(1) + write[example, index, 0]
        absent = batch.ids[example] != targets[:, None]  # (positions, encoder length)
        from_input = copied[example, index].masked_fill(absent, float("-inf")).logsumexp(-1)
        return torch.logaddexp(written, from_input)

    def chosen_next_token_log_probabilities(
        self, hidden: Tensor, copied: Tensor, ids: Tensor, written_share: Tensor
    ) -> Tensor:
        """Log-probabilities of every next token of some slots, float32 (slots, vocabulary).

        The same mixture as `next_token_log_probabilities`, but only the tokens that can be copied are mixed.

        Args:
            hidden: (slots, width).
            copied: log-probability of the token at each place of the slot's input being copied, summed over all places
                that hold the same token and mixed in by the gate, (slots, length).
            ids: the slot's input, (slots, length).
            written_share: log of the gate's share for writing, (slots, 1).
        """
        scores = self.decoder.vocabulary(hidden, self.encoder.tokens.weight) + written_share
        mixed = torch.logaddexp(scores.gather(1, ids), copied)
        return scores.scatter_reduce_(1, ids, mixed, "amax")  # mixing only adds, so the larger one is the mixture

    def next_token_log_probabilities(self, hidden: Tensor, copy_keys: Tensor, batch: EncoderBatch) -> Tensor:
        """Log-probabilities of every next token, float32 (batch, slots, vocabulary)."""
        write, copied = self.copying(hidden, copy_keys, batch)
        written = self.decoder.vocabulary(hidden, self.encoder.tokens.weight) + write
        ids = batch.ids[:, None, :].expand_as(copied)
        from_input = torch.zeros_like(written).scatter_add_(-1, ids, copied.exp())
        return (written.exp() + from_input).clamp_min(1e-30).log()


def _initialize(module: nn.Module) -> None:
    """BERT's initialization: normal with deviation 0.02, biases zero."""
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
