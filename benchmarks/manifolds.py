"""Points on curved surfaces in three dimensions, labelled like a chessboard that lies on them.

After the recipes of van der Maaten, Postma and van den Herik (2009), Appendix B.
"""

from collections.abc import Callable

import numpy as np

NOISE = 0.05


def _roll(t: np.ndarray, height: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    X = np.column_stack([t * np.cos(t), height, t * np.sin(t)])
    return X, (np.rint(t / 2) + np.rint(height / 12)) % 2


def swiss_roll(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return (X, y) of a rolled sheet."""
    return _roll(1.5 * np.pi * (1 + 2 * rng.random(n)), 30 * rng.random(n))


def broken_swiss_roll(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return (X, y) of a rolled sheet with a strip cut out."""
    turns = 0.8 * rng.random(n) + np.where(np.arange(n) < n // 2, 0.0, 1.2)
    return _roll(1.5 * np.pi * (1 + turns), 30 * rng.random(n))


def twin_peaks(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return (X, y) of a sheet with two hills and two valleys."""
    x, y = 1 - 2 * rng.random((2, n))
    X = np.column_stack([x, y, 10 * np.sin(np.pi * x) * np.tanh(3 * y)])
    return X, np.rint((X - X.min(axis=0)) / 10).sum(axis=1) % 2


def helix(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return (X, y) of a closed curve, wound around a ring."""
    t = 2 * np.pi * np.arange(1, n + 1) / n
    X = np.column_stack(
        [(2 + np.cos(8 * t)) * np.cos(t), (2 + np.cos(8 * t)) * np.sin(t), np.sin(8 * t)]
    )
    return X, np.rint(1.5 * t) % 2


MANIFOLDS: dict[str, Callable] = {
    "swiss roll": swiss_roll,
    "broken swiss roll": broken_swiss_roll,
    "twin peaks": twin_peaks,
    "helix": helix,
}


def make_manifold(name: str, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw labelled points of a manifold, and move each a little.

    Parameters
    ----------
    name : str
        A key of `MANIFOLDS`.
    n : int
        How many points.
    seed : int
        Of the points and of the noise.
    """
    rng = np.random.default_rng(seed)
    X, y = MANIFOLDS[name](n, rng)
    return X + NOISE * rng.normal(size=X.shape), y.astype(int)
