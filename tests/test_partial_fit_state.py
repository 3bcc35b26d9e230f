"""What `partial_fit` goes on from: in files, and after calls that fail."""

import pickle
import signal

import joblib
import numpy as np
import pytest
import torch
from curves import curve, gaussian, make, parabola
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from skorch.callbacks import Callback
from states import change_text, load

from sklearn_ae import SKOPS_TYPES
from sklearn_ae._fitting import partial
from sklearn_ae._rows import merged, seen
from sklearn_ae.callbacks import FitCheckpoint

X = parabola(400)
PIECES = np.array_split(X, 6)


def in_pieces(model, pieces=PIECES):
    for piece in pieces:
        model.partial_fit(piece)
    return model


def same(first, second):
    """Check that two estimators are the same, and will be."""
    for name in ("n_samples_seen_", "n_iter_", "best_iter_", "is_pca_", "best_loss_", "mean_"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    np.testing.assert_array_equal(first.loss_curve_, second.loss_curve_)
    np.testing.assert_array_equal(first.transform(X[:50]), second.transform(X[:50]))
    np.testing.assert_array_equal(first.reconstruct(X[:50]), second.reconstruct(X[:50]))
    assert first._going["text"] == second._going["text"]
    assert first._going["arrays"].keys() == second._going["arrays"].keys()
    for name, array in first._going["arrays"].items():
        np.testing.assert_array_equal(array, second._going["arrays"][name])
    if first._learner is not None:
        for ours, theirs in zip(
            first._learner.parameters(), second._learner.parameters(), strict=True
        ):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


# -- The same bits --------------------------------------------------------------------------------


def through_skops(model, folder):
    io = pytest.importorskip("skops.io")
    return io.loads(io.dumps(model), trusted=SKOPS_TYPES)


def through_joblib(model, folder):
    joblib.dump(model, folder / "model.joblib")
    return joblib.load(folder / "model.joblib", mmap_mode="r")


def through_pickle(model, folder):
    return pickle.loads(pickle.dumps(model))


@pytest.mark.parametrize("way", [through_pickle, through_joblib, through_skops])
@pytest.mark.parametrize("begin", [0, 1, 3])
def test_what_was_saved_between_two_calls_goes_on_with_the_same_bits(way, begin, tmp_path):
    """After a fit of the first pieces where there is no call before."""
    model = make(max_iter=2).fit(X[:200]) if begin == 0 else in_pieces(make(), PIECES[:begin])
    loaded = way(model, tmp_path)
    same(loaded, model)
    for piece in PIECES[begin:]:
        same(loaded.partial_fit(piece), model.partial_fit(piece))


@pytest.mark.parametrize(
    "params",
    [
        {"init": "random"},
        {"early_stopping": False, "whiten": True},
        {"optimizer": "sgd", "batch_size": 5},
        {"max_iter": 0},
    ],
    ids=repr,
)
def test_of_other_networks_too(params, make_estimator, tmp_path):
    model = in_pieces(make(make_estimator, **params), PIECES[:3])
    loaded = through_pickle(model, tmp_path)
    for piece in PIECES[3:5]:
        same(loaded.partial_fit(piece), model.partial_fit(piece))


def test_of_sparse_and_of_wide_rows_too(monkeypatch, tmp_path):
    monkeypatch.setattr(merged, "LEAST_MERGED", 20)
    wide = sparse.csr_matrix(np.random.default_rng(0).poisson(0.1, size=(90, 1_100)) * 1.0)
    model = make(n_components=3).partial_fit(wide[:40])
    loaded = through_pickle(model, tmp_path)
    same_codes = [m.partial_fit(wide[40:]).transform(wide) for m in (model, loaded)]
    np.testing.assert_array_equal(*same_codes)


def test_the_same_pieces_give_the_same_bits():
    same(in_pieces(make()), in_pieces(make()))
    other = in_pieces(make(random_state=1))
    assert not np.array_equal(other.transform(X), in_pieces(make()).transform(X))


def test_what_is_seen_does_not_depend_on_how_it_came():
    first = in_pieces(make())._going["arrays"]
    second = in_pieces(make(), np.array_split(X[::-1], 2))._going["arrays"]
    for name in ("held.rows", "kept.rows", "kept.hashes"):
        np.testing.assert_array_equal(first[name], second[name])


# -- Calls that fail ------------------------------------------------------------------------------


class Interrupt(Callback):
    """Presses Ctrl-C."""

    def on_batch_begin(self, net, **kwargs):
        signal.raise_signal(signal.SIGINT)


# Of any call; and what another call before makes wrong.
BAD = [
    ({}, np.full((3, 4), np.nan), ValueError, "NaN"),
    ({}, X[:0], ValueError, "minimum of 1"),
    ({"tol": -1}, X, ValueError, "'tol' parameter"),
    ({"callbacks": [FitCheckpoint("nowhere")]}, X, ValueError, "save the estimator after each"),
    ({"callbacks": [Interrupt()]}, X, KeyboardInterrupt, None),
    ({"loss": "binary_log_loss"}, X, ValueError, r"values in \[0, 1\]|was 'another'"),
]
BAD_LATER = [
    ({}, X[:50, :3], ValueError, "features"),
    ({"n_components": 2}, X, ValueError, "n_components=2, was 1"),
    ({"max_components": 3}, X, ValueError, "n_components=3, was 1"),
    ({"hidden_layer_sizes": (8,)}, X, ValueError, "was \\[16\\]"),
    ({"activation": "relu"}, X, ValueError, "activation='relu', was 'gelu'"),
    ({"validation_fraction": 0.2}, X, ValueError, "validation_fraction=0.2 holds out another"),
    ({"early_stopping": False}, X, ValueError, "early_stopping=False with .* another share"),
]


@pytest.mark.parametrize(
    ("begin", "params", "rows", "error", "message"),
    [(begin, *case) for begin in (0, 4) for case in (BAD + BAD_LATER if begin else BAD)],
    ids=lambda value: str(value)[:30],
)
def test_a_call_that_fails_leaves_the_estimator_as_it_was(begin, params, rows, error, message):
    model = in_pieces(make(), PIECES[:begin]) if begin else make()
    was = model.get_params()
    model.set_params(**params)
    before = model.__dict__.copy()
    state = pickle.dumps(before.get("_going"))
    with pytest.raises(error, match=message):
        model.partial_fit(rows)
    assert vars(model).keys() == before.keys()
    assert all(vars(model)[name] is value for name, value in before.items())
    assert pickle.dumps(model.__dict__.get("_going")) == state
    if begin:
        model.set_params(**was)
        same(model.partial_fit(PIECES[4]), in_pieces(make(), PIECES[:5]))


class Stop(Callback):
    """Asks for the end of a training, as skorch's EarlyStopping does."""

    def on_batch_end(self, net, **kwargs):
        raise KeyboardInterrupt


def test_callbacks_that_end_a_training_end_the_pass():
    model = in_pieces(make(), PIECES[:4])
    weights = [weight.clone() for weight in model._learner.parameters()]
    model.set_params(callbacks=[Stop()]).partial_fit(PIECES[4])
    assert model.n_samples_seen_ == sum(map(len, PIECES[:5]))
    assert any((a != b).any() for a, b in zip(model._learner.parameters(), weights, strict=True))
    in_pieces(make(callbacks=[Stop()]))


def test_a_pass_that_diverges_is_forgotten(monkeypatch):
    monkeypatch.setattr(partial, "GROWTH", np.inf)
    model = in_pieces(make(n_components=1), PIECES[:4])
    n_passes, weights = model.n_iter_, [w.clone() for w in model._learner.parameters()]
    model.set_params(learning_rate_init=1e30)
    with pytest.warns(ConvergenceWarning, match="weights of the call before"):
        model.partial_fit(PIECES[4])
    for ours, theirs in zip(model._learner.parameters(), weights, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    assert (model.n_iter_, model.n_samples_seen_) == (n_passes, sum(map(len, PIECES[:5])))
    assert np.isfinite(model.transform(X)).all()


def test_optimizers_that_keep_what_no_file_holds_are_refused():
    class Odd(torch.optim.SGD):
        """Keeps an object for each weight."""

        def step(self, closure=None):
            for group in self.param_groups:
                for weight in group["params"]:
                    self.state[weight]["odd"] = object()
            return super().step(closure)

    with pytest.raises(ValueError, match="optimizer has a object in its state"):
        make(optimizer=lambda params: Odd(params, lr=1e-3)).partial_fit(X)


def test_estimators_of_files_without_sums_say_so():
    model = make(max_iter=0).fit(curve())
    model._going = None
    with pytest.raises(ValueError, match="saved by a version without partial_fit"):
        model.partial_fit(curve())


# -- Callbacks ------------------------------------------------------------------------------------


class Counting(Callback):
    """Counts what it is told."""

    def __init__(self):
        self.told = {"begin": 0, "epochs": 0, "end": 0}

    def __deepcopy__(self, memo):
        return self

    def on_train_begin(self, net, **kwargs):
        self.told["begin"] += 1

    def on_epoch_end(self, net, **kwargs):
        self.told["epochs"] += 1

    def on_train_end(self, net, **kwargs):
        self.told["end"] += 1


def test_callbacks_hear_of_each_pass_as_of_a_training():
    counting = Counting()
    model = make(callbacks=[counting])
    in_pieces(model)
    # A network that is started has two passes.
    n = counting.told["begin"]
    assert n == counting.told["end"]
    assert n < counting.told["epochs"] <= 2 * n
    assert counting.told["epochs"] >= model.n_iter_ > 2


# -- Damaged files --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted():
    return in_pieces(make())


def changed(change):
    """Change what is gone on from, in a file."""

    def changing(saved):
        change(saved["going"])

    return changing


def in_text(name, value):
    def change(going):
        change_text("text", lambda known: known.update({name: value}))(going)

    return change


def in_array(name, change):
    return lambda going: going["arrays"].update({name: change(going["arrays"].get(name))})


@pytest.mark.parametrize(
    "change",
    [
        in_text("seed", -1),
        in_text("bound", "1"),
        in_text("bound", 2**65),
        in_text("share", 1.5),
        in_text("n_calls", None),
        in_text("unit", float("nan")),
        in_text("n_different", 0.0),
        lambda going: going.update(text="{"),
        lambda going: going.update(more=3),
        lambda going: going["arrays"].pop("sums.low"),
        lambda going: going["arrays"].pop("held.repeats"),
        lambda going: going["arrays"].pop("kept.rows"),
        in_array("another", lambda array: np.zeros(3)),
        in_array("sums.products", lambda array: array[:-1]),
        in_array("sums.centre", lambda array: array[:-1]),
        in_array("sums.centre", lambda array: array * np.nan),
        in_array("held.rows", lambda array: array[:-1]),
        in_array("kept.rows", lambda array: array[:, :-1]),
        in_array("kept.hashes", lambda array: array.astype(float)),
        in_array("kept.hashes", lambda array: array.astype(object)),
        in_array("held.counts", lambda array: array.tolist()),
        in_array("losses", lambda array: array[:, None]),
    ],
)
def test_states_that_are_damaged(fitted, change):
    with pytest.raises(ValueError, match="is damaged"):
        load(fitted, changed(change))


def test_the_checksum_tells_of_a_change(fitted):
    change = in_array("held.rows", lambda array: array + 1)
    with pytest.raises(ValueError, match="its checksum is another"):
        load(fitted, changed(change), true=False)
    assert load(fitted).n_samples_seen_ == len(X)


def test_a_network_without_rows_to_go_on_from(fitted):
    with pytest.raises(ValueError, match="no rows to go on from"):
        load(fitted, lambda saved: saved.update(going=None))


def test_the_samples_bound_a_file(monkeypatch):
    monkeypatch.setattr(seen, "MOST_KEPT", 100)
    monkeypatch.setattr(seen, "MOST_HELD", 20)
    for name in ("LEAST_KEPT", "LEAST_HELD"):
        monkeypatch.setattr(seen, name, 1)
    model = make(n_components=2)
    sizes = []
    for seed in range(3):
        model.partial_fit(gaussian(500, 5, seed))
        sizes.append(len(pickle.dumps(model)))
    assert sizes[-1] < 1.1 * sizes[0]
