import numpy as np
import pytest

from embedsearch.errors import InputError, ModelError
from embedsearch.text.tokenizer import Tokenizer
from embedsearch.tuning.embeddings import check_vocabulary, resize_embeddings
from tests.text.test_training import corpus

torch = pytest.importorskip("torch")

TERMS, TAGS = ["sentencepiece", "zebra"], ["<|user|>"]


@pytest.fixture(scope="module")
def tokenizers() -> tuple[Tokenizer, Tokenizer]:
    before = Tokenizer.train(corpus(100), kind="byte-bpe", vocab_size=320)
    return before, before.with_tokens(TERMS, special_tokens=TAGS)


def gpt2(rows: int, *, tied: bool):
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=rows, n_positions=32, n_embd=16, n_layer=1, n_head=2, tie_word_embeddings=tied
    )
    return GPT2LMHeadModel(config).eval()


def bert(rows: int):
    """A masked language model, whose output has a bias for each token."""
    from transformers import BertConfig, BertForMaskedLM

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=rows,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
    )
    model = BertForMaskedLM(config).eval()
    with torch.no_grad():
        model.get_output_embeddings().bias.copy_(torch.arange(rows) / rows)
    return model


def tables(model) -> list[np.ndarray]:
    output = model.get_output_embeddings()
    found = [model.get_input_embeddings().weight, output.weight]
    if output.bias is not None:
        found.append(output.bias)
    return [table.detach().numpy().copy() for table in found]


def pieces_of(term: str, before: Tokenizer) -> dict[str, list[int]]:
    """By the name of the token that stands for it: the word alone and behind a blank."""
    return {
        term: before.encode(term, special_tokens=False).ids,
        f"Ġ{term}": before.encode(f" {term}", special_tokens=False).ids,
    }


@pytest.mark.parametrize("spare", [0, 2, 64])
@pytest.mark.parametrize("make", ["tied", "untied", "bert"])
def test_new_rows_are_means_of_pieces(tokenizers, make, spare):
    before, after = tokenizers
    rows = before.vocab_size + spare
    model = bert(rows) if make == "bert" else gpt2(rows, tied=make == "tied")
    old = tables(model)
    resized = resize_embeddings(model, before, after)
    new = tables(model)
    assert resized.rows_before == rows
    assert resized.rows == max(rows, after.vocab_size) == len(new[0])
    assert resized.new_ids == tuple(range(before.vocab_size, after.vocab_size))
    for was, now in zip(old, new, strict=True):
        np.testing.assert_array_equal(now[: before.vocab_size], was[: before.vocab_size])
        for term in TERMS:
            for token, pieces in pieces_of(term, before).items():
                assert len(pieces) > 1
                found = now[after.token_to_id(token)]
                np.testing.assert_allclose(found, was[pieces].mean(axis=0), atol=1e-6)
        tag = now[after.token_to_id("<|user|>")]
        np.testing.assert_allclose(tag, was[: before.vocab_size].mean(axis=0), atol=1e-6)
    shared = model.get_input_embeddings().weight is model.get_output_embeddings().weight
    assert shared == (make != "untied")
    assert model.config.vocab_size == resized.rows


def test_a_resized_model_runs_is_saved_and_loaded(tokenizers, tmp_path):
    from transformers import GPT2LMHeadModel

    before, after = tokenizers
    model = gpt2(before.vocab_size, tied=False)
    resize_embeddings(model, before, after)
    model.save_pretrained(tmp_path)
    again = GPT2LMHeadModel.from_pretrained(tmp_path).eval()
    ids = torch.tensor([after.encode("the sentencepiece fox").ids])
    with torch.no_grad():
        np.testing.assert_allclose(model(ids).logits, again(ids).logits, atol=1e-6)
        assert model(ids).logits.shape[-1] == after.vocab_size


def test_the_same_tokenizer_changes_nothing(tokenizers):
    before, _ = tokenizers
    model = gpt2(before.vocab_size, tied=True)
    old = tables(model)
    assert resize_embeddings(model, before, before).new_ids == ()
    np.testing.assert_array_equal(tables(model)[0], old[0])


def test_a_model_of_another_tokenizer(tokenizers):
    before, after = tokenizers
    model = gpt2(100, tied=True)
    with pytest.raises(ModelError, match="tokenizer has 320 ids and the model's embedding 100"):
        resize_embeddings(model, before, after)
    with pytest.raises(ModelError, match="do not belong together"):
        check_vocabulary(model, before)
    check_vocabulary(gpt2(320, tied=True), before)


def test_a_tokenizer_that_is_no_extension(tokenizers):
    before, _ = tokenizers
    other = Tokenizer.train(["quite other words"], kind="byte-bpe", vocab_size=300)
    with pytest.raises(InputError, match="no extension of the old one"):
        resize_embeddings(gpt2(before.vocab_size, tied=True), before, other)
