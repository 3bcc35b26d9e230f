"""One fit in many processes, each with a part of the rows."""

import datetime
from typing import Any

from torch import distributed

from sklearn_ae._base import BaseAutoencoder
from sklearn_ae._parts import Part
from sklearn_ae._processes import ProcessError, together

__all__ = ["ProcessError", "fit"]


def fit(
    estimator: BaseAutoencoder,
    X: Any,
    group: Any = None,
    *,
    timeout: datetime.timedelta | None = None,
) -> BaseAutoencoder:
    """Fit one estimator in all processes of a group, each of which has a part of the rows.

    Call it in each of them, as ``torchrun``, Ray or Spark start them, after
    ``torch.distributed.init_process_group``. Scaling, PCA, the closed form and the choice are those
    of all rows. Each step averages the gradients of its batch, of which each process has the rows
    that it was given: `batch_size` counts those of all. With rows in memory the fit is the one that
    a single process makes of the parts one after the other, up to rounding and to the noise of a
    denoising one.

    Parameters
    ----------
    estimator : AutoencoderTransformer or DenoisingAutoencoderTransformer
        With the same parameters in all processes; with a `device` of its own in each, if wanted.
    X : {array-like, sparse matrix} of shape (n_samples_here, n_features)
        The rows of this process, of whatever kind `fit` takes; there may be none. Numbers of rows
        may differ.
    group : torch.distributed.ProcessGroup or None, default=None
        The processes; None for all that there are, which tell each other at once what fails. In a
        group of some, others notice when the process ends, or by the group's own timeout.
    timeout : datetime.timedelta or None, default=None
        How long one may wait for another; None is as long as torch does, half an hour. Only for
        the group of all.

    Returns
    -------
    estimator : object
        Fitted, the same in all processes.

    Raises
    ------
    ValueError
        If rows or parameters cannot be used, or differ between processes. The estimator stays as it
        was, in all of them, as with all errors.
    ProcessError
        If another process failed, of which it says how, or did not answer in time.

    Notes
    -----
    A callback that ends the training in one process ends it in all, if it does so at the end of an
    epoch; elsewhere it ends the fit with an error. Callbacks of batches see the rows of a batch
    that are here, which may be none. `verbose` is that of the first process, and so is the file of
    a :class:`~sklearn_ae.callbacks.FitCheckpoint`; other callbacks that print or write do so in
    each. What a module remembers of its batches, as normalization does, is averaged after each
    epoch. PCA of more than 1,000 sparse columns is found by subspace iteration, and is less exact
    than that of one process. Each process draws the order of all rows, which takes 8 bytes a row.

    Examples
    --------
    One process alone is a group, too:

    >>> import tempfile, torch
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_ae import AutoencoderTransformer, distributed
    >>> store = torch.distributed.FileStore(tempfile.mktemp(), 1)
    >>> torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    >>> X, _ = load_iris(return_X_y=True)
    >>> distributed.fit(AutoencoderTransformer(2, max_iter=2, random_state=0), X).n_components_
    2
    >>> torch.distributed.destroy_process_group()
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        raise ValueError(
            "There is no process group. Call torch.distributed.init_process_group before, in each "
            "process."
        )
    if group is distributed.group.WORLD:
        group = None
    if group is not None and not isinstance(group, distributed.ProcessGroup):
        raise ValueError(f"group={group!r} must be a group that this process is in, or None.")
    if timeout is not None and not (isinstance(timeout, datetime.timedelta) and group is None):
        raise ValueError(
            f"timeout={timeout!r} must be a datetime.timedelta, and is for group=None. Other "
            "groups have the timeout that they were made with."
        )
    before = dict(vars(estimator))
    try:
        with together(group, timeout) as processes:
            if not isinstance(estimator, BaseAutoencoder):
                raise ValueError(
                    f"estimator={estimator!r} must be an AutoencoderTransformer or a "
                    "DenoisingAutoencoderTransformer. Other steps of a pipeline are fitted apart."
                )
            estimator.fit(Part(X, processes))
            estimator._become_that_of_first(processes)
    except BaseException:
        # Another process may have failed after this one had ended.
        estimator.__dict__ = before
        raise
    return estimator
