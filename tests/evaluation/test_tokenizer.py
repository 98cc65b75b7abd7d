import json

import pytest

import embedsearch as es
from embedsearch.errors import InputError, NotFoundError
from tests.encoder.tiny import make_tiny_model
from tests.support import write
from tests.text.toys import char, wordpiece

CORPUS = [
    {"_id": "1", "title": "The cat", "text": "sat on the mat " * 20, "metadata": {"lang": "en"}},
    {"_id": "2", "title": "", "text": "the dog ran", "metadata": {"lang": "en"}},
    {"_id": "3", "title": "", "text": "the moon and the sea " * 30, "metadata": {"language": "de"}},
    {"_id": "4", "title": "", "text": "flour water salt"},
]


@pytest.fixture
def judged(tmp_path):
    write(tmp_path / "set/corpus.jsonl", "".join(json.dumps(line) + "\n" for line in CORPUS))
    write(tmp_path / "set/qrels/test.tsv", "query-id\tcorpus-id\tscore\nq\t1\t1\nq\t3\t0\n")
    write(tmp_path / "set/qrels/dev.tsv", "query-id\tcorpus-id\tscore\np\t2\t2\n")
    return tmp_path / "set"


def test_what_is_cut_is_what_the_encoder_does_not_see(judged, tmp_path):
    folder = make_tiny_model(tmp_path / "tiny", max_seq_length=64)
    encoder = es.SentenceEncoder.load(folder)
    texts = [f"{line['title']}\n{line['text']}".strip("\n") for line in CORPUS]
    config = es.TokenizerEvaluationConfig(limits=(64, 10_000))
    [found] = es.evaluate_tokenizers(judged, [folder], config)
    assert found.tokenizer == str(folder)
    assert found.special_tokens == 2
    counts = encoder.token_count(texts)
    assert found.total.tokens == sum(counts)
    assert (found.total.longest, found.total.documents) == (max(counts), 4)
    cut, uncut = found.total.cut_off
    assert cut.tokens_cut == encoder.truncated_tokens(texts) > 0
    assert cut.documents_cut == sum(encoder.truncated_tokens([text]) > 0 for text in texts) == 2
    assert cut.documents_cut_share == 0.5
    assert cut.tokens_cut_share == cut.tokens_cut / sum(counts)
    assert (found.total.relevant_documents, cut.relevant_documents_cut) == (2, 1)
    assert (uncut.documents_cut, uncut.tokens_cut, uncut.tokens_cut_share) == (0, 0, 0.0)


def test_language_by_language(judged):
    config = es.TokenizerEvaluationConfig(limits=(100,))
    found = es.evaluate_tokenizers(judged, {"c": char(), "w": wordpiece()}, config)
    assert [each.tokenizer for each in found] == ["c", "w"]
    by_language = {each.language: each for each in found[0].languages}
    assert list(by_language) == ["", "de", "en"]
    texts = {"": [16], "de": [630], "en": [7 + 1 + 300, 11]}  # characters, with the title's line
    for language, counts in texts.items():
        each = by_language[language]
        assert (each.documents, each.tokens, each.longest) == (
            len(counts),
            sum(counts),
            max(counts),
        )
        assert each.median_tokens == sum(counts) / len(counts)
        assert each.cut_off[0].tokens_cut == sum(max(0, count - 100) for count in counts)
    assert found[0].total.tokens == sum(each.tokens for each in found[0].languages)
    data = json.loads(json.dumps(found[0].as_json()))
    assert data.keys() >= {"tokenizer", "documents", "tokens", "cut_off", "languages"}
    assert data["cut_off"][0].keys() >= {"limit", "documents_cut", "tokens_cut", "tokens_cut_share"}


def test_without_judgements(judged):
    for file in (judged / "qrels").iterdir():
        file.unlink()
    [found] = es.evaluate_tokenizers(judged, [char()])
    assert found.total.relevant_documents == 0
    assert [cut.limit for cut in found.total.cut_off] == [256, 512]


def test_bad_input(tmp_path):
    with pytest.raises(NotFoundError, match=r"corpus\.jsonl"):
        es.evaluate_tokenizers(tmp_path, [char()])
    (tmp_path / "corpus").mkdir()
    with pytest.raises(InputError, match="no documents"):
        es.evaluate_tokenizers(tmp_path, [char()])
    for limits in ((), (0,), (1.5,), (True,)):
        with pytest.raises(InputError, match="limit"):
            es.TokenizerEvaluationConfig(limits=limits)
