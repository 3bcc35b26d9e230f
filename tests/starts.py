"""Networks that start at PCA, with a correction that is not solved for yet, and their rows."""

import numpy as np
import torch
from torch import nn

from sklearn_ae._fitting.closed_form import solve_decoder
from sklearn_ae._fitting.rows import FitRows, SummedRows
from sklearn_ae._fitting.start import find_start, principal_components
from sklearn_ae._rows import scaled_rows, sum_up
from sklearn_ae.modules import Autoencoder, Corrected, Fade, dense

CPU = torch.device("cpu")


def curved(n_rows=300, noise=0.05, seed=0):
    """Rows near a curve in six columns."""
    rng = np.random.default_rng(seed)
    t = rng.uniform(-1, 1, size=(n_rows, 1))
    return np.hstack([t, t**2, t**3, np.sin(4 * t), t, -t]) + noise * rng.normal(size=(n_rows, 6))


def start_at_pca(X, n_train=250, hidden=20, seed=0, reach=np.inf):
    """Return a network at PCA whose decoder has random features, and its rows.

    The correction is there in full up to `reach` radii of the codes, and gone at twice that.
    """
    sums = sum_up(X[:n_train], torch.float64, CPU)
    scaling = sums.scaling()
    rows = scaled_rows(X, np.arange(len(X)), scaling, CPU)
    train, valid = rows.part(0, n_train), rows.part(n_train, len(X))
    summed = SummedRows(X[:n_train], np.arange(n_train), sums, scaling, train)
    pca = principal_components(summed, 1, 0)
    start = find_start(FitRows(scaling, summed, summed, valid, train, valid), pca)
    weight = torch.from_numpy(pca.components).float()
    encoder, linear = (nn.utils.skip_init(nn.Linear, *w.shape[::-1]) for w in (weight, weight.T))
    with torch.no_grad():
        for layer, w in ((encoder, weight), (linear, weight.T)):
            layer.weight.copy_(w)
            layer.bias.zero_()
    generator = torch.Generator().manual_seed(seed)
    correction = dense(1, (hidden,), X.shape[1], nn.Tanh, generator, zero_last=True)
    middle, radius = (torch.from_numpy(v).float() for v in (start.code_middle, start.code_radius))
    ones = torch.ones(X.shape[1])
    unit = torch.from_numpy(pca.deviations).float()
    fade = Fade(middle, reach * radius)
    decoder = Corrected(
        linear, correction, unit, 0.3 * ones, middle - radius, middle + radius, fade
    )
    return Autoencoder(encoder, decoder), train, valid


def solve(network, train, valid):
    with torch.no_grad():
        codes = network.encoder(valid.tensor)
    solve_decoder(network.decoder, network.encoder, train, valid, codes)


def parts(network, rows):
    """Return features, what the network misses in units of the correction, and its weights."""
    decoder, x = network.decoder, rows.tensor
    with torch.no_grad():
        codes = network.encoder(x)
        features = decoder.correction[:-1](decoder.bounded(codes))
        missed = (x - network(x)) / decoder.output_scale
        weights = decoder.fade(codes)[:, 0]
    return tuple(part.double().numpy() for part in (features, missed, weights))


def error(network, rows):
    with torch.no_grad():
        return (network(rows.tensor) - rows.tensor).square().mean().item()
