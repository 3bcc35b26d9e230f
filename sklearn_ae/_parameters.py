"""Which values the parameters that both estimators have may take."""

from numbers import Integral, Real

from torch import nn

from sklearn_ae._build_training import OPTIMIZERS
from sklearn_ae._sklearn import Interval, StrOptions
from sklearn_ae.losses import LOSSES
from sklearn_ae.modules import ACTIVATIONS
from sklearn_ae.pretraining import RBMPretraining, StackedDenoisingPretraining

CONSTRAINTS: dict = {
    "n_components": [Interval(Integral, 1, None, closed="left")],
    "hidden_layer_sizes": [
        StrOptions({"auto"}),
        "array-like",
        Interval(Integral, 1, None, closed="left"),
    ],
    "activation": [StrOptions(set(ACTIVATIONS)), callable],
    "init": [StrOptions({"pca", "random"})],
    "encoder": [StrOptions({"dense", "conv", "attention"}), nn.Module, callable],
    "decoder": [None, StrOptions({"dense", "conv", "linear"}), nn.Module, callable],
    "image_shape": [None, "array-like"],
    "tied_weights": ["boolean"],
    "pretraining": [
        None,
        StrOptions({"rbm", "denoising"}),
        RBMPretraining,
        StackedDenoisingPretraining,
    ],
    "code_layer": [None, Interval(Integral, 0, None, closed="left")],
    "loss": [StrOptions({*LOSSES, "binary_log_loss"}), nn.Module],
    "optimizer": [StrOptions(set(OPTIMIZERS)), callable],
    "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
    "weight_decay": [Interval(Real, 0, None, closed="left")],
    "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
    "shuffle": ["boolean"],
    "max_iter": [Interval(Integral, 0, None, closed="left")],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
    "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
    "tol": [Interval(Real, 0, None, closed="left")],
    "transform_max_iter": [Interval(Integral, 0, None, closed="left")],
    "warm_start": ["boolean"],
    "callbacks": [list, None],
    "device": [str],
    "random_state": ["random_state"],
    "verbose": ["verbose"],
}
