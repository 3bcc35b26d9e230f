"""Choice of the device, and torch's global state."""

import threading

import numpy as np
import pytest
import torch
from torch import nn

from sklearn_ae._device import (
    MATMULS,
    nearest_device,
    own_settings,
    resolve_device,
    seeded_globals,
    threads_for,
)

CPU = torch.device("cpu")


@pytest.mark.parametrize("has_cuda", [False, True])
def test_auto_is_cuda_where_there_is_one(monkeypatch, has_cuda):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_cuda)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    # With its number: so do tensors name their device.
    assert str(resolve_device("auto")) == ("cuda:1" if has_cuda else "cpu")


def test_cpu_is_always_there():
    assert resolve_device("cpu") == CPU


@pytest.mark.parametrize("name", ["gpu", "", "cuda:999", "cpu:x", "0", "AUTO", "meta", "xla"])
def test_device_that_cannot_be_used(name):
    with pytest.raises(ValueError) as caught:
        resolve_device(name)
    assert repr(name) in str(caught.value)
    assert "cpu" in str(caught.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_where_there_is_none():
    with pytest.raises(ValueError, match=r"device='cuda'.*Available here: cpu"):
        resolve_device("cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_where_there_is_one():
    for name in ("cuda", "cuda:0"):
        assert resolve_device(name) == torch.empty(1, device=name).device


@pytest.mark.parametrize(
    ("saved", "n_here", "found"),
    [("cuda:3", 1, "cuda:0"), ("cuda:1", 2, "cuda:1"), ("cuda:1", 0, "cpu"), ("cpu", 2, "cpu")],
)
def test_nearest_device(saved, n_here, found, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: n_here > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: n_here)
    assert str(nearest_device(saved)) == found


def test_one_thread_in_fits_that_overlap():
    """Each thread has one while it works, and after it as many as before."""
    context, before = threads_for(1, CPU), torch.get_num_threads()
    torch.set_num_threads(2)
    inside, after = {}, {}
    both_in, first_out = threading.Barrier(2), threading.Event()

    def work(name, first):
        with context:
            both_in.wait(10)
            inside[name] = torch.get_num_threads()
            if not first:
                first_out.wait(10)
        after[name] = torch.get_num_threads()
        first_out.set()

    workers = [threading.Thread(target=work, args=(f"{i}", i == 0)) for i in range(2)]
    try:
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert inside == {"0": 1, "1": 1}
        assert after == {"0": 2, "1": 2}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_one_thread_within_one_thread():
    """As of a fit within a fit, in a callback."""
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with threads_for(1, CPU):
            with threads_for(1, CPU):
                assert torch.get_num_threads() == 1
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("other", [3, 2])
def test_threads_that_overlap_get_back_their_own_number(other):
    """The one that comes in first leaves last."""
    context, before = threads_for(1, CPU), torch.get_num_threads()
    after = {}
    order = [threading.Event() for _ in range(3)]

    def first():
        torch.set_num_threads(2)
        with context:
            order[0].set()
            order[2].wait(10)
        after["first"] = torch.get_num_threads()

    def second():
        torch.set_num_threads(other)
        assert torch.get_num_threads() == other  # torch holds to it only once it was asked
        order[1].set()
        order[0].wait(10)
        with context:
            assert torch.get_num_threads() == 1
        after["second"] = torch.get_num_threads()
        order[2].set()

    workers = [threading.Thread(target=second), threading.Thread(target=first)]
    try:
        workers[0].start()
        order[1].wait(10)
        workers[1].start()
        for worker in workers:
            worker.join()
        assert after == {"first": 2, "second": other}
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("outer", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_gradients_whatever_the_mode_which_is_put_back(outer):
    weight = nn.Parameter(torch.ones(3))
    with outer():
        before = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
        with own_settings(CPU):
            weight.square().sum().backward()
        assert (torch.is_grad_enabled(), torch.is_inference_mode_enabled()) == before
    assert torch.equal(weight.grad, torch.full((3,), 2.0))


SETTINGS = {
    "high": lambda: torch.set_float32_matmul_precision("high"),
    "medium": lambda: torch.set_float32_matmul_precision("medium"),
    "one": lambda: setattr(torch.backends.cuda.matmul, "fp32_precision", "tf32"),
    "another": lambda: setattr(torch.backends.mkldnn.matmul, "fp32_precision", "bf16"),
    "generic": lambda: setattr(torch.backends, "fp32_precision", "tf32"),
    "as torch had it": lambda: setattr(torch.backends.cuda.matmul, "allow_tf32", True),
    "all but one": lambda: (
        torch.set_float32_matmul_precision("medium"),
        setattr(torch.backends.cuda.matmul, "fp32_precision", "ieee"),
    ),
    "each its own": lambda: (
        setattr(torch.backends.cuda.matmul, "allow_tf32", True),
        setattr(torch.backends.mkldnn.matmul, "fp32_precision", "bf16"),
    ),
}


@pytest.fixture
def precision():
    """Begin and end with what torch begins with."""

    def reset():
        torch.set_float32_matmul_precision("highest")
        torch.backends.fp32_precision = "none"
        for backend in MATMULS:
            backend.fp32_precision = "none"

    reset()
    yield
    reset()


@pytest.mark.parametrize("faster", SETTINGS.values(), ids=SETTINGS)
def test_full_precision_whatever_is_set_which_is_put_back(faster, precision):
    a = torch.ones(3, 3)
    faster()
    held, told = [backend.fp32_precision for backend in MATMULS], what_torch_tells()
    assert {"tf32", "bf16"} & {*held}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        with own_settings(CPU), own_settings(CPU):
            assert {backend.fp32_precision for backend in MATMULS} <= {"ieee", "none"}
            assert what_torch_tells() == ["highest", False]
            assert (a @ a).dtype == torch.float32
        assert (a @ a).dtype == torch.bfloat16
    assert [backend.fp32_precision for backend in MATMULS] == held
    assert what_torch_tells() == told


def what_torch_tells():
    """Return what is told of all backends, and of CUDA in the old way; None where torch fails."""
    found = []
    for ask in (
        torch.get_float32_matmul_precision,
        lambda: torch.backends.cuda.matmul.allow_tf32,
    ):
        try:
            found.append(ask())
        except RuntimeError:
            found.append(None)
    return found


def test_a_precision_that_is_inherited_stays_so(precision):
    torch.backends.fp32_precision = "tf32"
    with own_settings(CPU):
        pass
    torch.backends.fp32_precision = "ieee"
    assert [backend.fp32_precision for backend in MATMULS] == ["ieee", "ieee"]


def test_users_may_ask_what_is_set():
    with own_settings(CPU), torch.backends.cudnn.flags(enabled=False):
        assert torch.get_float32_matmul_precision() == "highest"


@pytest.mark.parametrize("before", [False, True])
def test_convolutions_are_alike_each_time(before, monkeypatch):
    cudnn = torch.backends.cudnn
    monkeypatch.setattr(cudnn, "is_available", lambda: True)
    with cudnn.flags(deterministic=before, benchmark=not before):
        for _ in range(2):
            with own_settings(CPU), own_settings(CPU):
                assert cudnn.deterministic and not cudnn.benchmark
            assert (cudnn.deterministic, cudnn.benchmark) == (before, not before)


def test_flags_that_are_frozen_stay(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends, "flags_frozen", lambda: True)
    before = torch.backends.cudnn.deterministic
    with own_settings(CPU):
        assert torch.backends.cudnn.deterministic == before


def test_globals_are_seeded_inside_and_as_before_outside():
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    drawn = []
    for seed in (1, 1, 2):
        with seeded_globals(seed, CPU):
            drawn.append(torch.rand(4))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)


def test_globals_are_put_back_after_an_error():
    before = torch.get_rng_state()
    with pytest.raises(ZeroDivisionError), seeded_globals(0, CPU):
        torch.rand(4)
        raise ZeroDivisionError
    assert torch.equal(torch.get_rng_state(), before)


def test_fits_in_two_threads_do_not_share_the_global_generator():
    """Each thread draws what it would draw alone, though both seed one generator."""

    def draw(seed):
        with seeded_globals(seed, CPU):
            return torch.cat([torch.rand(100) for _ in range(50)])

    alone, together = {seed: draw(seed) for seed in range(4)}, {}
    threads = [
        threading.Thread(target=lambda s=seed: together.update({s: draw(s)})) for seed in alone
    ]
    before = torch.get_rng_state()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(together[seed], alone[seed]) for seed in alone)
