"""A linear map with a correction, and the gate that starts any module at zero."""

import pytest
import torch
from torch import nn

from sklearn_ae.modules import Corrected, Fade, Gate, dense


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def make_corrected(correction=None, fade=None):
    if correction is None:
        correction = dense(3, (8,), 2, nn.Tanh, generator())
    return Corrected(
        dense(3, (), 2, nn.Tanh, generator(1))[0],
        correction,
        torch.tensor([1.0, 2.0, 0.5]),
        torch.tensor([0.1, 3.0]),
        torch.tensor([-1.0, -2.0, 0.0]),
        torch.tensor([1.0, 2.0, 5.0]),
        fade or Fade(torch.zeros(3), torch.tensor(torch.inf)),
    )


def test_formula():
    module = make_corrected()
    x = torch.randn(20, 3, generator=generator(2)) * 3
    seen = torch.maximum(torch.minimum(x, module.high), module.low) / module.input_scale
    expected = module.linear(x) + module.output_scale * module.correction(seen)
    torch.testing.assert_close(module(x), expected)
    torch.testing.assert_close(module.bounded(x), seen)


def test_inside_of_all_bounds_nothing_is_bounded():
    module = make_corrected(fade=Fade(torch.zeros(3), torch.tensor(6.0)))
    inside = torch.rand(20, 3, generator=generator(2)) * module.high
    assert torch.equal(module.inside(inside), module(inside))
    assert not torch.equal(module.inside(3 * inside), module(3 * inside))


def test_resized():
    module = make_corrected()
    x, factor = (
        torch.randn(20, 3, generator=generator(2)),
        torch.rand(20, 1, generator=generator(3)),
    )
    expected = module.linear(x) + factor * (module(x) - module.linear(x))
    torch.testing.assert_close(module.resized(x, factor), expected)


@pytest.mark.parametrize("leading", [(), (4,), (2, 3)])
def test_shapes(leading):
    assert make_corrected()(torch.zeros(*leading, 3)).shape == (*leading, 2)


def test_is_the_linear_map_while_the_correction_is_zero():
    module = make_corrected(dense(3, (8,), 2, nn.Tanh, generator(), zero_last=True))
    x = torch.randn(20, 3, generator=generator(2)) * 10
    assert torch.equal(module(x), module.linear(x))


def test_is_linear_far_outside_the_bounds():
    """Beyond the bounds, steps along a ray give equal differences: those of the linear path."""
    module = make_corrected()
    direction = torch.tensor([1.0, -1.0, 1.0])
    at = [module(1e3 * step * direction) for step in (1, 2, 3)]
    torch.testing.assert_close(at[1] - at[0], at[2] - at[1])
    torch.testing.assert_close(at[1] - at[0], 1e3 * module.linear.weight @ direction)


def test_correction_is_bounded_by_its_largest_value_inside():
    module = make_corrected()
    far = torch.randn(500, 3, generator=generator(2)) * 1e6
    inside = torch.maximum(torch.minimum(far, module.high), module.low)
    torch.testing.assert_close(
        module.correction(module.bounded(far)), module.correction(module.bounded(inside))
    )


def test_fade_weighs_by_distance():
    ball = Fade(torch.tensor([1.0, 0.0]), torch.tensor(2.0))
    x = torch.tensor([[1.0, 2.0], [1.0, -3.0], [4.0, 4.0], [1e30, -1e38]])
    torch.testing.assert_close(ball(x), torch.tensor([[1.0], [0.5], [0.0], [0.0]]))
    box = Fade(torch.tensor([1.0, 0.0]), torch.tensor([1.0, 0.0]), torch.inf)
    torch.testing.assert_close(
        box(torch.tensor([[2.0, 9.0], [2.25, 0.0], [0.0, 1.0]])), torch.tensor([[1.0], [0.75], [1]])
    )


def test_is_the_linear_map_where_the_correction_fades():
    module = make_corrected(fade=Fade(torch.zeros(3), torch.tensor(2.0)))
    x = torch.randn(50, 3, generator=generator(2))
    x = x / torch.linalg.vector_norm(x, dim=1, keepdim=True)
    assert torch.equal(module(1e3 * x), module.linear(1e3 * x))
    plain = make_corrected()
    torch.testing.assert_close(module(2 * x), plain(2 * x))
    torch.testing.assert_close(module(3 * x), (plain(3 * x) + plain.linear(3 * x)) / 2)


def test_all_parts_get_gradients():
    module = make_corrected()
    module(torch.zeros(4, 3)).square().sum().backward()
    assert all(p.grad is not None for p in module.parameters())


def test_bounds_and_scales_are_saved_with_the_weights():
    module, other = make_corrected(), make_corrected()
    for buffer in other.buffers():
        buffer.zero_()
    other.load_state_dict(module.state_dict())
    x = torch.randn(20, 3, generator=generator(2))
    assert torch.equal(module(x), other(x))


def test_a_correction_with_a_linear_last_layer_is_solvable():
    assert make_corrected().is_solvable
    assert not make_corrected(Gate(nn.Linear(3, 2), 2)).is_solvable


def test_gate_starts_at_zero_and_opens():
    inner = dense(3, (8,), 2, nn.Tanh, generator())
    gate = Gate(inner, 2)
    x = torch.randn(20, 3, generator=generator(2))
    assert torch.equal(gate(x), torch.zeros(20, 2))
    optimizer = torch.optim.SGD(gate.parameters(), lr=0.1)
    losses = []
    for _ in range(3):
        loss = (gate(x) - 1).square().mean()
        losses.append(float(loss.detach()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert gate.gain.abs().min() > 0
    assert losses[2] < losses[1] < losses[0]
    # Once it is open, the module behind it learns too.
    assert all(p.grad.abs().sum() > 0 for p in inner.parameters())


def test_gate_multiplies_column_by_column():
    gate = Gate(nn.Identity(), 3)
    with torch.no_grad():
        gate.gain.copy_(torch.tensor([0.0, 1.0, -2.0]))
    x = torch.randn(5, 3, generator=generator())
    torch.testing.assert_close(gate(x), x * torch.tensor([0.0, 1.0, -2.0]))
