"""What a network misses of rows: in all, and group by group."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from sklearn_ae._rows import Rows, row_blocks, sum_of_squares
from sklearn_ae.losses import CellLoss
from sklearn_ae.modules import Autoencoder
from sklearn_ae.modules.light import is_light
from sklearn_ae.modules.refined import one_pass

# Groups of rows whose losses are compared, to know the sampling error of their mean.
N_GROUPS = 32


@dataclass
class Errors:
    """What a network misses of some rows.

    Attributes
    ----------
    codes : Tensor of shape (n_rows, n_components)
        The codes that the rows were rebuilt from.
    groups : ndarray of shape (n_groups,)
        Mean loss over each of some groups of rows, of about the same size.
    loss : float
        Mean loss over all rows.
    square : float
        Mean squared error over all cells.
    """

    codes: torch.Tensor
    groups: np.ndarray
    loss: float
    square: float


@torch.inference_mode()
def measure_errors(
    network: Autoencoder, rows: Rows, criterion: Callable[..., torch.Tensor]
) -> Errors:
    """Encode and rebuild rows, and measure what is missed of them, in one pass.

    Parameters
    ----------
    network : Autoencoder
        Rebuilds rows; in evaluation mode.
    rows : Rows
        At least one.
    criterion : callable
        ``(prediction, target) -> scalar``: the loss.
    """
    edges = np.linspace(0, len(rows), min(N_GROUPS, len(rows)) + 1).astype(int)
    square, codes, losses, counts = 0.0, [], [], []
    light = is_light(network)
    with one_pass(len(rows)):
        for start, stop in row_blocks(len(rows), rows.n_columns, device=rows.device, light=light):
            targets = rows.slice(start, stop)
            codes.append(network.encoder(targets))
            rebuilt = network.decoder(codes[-1])
            square += sum_of_squares(rebuilt - targets)
            inside = np.unique(np.r_[start, edges[(start < edges) & (edges < stop)], stop]) - start
            found, n_rows = _losses(criterion, rebuilt, targets, inside)
            losses.append(found)
            counts.append(n_rows)
    count = np.concatenate(counts)
    sums = torch.cat(losses).cpu().double().numpy() * count
    # Whatever blocks and pieces a group lies in.
    groups = np.add.reduceat(sums, np.searchsorted(np.cumsum(count) - count, edges[:-1]))
    return Errors(
        torch.cat(codes),
        groups / np.diff(edges),
        float(groups.sum()) / len(rows),
        square / (len(rows) * rows.n_columns),
    )


def _losses(criterion, rebuilt, targets, edges):
    """Return the mean losses of pieces of the rows, cut at the edges, and how many rows each has.

    Of our losses each row is a piece: one operation on all takes less than many on some.
    """
    if isinstance(criterion, CellLoss):
        return criterion.compare(rebuilt, targets, "none").mean(1), np.ones(len(rebuilt), int)
    pieces = [criterion(rebuilt[a:b], targets[a:b]) for a, b in pairwise(edges.tolist())]
    return torch.stack(pieces), np.diff(edges)


def mean_square(rows: Rows) -> float:
    """Return the mean square over all cells: in scaled units, about the mean of all rows."""
    total = sum(sum_of_squares(block) for block in rows.blocks(light=True))
    return total / (len(rows) * rows.n_columns)


def explained(error: float, total: float) -> float:
    """Return the share of variance explained; data without variance is explained by its mean."""
    if total > 0:
        return 1 - error / total
    return float(error == 0)
