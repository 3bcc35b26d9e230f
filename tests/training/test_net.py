"""The thin skorch net: its loop, its history and what listens to them."""

import pytest
import torch
from skorch.callbacks import Callback
from torch import nn

from sklearn_ae._training import rows as rows_module
from sklearn_ae._training.denoising import Denoising
from sklearn_ae._training.net import ReconstructionNet, restored_net
from sklearn_ae._training.rows import Batches, DenseRows
from sklearn_ae._training.stopping import KeepBest

CPU = torch.device("cpu")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def make_rows(n_rows=50, n_columns=4, seed=0):
    return DenseRows(torch.randn(n_rows, n_columns, generator=generator(seed)), CPU)


def make_module(n_columns=4):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(n_columns, 2), nn.Tanh(), nn.Linear(2, n_columns))


def sgd(module, lr=0.1):
    return torch.optim.SGD(module.parameters(), lr=lr)


def make_net(module=None, callbacks=(), lr=0.1, batch_size=16, **params):
    return ReconstructionNet(
        module or make_module(),
        criterion=nn.MSELoss(),
        make_optimizer=lambda module: sgd(module, lr),
        callbacks=list(callbacks),
        batch_size=batch_size,
        verbose=params.pop("verbose", 0),
        device="cpu",
        **params,
    ).initialize()


def train(net, epochs=3, train=None, valid=None):
    return net.partial_fit((train or make_rows(), valid), epochs=epochs)


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
    net = train(make_net(shuffle_generator=generator(7)), valid=valid, train=rows)

    module = make_module()
    optimizer = sgd(module)
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
    net = train(make_net(), valid=make_rows(23, seed=1))
    assert [row["epoch"] for row in net.history] == [1, 2, 3]
    assert net.history[:, "train_loss"] == [row["train_loss"] for row in net.history]
    assert all(row["dur"] >= 0 for row in net.history)
    for key in ("train_loss", "valid_loss"):
        losses = net.history[:, key]
        best = [loss <= min(losses[: i + 1]) for i, loss in enumerate(losses)]
        assert net.history[:, key + "_best"] == best


def test_without_validation_rows_there_is_no_validation_loss():
    net = train(make_net())
    assert all("valid_loss" not in row for row in net.history)


def test_no_epochs():
    module = make_module()
    before = [p.clone() for p in module.parameters()]
    net = train(make_net(module), epochs=0)
    assert len(net.history) == 0
    assert all(torch.equal(a, b) for a, b in zip(before, net.module_.parameters(), strict=True))


def test_listeners_to_batches_get_their_events_and_history():
    events = Events()
    net = train(make_net(callbacks=[events]), epochs=2, valid=make_rows(23, seed=1))
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
    net = train(make_net(callbacks=[EndOnly()]))
    assert all(len(row["batches"]) == 4 for row in net.history)


def test_listening_changes_no_number():
    silent, listened = (
        train(make_net(callbacks=callbacks, shuffle_generator=generator()))
        for callbacks in ([], [Events()])
    )
    assert silent.history[:, "train_loss"] == listened.history[:, "train_loss"]
    for a, b in zip(silent.module_.parameters(), listened.module_.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("listens", [False, True])
def test_batches_wait_for_the_device_only_where_somebody_listens(monkeypatch, listens):
    """Reading a number off the device stops the queue of a GPU."""
    read, item = [], torch.Tensor.item
    monkeypatch.setattr(torch.Tensor, "item", lambda self: read.append(1) or item(self))
    keeper = KeepBest("valid_loss", 5, 0.0, cut_rate=True)
    callbacks = [Epochs(), keeper] + [Events()] * listens
    net = train(make_net(callbacks=callbacks), valid=make_rows(23, seed=1))
    n_losses = sum("_loss" in key for row in net.history for b in row["batches"] for key in b)
    assert n_losses == (15 if listens else 0)
    assert bool(read) == listens


def test_epoch_listeners_are_called():
    epochs, valid = Epochs(), make_rows(23, seed=1)
    train(make_net(callbacks=[epochs]), valid=valid)
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
        make_net(Nothing(), denoising=Denoising(lambda x: x * 0 + 100), lr=1e-30, batch_size=50),
        epochs=1, train=rows, valid=valid,
    )  # fmt: skip
    trained = [x for training, x in seen if training]
    validated = [x for training, x in seen if not training]
    assert torch.equal(torch.cat(trained), torch.full((50, 4), 100.0))
    assert torch.equal(torch.cat(validated), valid.tensor)
    assert net.history[0]["train_loss"] == pytest.approx(rows.tensor.square().mean().item())


def test_mean_loss_is_over_all_rows_in_evaluation_mode(monkeypatch):
    monkeypatch.setattr(rows_module, "BLOCK_ROWS", 16)
    module = nn.Sequential(make_module(), nn.Dropout(0.5))
    net, rows = make_net(module), make_rows()
    module.train()
    found = net.mean_loss(rows, module)
    expected = (module.eval()(rows.tensor) - rows.tensor).square().mean().item()
    assert found == pytest.approx(expected, rel=1e-6)


def test_best_weights_are_those_of_the_best_validation_loss():
    """Trained far too fast, so that the last epoch is not the best one."""
    keeper = KeepBest("valid_loss", 5, 0.0, cut_rate=False)
    valid = make_rows(23, seed=1)
    net = train(make_net(callbacks=[keeper], lr=3.0), epochs=15, valid=valid)
    curve = net.history[:, "valid_loss"]
    keeper.restore(net)
    assert net.mean_loss(valid, net.module_) == pytest.approx(keeper.best_loss_)
    assert keeper.best_loss_ <= min(curve)
    if keeper.best_epoch_:
        assert curve[keeper.best_epoch_ - 1] == keeper.best_loss_


def test_stopping_is_not_an_interrupt_and_all_are_told_of_the_end(capsys):
    ended = []

    class End(Callback):
        def on_train_end(self, net, **kwargs):
            ended.append(len(net.history))

    keeper = KeepBest("train_loss", 1, 1.0, cut_rate=False)
    net = train(make_net(callbacks=[keeper, End()], lr=1e-30), epochs=50)
    assert keeper.stopped_
    assert ended == [len(net.history)]
    assert len(net.history) < 50
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("event", ["on_epoch_end", "on_batch_end"])
def test_a_callback_may_stop_the_training_as_in_skorch(event):
    class Stop(Callback):
        pass

    def stop(self, net, **kwargs):
        raise KeyboardInterrupt

    setattr(Stop, event, stop)
    assert len(train(make_net(callbacks=[Stop()]), epochs=9).history) == 1


def test_the_users_interrupt_is_let_through():
    class Interrupted(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = make_module()

        def forward(self, x):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(make_net(Interrupted()))


def test_verbose_prints_an_epoch_a_line(capsys):
    train(make_net(verbose=1), valid=make_rows(23, seed=1))
    lines = capsys.readouterr().out.splitlines()
    assert "train_loss" in lines[0]
    assert "valid_loss" in lines[0]
    assert [line.split()[0] for line in lines[2:]] == ["1", "2", "3"]


def test_restored_net_has_module_and_history():
    trained = train(make_net(), valid=make_rows(23, seed=1))
    saved = {"history": list(trained.history), "batch_size": 16, "max_epochs": 3, "compile": True}
    net = restored_net(trained.module_, trained.criterion_, CPU, saved)
    # skorch would take it, from a file.
    assert not net.compile
    assert list(net.history) == list(trained.history)
    assert net.history[:, "train_loss"] == trained.history[:, "train_loss"]
    assert net.module_ is trained.module_
    assert net.batch_size == 16
