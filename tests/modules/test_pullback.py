import pytest
import torch
from decoders import between, corrected, draw, gate, generator, hooked, of_its_own
from torch import nn

from sklearn_ae.modules import (
    Corrected,
    Gate,
    StartedLinear,
    Transposed,
    dense,
    transposed,
)
from sklearn_ae.modules.nested import Between
from sklearn_ae.modules.pullback import (
    DERIVATIVES,
    FEW,
    KINDS,
    MANY,
    can_learn,
    corrected_rule,
    rule_of,
)

KNOWN_ACTIVATIONS = [nn.ELU, nn.GELU, nn.ReLU, nn.Sigmoid, nn.SiLU, nn.Tanh]


KNOWN = {
    **{kind.__name__: kind for kind in KNOWN_ACTIVATIONS},
    "ELU of another size": lambda: nn.ELU(0.3),
    "GELU by tanh": lambda: nn.GELU("tanh"),
    "Identity": nn.Identity,
    "Linear": lambda: nn.Linear(3, 4),
    "StartedLinear": lambda: StartedLinear(draw(4, 3), draw(4), 0.1),
    "Transposed": lambda: transposed(dense(4, [5], 3, nn.Tanh, generator())),
    "Sequential": lambda: dense(3, [4, 5], 6, nn.SiLU, generator()),
    "empty": nn.Sequential,
    "Corrected": corrected,
    "Between": between,
    "Gate": lambda: gate(),
    "hooked": lambda: hooked(nn.Tanh()),
    "hooked linear": lambda: hooked(nn.Linear(3, 4)),
    "hooked before": lambda: hooked(nn.Tanh(), before=True),
    "of its own": lambda: of_its_own(nn.Tanh()),
    "unknown": lambda: nn.LayerNorm(3),
    "unknown inside": lambda: nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Tanh()),
}


@pytest.mark.parametrize("make", KNOWN.values(), ids=KNOWN)
def test_is_that_of_torch(make):
    # Where activations have a corner and corrections a bound, too.
    module, x = (
        make().double(),
        torch.cat([draw(40, 3), torch.tensor([[0.0], [1], [-1]]) + torch.zeros(3)]),
    )
    expected, pull_expected = torch.func.vjp(module, x)
    gradient = torch.randn_like(expected)
    with torch.inference_mode():
        output, pull = rule_of(module)(x)
        pulled = pull(gradient)
    torch.testing.assert_close(output, expected.detach(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(pulled, pull_expected(gradient)[0].detach(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("n_rows", [1, MANY])
def test_gelu_in_float32_is_that_in_float64(n_rows):
    """Few rows and many are computed in two ways."""
    x = 3 * draw(n_rows, 3)
    output, pull = rule_of(nn.GELU())(x.float())
    expected, pull_expected = rule_of(nn.GELU())(x)
    assert output.dtype == torch.float32
    torch.testing.assert_close(output.double(), expected, rtol=1e-5, atol=1e-5)
    gradient = draw(n_rows, 3)
    found = pull(gradient.float()).double()
    torch.testing.assert_close(found, pull_expected(gradient), rtol=1e-5, atol=1e-5)


def test_every_kind_is_tried():
    tried = {*KNOWN_ACTIVATIONS, nn.Linear, StartedLinear, Transposed, nn.Sequential}
    tried |= {nn.Identity, Corrected, Gate, Between}
    assert {*DERIVATIVES, *KINDS} == {kind.forward for kind in tried}


@pytest.mark.parametrize("name", ["forward", "__call__"])
def test_a_subclass_does_what_it_does(name):
    def doubled(layer, x):
        return 2 * getattr(nn.Linear, name)(layer, x)

    layer, x = type("Doubled", (nn.Linear,), {name: doubled})(3, 2).double(), draw(4, 3)
    output, pull = rule_of(layer)(x)
    torch.testing.assert_close(output, layer(x))
    torch.testing.assert_close(pull(torch.ones_like(output)), 2 * layer.weight.sum(0).expand(4, 3))


@pytest.mark.filterwarnings("ignore:.*torch.jit.* is deprecated:DeprecationWarning")
def test_scripted_and_traced_modules():
    layer, x = nn.Sequential(nn.Linear(3, 4), nn.Tanh()).double(), draw(6, 3)
    for module in (torch.jit.script(layer), torch.jit.trace(layer, x)):
        output, pull = rule_of(module)(x)
        torch.testing.assert_close(output, layer(x))
        torch.testing.assert_close(pull(output), rule_of(layer)(x)[1](output))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n_rows", [2, MANY])
@pytest.mark.parametrize("make", KNOWN.values(), ids=KNOWN)
def test_can_itself_be_differentiated(make, n_rows, dtype):
    """Few rows and many are computed in two ways, others in each dtype."""
    assert 3 * 2 < FEW < 3 * MANY
    module, x = make().to(dtype), draw(n_rows, 3).mul(0.3).to(dtype).requires_grad_()
    output, pull = rule_of(module)(x)
    again, pull_again, *_ = torch.func.vjp(module, x)
    found, expected = (
        torch.autograd.grad(y.sum() + p.square().sum(), [x, *module.parameters()])
        for y, p in ((output, pull(output)), (again, pull_again(again)[0]))
    )
    rtol, atol = (1e-9, 1e-12) if dtype == torch.float64 else (1e-3, 1e-3)
    torch.testing.assert_close(found, expected, rtol=rtol, atol=atol * n_rows)


def test_inputs_stay_as_they_are():
    x = draw(6, 3)
    before = x.clone()
    for kind in KNOWN_ACTIVATIONS:
        _, pull = rule_of(kind())(x)
        pull(gradient := torch.ones_like(x))
        assert torch.equal(x, before)
        assert bool((gradient == 1).all())


def test_an_unknown_module_may_compute_in_place():
    class InPlace(nn.Module):
        def forward(self, x):
            return x.mul_(2)

    x = draw(4, 3)
    output, pull = rule_of(InPlace())(x)
    assert torch.equal(output, 2 * x)
    assert torch.equal(pull(torch.ones_like(x)), torch.full_like(x, 2))
    assert torch.equal(x, draw(4, 3))


def tied():
    """Make two layers that share a weight."""
    encoder = dense(3, [4], 2, nn.Tanh, generator())
    return nn.Sequential(encoder, transposed(encoder))


def tied_paths():
    first = StartedLinear(draw(4, 3), draw(4), 0.1)
    return nn.Sequential(first, StartedLinear(draw(3, 4), draw(3), 0.1, first))


LEARNS = {
    **{name: KNOWN[name] for name in KNOWN if "ooked" not in name and "unknown" not in name},
    "no bias": lambda: nn.Linear(3, 4, bias=False),
    "tied": tied,
    "tied paths": tied_paths,
}
NOT_LEARNED = {"Between", "of its own"}
for name in NOT_LEARNED:
    del LEARNS[name]


@pytest.mark.parametrize("make", LEARNS.values(), ids=LEARNS)
def test_gradients_by_weights_are_those_of_autograd(make):
    module, x = make().double(), draw(20, 3).requires_grad_()
    assert can_learn(module)
    weights = list(module.parameters())
    output = module(x)
    gradient = torch.randn(output.shape, generator=generator(), dtype=torch.float64)
    expected = torch.autograd.grad(output, [x, *weights], gradient, allow_unused=True)
    with torch.no_grad():
        _, pull = rule_of(module)(x.detach())
        for wanted in (True, False):
            learned = {}
            pulled = pull(gradient, learned, wanted)
            for weight, theirs in zip(weights, expected[1:], strict=True):
                torch.testing.assert_close(learned[weight], theirs, rtol=1e-10, atol=1e-12)
            if wanted:
                torch.testing.assert_close(pulled, expected[0], rtol=1e-10, atol=1e-12)
    assert len(learned) == len(weights)


def assert_those_of_autograd(module, x, output, found, pull):
    """Compare an output, and the gradients of its sum, with those of autograd."""
    torch.testing.assert_close(found, output)
    weights = list(module.parameters())
    expected = torch.autograd.grad(output, [x, *weights], torch.ones_like(output))
    learned = {}
    pulled = pull(torch.ones_like(output), learned)
    torch.testing.assert_close([pulled, *(learned[w] for w in weights)], list(expected))


def test_gradients_inside_of_all_bounds():
    module, x = corrected(), (0.1 * draw(20, 3)).requires_grad_()
    rule = corrected_rule(module, inside=True)
    assert_those_of_autograd(module, x, module.inside(x), *rule(x.detach()))


def test_gradients_of_resized_corrections():
    module, x = corrected(), draw(20, 3).requires_grad_()
    factor = torch.linspace(0.5, 2, 20, dtype=torch.float64)[:, None]
    found, pull = rule_of(module)(x.detach(), factor)
    assert_those_of_autograd(module, x, module.resized(x, factor), found, pull)


@pytest.mark.parametrize("name", sorted(NOT_LEARNED | {n for n in KNOWN if "unknown" in n}))
def test_what_is_not_learned_here(name):
    assert not can_learn(KNOWN[name]())


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.nn.utils.parametrizations.weight_norm(nn.Linear(3, 4)),
        lambda: torch.nn.utils.parametrizations.spectral_norm(nn.Linear(3, 4)),
    ],
)
def test_weights_that_are_computed_are_not_learned_here(make):
    layer, x = make().eval(), draw(5, 3).float()
    assert not can_learn(layer)
    torch.testing.assert_close(rule_of(layer)(x)[0], layer(x))


def test_a_fade_that_learns_is_not_learned_here():
    module = corrected()
    assert can_learn(module)
    module.fade = nn.Sequential(nn.Linear(3, 1), nn.Sigmoid())
    assert not can_learn(module)


def test_weights_that_are_not_known():
    class More(nn.Linear):
        def __init__(self, *sizes):
            super().__init__(*sizes)
            self.more = nn.Parameter(torch.zeros(2))

    assert not can_learn(More(3, 4))


@pytest.mark.parametrize(
    "hook",
    [
        lambda layer: layer.register_forward_hook(lambda *args: None),
        lambda layer: layer.register_full_backward_hook(lambda *args: None),
        lambda layer: layer.register_full_backward_pre_hook(lambda *args: None),
        lambda layer: layer.weight.register_hook(lambda gradient: None),
        lambda layer: layer.bias.register_post_accumulate_grad_hook(lambda weight: None),
    ],
)
def test_what_is_hooked_is_not_learned_here(hook):
    layers = dense(3, [4], 5, nn.Tanh, generator())
    assert can_learn(layers)
    handle = hook(layers[0])
    assert not can_learn(layers)
    handle.remove()
    assert can_learn(layers)
