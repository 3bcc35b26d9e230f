"""Whether an autoencoder is better than PCA, beyond what chance explains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sklearn_ae.comparison.comparing import Result

# The better of two networks is judged on the rows that chose it, so chance has two tries at a
# wrong "yes". One try exceeds two standard errors once in 44 times, both together less than once
# in 20.
STANDARD_ERRORS = 2
# Differences below this share of the error that PCA leaves are no reason to choose a network.
NEGLIGIBLE = 0.01
# Where PCA leaves nothing, the rounding of float32 is no reason against a network either.
ROUNDING = 1e-6


@dataclass(frozen=True)
class Verdict:
    """Whether an autoencoder is better than PCA at one size.

    Judged by the score on the codes where there is a target, by variance explained where not.

    Parameters
    ----------
    answer : {"yes", "no", "tie"}
        A tie is a difference within `margin`.
    pca, network : Result
        PCA, and the better of the two autoencoders.
    difference : float
        Score of `network`, or variance explained by it, beyond that of `pca`.
    margin : float
        Two standard errors of the difference, which is paired row by row, or what is
        negligible next to PCA's error where that is more.
    """

    answer: str
    pca: Result
    network: Result
    difference: float
    margin: float

    @property
    def winner(self) -> Result:
        """The network where it is better; PCA, the simpler of the two, where not."""
        return self.network if self.answer == "yes" else self.pca


def judge(results: Sequence[Result]) -> list[Verdict]:
    """Return the verdict at each size.

    Parameters
    ----------
    results : sequence of Result
        All methods at some sizes, as `compare` yields them.

    Returns
    -------
    verdicts : list of Verdict
        One for each size, in the order of the results.
    """
    verdicts = []
    for n_components in dict.fromkeys(result.n_components for result in results):
        pca, *networks = (r for r in results if r.n_components == n_components)
        # Few held-out rows often give both networks the same accuracy.
        network = min(networks, key=lambda r: (_errors(r).mean(), r.unexplained.mean()))
        gains = _errors(pca) - _errors(network)
        difference = float(gains.mean())
        standard_error = float(gains.std(ddof=1)) / np.sqrt(len(gains))
        negligible = NEGLIGIBLE * float(_errors(pca).mean())
        margin = max(STANDARD_ERRORS * standard_error, negligible, ROUNDING)
        answer = "tie" if abs(difference) <= margin else "yes" if difference > 0 else "no"
        verdicts.append(Verdict(answer, pca, network, difference, margin))
    return verdicts


def _errors(result: Result) -> np.ndarray:
    """Return the error of each held-out row, by which methods are judged."""
    return result.unexplained if result.unpredicted is None else result.unpredicted
