import pytest
import torch
from torch import nn

from sklearn_ae.modules import AttentionEncoder, attention
from sklearn_ae.modules.attention import patch_of_pixels, patch_size


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def make(n_inputs=6, widths=(16, 16), n_outputs=3, **params):
    return AttentionEncoder(n_inputs, widths, n_outputs, nn.GELU, generator(), **params).eval()


def test_every_cell_and_every_block_counts():
    network = make()
    x = torch.randn(4, 6, generator=generator(), requires_grad=True)
    network(x).square().sum().backward()
    assert bool((x.grad != 0).all())
    assert all(p.grad is not None for n, p in network.named_parameters() if n != "tokens.mask")


def test_cells_meet():
    """The token of one cell changes with the value of another."""
    network = make()
    x = torch.zeros(2, 6)
    x[1, 0] = 5.0
    first, second = network.hidden(x, 2).reshape(2, 6, 16)
    assert bool(((first - second).abs().amax(1) > 1e-4).all())
    first, second = network.hidden(x, 0).reshape(2, 6, 16)
    assert torch.equal(first[1:], second[1:])


def test_a_masked_cell_is_hidden_whatever_its_value():
    network = make()
    x = torch.randn(5, 6, generator=generator())
    masked = torch.zeros(5, 6, dtype=torch.bool)
    masked[:, 2] = True
    other = x.clone()
    other[:, 2] = 100.0
    assert torch.equal(network(x, masked), network(other, masked))
    assert not torch.allclose(network(x, masked), network(x))
    nothing = torch.zeros_like(masked)
    assert torch.equal(network(x, nothing), network(x))


def test_the_mask_token_learns():
    network = make()
    network(torch.randn(5, 6), torch.ones(5, 6, dtype=torch.bool)).square().sum().backward()
    assert network.tokens.mask.grad.any()
    assert not network.tokens.direction.grad.any()


@pytest.mark.parametrize("image_shape", [(1, 8, 8), (3, 9, 14), (1, 5, 30)])
def test_patches(image_shape):
    channels, height, width = image_shape
    network = make(channels * height * width, image_shape=image_shape)
    patch = patch_size(image_shape)
    x = torch.randn(2, channels * height * width, generator=generator())
    assert network(x).shape == (2, 3)
    # A pixel changes the token of its own patch before the first block, and no other.
    patches = patch_of_pixels(image_shape)
    assert len(patches) == x.shape[1]
    assert int(patches.max()) + 1 == network.tokens.n_tokens <= 49
    assert int(torch.bincount(patches).max()) <= channels * patch**2
    for pixel in (0, x.shape[1] // 2, x.shape[1] - 1):
        moved = x.clone()
        moved[:, pixel] += 1
        change = (network.tokens(moved, None) - network.tokens(x, None)).abs().amax((0, 2))
        assert change.nonzero().flatten().tolist() == [int(patches[pixel])]


def test_a_patch_is_masked_whole():
    image_shape = (2, 8, 8)
    network = make(128, image_shape=image_shape)
    patches = patch_of_pixels(image_shape)
    x = torch.randn(3, 128, generator=generator())
    masked = (patches == 4).expand(3, -1)
    other = torch.where(masked, 9.0, x)
    assert torch.equal(network(x, masked), network(other, masked))


@pytest.mark.parametrize("width", [1, 4, 9, 16, 64, 96])
def test_any_width(width):
    assert make(widths=(width,))(torch.zeros(2, 6)).shape == (2, 3)


@pytest.mark.parametrize("widths", [(), (8, 16)])
def test_unequal_widths(widths):
    with pytest.raises(ValueError, match=r"hidden_layer_sizes=\(.*equal sizes"):
        make(widths=widths)


def test_weights_come_from_the_generator_and_the_global_one_is_left_alone():
    before = torch.get_rng_state()
    one, other = make(), make()
    assert torch.equal(torch.get_rng_state(), before)
    for (name, p), q in zip(one.named_parameters(), other.parameters(), strict=True):
        assert torch.equal(p, q)
        assert bool(torch.isfinite(p).all()), name
        # Scales of the normalizations start at one, shifts and biases at zero.
        if p.ndim == 1 and "norm" in name:
            assert bool((p == float(name.endswith("weight"))).all())


def test_rows_are_encoded_in_parts_that_fit_the_memory(monkeypatch):
    x = torch.randn(20, 6, generator=generator())
    expected = make(6)(x)
    monkeypatch.setattr(attention, "MOST_SCORES", 3 * attention.MOST_HEADS * 6**2)
    network = make(6)
    assert network.most_rows == 3
    torch.testing.assert_close(network(x), expected)
    assert network.train()(x).shape == expected.shape


def test_an_activation_keeps_what_it_starts_from():
    network = AttentionEncoder(5, [8], 2, nn.PReLU, generator())
    assert network.blocks[0].activation.weight.item() == nn.PReLU().weight.item()


def test_starts_at_zero():
    assert not make(zero_last=True)(torch.randn(3, 6)).any()
