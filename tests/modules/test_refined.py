from itertools import pairwise

import pytest
import torch
from torch import nn

from sklearn_ae.modules import Autoencoder, RefinedEncoder
from sklearn_ae.modules import refined as module
from sklearn_ae.modules.parted import parted
from sklearn_ae.modules.pullback import rule_of
from sklearn_ae.modules.refined import (
    FEW_ROWS,
    SHORTENED,
    STRETCHED,
    TOLERANCE,
    one_pass,
    refined,
)


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
        codes = RefinedEncoder(encoder, decoder, 1)(x)
    torch.testing.assert_close(codes, projected)


@pytest.mark.parametrize("scale", [0.01, 1.0, 100.0])
def test_many_steps_find_the_best_codes_of_a_linear_decoder(scale):
    encoder, decoder = linear_pair()
    with torch.no_grad():
        decoder.weight.mul_(scale * torch.tensor([1.0, 0.7, 0.5]))
    x = draw(20, 6, seed=3)
    best = torch.linalg.lstsq(decoder.weight.double(), x.double().T).solution.T
    errors = row_errors(RefinedEncoder(encoder, decoder, 60), decoder, x)
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
    refine = RefinedEncoder(encoder.double(), decoder.double(), 5)
    whole = refine(x.double())
    alone = torch.cat([refine(row[None].double()) for row in x])
    torch.testing.assert_close(whole, alone, rtol=1e-6, atol=1e-8)


def test_codes_that_are_as_good_as_they_get_do_not_wander():
    encoder, decoder = linear_pair()
    x = draw(100, 6)
    refine = RefinedEncoder(encoder, decoder, 40)
    with torch.no_grad():
        change = refine(x) - refine(x + 1e-7 * draw(100, 6, seed=1))
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
    refine = RefinedEncoder(encoder, decoder, 3)
    x = draw(7, 6)
    with torch.inference_mode():
        codes = refine(x)
    torch.testing.assert_close(codes, refine(x))
    refine(x).sum().backward()
    assert encoder.weight.grad is not None
    # The decoder is shared.
    assert refine.decoder is decoder


def descend(encoder, decoder, row, n_steps):
    """Refine one code, by a gradient of torch's and no rule that holds for several rows."""

    def look(code):
        code = code.detach().requires_grad_()
        error = (decoder(code) - row).square().sum() / 2
        (gradient,) = torch.autograd.grad(error, code)
        return error.item(), gradient

    code = encoder(row).detach()
    error, gradient = look(code)
    step = min(1.0, error / (gradient @ gradient).item() * 2)
    for _ in range(n_steps):
        tried = code - step * gradient
        new_error, new_gradient = look(tried)
        if new_error > error * (1 + TOLERANCE):
            step = SHORTENED * step
            continue
        turned = new_gradient - gradient
        length = ((tried - code) @ turned / (turned @ turned)).item()
        step = min(length, STRETCHED * step) if length > 0 else step
        code, error, gradient = tried, new_error, new_gradient
    return code


@pytest.mark.parametrize("scale", [0.03, 1.0, 5.0, 30.0])
@pytest.mark.parametrize("n_steps", [0, 1, 2, 3, 4, 8])
def test_steps_are_those_of_a_loop_over_rows(scale, n_steps):
    """In float64: nothing hangs on rounding, until rows are as good as they get."""
    encoder, decoder = (part.double() for part in curved_pair())
    with torch.no_grad():
        decoder[2].weight.mul_(scale)
    x = draw(40, 6).double() * scale
    codes = RefinedEncoder(encoder, decoder, n_steps)(x)
    expected = torch.stack([descend(encoder, decoder, row, n_steps) for row in x])
    torch.testing.assert_close(codes, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("n_steps", [2, 3, 8])
@pytest.mark.parametrize("unit", [2.0**-15, 2.0**15])
def test_the_unit_of_rows_and_codes_does_not_matter(unit, n_steps):
    encoder, decoder = (part.double() for part in curved_pair())
    with torch.no_grad():
        decoder[2].weight.mul_(5)
        x = 5 * draw(40, 6).double()
        codes = RefinedEncoder(encoder, decoder, n_steps)(x)
        encoder.bias.mul_(unit)
        decoder[0].weight.div_(unit)
        for parameter in decoder[2].parameters():
            parameter.mul_(unit)
        found = RefinedEncoder(encoder, decoder, n_steps)(unit * x)
    torch.testing.assert_close(found / unit, codes, rtol=1e-6, atol=1e-8)


def test_the_last_step_takes_no_gradient(monkeypatch):
    found = []
    monkeypatch.setattr(
        module, "rule_of", lambda decoder: lambda codes: found.append(1) or rule_of(decoder)(codes)
    )
    RefinedEncoder(*curved_pair(), 3)(draw(7, 6))
    assert len(found) == 3


def wide_pair(dtype=torch.float64):
    torch.manual_seed(0)
    decoder = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 100))
    return nn.Linear(100, 2).to(dtype), decoder.to(dtype)


@pytest.fixture
def looked(monkeypatch):
    """Note when products of the last layer are made."""
    made = []

    class Noted(module._InFeatures):
        def __init__(self, *args):
            made.append(args)
            super().__init__(*args)

    monkeypatch.setattr(module, "_InFeatures", Noted)
    return made


@pytest.mark.parametrize("n_rows", [FEW_ROWS - 1, FEW_ROWS, 3 * FEW_ROWS])
@pytest.mark.parametrize("n_steps", [1, 2, 5])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_products_of_the_last_layer_give_the_same_codes(dtype, n_rows, n_steps, looked):
    refine = RefinedEncoder(*wide_pair(dtype), n_steps)
    x = 3 * draw(n_rows, 100).to(dtype)
    codes = refine(x)
    assert bool(looked) == (n_rows >= FEW_ROWS)
    refine.by_products = False
    tolerance = 1e-9 if dtype == torch.float64 else 1e-3
    torch.testing.assert_close(codes, refine(x), rtol=tolerance, atol=tolerance)
    assert not torch.allclose(codes, refine.encoder(x))


def test_products_are_made_once_for_rows_that_come_in_blocks(looked, monkeypatch):
    """However small the blocks; and anew where that has ended, as weights may have changed."""
    made = []

    def parting(decoder):
        made.append(decoder)
        return parted(decoder)

    monkeypatch.setattr(module, "parted", parting)
    encoder, decoder = wide_pair(torch.float64)
    refine = RefinedEncoder(encoder, decoder, 3)
    x = 3 * draw(FEW_ROWS, 100).double()
    for factor in (1.0, 0.5):
        with torch.no_grad():
            for weight in decoder.parameters():
                weight.mul_(factor)
            made.clear()
            expected = refine(x)
            assert len(made) == 1
            with one_pass(len(x)):
                codes = torch.cat([refine(block) for block in x.split(5)])
            assert len(made) == 2
        torch.testing.assert_close(codes, expected, rtol=1e-9, atol=1e-9)
    n_looked = len(looked)
    with pytest.raises(ZeroDivisionError), one_pass(len(x)):
        _ = 1 / 0
    refine(x[:5])
    assert len(looked) == n_looked


@pytest.mark.parametrize(("dtype", "products"), [(torch.float64, True), (torch.float32, False)])
def test_many_steps_in_float32_do_without_products(dtype, products, looked):
    """They would tell no errors apart that are far below that of the start."""
    encoder, decoder = wide_pair(dtype)
    refine = RefinedEncoder(encoder, decoder, 30)
    with torch.no_grad():
        x = decoder(0.5 * draw(FEW_ROWS, 2).to(dtype))
        errors = (decoder(refine(x)) - x).square().sum(1) / x.square().sum(1)
    assert bool(looked) == products
    assert float(errors.median()) < 1e-10


@pytest.mark.parametrize(
    ("n_rows", "n_columns", "n_features", "n_steps", "saves"),
    [
        (512, 784, 289, 5, True),
        (512, 64, 265, 5, False),
        (512, 784, 341, 1, False),
        (64, 2100, 1000, 5, False),
        (209, 2100, 1000, 5, True),
        (512, 5000, 2000, 1, False),
    ],
)
def test_products_are_made_where_they_take_fewer_operations(
    n_rows, n_columns, n_features, n_steps, saves
):
    assert module._saves(n_rows, n_columns, n_features, n_steps) == saves


@pytest.mark.filterwarnings("ignore:.*torch.jit.trace.* is deprecated:DeprecationWarning")
def test_any_shape_and_transform_of_torch():
    """As of any module: a row alone, batches of batches, and what torch makes of functions."""
    refine = RefinedEncoder(*wide_pair(), 3)
    x = draw(4, FEW_ROWS, 100).double()
    expected = refine(x.flatten(0, 1)).reshape(4, FEW_ROWS, 2)
    torch.testing.assert_close(refine(x), expected)
    torch.testing.assert_close(refine(x[0, 0]), expected[0, 0])
    torch.testing.assert_close(torch.func.vmap(refine)(x), expected)
    torch.testing.assert_close(torch.func.vmap(refine)(x[0]), expected[0])
    jacobian = torch.func.jacrev(refine)(x[0, 0])
    assert jacobian.shape == (2, 100)
    traced = torch.jit.trace(refine, x[0])
    torch.testing.assert_close(traced(x[0, :5]), expected[0, :5])
    graph = torch.fx.symbolic_trace(refine)
    torch.testing.assert_close(graph(x[0, :5]), expected[0, :5])


@pytest.mark.filterwarnings("ignore:.*torch.jit.trace.* is deprecated:DeprecationWarning")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("activation", [nn.GELU, nn.ReLU, nn.Tanh])
def test_a_graph_has_operations_that_formats_know(activation, dtype):
    """It is of any number of rows, and without torch's own backward operations."""
    torch.manual_seed(0)
    decoder = nn.Sequential(nn.Linear(2, 16), activation(), nn.Linear(16, 6)).to(dtype)
    refine = RefinedEncoder(nn.Linear(6, 2).to(dtype), decoder, 3).eval()
    x = draw(2000, 6).to(dtype)
    traced = torch.jit.trace(refine, x[:3])
    assert "_backward" not in str(traced.inlined_graph)
    exported = torch.export.export(
        refine, (x[:3],), dynamic_shapes=({0: torch.export.Dim("rows", min=2)},)
    ).module()
    with torch.no_grad():
        for graph in (traced, exported):
            # Of a few rows, rounding decides whether a step is taken.
            assert float((graph(x) - refine(x)).abs().mean()) < 1e-4


def test_an_autoencoder_with_refined_codes():
    encoder, decoder = curved_pair()
    network, x = Autoencoder(encoder, decoder), draw(7, 6)
    assert refined(network, 0) is network
    found = refined(network, 2)
    torch.testing.assert_close(found(x), decoder(RefinedEncoder(encoder, decoder, 2)(x)))
    assert found.decoder is decoder
