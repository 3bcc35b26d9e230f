"""What a fit is told: the parameters of an estimator, checked and typed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from sklearn_ae.callbacks import FitCheckpoint


@dataclass(frozen=True)
class NetworkSpec:
    """What the network is.

    Attributes
    ----------
    n_components : int, float or None
        Size of the code; the share of variance that it has to explain; or all that there are.
    max_components : int or None
        Size of the code that is trained, where it is not that of `n_components`.
    encoder, decoder : str, nn.Module or callable
        A kind of network ("dense", "conv", "attention", "linear"), or a user's.
    hidden_layer_sizes : tuple of int or None
        Widths of the encoder's hidden layers; None leaves them to the kind.
    activation : callable
        Makes what follows a hidden layer.
    image_shape : tuple of three int or None
        Channels, height and width of a row; one may be -1 until the columns are known.
    tied_weights : bool
        Whether the decoder's layers are the transposes of the encoder's.
    at_pca : bool
        Whether both start at PCA, as corrections to it.
    pretraining : object or None
        Pretrains the layers.
    code_layer : int or None
        Hidden layer whose activations are the codes.
    probabilities : bool
        Whether the decoder ends in the logistic function.
    head : bool
        Whether a head tells corrupted cells from clean ones.
    whiten : bool
        Whether each number of the code is to have unit variance.
    n_steps : int
        Steps of gradient descent that improve each code.
    """

    n_components: int | float | None
    max_components: int | None
    encoder: Any
    decoder: Any
    hidden_layer_sizes: tuple[int, ...] | None
    activation: Callable[[], nn.Module]
    image_shape: tuple[int, int, int] | None
    tied_weights: bool
    at_pca: bool
    pretraining: Any
    code_layer: int | None
    probabilities: bool
    head: bool
    whiten: bool
    n_steps: int


@dataclass(frozen=True)
class NoiseSpec:
    """What is done to the rows that the encoder sees in training, and what is asked of it.

    Attributes
    ----------
    corruption : str or callable
        A kind of noise, or a user's ``(tensor, generator) -> tensor``.
    level : ndarray of shape () or (n_columns,)
        How much of it.
    emphasis : float
        What a corrupted cell counts in the loss of two cells, the other being clean.
    head_weight : float
        Weight of the loss of the head.
    masks_tokens : bool
        Whether the encoder is told which cells are masked.
    """

    corruption: str | Callable
    level: np.ndarray
    emphasis: float
    head_weight: float
    masks_tokens: bool

    @property
    def swaps(self) -> bool:
        """Whether cells are replaced by those of other rows."""
        return isinstance(self.corruption, str) and self.corruption == "swap"


@dataclass(frozen=True)
class TrainingSpec:
    """How the network is trained.

    Attributes
    ----------
    loss : str or nn.Module
        What training minimizes.
    optimizer : str or callable
        A kind of optimizer, or a user's ``params -> torch.optim.Optimizer``.
    learning_rate_init, weight_decay : float
        Of those of a kind.
    batch_size : int or None
        Rows a step; None leaves it to the number of rows.
    max_iter : int
        Most epochs.
    validation_fraction : float or None
        Share of the rows that are held out to choose; None holds none out.
    n_iter_no_change : int
        Epochs without progress after which training stops.
    tol : float
        Progress is a lower loss by more than `tol` times the best one.
    callbacks : list
        skorch callbacks of this fit alone.
    checkpoint : FitCheckpoint or None
        Where the training is written down.
    noise : NoiseSpec or None
        None trains on clean rows.
    device : str
        Where.
    foreign : bool
        Whether code that is not ours may draw from torch's global generators.
    name : str
        Who is trained, for messages.
    verbose : int
        Whether to print the epochs.
    """

    loss: str | nn.Module
    optimizer: str | Callable
    learning_rate_init: float
    weight_decay: float
    batch_size: int | None
    max_iter: int
    validation_fraction: float | None
    n_iter_no_change: int
    tol: float
    callbacks: list
    checkpoint: FitCheckpoint | None
    noise: NoiseSpec | None
    device: str
    foreign: bool
    name: str
    verbose: int
