"""A text with questions as one encoder input, and which characters each of its tokens stands for.

    [T]  [A] text [V] …  [A] text 2 [V] …   [A] brand [V] [M]  [A] weight [V] [M]   [T] [V] … [V] Acme [V] [NULL]
         └ the text in pieces ───────────┘ └ one masked attribute per question ─┘  └ a text that was answered ───┘

RPT reads information extraction as question answering over a tuple (PVLDB 14(8), section 5): the text is a value, each
question an attribute whose value is masked, and an answered text stands in context as any other tuple does. A value
holds a few dozen tokens, so a longer text goes on in further attributes; nothing of it is cut. The tokenizer is
lossless, so tokens and characters can be told from one another exactly.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from model.serialization import EncoderInput, Mask, Part, TupleSerializer
from model.tokenizer import TupleTokenizer

TEXT = "text"
"""Attribute name of a text; its further pieces are `text 2`, `text 3` …"""

_LONGEST_TOKEN = 16
"""Bytes of the longest token that the tokenizer learns."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a text that is read as one value; `starts[i]` to `ends[i]` are the characters of its token i.

    A token may begin or end within a character, which then belongs to several tokens. Characters are counted from the
    beginning of the whole text.
    """

    text: str
    starts: tuple[int, ...]
    ends: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class AnsweredText:
    """A text with what was answered to each question: a value, None for no answer, `Mask()` where it is not known."""

    text: str
    answers: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """A text with its questions, serialized.

    Attributes:
        questions: the `[V]` marker of each question, an index into the encoder input.
        places: the index of each token of the text.
        starts, ends: the characters that each token of the text stands for.
    """

    text: str
    encoder_input: EncoderInput
    questions: tuple[int, ...]
    places: tuple[int, ...]
    starts: tuple[int, ...]
    ends: tuple[int, ...]

    def tokens(self, start: int, end: int) -> tuple[int, int]:
        """The first and the last token that hold the characters `start` to `end`, as indices into the input."""
        first, last = bisect_right(self.ends, start), bisect_left(self.starts, end) - 1
        return self.places[first], self.places[last]

    def characters(self, first: int, last: int) -> tuple[int, int]:
        """The characters of the tokens at `places[first]` to `places[last]`, without blanks around them."""
        start, end = self.starts[first], self.ends[last]
        value = self.text[start:end]
        start += len(value) - len(value.lstrip())
        return start, max(start, end - (len(value) - len(value.rstrip())))


class PassageReader:
    """Writes texts and questions with one serializer."""

    def __init__(self, serializer: TupleSerializer) -> None:
        self.serializer = serializer
        tokenizer = serializer.tokenizer
        self._lengths = [len(tokenizer.token_bytes(token_id)) for token_id in range(tokenizer.vocabulary_size)]

    @property
    def tokenizer(self) -> TupleTokenizer:
        """The tokenizer of all texts."""
        return self.serializer.tokenizer

    def read(
        self,
        text: str,
        questions: Sequence[str],
        answered: Sequence[AnsweredText] = (),
        column_ids: Sequence[int] | None = None,
    ) -> Reading:
        """Serialize `text` with `questions`, and behind it texts that were `answered`, each with an answer to each."""
        pieces = self.pieces(text)
        shown = [[piece.text for piece in self.pieces(one.text)] for one in answered]
        width = max(len(pieces), *map(len, shown)) if shown else len(pieces)
        names: list[Part] = [TEXT, *(f"{TEXT} {number}" for number in range(2, width + 1)), *questions]
        target: list[Part] = [piece.text for piece in pieces] + [None] * (width - len(pieces))
        target += [Mask() for _ in questions]
        context: list[list[Part]] = [
            [*texts, *[None] * (width - len(texts)), *one.answers] for texts, one in zip(shown, answered, strict=True)
        ]
        ids = column_ids if column_ids is None else column_ids[: len(names)]
        encoder_input = self.serializer.serialize(names, target, context, ids)
        markers = encoder_input.value_index.tolist()
        places = [markers[number] + 1 + token for number, one in enumerate(pieces) for token in range(len(one.starts))]
        starts = [start for piece in pieces for start in piece.starts]
        ends = [end for piece in pieces for end in piece.ends]
        return Reading(text, encoder_input, tuple(markers[width:]), tuple(places), tuple(starts), tuple(ends))

    def pieces(self, text: str) -> list[Piece]:
        """`text` in pieces that each fit a value; they end before a blank where there is one."""
        limit = self.serializer.config.max_value_tokens
        pieces: list[Piece] = []
        start = 0
        while start < len(text):
            head = text[start : start + limit * _LONGEST_TOKEN + 1]
            starts, ends = self._characters(head)
            while len(starts) > limit and len(head) > 1:
                head = head[: _cut(head, starts, ends, limit)]
                starts, ends = self._characters(head)
            shifted = [tuple(start + place for place in places) for places in (starts, ends)]
            pieces.append(Piece(head, shifted[0], shifted[1]))
            start += len(head)
        return pieces or [Piece("", (), ())]

    def _characters(self, text: str) -> tuple[list[int], list[int]]:
        """Where the characters of each token begin and end."""
        place, bounds = 0, [0]
        for token_id in self.tokenizer.encode(text):
            place += self._lengths[token_id]
            bounds.append(place)
        if text.isascii():
            return bounds[:-1], bounds[1:]
        owner = [n for n, character in enumerate(text) for _ in character.encode("utf-8", "surrogatepass")]
        return [owner[byte] for byte in bounds[:-1]], [owner[byte - 1] + 1 for byte in bounds[1:]]


def _cut(text: str, starts: Sequence[int], ends: Sequence[int], most: int) -> int:
    """Where to cut so that at most `most` tokens stay: before a blank in the second half, else between characters."""
    whole = [number for number in range(most, 0, -1) if starts[number] == ends[number - 1]]
    blank = [number for number in whole if text[starts[number]].isspace() and 2 * number >= most]
    return starts[(blank or whole)[0]] if whole else ends[0]


def question(name: str, description: str | None = None) -> str:
    """What is asked for an attribute, as the name of the masked value."""
    return f"{name}: {description}" if description else name
