"""Pretrain the layers of a network, and unroll them into its encoder and decoder."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from sklearn.exceptions import ConvergenceWarning
from torch import nn

from sklearn_ae._rows import Rows
from sklearn_ae._warnings import warn
from sklearn_ae.modules import Autoencoder, Probabilities, Transposed
from sklearn_ae.pretraining.rbm import RBMPretraining
from sklearn_ae.pretraining.stacked import StackedDenoisingPretraining

LAYERS = (nn.Linear, Transposed)
NAMED: dict[str, Callable[[], Any]] = {
    "rbm": RBMPretraining,
    "denoising": StackedDenoisingPretraining,
}


def pretrain(method: Any, network: Autoencoder, rows: Rows, seed: int) -> None:
    """Pretrain the layers of a dense network, and put their weights into it.

    Parameters
    ----------
    method : RBMPretraining or StackedDenoisingPretraining
        How.
    network : Autoencoder
        A dense network, not yet trained, that starts at random.
    rows : Rows
        Scaled rows to train on.
    seed : int
        Seeds the weights, the order of the rows and the noise.

    Warns
    -----
    ConvergenceWarning
        If the pretraining diverged. The network then stays as it was.
    """
    encoder: Any = network.encoder
    decoder: Any = network.decoder
    probabilities = decoder if isinstance(decoder, Probabilities) else None
    up = [m for m in encoder if isinstance(m, nn.Linear)]
    down = [m for m in (decoder.decoder if probabilities else decoder) if isinstance(m, LAYERS)]
    layers = method.pretrain_layers(copy.deepcopy(encoder), rows, probabilities, seed)
    if not all(bool(torch.isfinite(value).all()) for layer in layers for value in layer):
        warn(
            f"pretraining={method!r} diverged, and its layers are not used. Try a smaller "
            "learning_rate.",
            ConvergenceWarning,
        )
        return
    with torch.no_grad():
        for layer, above, below in zip(layers, up, reversed(down), strict=True):
            weight, hidden_bias, visible_bias = layer
            above.weight.copy_(weight)
            above.bias.copy_(hidden_bias)
            if not isinstance(below, Transposed):
                below.weight.copy_(weight.T)
            below.bias.copy_(visible_bias)
        if probabilities and isinstance(method, RBMPretraining):
            # The machine saw probabilities; the network sees them centred and scaled.
            up[0].bias.add_(up[0].weight @ probabilities.shift)
            up[0].weight.mul_(probabilities.scale)
