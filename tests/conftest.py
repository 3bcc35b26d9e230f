"""What several test files share: devices, and the two estimators."""

import os
import signal

import numpy as np
import pytest
import torch
from checkpoints import kills
from processes import Pool
from sklearn import config_context
from stand_in import StandIn

from sklearn_ae import AutoencoderTransformer, DenoisingAutoencoderTransformer

CUDA = pytest.param(
    "cuda",
    marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
)


@pytest.fixture(params=["cpu", CUDA])
def device(request):
    """Each kind of device that is tested."""
    return request.param


@pytest.fixture
def stand_in(monkeypatch):
    """Return a stand-in; memory that a device reads by itself is like any other."""
    empty = torch.empty

    def without_pins(*args, pin_memory=False, **kwargs):
        return empty(*args, **kwargs)

    monkeypatch.setattr(torch, "empty", without_pins)
    return StandIn("cpu")


@pytest.fixture(
    params=[AutoencoderTransformer, DenoisingAutoencoderTransformer],
    ids=["plain", "denoising"],
)
def make_estimator(request):
    """Return each of the two estimator classes."""
    return request.param


@pytest.fixture(scope="session")
def two():
    """Two processes in a group."""
    pool = Pool(2)
    yield pool
    pool.close()


@pytest.fixture
def dispatch():
    """Dispatch by the namespace of arrays."""
    if os.environ.get("SCIPY_ARRAY_API") != "1":
        pytest.skip("needs SCIPY_ARRAY_API=1, as test_all_with_scipys_setting runs it")
    with config_context(array_api_dispatch=True):
        yield


@pytest.fixture
def kill(monkeypatch):
    """Return what makes the next fits end after so many epochs."""
    return kills(monkeypatch)


@pytest.fixture(autouse=True)
def seeded():
    """Let no test depend on luck: without `random_state`, fits draw from numpy's generator.

    Fixtures of a wider scope are made before, and say their `random_state`.
    """
    np.random.seed(0)


@pytest.fixture(autouse=True)
def interrupts_raise():
    """Let Ctrl-C raise, also where the shell that started the tests ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
