"""What a user's module keeps beside its weights (`get_extra_state`), of any kind."""

import numpy as np
import pytest
from torch import nn

from sklearn_ae import AutoencoderTransformer
from sklearn_ae.callbacks import FitCheckpoint

X = np.random.default_rng(0).normal(size=(200, 5))
PARAMS = {"max_iter": 3, "init": "random", "random_state": 0}


class Counting(nn.Linear):
    """Counts the batches that it was trained on, once there are any."""

    seen = None

    def forward(self, x):
        if self.training:
            self.seen = {"n_batches": (self.seen or {"n_batches": 0})["n_batches"] + 1}
        return super().forward(x)

    def get_extra_state(self):
        return self.seen

    def set_extra_state(self, state):
        self.seen = state


def make(**params):
    return AutoencoderTransformer(2, encoder=Counting, decoder=nn.Linear, **PARAMS, **params)


@pytest.mark.parametrize("early_stopping", [True, False])
def test_fit(early_stopping):
    model = make(early_stopping=early_stopping).fit(X)
    parts = [part for part in model.net_.module_.modules() if isinstance(part, Counting)]
    assert [part.seen["n_batches"] > 0 for part in parts] == [True]


def test_warm_start_with_a_checkpoint(tmp_path):
    model = make(warm_start=True, callbacks=[FitCheckpoint(tmp_path / "fit")]).fit(X)
    assert model.fit(X).n_iter_ > 0


def test_partial_fit():
    model = make()
    for _ in range(3):
        model.partial_fit(X)
    assert model.n_samples_seen_ == 600
    assert all(weight.grad is None for weight in model._learner.parameters())
