"""Pretraining by denoising autoencoders of one layer."""

import copy
from numbers import Integral, Real
from typing import Any, ClassVar

import torch
from torch import nn

from sklearn_ae._optimizers import Adam
from sklearn_ae._rows import Batches, Rows
from sklearn_ae._sklearn import Interval
from sklearn_ae.corruption import Masking
from sklearn_ae.losses import BinaryLogLoss, SquaredError
from sklearn_ae.modules import Probabilities, Transposed
from sklearn_ae.pretraining.base import Pretraining


class StackedDenoisingPretraining(Pretraining):
    """Pretrain each layer as a denoising autoencoder on the output of those below.

    Encoder and decoder of a layer share their weights. A share of the cells of its input is masked,
    and the layer learns to rebuild what they were.

    Parameters
    ----------
    corruption_level : float, default=0.25
        Probability that a cell is masked.
    learning_rate : float, default=1e-3
        Of Adam.
    max_iter : int, default=10
        Epochs a layer.
    batch_size : int, default=128
        Rows a step.

    Notes
    -----
    The loss is the cross-entropy where a layer rebuilds logistic units, or rows of
    ``loss="binary_log_loss"``, and the squared error elsewhere.

    NOTE[DIFF]: The paper trains by stochastic gradient descent; here it is Adam.

    References
    ----------
    P. Vincent, H. Larochelle, I. Lajoie, Y. Bengio, P.-A. Manzagol, "Stacked Denoising
    Autoencoders", Journal of Machine Learning Research 11:3371, 2010.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_ae import AutoencoderTransformer
    >>> from sklearn_ae.pretraining import StackedDenoisingPretraining
    >>> X = load_digits().data
    >>> autoencoder = AutoencoderTransformer(
    ...     n_components=8,
    ...     hidden_layer_sizes=(64, 32),
    ...     init="random",
    ...     max_iter=5,
    ...     pretraining=StackedDenoisingPretraining(max_iter=5),
    ... ).fit(X)
    >>> autoencoder.transform(X).shape
    (1797, 8)
    """

    _parameter_constraints: ClassVar[dict] = {
        "corruption_level": [Interval(Real, 0, 1, closed="both")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        *,
        corruption_level: float = 0.25,
        learning_rate: float = 1e-3,
        max_iter: int = 10,
        batch_size: int = 128,
    ):
        self.corruption_level = corruption_level
        self.learning_rate = learning_rate
        self.max_iter = max_iter
        self.batch_size = batch_size

    def pretrain_layers(
        self, encoder: nn.Sequential, rows: Rows, probabilities: Probabilities | None, seed: int
    ) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """Train an autoencoder for each layer, in place of it.

        Parameters
        ----------
        encoder : nn.Sequential
            Dense layers, which are trained.
        rows : Rows
            Scaled rows.
        probabilities : Probabilities or None
            The network's output, in whose units the rows are, where they stand for probabilities.
        seed : int
            Seeds the order of the rows and the masks.

        Returns
        -------
        layers : list of (weight, hidden_bias, visible_bias)
            Of shapes ``(n_hidden, n_visible)``, ``(n_hidden,)`` and ``(n_visible,)``.
        """
        order = torch.Generator("cpu").manual_seed(seed)
        masks = torch.Generator(rows.device).manual_seed(seed)
        layers = []
        linear = [i for i, module in enumerate(encoder) if isinstance(module, nn.Linear)]
        for start, stop in zip(linear, [*linear[1:], len(encoder)], strict=True):
            layer: Any = encoder[start]
            back = Transposed(layer, layer.weight.new_zeros(layer.in_features))
            decoder: nn.Module = back
            loss: nn.Module = SquaredError(1.0)
            # What follows this layer's transpose once the network is unrolled.
            before = encoder[start - 1] if start > 0 else probabilities
            if isinstance(before, nn.Sigmoid):
                units = (torch.zeros_like(back.bias), 1.0)
                decoder, loss = Probabilities(back, *units), BinaryLogLoss(*units)
            elif isinstance(before, Probabilities):
                units = (before.shift, before.scale)
                decoder, loss = Probabilities(back, *units), BinaryLogLoss(*units)
            elif before is not None:
                decoder = nn.Sequential(back, copy.deepcopy(before))
            whole = nn.Sequential(encoder[start:stop], decoder).to(rows.device)
            self._train(whole, encoder[:start], loss, rows, order, masks)
            layers.append((layer.weight.data, layer.bias.data, back.bias.data))
        return layers

    def _train(
        self,
        network: nn.Module,
        below: nn.Module,
        loss: nn.Module,
        rows: Rows,
        order: torch.Generator,
        masks: torch.Generator,
    ) -> None:
        """Train a network to rebuild what the layers below make of the rows."""
        level = torch.tensor(self.corruption_level, dtype=torch.float32, device=rows.device)
        mask = Masking(level, torch.zeros_like(level))
        optimizer = Adam(network.parameters(), lr=self.learning_rate)
        for _ in range(self.max_iter):
            for batch, _ in Batches(rows, min(self.batch_size, len(rows)), order):
                with torch.no_grad():
                    clean = below(batch)
                optimizer.zero_grad()
                loss(network(mask(clean, masks)), clean).backward()
                optimizer.step()
