"""A cluster of two workers on this machine, and rows for it."""

import numpy as np
import pytest


@pytest.fixture(scope="session")
def client():
    """Return a client of two workers, which are processes of one thread."""
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture(scope="session")
def rows():
    """Return rows that lie near a curved surface."""
    rng = np.random.default_rng(0)
    flat = rng.standard_normal((600, 3))
    curved = np.hstack([flat, flat**2]) @ rng.standard_normal((6, 8))
    return curved + 0.1 * rng.standard_normal(curved.shape)
