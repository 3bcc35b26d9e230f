"""Pretraining by restricted Boltzmann machines."""

from itertools import pairwise
from numbers import Integral, Real
from typing import ClassVar

import torch
from torch import nn

from sklearn_ae._optimizers import SGD
from sklearn_ae._rows import Batches, Rows
from sklearn_ae._sklearn import Interval
from sklearn_ae.modules import Probabilities
from sklearn_ae.modules.rbm import RestrictedBoltzmannMachine
from sklearn_ae.pretraining.base import Pretraining

# As in the paper's code: momentum at first and after so many epochs, and the share of the learning
# rate for machines with normal units, which diverge at that of binary ones.
MOMENTA = (0.5, 0.9)
FIRST_EPOCHS = 5
GAUSSIAN_RATE = 0.01


class RBMPretraining(Pretraining):
    """Pretrain each layer as a restricted Boltzmann machine on the output of those below.

    The machines are trained by one step of contrastive divergence. Hidden units are binary, those
    of the code normal; visible units are binary where ``loss="binary_log_loss"``, else normal. The
    encoder gets the weights, the decoder their transposes.

    Parameters
    ----------
    learning_rate : float, default=0.1
        Of machines with binary units; a hundredth of it for those with normal units.
    max_iter : int, default=10
        Epochs a layer. The paper has 50.
    batch_size : int, default=100
        Rows a step.
    weight_decay : float, default=2e-4
        Penalty on the weights.

    References
    ----------
    G. E. Hinton, R. R. Salakhutdinov, "Reducing the Dimensionality of Data with Neural Networks",
    Science 313:504, 2006.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_ae import AutoencoderTransformer
    >>> from sklearn_ae.pretraining import RBMPretraining
    >>> X = load_digits().data / 16
    >>> autoencoder = AutoencoderTransformer(
    ...     n_components=8,
    ...     hidden_layer_sizes=(64, 32),
    ...     activation="logistic",
    ...     init="random",
    ...     loss="binary_log_loss",
    ...     pretraining=RBMPretraining(max_iter=5),
    ...     max_iter=5,
    ... ).fit(X)
    >>> autoencoder.transform(X).shape
    (1797, 8)
    """

    _parameter_constraints: ClassVar[dict] = {
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        *,
        learning_rate: float = 0.1,
        max_iter: int = 10,
        batch_size: int = 100,
        weight_decay: float = 2e-4,
    ):
        self.learning_rate = learning_rate
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.weight_decay = weight_decay

    def pretrain_layers(
        self, encoder: nn.Sequential, rows: Rows, probabilities: Probabilities | None, seed: int
    ) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """Train a machine for each layer.

        Parameters
        ----------
        encoder : nn.Sequential
            Dense layers, whose sizes the machines take.
        rows : Rows
            Scaled rows.
        probabilities : Probabilities or None
            The network's output, in whose units the rows are, where they stand for probabilities.
        seed : int
            Seeds the weights, the order of the rows and the states of the hidden units.

        Returns
        -------
        layers : list of (weight, hidden_bias, visible_bias)
            Of shapes ``(n_hidden, n_visible)``, ``(n_hidden,)`` and ``(n_visible,)``.
        """
        generator = torch.Generator("cpu").manual_seed(seed)
        states = torch.Generator(rows.device).manual_seed(seed)
        widths = [m.out_features for m in encoder if isinstance(m, nn.Linear)]
        sizes = list(pairwise([rows.n_columns, *widths]))
        machines: list[RestrictedBoltzmannMachine] = []
        for i, (n_visible, n_hidden) in enumerate(sizes):
            machine = RestrictedBoltzmannMachine(
                n_visible,
                n_hidden,
                generator,
                gaussian_visible=i == 0 and probabilities is None,
                gaussian_hidden=i == len(sizes) - 1,
            ).to(rows.device)
            self._train(machine, machines, rows, probabilities, generator, states)
            machines.append(machine)
        return [(m.weight.data, m.hidden_bias.data, m.visible_bias.data) for m in machines]

    def _train(
        self,
        machine: RestrictedBoltzmannMachine,
        below: list[RestrictedBoltzmannMachine],
        rows: Rows,
        probabilities: Probabilities | None,
        order: torch.Generator,
        states: torch.Generator,
    ) -> None:
        """Train a machine on what those below make of the rows."""
        gaussian = machine.gaussian_visible or machine.gaussian_hidden
        optimizer = SGD(
            [
                {"params": [machine.weight], "weight_decay": self.weight_decay},
                {"params": [machine.hidden_bias, machine.visible_bias], "weight_decay": 0.0},
            ],
            lr=self.learning_rate * (GAUSSIAN_RATE if gaussian else 1),
            momentum=MOMENTA[0],
        )
        batches = Batches(rows, min(self.batch_size, len(rows)), order)
        for epoch in range(self.max_iter):
            for group in optimizer.param_groups:
                group["momentum"] = MOMENTA[epoch >= FIRST_EPOCHS]
            for batch, _ in batches:
                visible = batch
                if probabilities is not None:
                    visible = batch * probabilities.scale + probabilities.shift
                # In each epoch anew: the activations of all rows may be larger than the rows.
                with torch.no_grad():
                    for other in below:
                        visible = other.hidden(visible)
                machine.contrastive_divergence(visible, states)
                optimizer.step()
