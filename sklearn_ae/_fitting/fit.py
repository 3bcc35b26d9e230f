"""What a fit found, and what it may go on from."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sklearn_ae._fitting.ordered import Sizes
from sklearn_ae._fitting.training.net import ReconstructionNet
from sklearn_ae._rows import Scaling, Seen
from sklearn_ae.modules import Nested


@dataclass
class Fit:
    """What a fit found.

    Attributes
    ----------
    net : ReconstructionNet
        What trained; its module works on rows in the units of `scaling`.
    scaling : Scaling
        How rows were centred and scaled.
    mean : ndarray of shape (n_columns,)
        Of all rows, in the units of the user, in their dtype.
    variance : float
        Of all rows, summed over the columns, in squared units of `scaling`; an unbiased estimate.
    n_rows : int
        How many there are.
    sizes : Sizes
        What the codes of each size are worth.
    is_ordered : bool
        Whether there are codes of other sizes than the last.
    nested : Nested or None
        What was trained, for codes of its size and below; None where all is PCA.
    pca : Nested or None
        PCA of all rows, for codes of any size; None where nothing is PCA.
    variances : list of float or None
        Of each component of PCA of all rows, in the same units; None where nothing is PCA.
    watched_pca_loss : float or None
        What the loss that is watched would be of PCA; None where no rows are held out.
    best_iter : int
        Epoch whose weights are kept; 0 is the start.
    interrupted : bool
        Whether the user ended the training.
    codes : ndarray of shape (n_codes, n_components) or None
        Codes of some of the rows that chose, in the units of the user, as large as they were
        trained.
    whitening : dict of int to tuple of two ndarrays of shape (n_components,)
        Mean and deviation of the codes, by their size; of a size that is missing, those of the next
        larger one.
    going : Going or None
        What `partial_fit` goes on from.
    """

    net: ReconstructionNet
    scaling: Scaling
    mean: np.ndarray
    variance: float
    n_rows: int
    sizes: Sizes
    is_ordered: bool
    nested: Nested | None = None
    pca: Nested | None = None
    variances: list[float] | None = None
    watched_pca_loss: float | None = None
    best_iter: int = 0
    interrupted: bool = False
    codes: np.ndarray | None = None
    whitening: dict = field(default_factory=dict)
    going: Any = None


@dataclass(frozen=True)
class Previous:
    """The fit that is gone on from.

    Attributes
    ----------
    nested : Nested
        Its network.
    scaling : Scaling
        The units of the network.
    seed : int
        What its held-out rows were drawn with: the same are held out again.
    """

    nested: Nested
    scaling: Scaling
    seed: int


@dataclass(frozen=True)
class Learner:
    """The network that pieces of rows train; what is published is a copy.

    Attributes
    ----------
    nested : Nested
        As it was when the last piece ended.
    scaling : Scaling
        Its units.
    unit : float
        That of its losses.
    losses : ndarray of shape (n_components,) or None
        Loss of PCA of each size on training rows; None where codes have no order.
    n_different : float
        How many different rows there were when it was started, about, or last thought of anew.
    optimizer : dict or None
        State of its optimizer; None before the first step.
    waiting : ndarray, CSR matrix or None
        Rows that it has yet to be trained on, fewer than half a batch.
    """

    nested: Nested
    scaling: Scaling
    unit: float
    losses: np.ndarray | None
    n_different: float
    optimizer: dict | None = None
    waiting: Any = None


@dataclass(frozen=True)
class Going:
    """What a piece of rows goes on from.

    Attributes
    ----------
    seen : Seen
        What is known of the rows.
    learner : Learner or None
        The network under training.
    n_calls : int
        Pieces that came.
    n_judged : int
        Rows that had come when the network was last held against PCA.
    """

    seen: Seen
    learner: Learner | None
    n_calls: int
    n_judged: int
