"""The decoder's correction in closed form: random features of the codes, and ridge regression."""

import copy
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import nn

from sklearn_ae._fitting.errors import Errors, measure_errors
from sklearn_ae._fitting.rows import FitRows, enough_rows
from sklearn_ae._rows import Rows, self_products
from sklearn_ae.modules import Autoencoder, Corrected
from sklearn_ae.modules.idle import without_idle_layers
from sklearn_ae.modules.light import is_light
from sklearn_ae.modules.refined import one_pass, refined
from sklearn_ae.modules.weights import drawn

# Maps rows to codes.
Encode = Callable[[torch.Tensor], torch.Tensor]

# Gain of random features: as drawn for training they are nearly linear.
FEATURE_GAIN = 2.5
# Random features to choose from for each one that there is room for, rows that a candidate needs
# for the choice to be more than chance, and rows that the choice looks at.
CANDIDATES = 3
ROWS_A_CANDIDATE = 8
ROWS_TO_CHOOSE = 4096
# Ridge penalty while features are chosen, relative to the trace of their products.
CHOICE_PENALTY = 1e-5


# In units of what PCA leaves. What float32 holds with fewer digits, as of columns that never vary,
# is computed with twenty times more slowly.
NEGLIGIBLE = 1e-20
# Ridge penalties that the closed form tries, relative to the largest eigenvalue of the features.
# Smaller ones fit a few rows of heavy tails, and miss the next such row by far more than PCA does.
PENALTIES = 10.0 ** np.arange(-5, 1)
# Rows whose means are near enough those of all.
ROWS_FOR_MEANS = 64
# So many rows are enough to solve on: of wide rows as many as have so many cells, but not so few
# that there are hardly more than features.
MOST_ROWS, LEAST_ROWS, MOST_CELLS = 50_000, 2048, 2**24


def solve(
    network: Autoencoder,
    rows: FitRows,
    criterion: nn.Module,
    n_steps: int,
    generator: torch.Generator | None = None,
) -> Errors:
    """Solve the decoder in closed form, in place, where it can be and where that helps.

    Parameters
    ----------
    network : Autoencoder
        Started at PCA, or not.
    rows : FitRows
        Those that choose say whether it helps; they are encoded once by each decoder.
    criterion : nn.Module
        The loss.
    n_steps : int
        Steps that improve the codes which the decoder is solved for.
    generator : torch.Generator or None, default=None
        Where the network was not trained: draws random features in place of the hidden layers.

    Returns
    -------
    errors : Errors
        Of what is kept, with its steps, on the rows that choose.
    """
    errors = measure_errors(refined(network, n_steps), rows.choosing, criterion)
    if not (isinstance(network.decoder, Corrected) and network.decoder.is_solvable):
        return errors
    train = enough_rows(rows.others, MOST_CELLS, LEAST_ROWS, MOST_ROWS)
    solved: Any = Autoencoder(network.encoder, copy.deepcopy(network.decoder))
    if generator is not None:
        with without_idle_layers(solved):
            widen_features(solved.decoder, solved.encoder, train, generator)
    with without_idle_layers(solved):
        improved = refined(solved, n_steps)
        solve_decoder(solved.decoder, improved.encoder, train, rows.choosing, errors.codes)
        found = measure_errors(improved, rows.choosing, criterion)
    if not found.loss < errors.loss:
        return errors
    network.decoder.load_state_dict(solved.decoder.state_dict())
    return found


@torch.no_grad()
def widen_features(
    decoder: Corrected, encode: Encode, train: Rows, generator: torch.Generator
) -> None:
    """Make the hidden layers of an untrained decoder one layer of random features, in place.

    Random layers on top of random layers lose more than they add: the others pass the first on, but
    for their activations, and no more of it than the narrowest has room for. Where there are rows
    enough, some three times as many features are tried as there is room for, those of the first
    layer and others, and the most useful are kept.

    Parameters
    ----------
    decoder : Corrected
        Its correction is a dense network.
    encode : callable
        Maps rows to the codes that it is given.
    train : Rows
        Rows to choose on.
    generator : torch.Generator
        Draws the candidates, on the CPU.
    """
    correction: Any = decoder.correction
    layers = [layer for layer in list(correction)[:-1] if isinstance(layer, nn.Linear)]
    if not layers:
        return
    first, *others = layers
    n, fan_in = first.weight.shape
    room = min(layer.out_features for layer in layers)
    n_candidates = min(max(CANDIDATES * room, n), len(train) // ROWS_A_CANDIDATE)
    first.weight.mul_(FEATURE_GAIN)
    first.bias.mul_(FEATURE_GAIN)
    if n_candidates > room:
        weight, bias = first.weight[:n_candidates], first.bias[:n_candidates]
        if n_candidates > n:
            more = drawn(nn.Linear, fan_in, n_candidates - n, fan_in=fan_in, generator=generator)
            more = more.to(weight.device)
            weight = torch.cat([weight, FEATURE_GAIN * more.weight])
            bias = torch.cat([bias, FEATURE_GAIN * more.bias])
        kept = _most_useful(decoder, encode, train, weight, bias, room)
        first.weight[:room], first.bias[:room] = weight[kept], bias[kept]
    for layer in others:
        # Not by `eye_`, which asks for the default device, whatever that of the weight.
        nn.init.zeros_(layer.weight).fill_diagonal_(1.0)
        nn.init.zeros_(layer.bias)


def _most_useful(decoder, encode, train, weight, bias, n):
    """Choose `n` features to regress on what the network misses, by backward elimination.

    Without feature j the error of ridge regression grows by ``|w_j|^2 / (G^-1)_jj``, with w_j its
    weights and G the penalised products (Hassibi and Stork, 1993). Half of them are left out at
    a time.
    """
    # As they will come through the layers that pass them on.
    bent = nn.Sequential(*(x for x in decoder.correction if not isinstance(x, nn.Linear)))
    *_, products, cross, _ = _centred_moments(
        decoder,
        encode,
        train.sample(ROWS_TO_CHOOSE),
        lambda codes: bent(nn.functional.linear(codes, weight, bias)),
    )
    products, cross = products.float(), cross.float()
    products.diagonal().add_(CHOICE_PENALTY * products.trace() + torch.finfo(products.dtype).tiny)
    kept = torch.arange(len(products), device=products.device)
    while len(kept) > n:
        inverse = torch.cholesky_inverse(torch.linalg.cholesky_ex(products[kept][:, kept])[0])
        usefulness = (inverse @ cross[kept]).square().sum(1) / inverse.diagonal()
        kept = kept[usefulness.topk(max(n, len(kept) // 2)).indices]
    return kept


@torch.no_grad()
def solve_decoder(
    decoder: Corrected, encode: Encode, train: Rows, chosen: Rows, codes: torch.Tensor
) -> None:
    """Solve the last layer of the decoder's correction by ridge regression, in place.

    The encoder and the hidden layers stay as they are, so that what is left is linear: what the
    network misses, regressed on the features of the codes. Before training these are random
    features and PCA's residual; after it, this is the last step. The penalty has the least error in
    generalized cross-validation (Golub, Heath and Wahba, 1979) on the training rows together with
    the rows that choose; where none helps, the layer stays as it is.

    Parameters
    ----------
    decoder : Corrected
        Its correction is a dense network.
    encode : callable
        Maps rows to the codes that it is given.
    train : Rows
        Rows to solve on.
    chosen : Rows
        More rows, to choose the penalty on.
    codes : Tensor of shape (n_chosen, n_components)
        Their codes.
    """
    layers: Any = decoder.correction
    *hidden, last = layers
    features = nn.Sequential(*hidden)
    # Before training the layer gives zeros, which need not be computed.
    adds = last if last.weight.any() or last.bias.any() else None
    with one_pass(len(train)):
        mean, missed, gram, cross, square = _centred_moments(decoder, encode, train, features, adds)
    # The means of the training rows are the intercept.
    *_, chosen_gram, chosen_cross, chosen_square = _moments(
        decoder, _with_codes(codes, chosen, decoder), features, adds, mean, missed
    )

    # The solution is V diag(d) V^T cross, with eigenvectors V and d = 1 / (value + penalty): both
    # errors are quadratic in d, and every penalty costs a product with one small matrix.
    values, vectors = torch.linalg.eigh(gram)
    values = values.clamp_min(0)
    # Wide rows are gone through here and in the solution only.
    squares = vectors.T @ (cross @ cross.T) @ vectors
    linear = squares.diagonal()
    chosen_linear = (vectors * (chosen_cross @ cross.T @ vectors)).sum(0)
    chosen_quadratic = (vectors.T @ chosen_gram @ vectors).mul_(squares)

    def error(d: torch.Tensor) -> float:
        """Sum up the errors of generalized cross-validation and of the rows that choose."""
        freedom = float((values * d).sum()) / len(train)
        fitted = square - float(2 * d @ linear - d @ (values * linear * d))
        held_out = chosen_square - float(2 * d @ chosen_linear - d @ chosen_quadratic @ d)
        return len(train) * fitted / max(1 - freedom, 1e-3) ** 2 + len(chosen) * held_out

    # A hidden layer without variance has nothing to regress on.
    largest = float(values[-1]) or 1.0
    candidates = [torch.zeros_like(values), *(1 / (values + p * largest) for p in PENALTIES)]
    d = min(candidates, key=error)
    weight = (vectors * d @ vectors.T @ cross).T
    last.weight.add_(weight.float())
    last.bias.add_(missed - weight @ mean)
    for solved in (last.weight, last.bias):
        solved[solved.abs() < NEGLIGIBLE] = 0


def _centred_moments(decoder, encode, rows, features, last=None):
    """Average the features, what the network misses, and their products about these means."""
    few = rows.sample(ROWS_FOR_MEANS)
    x = few.slice(0, len(few))
    codes = encode(x)
    # Centred nearly, products in float32 are exact enough: the means cancel nothing of them.
    weight, *parts = _regressed(decoder, codes, x, features, last)
    total = max(float(weight.sum()), 1.0)
    mean, missed = ((weight.T @ part)[0] / total for part in parts)
    # Not encoded twice: the steps of refinement cost more than all else.
    coded: Iterable = [(codes, x)]
    if len(few) < len(rows):
        light = isinstance(encode, nn.Module) and is_light(encode) and is_light(decoder)
        coded = ((encode(block), block) for block in rows.blocks(light=light))
    off, missed_off, gram, cross, square = _moments(decoder, coded, features, last, mean, missed)
    gram.addr_(off, off, alpha=-1)
    cross.addr_(off, missed_off, alpha=-1)
    square -= float(missed_off @ missed_off)
    return mean + off, missed + missed_off, gram, cross, square


def _with_codes(codes, rows, decoder):
    """Yield rows a block at a time, behind their codes, which are decoded."""
    start = 0
    for block in rows.blocks(light=is_light(decoder)):
        stop = start + len(block)
        yield codes[start:stop], block
        start = stop


def _regressed(decoder, z, block, features, last):
    """Return how much each row counts, its features, and what the network misses of it.

    That is what the decoder's linear part misses, and the layer `last` on the features if there is
    one. Rows where the correction fades count as much as it does.
    """
    weight = decoder.fade(z)
    h = features(decoder.bounded(z))
    # In place: a pass through wide rows costs as much as the products.
    r = (block - decoder.linear(z)).div_(decoder.output_scale)
    if last is not None:
        r.addcmul_(weight, last(h), value=-1)
    return weight, h, r


def _moments(decoder, coded, features, last, mean, missed):
    """Average h = features - mean, r = residual - missed, h h^T, h r^T and r^2 over the rows.

    They come a block at a time, behind their codes.
    """
    mean, missed = mean.float(), missed.float()
    sums: list = []
    total = 0.0
    for z, block in coded:
        weight, h, r = _regressed(decoder, z, block, features, last)
        h = h - mean
        r -= missed
        counted = float(weight.sum())
        wh = rooted = h
        if counted < len(h):
            wh, rooted = weight * h, weight.sqrt() * h
        found = (
            wh.sum(0),
            (weight.T @ r)[0],
            self_products(rooted),
            wh.T @ r,
            weight.T @ r.square().sum(1),
        )
        if sums:
            for part, more in zip(sums, found, strict=True):
                part += more
        else:
            sums = [part.double() for part in found]
        total += counted
    *parts, square = (part.div_(max(total, 1.0)) for part in sums)
    return *parts, float(square)
