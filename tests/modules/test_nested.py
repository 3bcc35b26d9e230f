"""Codes of any size, of one network: the first numbers, the others zero."""

import math

import pytest
import torch
from torch import nn

from sklearn_ae.modules import (
    Autoencoder,
    ClippedProbabilities,
    Corrected,
    Fade,
    Gate,
    Nested,
    StartedLinear,
    dense,
)

N_ROWS, N_FEATURES, N_COMPONENTS = 20, 6, 4
RATIOS = [8.0, 4.0, 2.0, 1.0]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed))


def gated(n_in, n_out):
    gate = Gate(nn.Sequential(nn.Linear(n_in, 5), nn.Tanh(), nn.Linear(5, n_out)), n_out)
    nn.init.normal_(gate.gain)
    return gate


CORRECTIONS = {
    "dense": lambda n_in, n_out: dense(n_in, (5, 7), n_out, nn.Tanh, generator(1)),
    "one layer": lambda n_in, n_out: dense(n_in, (), n_out, nn.Tanh, generator(1)),
    "own module": gated,
}


def make_nested(correct=CORRECTIONS["dense"]):
    weight = draw(N_COMPONENTS, N_FEATURES, seed=2)
    encode = StartedLinear(weight, draw(N_COMPONENTS), 0.1)
    decode = StartedLinear(weight.T.contiguous(), draw(N_FEATURES), 0.1)
    rows = torch.full((N_FEATURES,), 2.0)
    codes = torch.arange(1.0, N_COMPONENTS + 1)
    encoder = Corrected(
        encode, correct(N_FEATURES, N_COMPONENTS), torch.ones(N_FEATURES), codes,
        -rows, rows, Fade(torch.zeros(N_FEATURES), torch.tensor(3.0)),
    )  # fmt: skip
    decoder = Corrected(
        decode, correct(N_COMPONENTS, N_FEATURES), codes, 0.3 * torch.ones(N_FEATURES),
        -codes, 2 * codes, Fade(codes / 2, 1.5 * codes, torch.inf),
    )  # fmt: skip
    return Nested(Autoencoder(encoder, decoder), RATIOS)


every_correction = pytest.mark.parametrize("correct", CORRECTIONS.values(), ids=CORRECTIONS)


def padded(codes):
    zeros = codes.new_zeros(len(codes), N_COMPONENTS - codes.shape[1])
    return torch.cat([codes, zeros], dim=1)


@every_correction
@pytest.mark.parametrize("n", [1, 2, 3])
def test_codes_are_the_first_numbers(correct, n):
    nested = make_nested(correct)
    rows = 2 * draw(N_ROWS, N_FEATURES, seed=3)
    torch.testing.assert_close(nested.prefix(n).encoder(rows), nested.network.encoder(rows)[:, :n])


@every_correction
@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_other_numbers_are_zero_and_the_correction_has_a_unit_of_its_own(correct, n):
    nested = make_nested(correct)
    decoder, codes = nested.network.decoder, 3 * draw(N_ROWS, n, seed=3)
    z = padded(codes)
    correction = decoder.output_scale * decoder.correction(decoder.bounded(z))
    expected = decoder.linear(z) + decoder.fade(z) * RATIOS[n - 1] * correction
    torch.testing.assert_close(nested.prefix(n).decoder(codes), expected)


def test_the_largest_is_the_network_itself():
    nested = make_nested()
    assert nested.prefix(N_COMPONENTS) is nested.network


def learned(nested, n, seed):
    prefix = nested.prefix(n)
    nn.init.normal_(prefix.decoder.correction[-1].weight, generator=generator(seed))
    codes = draw(N_ROWS, n, seed=3)
    return prefix, codes, prefix.decoder(codes)


def test_a_size_has_the_last_layer_that_it_learned():
    """In whatever order they learn."""
    nested = make_nested()
    learned_ones = [learned(nested, n, seed=n) for n in (1, 3)]
    for n, (prefix, *_) in reversed([*zip((1, 3), learned_ones, strict=True)]):
        nested.learn(n, prefix)
    assert nested.sizes == [1, 3]
    for n, (_, codes, expected) in zip((1, 3), learned_ones, strict=True):
        torch.testing.assert_close(nested.prefix(n).decoder(codes), expected)
    nested.forget()
    codes = learned_ones[0][1]
    torch.testing.assert_close(
        nested.prefix(1).decoder(codes), make_nested().prefix(1).decoder(codes)
    )


def test_between_two_sizes_lies_a_mean_of_theirs():
    """Of the smaller, with the linear path of the numbers that it does not take, and the larger."""
    nested = make_nested()
    for n, prefix in [(n, learned(nested, n, seed=n)[0]) for n in (1, 3)]:
        nested.learn(n, prefix)
    codes = draw(N_ROWS, 2, seed=3)
    linear = nested.network.decoder.linear
    small = nested.prefix(1).decoder(codes[:, :1]) + codes[:, 1:] @ linear.weight[:, 1:2].T
    large = nested.prefix(3)
    decoder = large.decoder
    z = torch.cat([codes, torch.zeros(N_ROWS, 1)], dim=1)
    correction = (
        decoder.output_scale * RATIOS[1] / RATIOS[2] * decoder.correction(decoder.bounded(z))
    )
    expected_large = decoder.linear(z) + decoder.fade(z) * correction
    share = math.log(2) / math.log(3)
    expected = (1 - share) * small + share * expected_large
    torch.testing.assert_close(nested.prefix(2).decoder(codes), expected)


@every_correction
def test_what_is_done_to_the_last_layer_of_a_prefix_changes_no_other(correct):
    nested = make_nested(correct)
    codes = draw(N_ROWS, N_COMPONENTS)
    before = nested.network.decoder(codes)
    prefix = nested.prefix(2)
    with torch.no_grad():
        prefix.decoder.linear.weight.zero_()
        if correct is not gated:
            prefix.decoder.correction[-1].weight.zero_()
    assert torch.equal(nested.network.decoder(codes), before)


@pytest.mark.parametrize("clipped", [False, True])
def test_linear_decoders(clipped):
    nested = make_nested()
    layer = nested.network.decoder.linear
    nested.network.decoder = layer
    if clipped:
        shift = torch.full((N_FEATURES,), 0.5)
        nested.network.decoder = ClippedProbabilities(layer, shift, 0.5)
    codes = draw(N_ROWS, 2)
    expected = nested.network.decoder(padded(codes))
    torch.testing.assert_close(nested.prefix(2).decoder(codes), expected)


def test_gradients_reach_the_codes_of_a_prefix():
    """Of all kinds of decoders: `transform` descends on them."""
    nested = make_nested()
    for n, prefix in [(n, learned(nested, n, seed=n)[0]) for n in (1, 3)]:
        nested.learn(n, prefix)
    codes = draw(N_ROWS, 2).requires_grad_()
    nested.prefix(2).decoder(codes).square().sum().backward()
    assert codes.grad.abs().min() > 0
