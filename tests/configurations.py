"""Both estimators in every kind of configuration, for the tests that go through all of them."""

from torch import nn

from sklearn_ae import AutoencoderTransformer, DenoisingAutoencoderTransformer
from sklearn_ae.pretraining import RBMPretraining


class Network(nn.Sequential):
    """A user's network. Unlike a function, a class has a name that is the same in all processes."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__(nn.Linear(n_inputs, 6), nn.Tanh(), nn.Linear(6, n_outputs))


SMALL = {"n_components": 2, "hidden_layer_sizes": (8,), "max_iter": 3, "random_state": 0}
SHARED = [
    {"init": "random"},
    {"hidden_layer_sizes": ()},
    {"n_components": 30},
    {"n_components": 30, "init": "random"},
    {"early_stopping": False},
    {"encoder": Network, "decoder": Network},
    {"warm_start": True},
    {"tied_weights": True},
    {"encoder": "attention"},
    {"encoder": "conv", "image_shape": (1, 1, -1), "hidden_layer_sizes": (4,)},
]
PLAIN = [
    {"n_components": None},
    {"n_components": 0.5},
    {"n_components": 1, "max_components": 4, "whiten": True},
    {"max_iter": 0},
    {"encoder": Network, "init": "random"},
    {"loss": "huber", "optimizer": "sgd", "activation": "tanh"},
    {"transform_max_iter": 0, "loss": "absolute_error"},
    {"tied_weights": True, "init": "random"},
    {"decoder": "linear", "init": "random"},
    {"pretraining": RBMPretraining(max_iter=2), "init": "random", "activation": "logistic"},
    {"pretraining": "denoising", "init": "random"},
    {"code_layer": 0},
    {"code_layer": 1, "encoder": "attention", "hidden_layer_sizes": (4, 4)},
    {"loss": nn.L1Loss(), "optimizer": "adamw", "batch_size": 7, "weight_decay": 0.1},
]
CORRUPTED = [
    {"corruption": "gaussian", "corruption_level": 0.3},
    {"corruption": "masking"},
    {"corruption": "salt_and_pepper"},
    {"corruption": "swap", "corruption_level": 0.5},
    {"corruption": "masking", "encoder": "attention", "emphasis": 1.0, "init": "random"},
    {"corruption_loss_weight": 0.5, "transform_max_iter": 3},
]
ESTIMATORS = [
    AutoencoderTransformer(),
    *(AutoencoderTransformer(**SMALL | params) for params in SHARED + PLAIN),
    DenoisingAutoencoderTransformer(max_iter=20),
    *(DenoisingAutoencoderTransformer(**SMALL | params) for params in SHARED + CORRUPTED),
]
