"""The same seed gives the same bits, and nothing global is touched, whatever the caller has set."""

import contextlib
import functools
import pickle
import random
import signal
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from held import HELD
from joblib import Parallel, delayed
from skorch.callbacks import Callback
from torch import nn

from sklearn_ae import AutoencoderTransformer, DenoisingAutoencoderTransformer
from sklearn_ae import _device as device_module

RNG = np.random.default_rng(0)
X = RNG.normal(size=(160, 3)) @ RNG.normal(size=(3, 10)) + 0.2 * RNG.normal(size=(160, 10)) ** 2
# Without early stopping nothing falls back to PCA: all that training did is seen.
SMALL = {"hidden_layer_sizes": (16,), "max_iter": 3, "random_state": 0, "early_stopping": False}


class Dropping(nn.Module):
    """A user's module that draws from torch's global generator, in the making and in training."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(n_inputs, 8), nn.Dropout(0.5), nn.Tanh(), nn.Linear(8, n_outputs)
        )

    def forward(self, x):
        return self.layers(x)


class Failing(nn.Module):
    """Fails in its second step of training, after having drawn random numbers."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.layer = nn.Linear(n_inputs, n_outputs)
        self.steps = 0

    def forward(self, x):
        self.steps += self.training
        if self.steps == 2:
            torch.rand(3)
            raise RuntimeError("the second step")
        return self.layer(x)


class NoisyError(nn.Module):
    """A loss that draws from torch's global generator."""

    def forward(self, prediction, target):
        return (prediction - target + 0.1 * torch.randn_like(target)).square().mean()


def dropping_activation():
    return nn.Sequential(nn.ReLU(), nn.Dropout(0.5))


def careless_noise(x, generator):
    """Corrupt, and forget about the generator."""
    return x + torch.randn_like(x)


CONFIGURATIONS = {
    "defaults": (AutoencoderTransformer, {}),
    "early stopping": (AutoencoderTransformer, {"early_stopping": True}),
    "random start": (AutoencoderTransformer, {"init": "random"}),
    "closed form": (AutoencoderTransformer, {"max_iter": 0}),
    "sgd": (AutoencoderTransformer, {"optimizer": "sgd"}),
    **{
        name: (DenoisingAutoencoderTransformer, {"corruption": name})
        for name in ("swap", "gaussian", "masking", "salt_and_pepper")
    },
}
# What users hand in knows only the global generators.
FOREIGN = {
    "modules": (AutoencoderTransformer, {"encoder": Dropping, "decoder": Dropping}),
    "module": (AutoencoderTransformer, {"encoder": Dropping(10, 2), "init": "random"}),
    "decoder": (AutoencoderTransformer, {"decoder": Dropping}),
    "denoising": (DenoisingAutoencoderTransformer, {"encoder": Dropping}),
    "activation": (AutoencoderTransformer, {"activation": dropping_activation}),
    "loss": (AutoencoderTransformer, {"loss": NoisyError()}),
    "corruption": (DenoisingAutoencoderTransformer, {"corruption": careless_noise}),
}


def configured(configurations):
    """Parametrize with functions that make an estimator of each configuration."""
    made = [
        functools.partial(kind, 2, **{**SMALL, **params})
        for kind, params in configurations.values()
    ]
    return pytest.mark.parametrize("make", made, ids=configurations)


def all_codes(make, **params):
    """Fit, and return all that the fitted estimator gives, in one array."""
    estimator = make(**{"device": "cpu", **params}).fit(X)
    return np.hstack([estimator.transform(X), estimator.reconstruct(X)])


def global_state():
    """Return what torch, numpy and Python share, in a form that can be compared."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {
        "random": random.getstate(),
        "numpy": [np.asarray(part).tolist() for part in np.random.get_state()],
        "torch": torch.get_rng_state().tolist(),
        "cuda": [state.tolist() for state in cuda],
        "seed": torch.initial_seed(),
        "dtype": torch.get_default_dtype(),
        "device": str(torch.get_default_device()),
        "threads": torch.get_num_threads(),
        "interop": torch.get_num_interop_threads(),
        "gradients": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "benchmark": torch.backends.cudnn.benchmark,
        "cudnn": torch.backends.cudnn.deterministic,
        "precision": [backend.fp32_precision for backend in device_module.MATMULS],
        "autocast": torch.is_autocast_enabled("cpu"),
        "interrupts": signal.getsignal(signal.SIGINT),
        "warnings": list(warnings.filters),
        "floating point": np.geterr(),
    }


@contextlib.contextmanager
def untouched():
    """Assert that what happens inside leaves everything global as it was."""
    before = global_state()
    yield
    after = global_state()
    assert [name for name in before if before[name] != after[name]] == []


# -- Same seed, same bits -----------------------------------------------------------------------


@configured({**CONFIGURATIONS, **FOREIGN})
def test_same_seed_same_bits(make):
    first = all_codes(make)
    torch.rand(7)
    np.random.rand(7)
    np.testing.assert_array_equal(all_codes(make), first)


@configured(
    {name: CONFIGURATIONS[name] for name in ("defaults", "random start", "swap")}
    | {"modules": FOREIGN["modules"], "activation": FOREIGN["activation"]}
)
def test_another_seed_gives_other_bits(make):
    assert not np.array_equal(all_codes(make), all_codes(make, random_state=1))


def test_random_state_as_in_scikit_learn():
    make = functools.partial(AutoencoderTransformer, 2, **{**SMALL, "max_iter": 1})
    state = np.random.RandomState(3)
    first, second = (all_codes(make, random_state=state) for _ in range(2))
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(all_codes(make, random_state=np.random.RandomState(3)), first)
    saved = np.random.get_state()
    try:
        np.random.seed(3)
        np.testing.assert_array_equal(all_codes(make, random_state=None), first)
    finally:
        np.random.set_state(saved)


@pytest.mark.parametrize("backend", ["loky", "threading"])
@configured(
    {name: CONFIGURATIONS[name] for name in ("defaults", "swap")} | {"modules": FOREIGN["modules"]}
)
def test_workers_give_the_same_bits(make, backend):
    def fit_codes(seed):
        return all_codes(make, random_state=seed)

    expected = [fit_codes(seed) for seed in range(3)]
    found = Parallel(n_jobs=2, backend=backend)(delayed(fit_codes)(seed) for seed in range(3))
    for ours, theirs in zip(expected, found, strict=True):
        np.testing.assert_array_equal(theirs, ours)


def test_fitted_estimators_come_back_from_workers():
    estimators = [AutoencoderTransformer(2, device="cpu", **SMALL) for _ in range(2)]
    found = Parallel(n_jobs=2)(delayed(estimator.fit)(X) for estimator in estimators)
    expected = estimators[0].fit(X)
    for estimator in found:
        np.testing.assert_array_equal(estimator.transform(X), expected.transform(X))
        np.testing.assert_array_equal(estimator.fit(X).transform(X), expected.transform(X))


@configured(
    {name: CONFIGURATIONS[name] for name in ("defaults", "swap")}
    | {name: FOREIGN[name] for name in ("modules", "activation")}
)
def test_two_fits_at_once(make):
    """In threads that start together."""
    expected = [all_codes(make, random_state=seed) for seed in range(4)]
    barrier = threading.Barrier(2, timeout=60)

    def fit_codes(seed):
        barrier.wait()
        return all_codes(make, random_state=seed)

    with untouched(), ThreadPoolExecutor(2) as pool:
        found = list(pool.map(fit_codes, range(4)))
    for ours, theirs in zip(expected, found, strict=True):
        np.testing.assert_array_equal(theirs, ours)


def test_one_estimator_serves_many_threads():
    estimator = AutoencoderTransformer(2, device="cpu", **SMALL).fit(X)
    expected = estimator.reconstruct(X)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(estimator.reconstruct, [X] * 16):
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("max_iter", [0, 1])
@pytest.mark.parametrize("shape", [(400, 60), (60, 400)])
def test_threads_change_rounding_alone(shape, max_iter, monkeypatch):
    """The same bits with as many threads; with another number up to rounding."""
    monkeypatch.setattr(device_module, "SMALL_STEP", 0)  # no work is too small for all threads
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(shape[0], 4)) @ rng.normal(size=(4, shape[1]))
    rows = rows + 0.3 * np.sin(3 * rows) + 0.01 * rng.normal(size=shape)
    before, used = torch.get_num_threads(), set()

    class Note(Callback):
        def on_train_begin(self, net, **kwargs):
            used.add(torch.get_num_threads())

    estimator = AutoencoderTransformer(
        3, hidden_layer_sizes=(128,), max_iter=max_iter, random_state=0, device="cpu",
        callbacks=[Note()], early_stopping=False,
    )  # fmt: skip
    found = []
    try:
        for n_threads in (1, 2, 2):
            torch.set_num_threads(n_threads)
            fitted = estimator.fit(rows)
            found.append((fitted.transform(rows), fitted.reconstruct(rows)))
    finally:
        torch.set_num_threads(before)
    assert used == {1, 2}
    for one, two, again in zip(*found, strict=True):
        np.testing.assert_array_equal(two, again)
        np.testing.assert_allclose(two, one, atol=1e-3 * np.abs(one).max())


# -- Nothing global is touched ------------------------------------------------------------------


@configured({**CONFIGURATIONS, **FOREIGN})
def test_globals_after_success(make, device):
    with untouched():
        estimator = make(device=device).fit(X)
        Z = estimator.transform(X)
        estimator.inverse_transform(Z)
        estimator.score(X)
        estimator.score_samples(X)


@pytest.mark.parametrize(
    ("params", "rows"),
    [
        ({"encoder": Failing}, X),
        ({"decoder": Failing, "init": "random"}, X),
        ({"encoder": nn.Linear(3, 3)}, X),
        ({"n_components": 0}, X),
        ({"device": "nowhere"}, X),
        ({}, np.full_like(X, np.nan)),
    ],
    ids=["encoder", "decoder", "shape", "n_components", "device", "nan"],
)
def test_globals_after_failure(make_estimator, params, rows, device):
    estimator = make_estimator(**{**SMALL, "device": device, **params})
    with untouched(), pytest.raises((ValueError, RuntimeError)):
        estimator.fit(rows)


def test_globals_after_pickle(device):
    estimator = AutoencoderTransformer(2, device=device, **SMALL).fit(X)
    with untouched():
        pickle.loads(pickle.dumps(estimator)).transform(X)


# -- Whatever the caller has set ----------------------------------------------------------------


OURS = ("defaults", "early stopping", "random start", "swap", "gaussian")


@pytest.mark.parametrize("held", HELD.values(), ids=HELD)
@configured({name: CONFIGURATIONS[name] for name in OURS})
def test_whatever_the_caller_holds(make, held):
    expected = all_codes(make)
    with held():
        with untouched():
            found = all_codes(make)
        outside = make(device="cpu").fit(X)
    np.testing.assert_array_equal(found, expected)
    # What was fitted inside can be used and trained outside, and the other way around.
    np.testing.assert_array_equal(outside.transform(X), expected[:, :2])
    outside.set_params(warm_start=True).fit(X)
    with held():
        inside = make(device="cpu", warm_start=True).fit(X)
        inside.fit(X)
        single = inside.transform(X.astype(np.float32))
    np.testing.assert_array_equal(inside.transform(X), outside.transform(X))
    np.testing.assert_array_equal(single, outside.transform(X.astype(np.float32)))


@pytest.mark.parametrize("held", ["no_grad", "inference_mode", "float64", "autocast"])
@configured(FOREIGN)
def test_whatever_the_caller_holds_around_users_parts(make, held):
    with HELD[held](), untouched():
        found = all_codes(make)
    assert np.isfinite(found).all()
    if held != "float64":  # where modules are made, and draw, in float64
        np.testing.assert_array_equal(found, all_codes(make))


def test_what_is_fitted_in_inference_mode_can_be_trained_on():
    with torch.inference_mode():
        estimator = AutoencoderTransformer(2, device="cpu", **SMALL).fit(X)
    estimator.module_(torch.from_numpy(X)).sum().backward()


def test_loading_under_other_defaults():
    import pickle

    estimator = AutoencoderTransformer(2, device="cpu", **SMALL).fit(X)
    data = pickle.dumps(estimator)
    for held in HELD.values():
        with held(), untouched():
            loaded = pickle.loads(data)
            np.testing.assert_array_equal(loaded.transform(X), estimator.transform(X))
        loaded.set_params(warm_start=True).fit(X)


def test_fit_leaves_a_callers_gradients_alone():
    """Gradients that a user is collecting in his own module are his."""
    encoder = nn.Linear(10, 2)
    encoder(torch.ones(1, 10)).sum().backward()
    before = encoder.weight.grad.clone()
    AutoencoderTransformer(2, encoder=encoder, init="random", **SMALL).fit(X)
    assert torch.equal(encoder.weight.grad, before)


def test_silent(make_estimator, capfd):
    make_estimator(2, **SMALL).fit(X).score(X)
    assert capfd.readouterr() == ("", "")
