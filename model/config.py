"""Configurations that live as long as the weights do: the network, its training, its corruptions.

Process settings are in `service/settings.py`, options of one call in `model/tuples.py`. Every field has
a default and a line of doc; impossible combinations are refused when the object is made.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BlockSizes:
    """Sizes inside one block of a model that was cut; its input and output keep the model's width.

    Attributes:
        query_key: dimensions of a head's queries and keys.
        value: dimensions of a head's values.
        feed_forward: width of the hidden layer of the feed-forward block.
        cross_query_key, cross_value: the same of attention over the encoder's states; 0 in an encoder block.
        experts: how many hidden units each expert of the feed-forward block has, where a router gives every token to
            one of them; `feed_forward` is then the union of the experts, which may overlap. Empty: there are none.
    """

    query_key: int
    value: int
    feed_forward: int
    cross_query_key: int = 0
    cross_value: int = 0
    experts: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.experts and not 1 <= min(self.experts) <= max(self.experts) <= self.feed_forward <= sum(self.experts):
            raise ValueError(f"experts of {self.experts} hidden units do not make up {self.feed_forward}")


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Shape of the tuple denoiser (DESIGN: deep encoder, shallow decoder; BART's post-norm blocks).

    Attributes:
        vocabulary_size: rows of the token embedding: special tokens, then byte-level BPE tokens.
        width: size of a hidden state.
        heads: attention heads; `width` is a multiple of it.
        feed_forward: width of the hidden layer of a feed-forward block.
        encoder_layers: blocks of the encoder.
        decoder_layers: blocks of the decoder.
        max_name_tokens: tokens of an attribute name that are read; the rest is cut.
        max_value_tokens: tokens of a value that are read or written; the rest is cut.
        max_attributes: column ids that exist; wider tuples are read in groups.
        max_context: context tuples that have a role of their own.
        dropout: probability of dropping a hidden unit during training.
        encoder_sizes, decoder_sizes: sizes of each block of a model that was cut (`model.compression`); empty where
            all blocks have the sizes above.
    """

    vocabulary_size: int = 16384
    width: int = 256
    heads: int = 8
    feed_forward: int = 1024
    encoder_layers: int = 6
    decoder_layers: int = 3
    max_name_tokens: int = 14
    max_value_tokens: int = 48
    max_attributes: int = 48
    max_context: int = 8
    dropout: float = 0.0
    encoder_sizes: tuple[BlockSizes, ...] = ()
    decoder_sizes: tuple[BlockSizes, ...] = ()

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        smallest = min(self.encoder_layers, self.decoder_layers, self.max_name_tokens, self.max_value_tokens)
        if smallest < 1 or self.max_attributes < 1 or self.max_context < 0:
            raise ValueError("layers, tokens and attributes must be at least 1, max_context at least 0")
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"dropout {self.dropout} is outside [0, 1)")
        self._check_sizes()

    def _check_sizes(self) -> None:
        for sizes, layers in ((self.encoder_sizes, self.encoder_layers), (self.decoder_sizes, self.decoder_layers)):
            if sizes and len(sizes) != layers:
                raise ValueError(f"{len(sizes)} block sizes for {layers} layers")
        if any(min(one.query_key, one.value, one.feed_forward) < 1 for one in self.encoder_sizes + self.decoder_sizes):
            raise ValueError("block sizes must be at least 1")
        if any(min(one.cross_query_key, one.cross_value) < 1 for one in self.decoder_sizes):
            raise ValueError("block sizes of a decoder name its attention over the encoder's states")

    @property
    def blocks_of_encoder(self) -> tuple[BlockSizes, ...]:
        """Sizes of every block of the encoder."""
        head = self.width // self.heads
        return self.encoder_sizes or (BlockSizes(head, head, self.feed_forward),) * self.encoder_layers

    @property
    def blocks_of_decoder(self) -> tuple[BlockSizes, ...]:
        """Sizes of every block of the decoder."""
        head = self.width // self.heads
        return self.decoder_sizes or (BlockSizes(head, head, self.feed_forward, head, head),) * self.decoder_layers

    @property
    def value_position(self) -> int:
        """Position of every `[V]` marker inside its cell; value tokens follow it, name tokens stand before it."""
        return self.max_name_tokens + 2

    @property
    def positions(self) -> int:
        """Rows of the position embedding: one cell, from its `[A]` to the end token of its value."""
        return self.value_position + self.max_value_tokens + 2

    @property
    def roles(self) -> int:
        """Rows of the role embedding: task, target tuple, then one per context tuple by rank."""
        return 2 + self.max_context


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """One training run; the same fields mean the same on CPU and GPU.

    Attributes:
        seed: all randomness of the run follows from it.
        steps: optimizer steps of the whole run (the learning-rate schedule ends there).
        batch_tokens: encoder tokens of one step, padding included.
        learning_rate: peak of the schedule.
        warmup_steps: linear warm-up before the cosine decay.
        weight_decay: AdamW's decay of matrices; vectors and embeddings are not decayed.
        clip_norm: gradient norm above which gradients are scaled down.
        answer_weight: weight of the decoder's loss; what has weight 0, here and below, is left out of fixed shapes.
        detection_weight: weight of the detection loss beside it.
        match_weight: weight of the match loss (which context tuples tell of the same entity) beside it.
        context_size: most context tuples behind a target; each example draws 0 to this many.
        episodes_per_chunk: episodes whose examples are length-sorted together; resuming is exact at chunk ends.
        examples_per_episode: target tuples drawn from one corrupted window of a table.
        max_tokens: encoder tokens of one example; context is dropped until it fits.
        derived_rate: share of windows with one more attribute, which a program computes from the others.
        exchanged_words_rate: share of windows whose words are exchanged for one another throughout.
        plain_names_rate: share of windows whose attribute names say nothing.
        fixed_shapes: 1 pads every batch to one of a few shapes (`model.dataset.BatchShape`), so that a GPU records a
            step of each shape once and repeats it; 0 pads a batch to its longest example. Recording takes a step more
            for each shape, so that on a GPU an interrupted run is no longer the uninterrupted one to the last bit.
        questions: questions about spans that an example asks on average, for which a fixed shape has room.
        save_seconds: seconds between two resume points.
    """

    seed: int = 0
    steps: int = 3400
    batch_tokens: int = 4096
    learning_rate: float = 6e-4
    warmup_steps: int = 200
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    answer_weight: float = 1.0
    detection_weight: float = 1.0
    match_weight: float = 0.5
    context_size: int = 8
    episodes_per_chunk: int = 32
    examples_per_episode: int = 16
    max_tokens: int = 768
    derived_rate: float = 0.25
    exchanged_words_rate: float = 0.15
    plain_names_rate: float = 0.05
    fixed_shapes: int = 0
    questions: int = 0
    save_seconds: float = 300.0

    def __post_init__(self) -> None:
        if self.steps < 1 or not 0 <= self.warmup_steps < self.steps:
            raise ValueError(f"warmup_steps {self.warmup_steps} must be at least 0 and below steps {self.steps}")
        if self.batch_tokens < self.max_tokens:
            raise ValueError(f"batch_tokens {self.batch_tokens} cannot hold one example of {self.max_tokens}")


@dataclass(frozen=True, slots=True)
class CorruptionConfig:
    """How an episode (a window of one table) is made dirty.

    The last fields are operator weights, named as in `model.corruption`: how often an operator is drawn
    relative to the others; 0 switches it off everywhere, in drifted columns and conflicting copies as well.

    Attributes:
        clean_table_rate: share of episodes left as they are.
        min_error_rate: smallest share of cells made wrong one by one or in runs in a corrupted episode.
        max_error_rate: largest such share; drift and conflicting copies come on top.
        typical_min_error_rate: lower end of the band most episodes are drawn from (log-uniform).
        typical_max_error_rate: upper end of that band.
        typical_share: share of the episodes in that band; the rest is log-uniform between min and max.
        min_operators: fewest kinds of error in one episode.
        max_operators: most kinds of error in one episode; fewer where fewer apply to the table.
        clean_column_rate: chance that a column has none of these errors.
        run_rate: chance that an error goes on over the next tuples.
        max_run: most consecutive tuples of such a run.
        placeholder_rate: chance that missing values of the episode are all written as one placeholder.
        drift_rate: chance that one column of the episode is written in another format for many tuples.
        min_drift: smallest share of that column that is drifted.
        max_drift: largest share of that column that is drifted.
        conflict_rate: chance that several sources report the same entities and disagree.
        named_source_rate: chance that an attribute then names the sources.
        min_sources: fewest sources that report one entity.
        max_sources: most sources that report one entity.
        max_conflict: largest share of one conflicting column that is reported wrong, on average.
        copied_error_rate: chance that a wrong source repeats the wrong value of another one.
        duplicate_rate: chance that, where no sources conflict, entities are told twice, the second time in other words.
        max_duplicates: largest share of the tuples that are told twice.
        keyboard_typo: a character replaced by its neighbour on the keyboard.
        letter_inserted: one character too many.
        letter_deleted: one character too few.
        letters_transposed: two neighbouring characters exchanged.
        letter_repeated: one character written twice or more.
        letter_replaced: one character throughout, or several, replaced by the same wrong letter.
        ocr_confusion: characters that look alike, `0` for `O`, `rn` for `m`.
        case_changed: upper, lower or title case instead of the true one.
        blanks_changed: leading, trailing, doubled, or lost blanks.
        punctuation_changed: punctuation lost, added or exchanged.
        words_changed: words exchanged, dropped or written twice.
        row_swap: the value of another tuple: valid, but not here.
        missing: the value lost, or a spelling of "missing" such as `N/A`.
        unit_changed: a unit added, dropped or spelled another way.
        number_format: separators, currency, percent, zeros, exponents.
        date_format: a date written another way.
        time_format: a time of day written another way, or with a date before it.
        phone_format: a phone number written another way.
        abbreviation: a word abbreviated or written out.
        truncated: the end or the start cut off.
        note_appended: a remark, footnote mark or question mark added.
        mojibake: text decoded with the wrong encoding, escaped, or stripped of accents.
        number_slip: a digit changed, digits exchanged, the point moved, a small difference.
        date_slip: another day, month or year than the true one.
        time_slip: some minutes or half a day off.
        column_swap: two values of one tuple exchanged.
        value_appended: the value of another attribute joined in, and sometimes lost where it was.
        violated_dependency: the value of another group where tuples that agree elsewhere agree on it.
    """

    clean_table_rate: float = 0.08
    min_error_rate: float = 0.005
    max_error_rate: float = 0.3
    typical_min_error_rate: float = 0.02
    typical_max_error_rate: float = 0.08
    typical_share: float = 0.65
    min_operators: int = 1
    max_operators: int = 5
    clean_column_rate: float = 0.3
    run_rate: float = 0.06
    max_run: int = 12
    placeholder_rate: float = 0.1
    drift_rate: float = 0.25
    min_drift: float = 0.1
    max_drift: float = 0.6
    conflict_rate: float = 0.2
    named_source_rate: float = 0.5
    min_sources: int = 3
    max_sources: int = 20
    max_conflict: float = 0.6
    copied_error_rate: float = 0.2
    duplicate_rate: float = 0.0
    max_duplicates: float = 0.5
    keyboard_typo: float = 1.0
    letter_inserted: float = 0.6
    letter_deleted: float = 0.8
    letters_transposed: float = 0.6
    letter_repeated: float = 0.4
    letter_replaced: float = 1.6
    ocr_confusion: float = 0.6
    case_changed: float = 0.6
    blanks_changed: float = 0.6
    punctuation_changed: float = 0.4
    words_changed: float = 0.5
    row_swap: float = 0.8
    missing: float = 1.6
    unit_changed: float = 0.8
    number_format: float = 0.8
    date_format: float = 0.8
    time_format: float = 0.8
    phone_format: float = 0.6
    abbreviation: float = 0.6
    truncated: float = 0.6
    note_appended: float = 0.3
    mojibake: float = 0.4
    number_slip: float = 0.8
    date_slip: float = 0.5
    time_slip: float = 0.5
    column_swap: float = 0.6
    value_appended: float = 0.7
    violated_dependency: float = 1.2

    def __post_init__(self) -> None:
        for name in self.__slots__:
            number = getattr(self, name)
            if not 0 <= number < float("inf"):
                raise ValueError(f"{name} {number} must be a number of at least 0")
        for name in _SHARES:
            if getattr(self, name) > 1:
                raise ValueError(f"{name} {getattr(self, name)} is a share and cannot exceed 1")
        for low, high in _ORDERED:
            if getattr(self, low) > getattr(self, high):
                raise ValueError(f"{low} {getattr(self, low)} is above {high} {getattr(self, high)}")
        if self.min_error_rate <= 0:
            raise ValueError("min_error_rate must be above 0; use clean_table_rate 1 for no errors")
        if self.min_operators < 1 or self.max_run < 2 or self.min_sources < 2:
            raise ValueError("min_operators must be at least 1, max_run and min_sources at least 2")


_SHARES = (
    "clean_table_rate", "max_error_rate", "typical_share", "clean_column_rate", "run_rate", "placeholder_rate",
    "drift_rate", "max_drift", "conflict_rate", "named_source_rate", "max_conflict", "copied_error_rate",
    "duplicate_rate", "max_duplicates",
)  # fmt: skip
_ORDERED = (
    ("min_error_rate", "typical_min_error_rate"),
    ("typical_min_error_rate", "typical_max_error_rate"),
    ("typical_max_error_rate", "max_error_rate"),
    ("min_operators", "max_operators"),
    ("min_drift", "max_drift"),
    ("min_sources", "max_sources"),
)
