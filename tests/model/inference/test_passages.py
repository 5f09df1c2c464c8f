"""Texts in pieces, and characters and tokens told from one another exactly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.inference.passages import AnsweredText, PassageReader, question
from model.serialization import Mask, TupleSerializer
from model.tokenizer import SpecialToken, TupleTokenizer

AWKWARD = [
    "a",
    "b",
    " ",
    "  ",
    "\r\n",
    "é",
    "e\u0301",
    "😀",
    "👩‍👩‍👧",
    "日本",
    "12",
    "-",
    "Metal",
    "phone",
    "\ud800",
    "\t",
    "ß",
]
texts = st.lists(st.sampled_from(AWKWARD), max_size=80).map("".join)


@pytest.fixture(scope="module")
def reader(serializer: TupleSerializer) -> PassageReader:
    """Of the tiny tokenizer: sixteen tokens a value."""
    return PassageReader(serializer)


@settings(deadline=None)
@given(text=texts)
def test_pieces_are_the_text_and_each_fits_a_value(reader: PassageReader, text: str) -> None:
    pieces = reader.pieces(text)
    assert "".join(piece.text for piece in pieces) == text
    limit = reader.serializer.config.max_value_tokens
    assert [len(reader.tokenizer.encode(piece.text)) for piece in pieces] == [len(piece.starts) for piece in pieces]
    assert max(len(piece.starts) for piece in pieces) <= limit


@settings(deadline=None)
@given(text=texts.filter(str.strip), data=st.data())
def test_tokens_of_a_value_lead_back_to_it(reader: PassageReader, text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    reading = reader.read(text, ["name"])
    first, last = (reading.places.index(place) for place in reading.tokens(start, end))
    found = reading.characters(first, last)
    value = text[slice(*found)]
    assert value == value.strip()
    assert text[start:end].strip() in value
    assert first == last or reading.ends[first] > start and reading.starts[last] < end


def test_places_point_at_the_tokens_of_the_text(reader: PassageReader, tokenizer: TupleTokenizer) -> None:
    text = "Chloé Martin, phone number 233-4567 in San Francisco, price 12.50 USD, name café naïve"
    reading = reader.read(text, ["city", "zip code"])
    assert len(reader.pieces(text)) > 1
    assert tokenizer.decode(reading.encoder_input.ids[list(reading.places)].tolist()) == text
    assert [text[slice(*reading.characters(n, n))] for n in range(3)] == [
        text[reading.starts[n] : reading.ends[n]].strip() for n in range(3)
    ]


def test_a_question_is_an_attribute_whose_value_is_masked(reader: PassageReader, tokenizer: TupleTokenizer) -> None:
    reading = reader.read("Anna Weber, Denver", ["city", "state"])
    ids = reading.encoder_input.ids
    assert [ids[place] for place in reading.questions] == [SpecialToken.VALUE] * 2
    assert [ids[place + 1] for place in reading.questions] == [SpecialToken.MASK] * 2
    assert (
        tokenizer.decode(ids[reading.questions[0] - len(tokenizer.encode("city")) : reading.questions[0]].tolist())
        == "city"
    )


def test_an_answered_text_stands_in_context_with_its_answers(reader: PassageReader, tokenizer: TupleTokenizer) -> None:
    shown = AnsweredText("Eve Adams, Chicago", ("Chicago", None, Mask()))
    reading = reader.read("Anna Weber", ["city", "state", "zip"], [shown])
    one = reading.encoder_input
    places = one.context_index[0].tolist()
    assert tokenizer.decode(one.ids[places[0] + 1 : places[1]].tolist()) == "Eve Adams, Chicago"
    assert tokenizer.decode(one.ids[places[1] + 1 : places[2]].tolist()) == "Chicago"
    assert one.ids[places[2] + 1] == SpecialToken.NULL
    assert one.ids[places[3] + 1] == SpecialToken.MASK


def test_an_answered_text_may_be_longer_than_the_text(reader: PassageReader) -> None:
    long = "Anna Weber lives in San Francisco and Grace Hopper in New York, " * 3
    reading = reader.read("Eve Adams", ["city"], [AnsweredText(long, ("New York",))])
    pieces = len(reader.pieces(long))
    assert pieces > 1
    assert reading.encoder_input.context_index.shape == (1, pieces + 1)
    assert reading.text[slice(*reading.characters(0, len(reading.places) - 1))] == "Eve Adams"


def test_column_ids_are_as_given(reader: PassageReader) -> None:
    reading = reader.read("Anna", ["city"], column_ids=[7, 3, 9])
    assert np.array_equal(reading.encoder_input.column_ids, [7, 3])


def test_a_description_becomes_part_of_the_question() -> None:
    assert question("size", "of the memory") == "size: of the memory"
    assert question("size") == "size"
