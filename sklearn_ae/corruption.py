"""Noise for denoising autoencoders: each corrupts a batch of rows and leaves its input alone.

All are callables ``(x, generator) -> corrupted`` for ``x`` of shape (n_rows, n_columns); the random
numbers come from `generator`, which lies on the device of ``x``. `level` is one number for all
columns or a tensor with one a column.
"""

from collections.abc import Callable

import torch

KINDS = ("gaussian", "masking", "salt_and_pepper", "swap")
# Share of the rows of a batch that are corrupted at all.
# NOTE[DIFF]: Vincent et al. corrupt every row. A network that never sees a clean row in training is
# not at its best on the clean rows that it will be used on.
CORRUPTED_ROWS = 0.5


def corrupt_some_rows(
    x: torch.Tensor,
    generator: torch.Generator,
    corrupt: Callable[[torch.Tensor, torch.Generator], torch.Tensor],
) -> torch.Tensor:
    """Corrupt each row with probability 1/2, and leave the others clean.

    Parameters
    ----------
    x : Tensor of shape (n_rows, n_columns)
        A batch; left as it is.
    generator : torch.Generator
        Source of the random numbers, on the device of `x`.
    corrupt : callable
        ``(x, generator) -> corrupted``.
    """
    coins = torch.rand((len(x), 1), generator=generator, device=x.device, dtype=x.dtype)
    chosen = coins < CORRUPTED_ROWS
    return torch.where(chosen, corrupt(x, generator), x)


def _cells(x: torch.Tensor, level: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Choose each cell with probability `level`."""
    return torch.rand(x.shape, generator=generator, device=x.device, dtype=x.dtype) < level


class Gaussian:
    """Add normal noise; `level` is in standard deviations of each column.

    Parameters
    ----------
    level : Tensor of shape () or (n_columns,)
        Standard deviation of the noise in units of `scale`.
    scale : Tensor of shape (n_columns,)
        Standard deviation of each column.
    """

    def __init__(self, level: torch.Tensor, scale: torch.Tensor):
        self.deviation = level * scale

    def __call__(self, x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Corrupt the rows ``x``."""
        noise = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
        return torch.addcmul(x, noise, self.deviation)


class Masking:
    """Replace cells, each with probability `level`, by the column's mean.

    Parameters
    ----------
    level : Tensor of shape () or (n_columns,)
        Probability that a cell is masked.
    mean : Tensor of shape (n_columns,)
        What a masked cell becomes.
    groups : Tensor of shape (n_columns,) or None, default=None
        Number of the group of each column; the cells of a group are masked together.

    Notes
    -----
    NOTE[DIFF]: Vincent et al. (2008) set masked cells to zero, on data where zero is an ordinary
    value. On a column around 1000 that would be an outlier rather than a missing value.

    References
    ----------
    P. Vincent, H. Larochelle, Y. Bengio, P.-A. Manzagol, "Extracting and Composing Robust Features
    with Denoising Autoencoders", ICML 2008.
    """

    def __init__(self, level: torch.Tensor, mean: torch.Tensor, groups: torch.Tensor | None = None):
        self.level = level
        self.mean = mean
        self.groups = groups
        self.n_groups = 0 if groups is None else int(groups.max()) + 1

    def __call__(self, x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Corrupt the rows ``x``."""
        if self.groups is None:
            return torch.where(_cells(x, self.level, generator), self.mean, x)
        size = (len(x), self.n_groups)
        u = torch.rand(size, generator=generator, device=x.device, dtype=x.dtype)
        return torch.where(u[:, self.groups] < self.level, self.mean, x)


class SaltAndPepper:
    """Replace cells, each with probability `level`, by the column's least or greatest value.

    Which of the two is a fair coin (Vincent et al., 2010, section 3.3).

    Parameters
    ----------
    level : Tensor of shape () or (n_columns,)
        Probability that a cell is replaced.
    low, high : Tensor of shape (n_columns,)
        Least and greatest value of each column.
    """

    def __init__(self, level: torch.Tensor, low: torch.Tensor, high: torch.Tensor):
        self.level = level
        self.low = low
        self.high = high

    def __call__(self, x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Corrupt the rows ``x``."""
        u = torch.rand(x.shape, generator=generator, device=x.device, dtype=x.dtype)
        salted = torch.where(u < self.level / 2, self.low, self.high)
        return torch.where(u < self.level, salted, x)


class Swap:
    """Replace cells, each with probability `level`, by the same column of another row of the batch.

    Every column keeps its distribution, whatever that is. In a batch of one row there is no other
    row, and nothing changes without `donors`.

    Parameters
    ----------
    level : Tensor of shape () or (n_columns,)
        Probability that a cell is replaced.
    donors : Tensor of shape (n_donors, n_columns) or None, default=None
        Other rows to take cells from, in place of those of the batch.
    """

    def __init__(self, level: torch.Tensor, donors: torch.Tensor | None = None):
        self.level = level
        self.donors = donors

    def __call__(self, x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Corrupt the rows ``x``."""
        n_rows = x.shape[0]
        if self.donors is not None:
            n_donors = len(self.donors)
            drawn = torch.randint(n_donors, x.shape, generator=generator, device=x.device)
            return torch.where(_cells(x, self.level, generator), self.donors.gather(0, drawn), x)
        if n_rows < 2:
            return x
        step = torch.randint(1, n_rows, x.shape, generator=generator, device=x.device)
        donors = (torch.arange(n_rows, device=x.device)[:, None] + step) % n_rows
        return torch.where(_cells(x, self.level, generator), x.gather(0, donors), x)
