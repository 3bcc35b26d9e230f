"""The thin skorch net: its loop, its history and what listens to them."""

import functools
import pickle

import numpy as np
import pytest
import torch
from skorch import NeuralNet
from skorch.callbacks import Callback
from skorch.helper import predefined_split
from torch import nn

from sklearn_ae._fitting.training import without_rows
from sklearn_ae._fitting.training.denoising import Denoising
from sklearn_ae._fitting.training.net import ReconstructionNet, make_net, restored_net
from sklearn_ae._fitting.training.stopping import KeepBest
from sklearn_ae._rows import Batches, DenseRows
from sklearn_ae._rows import blocks as blocks_module
from sklearn_ae.modules import Autoencoder

CPU = torch.device("cpu")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def make_rows(n_rows=50, n_columns=4, seed=0):
    return DenseRows(torch.randn(n_rows, n_columns, generator=generator(seed)))


def make_module(n_columns=4):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoder = nn.Sequential(nn.Linear(n_columns, 2), nn.Tanh())
        return Autoencoder(encoder, nn.Linear(2, n_columns))


def new_net(module=None, callbacks=(), valid=None, **params):
    defaults = {"lr": 0.1, "batch_size": 16, "verbose": 0, "optimizer": torch.optim.SGD}
    return make_net(
        module or make_module(),
        nn.MSELoss(),
        CPU,
        4,
        callbacks=list(callbacks),
        train_split=None if valid is None else predefined_split(valid),
        **defaults | params,
    )


def train(net, epochs=3, train=None):
    return net.partial_fit(train or make_rows(), epochs=epochs)


class Events(Callback):
    """Keep the names of the events in which batches take part."""

    def __init__(self):
        self.seen = []

    def on_batch_begin(self, net, batch=None, training=None, **kwargs):
        self.seen.append(("begin", training, len(batch[0])))

    def on_batch_end(self, net, batch=None, training=None, loss=None, y_pred=None, **kwargs):
        assert loss.shape == ()
        assert y_pred.shape == batch[0].shape
        self.seen.append(("end", training, len(batch[0])))


class EndOnly(Callback):
    """Listens to the end of batches alone."""

    def on_batch_end(self, net, **kwargs):
        pass


class Epochs(Callback):
    """Listens to epochs alone."""

    def __init__(self):
        self.seen = []

    def on_epoch_end(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        self.seen.append((len(dataset_train), dataset_valid))


@pytest.mark.parametrize("with_valid", [False, True])
def test_losses_are_those_of_a_loop_written_by_hand(with_valid):
    rows, valid = make_rows(), make_rows(23, seed=1) if with_valid else None
    net = train(new_net(iterator_train__generator=generator(7), valid=valid), train=rows)

    module = make_module()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    batches = Batches(rows, 16, generator(7))
    for epoch in net.history:
        total = 0.0
        for batch, _ in batches:
            optimizer.zero_grad()
            loss = (module(batch) - batch).square().mean()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
        assert epoch["train_loss"] == pytest.approx(total / 50, rel=1e-5)
        assert epoch["train_batch_count"] == 4
        if with_valid:
            with torch.no_grad():
                expected = (module(valid.tensor) - valid.tensor).square().mean()
            assert epoch["valid_loss"] == pytest.approx(expected.item(), rel=1e-5)
    assert len(net.history) == 3
    for ours, by_hand in zip(net.module_.parameters(), module.parameters(), strict=True):
        torch.testing.assert_close(ours, by_hand)


def test_history_is_skorchs():
    net = train(new_net(valid=make_rows(23, seed=1)))
    assert [row["epoch"] for row in net.history] == [1, 2, 3]
    assert net.history[:, "train_loss"] == [row["train_loss"] for row in net.history]
    assert all(row["dur"] >= 0 for row in net.history)
    for key in ("train_loss", "valid_loss"):
        losses = net.history[:, key]
        best = [loss <= min(losses[: i + 1]) for i, loss in enumerate(losses)]
        assert net.history[:, key + "_best"] == best


def test_without_validation_rows_there_is_no_validation_loss():
    net = train(new_net())
    assert all("valid_loss" not in row for row in net.history)


def test_no_epochs():
    module = make_module()
    before = [p.clone() for p in module.parameters()]
    net = train(new_net(module), epochs=0)
    assert len(net.history) == 0
    assert all(torch.equal(a, b) for a, b in zip(before, net.module_.parameters(), strict=True))


def test_listeners_to_batches_get_their_events_and_history():
    events = Events()
    net = train(new_net(callbacks=[events], valid=make_rows(23, seed=1)), epochs=2)
    sizes = [(True, 16), (True, 16), (True, 16), (True, 2), (False, 23)]
    one_epoch = [(name, *size) for size in sizes for name in ("begin", "end")]
    assert events.seen == one_epoch * 2
    for row in net.history:
        assert [b["train_batch_size"] for b in row["batches"][:4]] == [16, 16, 16, 2]
        losses = [b["train_loss"] for b in row["batches"][:4]]
        mean = (16 * sum(losses[:3]) + 2 * losses[3]) / 50
        assert row["train_loss"] == pytest.approx(mean, rel=1e-6)
        assert row["batches"][4]["valid_loss"] == pytest.approx(row["valid_loss"], rel=1e-6)


def test_one_of_the_two_events_is_enough():
    net = train(new_net(callbacks=[EndOnly()]))
    assert all(len(row["batches"]) == 4 for row in net.history)


def test_listening_changes_no_number():
    silent, listened = (
        train(new_net(callbacks=callbacks, iterator_train__generator=generator()))
        for callbacks in ([], [Events()])
    )
    assert silent.history[:, "train_loss"] == listened.history[:, "train_loss"]
    for a, b in zip(silent.module_.parameters(), listened.module_.parameters(), strict=True):
        assert torch.equal(a, b)


READS = ("item", "tolist", "__float__", "__int__", "__bool__", "__index__", "cpu", "numpy")


@pytest.mark.parametrize("listens", [False, True])
def test_batches_wait_for_the_device_only_where_somebody_listens(monkeypatch, listens):
    """Reading a number off the device stops the queue of a GPU: once an epoch, whatever way."""
    read = []
    for name in READS:
        of = getattr(torch.Tensor, name)
        monkeypatch.setattr(
            torch.Tensor,
            name,
            lambda self, *args, of=of, name=name: read.append(name) or of(self, *args),
        )
    epochs = []

    class Count(Epochs):
        def on_epoch_end(self, net, **kwargs):
            epochs.append(len(read))

    fused = functools.partial(torch.optim.Adam, fused=True)
    valid = make_rows(23, seed=1)
    callbacks = [Count(), KeepBest(valid, 5, 0.0, cut_rate=True)] + [Events()] * listens
    # A large batch and small ones: what is read must not grow with their number.
    counts = []
    for batch_size in (50, 2):
        epochs.clear()
        read.clear()
        net = train(
            new_net(callbacks=callbacks, valid=valid, batch_size=batch_size, optimizer=fused)
        )
        counts.append(epochs[2] - epochs[1])
    n_losses = sum("_loss" in key for row in net.history for b in row["batches"] for key in b)
    assert n_losses == (3 * 26 if listens else 0)
    assert (counts[1] > counts[0]) == listens
    assert counts[0] < 20


def test_epoch_listeners_are_called():
    epochs, valid = Epochs(), make_rows(23, seed=1)
    train(new_net(callbacks=[epochs], valid=valid))
    assert epochs.seen == [(50, valid)] * 3


def test_corruption_is_for_training_alone_and_the_target_is_clean():
    """A module that gives nothing back has the mean square of its target as loss."""
    seen = []

    class Nothing(nn.Module):
        def __init__(self):
            super().__init__()
            self.gain = nn.Parameter(torch.zeros(1))
            self.head = None

        def encoder(self, x):
            seen.append((self.training, x.detach().clone()))
            return self.gain * x

        def decoder(self, z):
            return z

        def forward(self, x):
            return self.decoder(self.encoder(x))

    rows, valid = make_rows(), make_rows(23, seed=1)
    net = train(
        new_net(
            Nothing(), denoising=Denoising(lambda x: x * 0 + 100), lr=1e-30, batch_size=50,
            valid=valid,
        ), epochs=1, train=rows,
    )  # fmt: skip
    trained = [x for training, x in seen if training]
    validated = [x for training, x in seen if not training]
    assert torch.equal(torch.cat(trained), torch.full((50, 4), 100.0))
    assert torch.equal(torch.cat(validated), valid.tensor)
    assert net.history[0]["train_loss"] == pytest.approx(rows.tensor.square().mean().item())


def test_mean_loss_is_over_all_rows_in_evaluation_mode(monkeypatch):
    monkeypatch.setattr(blocks_module, "BLOCK_ROWS", 16)
    module = nn.Sequential(make_module(), nn.Dropout(0.5))
    net, rows = new_net(module), make_rows()
    module.train()
    found = net.mean_loss(rows, module)
    expected = (module.eval()(rows.tensor) - rows.tensor).square().mean().item()
    assert found == pytest.approx(expected, rel=1e-6)


def test_best_weights_are_those_of_the_best_validation_loss():
    """Trained far too fast, so that the last epoch is not the best one."""
    valid = make_rows(23, seed=1)
    keeper = KeepBest(valid, 50, 0.0, cut_rate=False)
    net = train(new_net(callbacks=[("keep_best", keeper)], lr=3.0, valid=valid), epochs=15)
    curve = net.history[:, "valid_loss"]
    keeper.restore(net)
    assert net.mean_loss(valid, net.module_) == pytest.approx(keeper.kept.loss)
    assert keeper.kept.epoch != 15
    assert keeper.kept.loss <= min(curve)
    if keeper.kept.epoch:
        assert curve[keeper.kept.epoch - 1] == keeper.kept.loss


def test_only_three_methods_are_not_skorchs():
    """Each one more is one more that a new version of skorch may break."""
    own = {name for name, value in vars(ReconstructionNet).items() if callable(value)}
    theirs = {name for name in own if hasattr(NeuralNet, name)}
    assert theirs == {"__init__", "run_single_epoch", "train_step_single", "validation_step"}


def test_forward_and_predict_take_scaled_rows():
    net = train(new_net(valid=make_rows(23, seed=1)))
    X = make_rows(3_000).tensor
    with torch.no_grad():
        expected = net.module_(X)
    torch.testing.assert_close(net.forward(X.numpy()), expected)
    np.testing.assert_allclose(
        net.predict(X.numpy().astype(np.float64)), expected, rtol=1e-4, atol=1e-6
    )
    assert torch.equal(net.forward(DenseRows(X)), net.forward(X))


def test_what_held_rows_is_pickled_without_them():
    valid = make_rows(5_000, seed=1)
    keeper = KeepBest(valid, 5, 0.0, cut_rate=True)
    net = new_net(
        Autoencoder(nn.Linear(4, 2), nn.Linear(2, 4)), valid=valid,
        callbacks=[("keep_best", keeper), ("end", EndOnly())],
        denoising=Denoising(lambda x: x), iterator_train__generator=generator(),
    )  # fmt: skip
    net = without_rows(train(net))
    data = pickle.dumps(net)
    assert len(data) < 60_000
    again = pickle.loads(data)
    assert [name for name, _ in again.callbacks_] == ["epoch_timer", "end", "print_log"]
    x = make_rows(9).tensor
    assert torch.equal(again.forward(x), net.forward(x))


def test_restored_net_has_module_and_history():
    trained = train(new_net(valid=make_rows(23, seed=1)))
    saved = {"history": list(trained.history), "batch_size": 16, "max_epochs": 3, "compile": True}
    net = restored_net(trained.module_, trained.criterion_, CPU, 4, saved)
    # skorch would take it, from a file.
    assert not net.compile
    assert list(net.history) == list(trained.history)
    assert net.history[:, "train_loss"] == trained.history[:, "train_loss"]
    assert net.module_ is trained.module_
    assert net.batch_size == 16
    x = make_rows(9).tensor
    assert torch.equal(pickle.loads(pickle.dumps(net)).forward(x), trained.forward(x))
