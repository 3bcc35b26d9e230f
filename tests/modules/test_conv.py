import pytest
import torch
from torch import nn

from sklearn_ae.modules import conv_decoder, conv_encoder

IMAGES = [(1, 8, 8), (1, 9, 8), (3, 17, 31), (2, 4, 5), (1, 28, 28), (3, 100, 100)]
PROFILES = [(1, 1, 9), (2, 13, 1), (3, 1, 100)]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("channels", [(), (4,), (4, 6)])
@pytest.mark.parametrize("image_shape", IMAGES + PROFILES)
def test_there_and_back_has_the_shape_of_the_rows(image_shape, channels):
    n_columns = image_shape[0] * image_shape[1] * image_shape[2]
    x = torch.randn(3, n_columns, generator=generator())
    encoder = conv_encoder(image_shape, channels, 5, nn.ReLU, generator())
    decoder = conv_decoder(5, channels[::-1], image_shape, nn.ReLU, generator())
    codes = encoder(x)
    assert codes.shape == (3, 5)
    assert decoder(codes).shape == x.shape


@pytest.mark.parametrize("image_shape", IMAGES + PROFILES)
def test_every_pixel_counts(image_shape):
    """No pixel falls between the strides, and each pixel of the output can be reached."""
    n_columns = image_shape[0] * image_shape[1] * image_shape[2]
    x = torch.randn(4, n_columns, generator=generator(), requires_grad=True)
    conv_encoder(image_shape, (4, 4), 8, nn.Tanh, generator())(x).square().sum().backward()
    assert bool((x.grad != 0).any(0).all())
    decoder = conv_decoder(8, (4, 4), image_shape, nn.Tanh, generator())
    out = decoder(torch.randn(4, 8, generator=generator(1)))
    assert bool((out.std(0) > 0).all())


def test_a_row_is_the_image_in_the_order_of_numpy():
    """Moving the picture by the stride moves the activations by one."""
    encoder = conv_encoder((1, 8, 8), (3,), 2, nn.Identity, generator())
    features = nn.Sequential(*list(encoder)[:2])
    image = torch.zeros(8, 8)
    image[2:4, 2:4] = 1
    moved = image.roll((2, 2), (0, 1))
    first, second = features(torch.stack([image, moved]).reshape(2, 64))
    bias = features[1].bias[:, None, None]
    torch.testing.assert_close((first - bias).roll((1, 1), (1, 2)), second - bias)


def test_zero_last():
    encoder = conv_encoder((1, 8, 8), (4,), 2, nn.ReLU, generator(), zero_last=True)
    decoder = conv_decoder(2, (4,), (1, 8, 8), nn.ReLU, generator(), zero_last=True)
    x = torch.randn(3, 64, generator=generator())
    assert not encoder(x).any()
    assert not decoder(torch.ones(3, 2)).any()


def test_weights_come_from_the_generator_and_the_global_one_is_left_alone():
    before = torch.get_rng_state()
    one, other = (conv_encoder((1, 8, 8), (4,), 2, nn.ReLU, generator(7)) for _ in range(2))
    back, again = (conv_decoder(2, (4,), (1, 8, 8), nn.ReLU, generator(7)) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    for a, b in ((one, other), (back, again)):
        assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


@pytest.mark.parametrize("image_shape", [(1, 3, 8), (1, 8, 3), (3, 1, 2)])
def test_too_small(image_shape):
    with pytest.raises(ValueError, match=r"image_shape=.* too small for 2 .* at least 4 pixels"):
        conv_encoder(image_shape, (4, 4), 2, nn.ReLU, generator())
    with pytest.raises(ValueError, match="image_shape"):
        conv_decoder(2, (4, 4), image_shape, nn.ReLU, generator())
