import pytest
import torch
from decoders import between, corrected, draw, gate, generator, hooked
from torch import nn

from sklearn_ae.modules import Corrected, Gate, StartedLinear, Transposed, dense, transposed
from sklearn_ae.modules.nested import Between
from sklearn_ae.modules.parted import PARTS, parted


class Made(nn.Sequential):
    """Has a constructor of its own."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__(nn.Linear(n_inputs, 4), nn.Tanh(), nn.Linear(4, n_outputs))


KNOWN = {
    "Linear": lambda: nn.Linear(3, 5),
    "no bias": lambda: nn.Linear(3, 5, bias=False),
    "StartedLinear": lambda: StartedLinear(draw(4, 3), draw(4), 0.1),
    "Transposed": lambda: transposed(dense(4, [], 3, nn.Tanh, generator())),
    "Sequential": lambda: dense(3, [4, 5], 6, nn.SiLU, generator()),
    "Sequential of Sequential": lambda: nn.Sequential(nn.Tanh(), nn.Sequential(nn.Linear(3, 4))),
    "a kind of Sequential": lambda: Made(3, 5),
    "Corrected": corrected,
    "Between": between,
    "Gate": gate,
}
UNKNOWN = {
    "ends otherwise": lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh()),
    "empty": nn.Sequential,
    "hooked": lambda: hooked(nn.Linear(3, 4)),
    "of another correction": lambda: Gate(nn.Tanh(), 3),
    "a subclass": lambda: type("Other", (nn.Linear,), {"forward": lambda self, x: x})(3, 3),
}


@pytest.mark.parametrize("make", KNOWN.values(), ids=KNOWN)
def test_the_parts_make_up_the_decoder(make):
    # Within the bounds of corrections, beyond them, and where they fade.
    decoder, z = make().double(), torch.cat([draw(40, 3), 0.1 * draw(10, 3), 9 * draw(10, 3)])
    parts = parted(decoder)
    expected, pull_expected = torch.func.vjp(decoder, z)
    gradient = draw(*expected.shape)
    with torch.inference_mode():
        features, pull = parts.features(z)
        rebuilt = features @ parts.weight + parts.bias
        pulled = pull(gradient @ parts.weight.T)
    torch.testing.assert_close(rebuilt, expected.detach(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(pulled, pull_expected(gradient)[0].detach(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("make", UNKNOWN.values(), ids=UNKNOWN)
def test_what_is_not_known_is_not_parted(make):
    decoder = make()
    assert parted(decoder) is None
    assert parted(nn.Sequential(nn.Linear(3, 3), decoder)) is None


def test_every_kind_is_tried():
    tried = {nn.Linear, StartedLinear, Transposed, nn.Sequential, Corrected, Gate, Between}
    assert set(PARTS) == {kind.forward for kind in tried}
