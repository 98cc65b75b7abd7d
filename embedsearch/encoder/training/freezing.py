"""Which weights learn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from embedsearch.encoder.torch_engine import quiet
from embedsearch.errors import InputError

if TYPE_CHECKING:
    import torch

    from embedsearch.encoder.training.config import EncoderTrainingConfig


def freeze(model: Any, config: EncoderTrainingConfig) -> list[torch.nn.Parameter]:
    """Freezes what the config says, and gives the weights that are left to learn.

    `freeze_layers` freezes the embeddings below the layers too. Raises InputError where the model
    has fewer layers, or nothing would learn.
    """
    network = model[0].auto_model
    pooler = getattr(network, "pooler", None)
    if pooler is not None:  # BERT's own, which no vector passes
        pooler.requires_grad_(False)
    if config.freeze_embeddings or config.freeze_layers:
        for weight in _embeddings(network).parameters():
            weight.requires_grad_(False)
    layers = _layers(network)
    if config.freeze_layers > len(layers):
        raise InputError(
            f"freeze_layers is {config.freeze_layers}, and the model has {len(layers)} layers"
        )
    for layer in layers[: config.freeze_layers]:
        for weight in layer.parameters():
            weight.requires_grad_(False)
    learning = [weight for weight in model.parameters() if weight.requires_grad]
    if not learning:
        raise InputError("all of the model is frozen: lower freeze_layers")
    return learning


def _embeddings(network: Any) -> Any:
    """The module of all embeddings, positions among them; at least that of the words."""
    return getattr(network, "embeddings", None) or network.get_input_embeddings()


def _layers(network: Any) -> list[Any]:
    """The blocks of a transformer, lowest first: its longest list of modules."""
    import torch

    lists = [module for module in network.modules() if isinstance(module, torch.nn.ModuleList)]
    return list(max(lists, key=len, default=[]))


def prepare_mode(model: Any, config: EncoderTrainingConfig, device: str) -> None:
    """Training mode where there is to be dropout; without, the layers alone are told so, which
    otherwise would not compute their activations again for checkpointed gradients."""
    model.train(config.dropout)
    if device == "cpu":
        # the gradients of torch's fused attention take longer there than those of its steps
        with quiet():  # about a model that knows no other
            model[0].auto_model.set_attn_implementation("eager")
    if config.gradient_checkpointing:
        network = model[0].auto_model
        # the older name warns in the releases that have the newer one
        enable = getattr(network, "activation_checkpointing_enable", None)
        (enable or network.gradient_checkpointing_enable)({"use_reentrant": False})
        for layer in _layers(network):
            layer.training = True
