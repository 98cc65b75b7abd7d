import pytest

from embedsearch.errors import InputError
from embedsearch.text.terms import Term, TermConfig, mine_terms
from embedsearch.text.tokenizer import Tokenizer
from tests.text.test_training import KINDS, SENTENCES, corpus

TERMS = ["embedding", "sentencepiece"]
TEXT = "An embedding of embeddings, or sentencepiece: <|user|> embedding"


@pytest.fixture(scope="module")
def trained() -> dict[str, Tokenizer]:
    texts = corpus(200)
    return {kind: Tokenizer.train(texts, kind=kind, vocab_size=400) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_terms_and_tags_become_tokens(trained, kind):
    before = trained[kind]
    after = before.with_tokens(TERMS, special_tokens=["<|user|>"])
    old, new = before.vocabulary(), after.vocabulary()
    assert old.items() < new.items()
    added = {number: token for token, number in new.items() if token not in old}
    assert sorted(added) == list(range(before.vocab_size, after.vocab_size))
    encoding = after.encode(TEXT, special_tokens=False)
    spans = {
        TEXT[start:end].strip(): number
        for number, (start, end) in zip(encoding.ids, encoding.offsets, strict=True)
    }
    for term in (*TERMS, "<|user|>"):
        assert spans[term] in added, (term, encoding.tokens)
    assert "embeddings" not in spans or spans["embeddings"] == old.get("[UNK]")
    assert after.token_to_id("<|user|>") in added
    tag = after.encode("<|user|>", special_tokens=False)
    assert after.decode(tag.ids) == ""


@pytest.mark.parametrize("kind", KINDS)
def test_other_texts_are_as_they_were(trained, kind):
    after = trained[kind].with_tokens(TERMS, special_tokens=["<|user|>"])
    for text in SENTENCES:
        assert after.encode(text) == trained[kind].encode(text)


@pytest.mark.parametrize("kind", ["byte", "byte-bpe", "bpe"])
def test_texts_with_terms_come_back(trained, kind):
    terms = {"byte": [], "bpe": [], "byte-bpe": ["größer", "语"]}[kind]
    after = trained[kind].with_tokens([*TERMS, *terms], special_tokens=["<|user|>"])
    text = "embedding größer embedding\nsentencepiece  语 <|user|>embedding"
    text = text if kind != "bpe" else "embedding an embedding, the"
    ids = after.encode(text, special_tokens=False).ids
    assert after.decode(ids, skip_special_tokens=False) == text


@pytest.mark.parametrize("kind", KINDS)
def test_an_extension_is_saved_and_transformers_loads_it(trained, kind, tmp_path):
    from transformers import AutoTokenizer

    after = trained[kind].with_tokens(TERMS, special_tokens=["<|user|>"])
    after.save(tmp_path)
    ids = after.encode(TEXT).ids
    assert Tokenizer.load(tmp_path).encode(TEXT).ids == ids
    theirs = AutoTokenizer.from_pretrained(str(tmp_path), local_files_only=True)
    assert theirs(TEXT)["input_ids"] == ids


@pytest.mark.parametrize("kind", KINDS)
def test_twice(trained, kind):
    once = trained[kind].with_tokens(TERMS, special_tokens=["<|user|>"])
    again = once.with_tokens(TERMS, special_tokens=["<|user|>"])
    assert again.vocabulary() == once.vocabulary()
    more = once.with_tokens(["further"], special_tokens=["<|bot|>"])
    assert once.vocabulary().items() < more.vocabulary().items()


def test_of_two_words():
    tokenizer = Tokenizer.train(corpus(50), kind="byte-bpe", vocab_size=400)
    after = tokenizer.with_tokens(["machine learning"])
    encoding = after.encode("Is machine learning machine learnings?")
    assert encoding.tokens.count("machine learning") == 1


@pytest.mark.parametrize(
    ("terms", "tags", "message"),
    [
        ([""], [], "the term '' must be a string that is not empty"),
        ([" x"], [], "without white space around it"),
        (["x", "x"], [], "'x' is given twice"),
        (["<x>"], ["<x>"], "'<x>' is given twice"),
        ("xyz", [], "must be a list of strings"),
        ([3], [], "must be a string"),
        (["a\ud800"], [], "has a lone surrogate"),
        ([], ["<\ud800>"], "has a lone surrogate"),
        ([], ["<größe>"], "'<größe>' cannot be added.*write it in ASCII"),
    ],
)
def test_terms_that_are_none(trained, terms, tags, message):
    with pytest.raises(InputError, match=message):
        trained["byte-bpe"].with_tokens(terms, special_tokens=tags)


def test_mining():
    tokenizer = Tokenizer.train(corpus(50), kind="byte-bpe", vocab_size=300)
    texts = ["the sentencepiece model"] * 9 + ["the rare embedding"] * 2 + ["fox 12345678 fox"] * 9
    found = mine_terms(tokenizer, texts, TermConfig(min_count=5, limit=2))
    pieces = len(tokenizer.encode(" sentencepiece").ids)
    assert found[0] == Term(text="sentencepiece", count=9, pieces=pieces)
    assert found[0].saved == 9 * (pieces - 1)
    assert len(found) == 2
    every = mine_terms(tokenizer, texts, TermConfig(min_count=1, min_pieces=2))
    assert {"sentencepiece", "rare", "embedding"} <= {term.text for term in every}
    assert "12345678" not in {term.text for term in every}
    assert [term.saved for term in every] == sorted((t.saved for t in every), reverse=True)


@pytest.mark.parametrize("kind", ["byte-bpe", "wordpiece"])
def test_what_a_term_saves_is_saved(trained, kind):
    texts = ["the sentencepiece model", "a sentencepiece fox"] * 10
    [term] = mine_terms(trained[kind], texts, TermConfig(limit=1))
    assert term.text == "sentencepiece"
    after = trained[kind].with_tokens([term.text])
    assert sum(trained[kind].count(texts)) - sum(after.count(texts)) == term.saved


def test_mining_nothing(trained):
    with pytest.raises(InputError, match="no words to mine"):
        mine_terms(trained["bpe"], ["", "123 !"])


@pytest.mark.parametrize("settings", [{"limit": 0}, {"min_count": 0}, {"min_pieces": 1}])
def test_settings_that_do_not_fit(settings):
    with pytest.raises(InputError, match=next(iter(settings))):
        TermConfig(**settings)
