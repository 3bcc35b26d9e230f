"""The loss of a step on corrupted rows, against formulas written in numpy."""

import functools

import numpy as np
import pytest
import torch
from torch import nn

from sklearn_ae._fitting.training.denoising import Denoising
from sklearn_ae._fitting.training.prefixes import whole_loss
from sklearn_ae.corruption import Masking
from sklearn_ae.losses import LOSSES
from sklearn_ae.modules import AttentionEncoder, Autoencoder

ROWS = torch.randn(30, 4, generator=torch.Generator().manual_seed(0))


def network(head=None):
    torch.manual_seed(0)
    return Autoencoder(nn.Linear(4, 2), nn.Linear(2, 4), head)


def masking(level=0.4):
    mask = Masking(torch.tensor(level), torch.zeros(4))
    return functools.partial(mask, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("emphasis", [0.0, 0.2, 0.5, 1.0])
@pytest.mark.parametrize("name", LOSSES)
def test_emphasis_weighs_cells(name, emphasis):
    net, loss = network(), LOSSES[name](1.3)
    found, rebuilt = Denoising(masking(), emphasis).loss(net, loss, ROWS, whole_loss)
    rebuilt = rebuilt.detach()
    inputs = masking()(ROWS)
    torch.testing.assert_close(rebuilt, net(inputs).detach())
    corrupted = (inputs != ROWS).numpy()
    cells = np.array([[float(loss(p, t)) for p, t in zip(a, b, strict=True)]
                      for a, b in zip(rebuilt, ROWS, strict=True)])  # fmt: skip
    expected = (2 * np.where(corrupted, emphasis, 1 - emphasis) * cells).mean()
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_the_head_adds_its_cross_entropy():
    head = nn.Linear(2, 4)
    net = network(head)
    loss = nn.MSELoss()
    plain, _ = Denoising(masking()).loss(network(), loss, ROWS, whole_loss)
    found, _ = Denoising(masking(), head_weight=0.7).loss(net, loss, ROWS, whole_loss)
    inputs = masking()(ROWS)
    with torch.no_grad():
        p = torch.sigmoid(head(net.encoder(inputs))).numpy()
    truth = (inputs != ROWS).numpy()
    entropy = -np.mean(truth * np.log(p) + ~truth * np.log(1 - p))
    assert found.item() == pytest.approx(plain.item() + 0.7 * entropy, rel=1e-5)


def test_mask_tokens_hide_what_the_cells_became():
    encoder = AttentionEncoder(4, (8,), 2, nn.GELU, torch.Generator().manual_seed(0))
    net = Autoencoder(encoder, nn.Linear(2, 4))
    means = [torch.zeros(4), torch.full((4,), 9.0)]
    found = []
    for mean in means:
        generator = torch.Generator().manual_seed(1)
        corrupt = functools.partial(Masking(torch.tensor(0.4), mean), generator=generator)
        _, rebuilt = Denoising(corrupt, masks_tokens=True).loss(net, nn.MSELoss(), ROWS, whole_loss)
        found.append(rebuilt)
    assert torch.equal(*found)
