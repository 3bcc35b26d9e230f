"""An encoder and a decoder, and the units that they work in."""

import pytest
import torch
from torch import nn

from sklearn_ae.modules import Autoencoder, Rescaled, dense


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_autoencoder_is_the_decoder_after_the_encoder():
    encoder = dense(5, (4,), 2, nn.ReLU, generator())
    decoder = dense(2, (4,), 5, nn.ReLU, generator(1))
    network = Autoencoder(encoder, decoder)
    x = torch.randn(7, 5, generator=generator(2))
    assert torch.equal(network(x), decoder(encoder(x)))
    assert network.encoder(x).shape == (7, 2)
    assert network(x).shape == (7, 5)


def rescaled(module, shift_in, scale_in, shift_out, scale_out):
    return Rescaled(
        module,
        torch.tensor(shift_in, dtype=torch.float64),
        scale_in,
        torch.tensor(shift_out, dtype=torch.float64),
        scale_out,
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_formula_and_dtype(dtype):
    linear = nn.Linear(3, 2, dtype=torch.float64)
    module = rescaled(linear, [1.0, -2.0, 3.0], 4.0, [5.0, -6.0], 0.5)
    x = torch.randn(20, 3, generator=generator(), dtype=dtype)
    result = module(x)
    assert result.dtype == dtype
    scaled = (x.double() - torch.tensor([1.0, -2.0, 3.0])) / 4
    expected = linear(scaled).detach() * 0.5 + torch.tensor([5.0, -6.0])
    torch.testing.assert_close(result.detach().double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("offset", [1e6, 1e9])
def test_precise_far_from_zero(offset):
    """Columns at 1e9 with unit spread: float32 arithmetic on them would keep not one digit."""
    module = rescaled(nn.Identity(), [offset, -offset], 3.0, [0.0, 0.0], 3.0)
    noise = torch.randn(50, 2, generator=generator(), dtype=torch.float64)
    x = noise + torch.tensor([offset, -offset], dtype=torch.float64)
    torch.testing.assert_close(module(x), noise, rtol=1e-6, atol=1e-6)
    back = rescaled(nn.Identity(), [0.0, 0.0], 3.0, [offset, -offset], 3.0)
    torch.testing.assert_close(back(noise), x, rtol=0, atol=1e-5)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_extreme_scales_do_not_leave_float32_inside(scale):
    module = rescaled(nn.Identity(), [0.0], scale, [0.0], scale)
    x = torch.linspace(-3, 3, 11, dtype=torch.float64)[:, None] * scale
    torch.testing.assert_close(module(x), x, rtol=1e-6, atol=0)


def test_shifts_move_with_the_module():
    module = rescaled(nn.Identity(), [1.0], 2.0, [3.0], 4.0)
    assert {"shift_in", "shift_out"} <= module.state_dict().keys()
