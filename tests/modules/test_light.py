"""Which networks make little of a row."""

import pytest
from configurations import Network
from torch import nn

from sklearn_ae import AutoencoderTransformer
from sklearn_ae.modules.light import is_light
from sklearn_ae.modules.refined import refined

X = [[0.0, 0.1, 0.2, 0.3], [0.4, 0.6, 0.8, 0.9], [0.5, 0.3, 0.3, 0.1], [0.2, 0, 0.7, 0]] * 6
LIGHT = [
    {}, {"init": "random"}, {"tied_weights": True}, {"loss": "binary_log_loss"},
    {"decoder": "linear"}, {"activation": "silu"},
    {"encoder": nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)), "init": "random"},
]  # fmt: skip
HEAVY = [
    {"encoder": "attention"}, {"encoder": "conv", "image_shape": (1, 2, 2)},
    {"encoder": Network}, {"decoder": Network},
]  # fmt: skip


@pytest.mark.parametrize(
    ("params", "light"), [*((p, True) for p in LIGHT), *((p, False) for p in HEAVY)], ids=str
)
def test_dense_layers_are_light(params, light):
    if not light:  # nor is it PCA that is fitted
        params = params | {"init": "random"}
    model = AutoencoderTransformer(2, max_iter=0, random_state=0, **params).fit(X)
    network = model.net_.module_
    assert is_light(network) == light
    assert is_light(refined(network, 3)) == light
    assert is_light(model.module_) == light
