from itertools import pairwise

import pytest
import torch
from torch import nn

from sklearn_ae.modules import RefinedEncoder


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def linear_pair(n_features=6, n_components=3):
    """Make an encoder that is far off, and a decoder with orthonormal columns."""
    encoder, decoder = nn.Linear(n_features, n_components), nn.Linear(n_components, n_features)
    basis, _ = torch.linalg.qr(draw(n_features, n_components, seed=1))
    with torch.no_grad():
        decoder.weight.copy_(basis)
        decoder.bias.zero_()
        encoder.weight.copy_(draw(n_components, n_features, seed=2))
    return encoder, decoder


def curved_pair():
    torch.manual_seed(0)
    return nn.Linear(6, 2), nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 6))


def row_errors(encoder, decoder, x):
    with torch.no_grad():
        return (decoder(encoder(x)) - x).square().sum(1)


def test_one_step_is_the_projection_where_the_decoder_is_orthonormal():
    encoder, decoder = linear_pair()
    x = draw(20, 6, seed=3)
    projected = x @ decoder.weight
    # From next to the projection: a step may not gain more than all of the error.
    with torch.no_grad():
        encoder.weight.copy_(decoder.weight.T + 0.01 * encoder.weight)
        encoder.bias.zero_()
        refined = RefinedEncoder(encoder, decoder, 1)(x)
    torch.testing.assert_close(refined, projected)


@pytest.mark.parametrize("scale", [0.01, 1.0, 100.0])
def test_many_steps_find_the_best_codes_of_a_linear_decoder(scale):
    encoder, decoder = linear_pair()
    with torch.no_grad():
        decoder.weight.mul_(scale * torch.tensor([1.0, 0.7, 0.5]))
    x = draw(20, 6, seed=3)
    best = torch.linalg.lstsq(decoder.weight.double(), x.double().T).solution.T
    refined = RefinedEncoder(encoder, decoder, 60)
    errors = row_errors(refined, decoder, x)
    least = (x.double() - best @ decoder.weight.double().T).square().sum(1)
    torch.testing.assert_close(errors.double(), least, rtol=1e-3, atol=1e-4)


def test_no_row_gets_worse_and_more_steps_are_no_worse():
    encoder, decoder = curved_pair()
    x = 3 * draw(200, 6)
    errors = [row_errors(encoder, decoder, x)]
    errors += [row_errors(RefinedEncoder(encoder, decoder, n), decoder, x) for n in (1, 2, 5, 10)]
    for fewer, more in pairwise(errors):
        # But for what is rounded.
        assert bool((more <= (1 + 1e-4) * fewer).all())
    assert errors[-1].sum() < 0.9 * errors[0].sum()


def test_rows_do_not_depend_on_each_other():
    encoder, decoder = curved_pair()
    x = draw(30, 6)
    refined = RefinedEncoder(encoder.double(), decoder.double(), 5)
    whole = refined(x.double())
    alone = torch.cat([refined(row[None].double()) for row in x])
    torch.testing.assert_close(whole, alone, rtol=1e-6, atol=1e-8)


def test_codes_that_are_as_good_as_they_get_do_not_wander():
    encoder, decoder = linear_pair()
    x = draw(100, 6)
    refined = RefinedEncoder(encoder, decoder, 40)
    with torch.no_grad():
        change = refined(x) - refined(x + 1e-7 * draw(100, 6, seed=1))
    assert float(change.abs().max()) < 1e-5


def test_what_is_not_finite_stays_out():
    """A decoder that leaves the numbers behind away from the first codes changes nothing."""

    class Cliff(nn.Module):
        def forward(self, z):
            return torch.where(z.abs() < 1e-6, z, torch.nan).repeat(1, 2)

    class Zero(nn.Module):
        def forward(self, x):
            return 0 * x[:, :1]

    x = torch.ones(4, 2)
    assert torch.equal(RefinedEncoder(Zero(), Cliff(), 5)(x), torch.zeros(4, 1))


def test_a_perfect_code_stays():
    encoder, decoder = linear_pair()
    with torch.no_grad():
        encoder.weight.copy_(decoder.weight.T)
        encoder.bias.zero_()
        x = draw(5, 3) @ decoder.weight.T
        torch.testing.assert_close(RefinedEncoder(encoder, decoder, 5)(x), encoder(x))


def test_in_inference_mode_and_with_gradients():
    encoder, decoder = curved_pair()
    refined = RefinedEncoder(encoder, decoder, 3)
    x = draw(7, 6)
    with torch.inference_mode():
        codes = refined(x)
    torch.testing.assert_close(codes, refined(x))
    refined(x).sum().backward()
    assert encoder.weight.grad is not None
    # The decoder is shared.
    assert refined.decoder is decoder
