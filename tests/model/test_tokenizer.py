"""The tokenizer loses nothing, keeps digits apart, and gives no text the id of a marker."""

from __future__ import annotations

import json
import os
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.checkpoint import DEFAULT_PATH
from model.corpus import read_tables
from model.errors import CheckpointError
from model.tokenizer import SpecialToken, TupleTokenizer

ANY_CHARACTER = st.one_of(st.characters(), st.characters(categories=["Cs"]), st.sampled_from("\x00 \t\r\n0Aé€😀"))
ANY_TEXT = st.text(ANY_CHARACTER, max_size=80)
MARKERS = ("[A]", "[V]", "[M]", "[NULL]", "[=]", "[T]", "[CUT]", "[END]", "<pad>", "[PAD]", "<s>", "</s>", "<mask>",
           "[MASK]", "[CLS]", "[SEP]", "<|endoftext|>", "[FILL]", "[REPAIR]", "[NAME]", "<unk>", "[UNK]")  # fmt: skip


@pytest.fixture(scope="module")
def shipped() -> TupleTokenizer:
    path = DEFAULT_PATH / "tokenizer.json"
    if not path.exists():
        pytest.skip("no shipped checkpoint in this tree")
    return TupleTokenizer.load(path)


@settings(deadline=None, max_examples=300)
@given(text=ANY_TEXT)
def test_every_text_comes_back_from_its_ids(tokenizer: TupleTokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text


@settings(deadline=None, max_examples=300)
@given(text=ANY_TEXT)
def test_no_text_has_a_special_id(tokenizer: TupleTokenizer, text: str) -> None:
    assert all(token_id >= len(SpecialToken) for token_id in tokenizer.encode(text))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\ud800",
        "\udfff tail",
        "\ud83d\ude00",
        "a\ud800é\x00😀",
        "\x00",
        "\ufeff",
        "\u202e",
        "x" * 5000,
        "e\u0301 \u00e9",
        "١٢٣ ½ Ⅷ",
    ],
)
def test_odd_texts_come_back_from_their_ids(tokenizer: TupleTokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text


@settings(deadline=None, max_examples=300)
@given(text=ANY_TEXT)
def test_every_text_comes_back_from_the_ids_of_the_shipped_tokenizer(shipped: TupleTokenizer, text: str) -> None:
    ids = shipped.encode(text)
    assert shipped.decode(ids) == text
    assert all(len(SpecialToken) <= token_id < shipped.vocabulary_size for token_id in ids)


def test_ten_thousand_corpus_strings_come_back_from_the_shipped_tokenizer(shipped: TupleTokenizer) -> None:
    folder = os.environ.get("RPT_CORPUS")
    if not folder or not (Path(folder) / "sample.jsonl.zst").exists():
        pytest.skip("RPT_CORPUS names no corpus folder with sample.jsonl.zst")
    cells = (
        value
        for table in read_tables(Path(folder) / "sample.jsonl.zst")
        for row in (table.relation.attributes, *table.relation.tuples)
        for value in row
        if value
    )
    texts = list(islice(dict.fromkeys(cells), 10_000))
    assert len(texts) == 10_000
    lost = [text for text in texts if shipped.decode(shipped.encode(text)) != text]
    assert lost == []


@pytest.mark.parametrize("name", ["tokenizer", "shipped"])
def test_a_digit_is_always_a_token_of_its_own(name: str, request: pytest.FixtureRequest) -> None:
    tokenizer: TupleTokenizer = request.getfixturevalue(name)
    digits = set(b"0123456789")
    with_digits = [
        text for token in range(tokenizer.vocabulary_size) if digits & set(text := tokenizer.token_bytes(token))
    ]
    assert sorted(with_digits) == [bytes([digit]) for digit in sorted(digits)]
    assert [tokenizer.token_bytes(token) for token in tokenizer.encode("2020-1")] == [
        b"2",
        b"0",
        b"2",
        b"0",
        b"-",
        b"1",
    ]


def test_case_is_kept(tokenizer: TupleTokenizer) -> None:
    assert tokenizer.encode("Denver") != tokenizer.encode("denver")


@pytest.mark.parametrize("text", MARKERS)
def test_a_marker_name_is_ordinary_text(tokenizer: TupleTokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert min(ids) >= len(SpecialToken)
    assert tokenizer.decode(ids) == text


def test_special_tokens_stand_for_no_bytes(tokenizer: TupleTokenizer) -> None:
    assert [tokenizer.token_bytes(token) for token in SpecialToken] == [b""] * len(SpecialToken)
    ids = tokenizer.encode("ab")
    assert tokenizer.decode([SpecialToken.VALUE, *ids, SpecialToken.END]) == "ab"


def test_bytes_that_are_no_text_become_replacement_characters(tokenizer: TupleTokenizer) -> None:
    first_byte = tokenizer.encode("\ud800")[0]
    assert tokenizer.token_bytes(first_byte) == b"\xed"
    assert tokenizer.decode([first_byte]) == "\ufffd"


def test_frequent_texts_need_few_tokens(tokenizer: TupleTokenizer) -> None:
    assert len(tokenizer.encode("San Francisco")) < 6
    assert len(tokenizer.encode("qzxjkvw")) == 7


def test_short_and_long_texts_are_encoded_alike(tokenizer: TupleTokenizer) -> None:
    word = "Denver "
    once = tokenizer.encode(word)
    assert tokenizer.encode(word) is once  # remembered
    assert tokenizer.encode(word * 20) == once * 20  # longer than what is remembered


def test_vocabulary_has_the_size_asked_for() -> None:
    texts = [f"{a}{b}{a}" for a in "abcdefghij" for b in "klmnopqrst"] * 3
    assert TupleTokenizer.train(texts, 300).vocabulary_size == 300


def test_training_twice_gives_the_same_tokenizer() -> None:
    texts = ["red green", "green blue", "blue red"] * 4
    one, two = TupleTokenizer.train(texts, 290), TupleTokenizer.train(texts, 290)
    assert one.encode("red green blue") == two.encode("red green blue")


def test_a_saved_tokenizer_encodes_as_before(tokenizer: TupleTokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path / "tokenizer.json")
    loaded = TupleTokenizer.load(tmp_path / "tokenizer.json")
    assert loaded.vocabulary_size == tokenizer.vocabulary_size
    for text in ("San Francisco", "P0001", "\ud800é", ""):
        assert loaded.encode(text) == tokenizer.encode(text)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"model": {"type": "BPE"}}'])
def test_a_damaged_tokenizer_file_is_named(content: str, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"tokenizer\.json"):
        TupleTokenizer.load(path)


def test_a_tokenizer_of_another_kind_is_refused(tokenizer: TupleTokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path / "tokenizer.json")
    record = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    record["model"]["vocab"] |= {"☃": len(record["model"]["vocab"])}
    (tmp_path / "tokenizer.json").write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"tokenizer\.json"):
        TupleTokenizer.load(tmp_path / "tokenizer.json")


def test_a_missing_tokenizer_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"tokenizer\.json"):
        TupleTokenizer.load(tmp_path / "tokenizer.json")
