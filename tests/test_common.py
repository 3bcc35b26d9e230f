"""scikit-learn's own checks, on both estimators in every kind of configuration."""

from collections import Counter

import pytest
from sklearn.utils.estimator_checks import (
    check_dataframe_column_names_consistency,
    parametrize_with_checks,
)
from torch import nn

from sklearn_ae import AutoencoderTransformer, DenoisingAutoencoderTransformer
from sklearn_ae.pretraining import RBMPretraining


class Network(nn.Sequential):
    """A user's network. Unlike a function, a class has a name that is the same in all processes."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__(nn.Linear(n_inputs, 6), nn.Tanh(), nn.Linear(6, n_outputs))


SMALL = {"hidden_layer_sizes": (8,), "max_iter": 3, "random_state": 0}
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


@parametrize_with_checks(ESTIMATORS)
def test_scikit_learn_check(estimator, check):
    check(estimator)


def test_every_configuration_was_checked(request):
    counts = Counter(
        repr(item.callspec.params["estimator"])
        for item in request.session.items
        if getattr(item, "originalname", None) == "test_scikit_learn_check"
    )
    assert len(counts) == len(ESTIMATORS)
    assert min(counts.values()) > 40


@pytest.mark.parametrize("cls", [AutoencoderTransformer, DenoisingAutoencoderTransformer])
def test_names_of_columns(cls):
    # scikit-learn's, but not one of those above.
    check_dataframe_column_names_consistency(cls.__name__, cls(**SMALL))


@pytest.mark.parametrize("estimator", [ESTIMATORS[0], ESTIMATORS[-1]], ids=repr)
def test_tags(estimator):
    tags = estimator.__sklearn_tags__()
    assert tags.input_tags.sparse
    assert not tags.input_tags.allow_nan
    assert tags.transformer_tags.preserves_dtype == ["float64", "float32"]
    assert not tags.non_deterministic
    assert not tags.target_tags.required
