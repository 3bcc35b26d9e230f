"""What must hold on every device, as far as it shows without one.

A tensor that is made on the wrong device fails only where there is a second device. Fake tensors
know their device, refuse to be mixed with those of another, and have no values: networks and steps
of training run on a device that is not there. (`tests/test_globals.py` has the default device, and
the tests with `device` those that are there.)
"""

import functools
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from configurations import ESTIMATORS, Network
from torch import nn
from torch.overrides import TorchFunctionMode

import sklearn_ae
from sklearn_ae import AutoencoderTransformer, DenoisingAutoencoderTransformer, corruption
from sklearn_ae._fitting import closed_form
from sklearn_ae._fitting.network import build_network, build_pca
from sklearn_ae._fitting.parts import make_parts
from sklearn_ae._fitting.rows import draw_rows, split_rows
from sklearn_ae._fitting.start import find_start, principal_components, sum_up_for
from sklearn_ae._fitting.training import make_optimizer
from sklearn_ae._fitting.training.denoising import Denoising, make_corruption
from sklearn_ae._fitting.training.explicit import ExplicitStep, can_be_explicit
from sklearn_ae._fitting.training.loss import make_loss
from sklearn_ae._fitting.training.prefixes import Prefixes
from sklearn_ae._parameters import for_columns, read_parameters
from sklearn_ae._rows import DenseRows
from sklearn_ae.modules import Corrected
from sklearn_ae.modules.refined import refined

try:  # a private name of torch's
    from torch._subclasses import FakeTensorMode
except ImportError:
    FakeTensorMode = None

# Not "cuda": where torch is built without it, gradients of fake tensors there end the process.
CPU, ELSEWHERE = torch.device("cpu"), torch.device("meta")
N_COLUMNS = 16
RNG = np.random.default_rng(0)
X = RNG.random((200, 1)) ** np.arange(1, N_COLUMNS + 1) + 0.05 * RNG.random((200, N_COLUMNS))
X /= X.max()
IMAGE = (1, 4, 4)

# -- A device that is not there -----------------------------------------------------------------

needs_fakes = pytest.mark.skipif(FakeTensorMode is None, reason="this torch has no fake tensors")
NETWORKS = {
    "dense": {},
    "linear decoder": {"decoder": "linear"},
    "tied": {"tied_weights": True},
    "conv": {"encoder": "conv", "image_shape": IMAGE, "hidden_layer_sizes": (4,)},
    "attention": {"encoder": "attention"},
    "patches": {"encoder": "attention", "image_shape": IMAGE},
    "user's": {"encoder": Network, "decoder": Network},
    "huber": {"loss": "huber"},
    "user's loss": {"loss": nn.L1Loss()},
    "probabilities": {"loss": "binary_log_loss"},
    "probabilities, tied": {"loss": "binary_log_loss", "tied_weights": True},
}
NOISE = {
    **{name: {"corruption": name} for name in ("swap", "gaussian", "masking", "salt_and_pepper")},
    "levels": {"corruption_level": np.linspace(0, 0.5, N_COLUMNS)},
    "emphasis": {"emphasis": 0.8},
    "head": {"corruption_loss_weight": 0.5},
    "tokens": {"corruption": "masking", "encoder": "attention", "image_shape": IMAGE},
    "head of tokens": {
        "corruption": "masking", "encoder": "attention", "corruption_loss_weight": 1.0,
    },
}  # fmt: skip


class Elsewhere:
    """What a fit has before its first step, on a device that is not there."""

    def __init__(self, cls, **params):
        params = {"n_components": 2, "hidden_layer_sizes": (8,)} | params
        params = cls(**params).get_params(deep=False)
        spec, self.training = read_parameters(params, cls.__name__)
        noise = self.training.noise
        self.spec = spec = for_columns(spec, noise, N_COLUMNS)
        sums = sum_up_for(X, 2, CPU)
        self.scaling = scaling = sums.scaling()
        rows = split_rows(X, sums, scaling, draw_rows(len(X), None, 0), CPU, hold_out=False)
        pca = principal_components(rows.all, 2, 0)
        start = find_start(rows, pca)
        parts = make_parts(spec, N_COLUMNS, 2, torch.Generator("cpu").manual_seed(0))
        network = build_network(spec, parts, scaling, start if spec.at_pca else None)
        # Tensors that are made of a number may be none of its own: they keep to their device too.
        self.mode = FakeTensorMode(allow_non_fake_inputs=True)
        self._moved = {}
        self.network = self.move(network).train()
        self.pca = self.move(build_pca(spec, pca, scaling))
        self.criterion = self.move(make_loss(self.training.loss, start.residual, scaling))
        self.rows = self._fake(rows.all.rows.slice(0, len(X)))

    def _fake(self, tensor):
        fake = self.mode.from_tensor(tensor.detach())
        with self.mode:
            return fake.to(ELSEWHERE)

    def move(self, module):
        """Do what ``module.to(device)`` does: move its parameters and buffers, and no more."""
        for part in module.modules():
            for tensors in (part._parameters, part._buffers):
                for name, tensor in tensors.items():
                    if tensor is not None:
                        # By identity: those that are shared stay so.
                        if id(tensor) not in self._moved:
                            fake = self._fake(tensor)
                            if isinstance(tensor, nn.Parameter):
                                fake = nn.Parameter(fake, tensor.requires_grad)
                            self._moved[id(tensor)] = fake, tensor
                        tensors[name] = self._moved[id(tensor)][0]
        return module

    def denoising(self):
        noise = self.training.noise
        if noise is None:
            return None
        corrupt = make_corruption(noise, self.scaling, self.spec.image_shape, ELSEWHERE)
        if noise.emphasis == 0.5:
            corrupt = functools.partial(corruption.corrupt_some_rows, corrupt=corrupt)
        # There is no generator of a device that is not there.
        corrupt = functools.partial(corrupt, generator=None)
        return Denoising(corrupt, noise.emphasis, noise.head_weight, noise.masks_tokens)

    def step(self):
        """Do a step of training, and encode and rebuild as `transform` does."""
        with self.mode:
            groups = [{"params": list(self.network.parameters())}]
            kind = self.training.optimizer
            optimizer = make_optimizer(groups, 1e-3, kind=kind, weight_decay=1e-4)
            denoising = self.denoising()
            # Logits have no unit, and a linear decoder has no correction.
            resized = self.spec.at_pca and type(self.network.decoder) is Corrected
            ratios = [2.0 if resized else 1.0, 1.0]
            prefixes = Prefixes(ratios, [4.0, 1.0], [1, 2], np.random.default_rng(0))
            decoded = prefixes.loss
            if denoising is None:
                codes = self.network.encoder(self.rows)
                loss, _ = decoded(self.network.decoder, self.criterion, codes, self.rows)
            else:
                loss, _ = denoising.loss(self.network, self.criterion, self.rows, decoded)
            loss.backward()
            if can_be_explicit(self.network):
                inputs, weight = denoising.inputs(self.rows) if denoising else (self.rows, [])
                explicit = ExplicitStep(self.network, self.criterion, False, prefixes)
                loss, _ = explicit.backward(inputs, self.rows, *weight)
            optimizer.step()
            found = refined(self.network.eval(), self.spec.n_steps)(self.rows)
        return loss, found


def assert_elsewhere(*tensors):
    for tensor in tensors:
        assert tensor.device == ELSEWHERE


@needs_fakes
@pytest.mark.parametrize("init", ["pca", "random"])
@pytest.mark.parametrize("params", NETWORKS.values(), ids=NETWORKS)
def test_step_on_a_device_that_is_not_there(params, init):
    fake = Elsewhere(AutoencoderTransformer, init=init, **params)
    assert_elsewhere(*fake.step(), *fake.network.parameters(), *fake.network.buffers())
    assert all(p.grad is None or p.grad.device == ELSEWHERE for p in fake.network.parameters())
    with fake.mode:
        assert_elsewhere(fake.pca(fake.rows))


@needs_fakes
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_optimizers_on_a_device_that_is_not_there(optimizer):
    assert_elsewhere(*Elsewhere(AutoencoderTransformer, optimizer=optimizer).step())


@needs_fakes
@pytest.mark.parametrize("init", ["pca", "random"])
@pytest.mark.parametrize("params", NOISE.values(), ids=NOISE)
def test_denoising_step_on_a_device_that_is_not_there(params, init, monkeypatch):
    # The number of the last patch of an image is read; there are no values.
    monkeypatch.setattr(corruption, "int", lambda value: N_COLUMNS - 1, raising=False)
    fake = Elsewhere(DenoisingAutoencoderTransformer, init=init, **params)
    assert_elsewhere(*fake.step())


class Drawn:
    """A layer as it is drawn, on the CPU; torch cannot move a fake one that is a module."""

    def __init__(self, weight, bias):
        self.weight, self.bias = weight, bias

    def to(self, device):
        return Drawn(self.weight.to(device), self.bias.to(device))


def drawn(kind, n_inputs, n_outputs, **kwargs):
    return Drawn(*(torch.zeros(*s, device="cpu") for s in ((n_outputs, n_inputs), (n_outputs,))))


@needs_fakes
def test_closed_form_on_a_device_that_is_not_there(monkeypatch):
    """All of it but where values decide: a number stands for each that is read."""
    monkeypatch.setattr(closed_form, "float", lambda value: 1.0, raising=False)
    monkeypatch.setattr(closed_form, "drawn", drawn)
    fake = Elsewhere(AutoencoderTransformer)
    decoder, encode = fake.network.decoder, fake.network.encoder
    with fake.mode, torch.no_grad():
        rows = DenseRows(fake.rows)
        hidden, last = decoder.correction[:-1], decoder.correction[-1]
        for layer in (None, last):
            *found, _ = closed_form._centred_moments(decoder, encode, rows, hidden, layer)
            assert_elsewhere(*found)
        generator = torch.Generator("cpu").manual_seed(0)
        closed_form.widen_features(decoder, encode, rows, generator)
        assert_elsewhere(*decoder.parameters())


@needs_fakes
@pytest.mark.parametrize("where", ["buffer", "forward"])
def test_tensors_on_a_wrong_device_are_seen(where):
    """The check itself."""
    fake = Elsewhere(AutoencoderTransformer)

    class Wrong(nn.Module):
        def forward(self, x):
            return x + torch.ones(x.shape[1], device="cpu")

    if where == "buffer":
        fade = fake.network.encoder.fade
        with fake.mode:
            fade._buffers["middle"] = fade.middle.to("cpu")
    else:
        fake.network.decoder = nn.Sequential(fake.network.decoder, Wrong())
    with pytest.raises(RuntimeError, match="device"):
        fake.step()


# -- Every tensor says where it wants to be -----------------------------------------------------

PACKAGE = str(Path(sklearn_ae.__file__).parent)
TORCH = str(Path(torch.__file__).parent)
# Those that lie on the default device where they are not told; others follow a tensor.
FACTORIES = {
    getattr(torch, name)
    for name in (
        "arange", "empty", "empty_strided", "eye", "full", "linspace", "logspace", "ones", "rand",
        "randint", "randn", "randperm", "range", "scalar_tensor", "tensor", "zeros",
        "tril_indices", "triu_indices",
    )
}  # fmt: skip


def maker():
    """Return the place in the package where torch is being called, None if it is not ours."""
    frame = sys._getframe(2)
    while frame and frame.f_code.co_filename.startswith(TORCH):
        # Optimizers keep numbers of their own on the CPU.
        if "/optim/" in frame.f_code.co_filename:
            return None
        frame = frame.f_back
    if frame and frame.f_code.co_filename.startswith(PACKAGE):
        return f"{frame.f_code.co_filename}:{frame.f_lineno}"
    return None


class Homeless(TorchFunctionMode):
    """Note where the package makes a tensor without saying on which device."""

    def __init__(self):
        super().__init__()
        self.found, self.n_made = set(), 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        given = func is torch.as_tensor and isinstance(args[0], torch.Tensor)
        if (func in FACTORIES or func is torch.as_tensor) and not given:
            place = maker()
            self.n_made += place is not None
            if place is not None and kwargs.get("device") is None:
                self.found.add(place)
        return func(*args, **kwargs)


def is_ours(estimator):
    parts = [estimator.encoder, estimator.decoder, estimator.loss]
    return all(part is None or isinstance(part, str) for part in parts)


@pytest.mark.parametrize("estimator", filter(is_ours, ESTIMATORS), ids=lambda e: str(e)[:90])
def test_every_tensor_is_made_on_a_device_that_is_named(estimator):
    with Homeless() as homeless:
        fitted = estimator.fit(X)
        fitted.transform(X)
        fitted.score(X)
        if getattr(fitted, "code_layer", None) is None:
            fitted.inverse_transform(fitted.transform(X))
        if hasattr(fitted, "corrupt"):
            fitted.corrupt(X)
    assert homeless.n_made > 0
    assert homeless.found == set()


def test_tensors_without_a_device_are_seen(monkeypatch):
    """The check itself."""
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", str(Path(__file__).parent))
    with Homeless() as homeless:
        torch.zeros(3)
        nn.Linear(2, 2)
        torch.ones(3, device="cpu")
        torch.as_tensor(torch.ones(3, device="cpu"))
    assert len(homeless.found) == 2
