"""A batch's texts through the model: each text once, like lengths together, next to no padding."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from embedsearch.device import has_cpu_bf16
from embedsearch.encoder.inputs import batches
from embedsearch.errors import ModelError

if TYPE_CHECKING:
    import torch

    from embedsearch.encoder.training.config import Precision
    from embedsearch.encoder.training.dataset import Text

TOKENIZED_AT_A_TIME = 1024


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """Texts behind the model, float32: unit `vectors` (texts, dim), unit `tokens` (texts, length,
    dim) and the `ids` they are of; `mask` is False for padding."""

    ids: torch.Tensor
    mask: torch.Tensor
    tokens: torch.Tensor
    vectors: torch.Tensor


@dataclass(frozen=True, kw_only=True)
class TextEmbedder:
    """The model in training, and all texts as token ids: they are tokenized once.

    `ids` are int32 tensors by the texts' numbers. `batch_tokens`, padding counted, go through the
    model at a time.
    """

    model: Any
    ids: Sequence[torch.Tensor]
    pad_id: int
    batch_tokens: int
    precision: Precision
    device: str

    def embed(self, texts: Sequence[int]) -> torch.Tensor:
        """Unit vectors of texts by their numbers, float32 of shape (len(texts), dim)."""
        import torch

        parts, order = [], []
        for part in self.parts(texts):
            parts.append(self._vectors([texts[place] for place in part]))
            order += part
        places = torch.empty(len(order), dtype=torch.long)
        places[torch.tensor(order)] = torch.arange(len(order))
        return torch.cat(parts)[places.to(self.device)]

    def backward(
        self, texts: Sequence[int], loss_of: Callable[[torch.Tensor], torch.Tensor], scale: float
    ) -> float:
        """The gradients of `loss_of(embed(texts))`, times `scale`, with little in memory.

        The texts are embedded without a graph, the loss is differentiated down to their vectors,
        and each part is embedded again to carry its gradients on (GradCache: Gao et al. 2021,
        "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup").
        """
        import torch

        seed = torch.initial_seed()
        torch.manual_seed(seed)
        with torch.no_grad():
            vectors = self.embed(texts)
        vectors.requires_grad_(True)
        loss = loss_of(vectors)
        (loss * scale).backward()  # type: ignore[no-untyped-call]
        assert vectors.grad is not None
        torch.manual_seed(seed)  # the same dropout as before
        for part in self.parts(texts):
            again = self._vectors([texts[place] for place in part])
            again.backward(vectors.grad[torch.tensor(part, device=self.device)])  # type: ignore[no-untyped-call]
        return float(loss.detach())

    def parts(self, texts: Sequence[int]) -> Iterator[list[int]]:
        """Places in `texts` of those that go through the model together."""
        return batches([len(self.ids[text]) for text in texts], self.batch_tokens)

    def forward(self, texts: Sequence[int]) -> Embedded:
        """All that the model says of texts that go through it together."""
        ids, mask = self._padded(texts)
        features = self._features(ids, mask)
        return Embedded(
            ids=ids,
            mask=mask.bool(),
            tokens=_unit(features["token_embeddings"]),
            vectors=_unit(features["sentence_embedding"]),
        )

    def _vectors(self, texts: Sequence[int]) -> torch.Tensor:
        return _unit(self._features(*self._padded(texts))["sentence_embedding"])

    def _padded(self, texts: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        import torch

        rows = [self.ids[text] for text in texts]
        longest = max(map(len, rows))
        ids = torch.full((len(rows), longest), self.pad_id, dtype=torch.long)
        mask = torch.zeros((len(rows), longest), dtype=torch.long)
        for place, row in enumerate(rows):
            ids[place, : len(row)] = row
            mask[place, : len(row)] = 1
        return ids.to(self.device), mask.to(self.device)

    def _features(self, ids: torch.Tensor, mask: torch.Tensor) -> Any:
        with half_precision(self.precision, self.device):
            return self.model({"input_ids": ids, "attention_mask": mask})


def _unit(vectors: torch.Tensor) -> torch.Tensor:
    import torch

    return torch.nn.functional.normalize(vectors.float(), dim=-1)


def tokenize(model: Any, texts: Sequence[Text], max_tokens: int | None) -> list[torch.Tensor]:
    """The ids that the model sees of each text, prompt and special tokens among them."""
    import torch

    found: list[torch.Tensor] = []
    prompts = model.prompts or {}
    with _cut_at(model, max_tokens):
        for start in range(0, len(texts), TOKENIZED_AT_A_TIME):
            part = texts[start : start + TOKENIZED_AT_A_TIME]
            features = model.preprocess([prompts.get(task, "") + text for task, text in part])
            for ids, mask in zip(features["input_ids"], features["attention_mask"], strict=True):
                found.append(ids[mask.bool()].to(torch.int32))
    return found


@contextmanager
def _cut_at(model: Any, max_tokens: int | None) -> Iterator[None]:
    """The model with this limit of tokens at most. Tokenizing leaves the limit in the tokenizer's
    own settings, which are saved with it; they are put back too."""
    limit, backend = model.max_seq_length, model.tokenizer.backend_tokenizer
    truncation, padding = backend.truncation, backend.padding
    if max_tokens is not None:
        model.max_seq_length = min(max_tokens, limit) if limit else max_tokens
    try:
        yield
    finally:
        if max_tokens is not None:
            model.max_seq_length = limit
        if truncation:
            backend.enable_truncation(**truncation)
        else:
            backend.no_truncation()
        if padding:
            backend.enable_padding(**padding)
        else:
            backend.no_padding()


def choose_precision(wanted: Precision, device: str) -> Precision:
    """What the products are computed in; `auto` is the best that the hardware has.

    Raises ModelError for float16 on a CPU, whose gradients would vanish unseen.
    """
    import torch

    kind = device.partition(":")[0]
    if wanted == "float16" and kind != "cuda":
        raise ModelError(f"float16 is for CUDA devices, not for {device!r}: use bfloat16 or auto")
    if wanted != "auto":
        return wanted
    if kind == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float16"
    return "bfloat16" if kind == "cpu" and has_cpu_bf16() else "float32"


def half_precision(precision: Precision, device: str) -> AbstractContextManager[Any]:
    """Matrix products in this precision; weights, sums and the optimizer stay in float32."""
    import torch

    if precision == "float32":
        return nullcontext()
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float16
    return torch.autocast(device.partition(":")[0], dtype)
