"""Fits that are killed, for the tests of checkpoints."""

import numpy as np
import torch

from sklearn_ae.callbacks import FitCheckpoint

RNG = np.random.default_rng(0)
X = RNG.standard_normal((200, 1)) ** np.arange(1, 17) / 20 + 0.3 * RNG.standard_normal((200, 16))


class Killed(BaseException):
    """Ends a fit as if the power had been cut."""


def make(kind, params, checkpoint=None):
    params = {"max_iter": 6, "hidden_layer_sizes": (8,), "random_state": 0} | params
    callbacks = params.pop("callbacks", list)()
    if checkpoint is not None:
        callbacks.append(checkpoint)
    return kind(3, callbacks=callbacks, **params)


def assert_same(found, expected, rows=X):
    assert found.n_iter_ == expected.n_iter_
    assert found.loss_curve_ == expected.loss_curve_
    assert found.validation_loss_curve_ == expected.validation_loss_curve_
    assert found.best_loss_ == expected.best_loss_
    for ours, theirs in zip(
        found.module_.state_dict().values(), expected.module_.state_dict().values(), strict=True
    ):
        assert torch.equal(ours, theirs)
    np.testing.assert_array_equal(found.transform(rows), expected.transform(rows))


def kills(monkeypatch):
    """Return what makes the next fits end after so many epochs."""
    write = FitCheckpoint.write

    def kill_after(n_epochs):
        def counted(self, state, *, last):
            write(self, state, last=last)
            if len(state["history"]) == n_epochs:
                raise Killed

        monkeypatch.setattr(FitCheckpoint, "write", counted)

    return kill_after
