"""What a user's module keeps beside its weights: buffers, and `get_extra_state`."""

import numpy as np
import pytest
import torch
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


class Masked(nn.Linear):
    """Has a buffer that is not finite, as masks of attention are."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__(n_inputs, n_outputs)
        self.register_buffer("mask", torch.full((2, 2), -torch.inf).triu(1))


def test_a_buffer_that_never_was_finite_is_no_divergence():
    curves = []
    for encoder in (nn.Linear, Masked):
        model = AutoencoderTransformer(2, encoder=encoder, decoder=nn.Linear, **PARAMS)
        for _ in range(3):
            model.partial_fit(X)
        curves.append(model.loss_curve_)
    assert curves[0] == curves[1]


class WithArray(Counting):
    def get_extra_state(self):
        return np.arange(3)

    def set_extra_state(self, state):
        pass


def test_a_checkpoint_that_could_not_be_read_is_not_written(tmp_path):
    path = tmp_path / "fit"
    model = make(callbacks=[FitCheckpoint(path, keep=True)]).set_params(encoder=WithArray)
    with pytest.warns(UserWarning, match="could not write.*`get_extra_state`.*plain values"):
        model.fit(X)
    assert [p.name for p in tmp_path.iterdir()] == ["fit.lock"]
    make(callbacks=[FitCheckpoint(path, keep=True)]).fit(X)
    assert path.exists()


class Growing(nn.Linear):
    """Registers a buffer when it is first trained."""

    def forward(self, x):
        if self.training and not hasattr(self, "mean"):
            self.register_buffer("mean", x.detach().mean(0))
        return super().forward(x)


def test_a_buffer_that_appears_is_an_error_that_says_so():
    model = AutoencoderTransformer(2, encoder=Growing, decoder=nn.Linear, **PARAMS)
    model.set_params(learning_rate_init=1e2)  # the start stays the best
    with pytest.raises(ValueError, match="Register them in its constructor"):
        model.fit(X)
    assert not hasattr(model, "net_")
