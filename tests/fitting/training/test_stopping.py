"""When training stops, when its rate is cut, and which weights it keeps."""

import math
from itertools import pairwise

import pytest
import torch
from skorch.history import History
from torch import nn

from sklearn_ae._fitting.training.stopping import KeepBest

VALID = object()


class FakeNet:
    """What `KeepBest` sees of a net. The weight of its module is the epoch."""

    def __init__(self, start=10.0):
        self.start = start
        self.max_epochs = 1_000
        self.history = History()
        self.module_ = nn.Linear(1, 1, bias=False)
        self.optimizer_ = torch.optim.SGD(self.module_.parameters(), lr=1.0)
        self.set_weight(0)

    def set_weight(self, value):
        with torch.no_grad():
            self.module_.weight.fill_(value)

    def weight(self):
        return self.module_.weight.item()

    def watched_loss(self, rows):
        assert rows is VALID
        return self.start

    def rate(self):
        return self.optimizer_.param_groups[0]["lr"]


def train(losses, start=10.0, valid=True, key="valid_loss", n_steps=1, **params):
    """Go through scripted losses; return the net, the keeper and the rate after each epoch."""
    params = {"n_iter_no_change": 3, "tol": 0.0, "cut_rate": True} | params
    keeper = KeepBest(VALID if valid else None, **params)
    net, rates = FakeNet(start), []
    keeper.on_train_begin(net, X=None)
    for epoch, loss in enumerate(losses, 1):
        net.history.new_epoch()
        net.history.record("train_loss", loss if key == "train_loss" else 1.0)
        net.history.record("valid_loss", loss)
        net.history.record("train_batch_count", n_steps)
        net.set_weight(epoch)
        keeper.on_epoch_end(net)
        rates.append(net.rate())
        if keeper.finished:
            break
    return net, keeper, rates


@pytest.mark.parametrize("patience", [1, 2, 3, 7, 15])
@pytest.mark.parametrize("good", [0, 1, 4])
def test_stops_after_exactly_n_iter_no_change_epochs(patience, good):
    losses = [5.0 - i for i in range(good)] + [20.0] * 50
    net, keeper, _ = train(losses, n_iter_no_change=patience)
    assert len(net.history) == good + patience
    assert keeper.finished
    assert not keeper.diverged


@pytest.mark.parametrize(
    "patience, n_steps, n_epochs",
    [
        (24, 250, 24), (24, 500, 12), (24, 10**5, 3), (6, 500, 3), (2, 10**5, 2), (1, 10**5, 1),
        (25, 250, 25), (25, 500, 13), (25, 10**5, 3), (25, 300, 21), (10, 600, 5),
    ],
)  # fmt: skip
def test_long_epochs_count_as_several(patience, n_steps, n_epochs):
    """Yet there are three of them, or all of a short patience: a lower rate is tried before."""
    net, keeper, rates = train([20.0] * 50, n_iter_no_change=patience, n_steps=n_steps)
    assert len(net.history) == n_epochs
    assert keeper.finished
    assert rates[-1] in ((0.25, 0.125) if patience > 2 else (0.5 ** (patience - 1),))


def test_without_an_epoch_the_start_is_not_measured():
    net, keeper = FakeNet(), KeepBest(VALID, 3, 0.0, cut_rate=True)
    net.max_epochs = 0
    net.watched_loss = pytest.fail
    keeper.on_train_begin(net, X=None)
    assert keeper.kept.epoch == 0
    assert net.weight() == keeper.kept.state["weight"].item() == 0


def test_no_epoch_is_asked_for_more_than_there_is():
    losses = [9 * 0.01**i for i in range(6)]
    net, _, rates = train(losses, start=1e3, tol=0.05, n_iter_no_change=25, n_steps=10**6)
    assert len(net.history) == len(losses)
    assert set(rates) == {1.0}


def test_long_epochs_have_to_make_more_progress():
    losses = [9 * 0.985**i for i in range(6)]
    for n_steps, n_epochs in ((250, 6), (350, 6), (450, 3)):
        net, _, rates = train(losses, tol=0.01, n_steps=n_steps)
        # The first is much better than the start.
        assert len(net.history) == n_epochs + (n_epochs < 6)
        assert (set(rates) == {1.0}) == (n_epochs == 6)


def test_progress_starts_the_count_anew():
    net, keeper, _ = train([9, 9, 9, 8, 8, 8, 7, 7, 7, 7, 7])
    assert len(net.history) == 10
    assert keeper.kept.loss == 7
    assert keeper.kept.epoch == 7


def test_does_not_stop_while_there_is_progress():
    net, keeper, rates = train([9 - 0.1 * i for i in range(50)])
    assert len(net.history) == 50
    assert not keeper.finished
    assert set(rates) == {1.0}


@pytest.mark.parametrize(
    ("losses", "epoch"),
    [([9, 4, 6, 5], 2), ([20, 30, 40], 0), ([9, 8, 7], 3), ([5, 5, 5], 1)],
)
def test_best_weights_are_restored(losses, epoch):
    net, keeper, _ = train(losses)
    keeper.restore(net)
    assert net.weight() == epoch == keeper.kept.epoch
    assert keeper.kept.loss == min([10, *losses])


def test_best_weights_are_a_copy():
    net, keeper, _ = train([9, 4])
    net.set_weight(77)
    keeper.restore(net)
    assert net.weight() == 2
    net.set_weight(78)
    assert net.weight() == 78


@pytest.mark.parametrize(
    "state",
    [
        range,
        torch.zeros,
        lambda n: torch.zeros(n) if n else None,
        lambda n: torch.zeros(3, dtype=torch.float64 if n % 2 else torch.bool)[:n],
    ],
)
def test_what_is_kept_beside_weights(state):
    """A user's module may have more in its state than tensors."""

    class Counted(nn.Linear):
        n = 0

        def get_extra_state(self):
            return state(self.n)

        def set_extra_state(self, found):
            self.n, self.found = len(found), found

    net, keeper = FakeNet(), KeepBest(None, n_iter_no_change=9, tol=0.0, cut_rate=False)
    net.module_ = Counted(1, 1, bias=False)
    keeper.on_train_begin(net, X=None)
    for epoch, loss in enumerate([3.0, 2.0, 1.0, 4.0], 1):
        net.module_.n = epoch
        net.set_weight(epoch)
        net.history.new_epoch()
        net.history.record("train_loss", loss)
        net.history.record("train_batch_count", 1)
        keeper.on_epoch_end(net)
    keeper.restore(net)
    assert (net.module_.n, net.weight()) == (3, 3.0)
    assert getattr(net.module_.found, "dtype", None) == getattr(state(3), "dtype", None)


def test_keeper_trains_a_second_time():
    net, keeper, _ = train([9, 4, 6])
    keeper.restore(net)
    net.start = 4.0
    keeper.on_train_begin(net, X=None)
    assert keeper.kept.loss == 4
    assert keeper.kept.epoch == 0


@pytest.mark.parametrize(
    ("tol", "n_epochs"), [(0.0, 9), (0.005, 9), (0.5, 3)], ids=["zero", "small", "large"]
)
def test_tolerance_is_relative_to_the_best(tol, n_epochs):
    """Each epoch is a hundredth better than the one before: progress, if that is above `tol`."""
    for unit in (1e-6, 1.0, 1e6):
        losses = [unit * 0.99**i for i in range(1, 10)]
        net, keeper, _ = train(losses, start=unit, tol=tol)
        assert len(net.history) == n_epochs
        # What is not progress is kept all the same, if it is better.
        assert keeper.kept.epoch == n_epochs


def test_negative_losses():
    net, keeper, _ = train([-1, -2, -3, -2, -2, -2, -2], start=0.0, tol=1e-4)
    assert len(net.history) == 6
    assert keeper.kept.loss == -3


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("key", ["train_loss", "valid_loss"])
def test_loss_that_is_not_finite_ends_the_training(bad, key):
    net, keeper, _ = train([9, 4, bad, 1], key=key)
    assert len(net.history) == 3
    assert keeper.diverged
    assert keeper.finished
    keeper.restore(net)
    assert net.weight() == 2


def test_without_validation_rows_the_start_is_not_compared():
    net, keeper, _ = train([50, 40, 45, 45, 45], valid=False, key="train_loss")
    assert keeper.monitor == "train_loss"
    keeper.restore(net)
    assert keeper.kept.loss == 40
    assert net.weight() == keeper.kept.epoch == 2
    assert len(net.history) == 5


def test_rate_is_cut_on_a_plateau_only():
    _, _, rates = train([9, 8, 7] + [7] * 40, n_iter_no_change=12)
    assert rates[:3] == [1.0] * 3
    cuts = [b / a for a, b in pairwise(rates) if a != b]
    assert cuts, "the rate is cut before training stops"
    assert all(0 < cut < 1 for cut in cuts)
    assert rates == sorted(rates, reverse=True)


@pytest.mark.parametrize("patience", [1, 2, 3, 5, 6, 12, 14])
def test_rate_is_halved_after_each_third_of_the_patience(patience):
    """But not in the epoch that ends the training: that would be no use."""
    _, _, rates = train([9] + [20] * 40, n_iter_no_change=patience)
    third = max(patience // 3, 1)
    expected = [0.5 ** (idle // third) for idle in range(patience)]
    assert rates == [*expected, expected[-1]]


def test_progress_starts_the_count_for_the_rate_anew():
    _, _, rates = train([9, 20, 20, 20, 8, 20, 20, 20, 20], n_iter_no_change=12)
    assert rates == [1.0] * 8 + [0.5]


def test_rate_is_cut_in_every_group():
    keeper = KeepBest(VALID, 3, 0.0, cut_rate=True)
    net = FakeNet()
    net.optimizer_.add_param_group({"params": [nn.Parameter(torch.ones(1))], "lr": 0.5})
    keeper.on_train_begin(net, X=None)
    for _ in range(2):
        net.history.new_epoch()
        net.history.record("train_loss", 20.0)
        net.history.record("train_batch_count", 1)
        net.history.record("valid_loss", 20.0)
        keeper.on_epoch_end(net)
    first, second = (group["lr"] for group in net.optimizer_.param_groups)
    assert first < 1
    assert second / first == pytest.approx(0.5)


def test_rate_is_left_to_a_scheduler():
    _, _, rates = train([9] + [20] * 40, n_iter_no_change=12, cut_rate=False)
    assert set(rates) == {1.0}


@pytest.mark.parametrize("at", range(4))
def test_an_interrupt_while_weights_are_copied_leaves_no_mixture(at, monkeypatch):
    """Whichever of the copies it comes in."""
    net, keeper, _ = train([9, 8, 7])
    net.module_.add_module("second", nn.Linear(2, 2))
    keeper.on_train_begin(net, X=None)
    for epoch in (1, 2, 3):
        net.history.new_epoch()
        net.history.record("train_loss", 1.0)
        net.history.record("train_batch_count", 1)
        net.history.record("valid_loss", 9.0 - epoch)
        with torch.no_grad():
            for parameter in net.module_.parameters():
                parameter.fill_(epoch)
        copies = []
        copy = torch.Tensor.copy_

        def interrupted(self, *args, copies=copies, epoch=epoch, copy=copy):
            if epoch == 3 and len(copies) == at:
                raise KeyboardInterrupt
            copies.append(1)
            return copy(self, *args)

        with monkeypatch.context() as patch:
            patch.setattr(torch.Tensor, "copy_", interrupted)
            try:
                keeper.on_epoch_end(net)
            except KeyboardInterrupt:
                assert epoch == 3
    keeper.restore(net)
    n_copies = len(net.module_.state_dict())
    assert {float(v) for p in net.module_.parameters() for v in p.detach().flatten()} == {
        3.0 if at >= n_copies else 2.0
    }
