"""Rows that come in pieces: `partial_fit` of both estimators."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from scipy import sparse
from sklearn.utils import check_random_state

from sklearn_ae._array_api import as_rows, on_host
from sklearn_ae._device import resolve_device
from sklearn_ae._fitted import FittedMixin
from sklearn_ae._fitting import (
    Fit,
    Going,
    Published,
    Refreshed,
    fit_piece,
    packed,
    unpacked,
)
from sklearn_ae._parameters import describe_network, for_columns, read_parameters
from sklearn_ae._persistence import from_text
from sklearn_ae._rows import Seen, TensorMatrix
from sklearn_ae._specs import TrainingSpec


class PartialFitMixin(FittedMixin):
    """How both go on with more rows.

    Attributes
    ----------
    n_samples_seen_ : int
        Number of rows of all calls, or of `fit`.
    """

    n_samples_seen_: int
    random_state: Any
    early_stopping: bool
    net_: Any
    best_iter_: int
    # What the next call goes on from, as text and arrays, and the network under training.
    _going: Any
    _learner: Any

    def partial_fit(self, X: Any, y: Any = None) -> Any:
        """Go on with more rows, of which nobody has to have all at once.

        Each call adds the rows to what PCA of all rows so far is computed from (exactly, up to
        1,000 columns; of more as `IncrementalPCA` does), and trains the network on them: in one
        pass, whatever `max_iter` is, with as many rows drawn from those of before. The model is
        held against PCA of all rows so far, by rows that are held out over all calls: whenever a
        twelfth as many rows have come as there are different ones, and whenever PCA rebuilds some
        of the held-out rows better than the model. PCA itself is of all rows after each call.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            More rows, as `fit` takes them: any number, in any order. Of rows that come again, as in
            a second pass, those that were held out still are.
        y : Ignored
            Not used, present for API consistency by convention.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If the rows or a parameter cannot be used, or describe another network than before. The
            estimator stays as it was.

        Notes
        -----
        What is kept from call to call, in files too: sums; the network and its optimizer; and rows,
        as they were given, at most 20,000 that are held out and 50,000 that train (of wide rows
        fewer). After `fit` it goes on from the network and the sums, and what `fit` found stands
        until 32 new rows are held out, or PCA is better on ten. Rows that `fit` was given should
        not come again: some that it trained on would be held out.

        Which rows are held out, and which are kept, their content and the first call's seed say. A
        row that comes several times in one call is treated as several: some train, some are held
        out. Where there are a tenth more different rows, another network is started at PCA of all
        of them, and is taken unless the one of before is surely better. Before ten rows are held
        out the model is PCA. `fit` with ``warm_start=True`` starts anew after it.

        With ``n_components=None`` the code grows with the rows until it has as many numbers as
        there are columns; of more than 1,000 columns it has as many as the first call has rows, but
        128 at least. Where it is a share, the size may change with each call. ``max_iter=0``
        solves the closed form anew each time. `callbacks` are called as in a training of an epoch
        or two each time, and schedulers begin anew; those of `set_callbacks`, `memory`,
        `warm_start`, `n_iter_no_change` and `tol` have no part in it.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_ae import AutoencoderTransformer
        >>> rng = np.random.default_rng(0)
        >>> autoencoder = AutoencoderTransformer(n_components=2, random_state=0)
        >>> for _ in range(3):
        ...     autoencoder = autoencoder.partial_fit(rng.normal(size=(100, 5)))
        >>> autoencoder.n_samples_seen_
        300
        """
        before = self.__dict__.copy()
        try:
            self._fit_piece(X)
        except BaseException:
            self.__dict__ = before
            raise
        return self

    def _fit_piece(self, X: Any) -> None:
        """Check what is given, and go on."""
        self._validate_params()
        params = {name: getattr(self, name) for name in self._parameter_constraints}
        network, training = read_parameters(params, type(self).__name__)
        if training.checkpoint is not None:
            raise ValueError(
                f"callbacks={self.callbacks!r} has a FitCheckpoint, which is for fit. Leave it "
                "out, and save the estimator after each call of partial_fit."
            )
        is_first = not self.__sklearn_is_fitted__()
        if not is_first and self._going is None:
            raise ValueError(
                f"This {type(self).__name__} was saved by a version without partial_fit, and has "
                "no sums of its rows. Call partial_fit of a clone."
            )
        X, rows, training = self._rows_to_train(X, training, reset=is_first)
        network = for_columns(network, training.noise, X.shape[1])
        structure = describe_network(params, X.shape[1])
        fraction = training.validation_fraction
        if is_first:
            seed = self._draw_seed()
            self._split_seed, self._structure = seed, structure
            going, published = Going(Seen.nothing(seed, fraction), None, 0, 0), Published()
        else:
            device = resolve_device(training.device)
            going = unpacked(self._going, self._learner, self._scaling, device)
            self._check_same(structure, going.seen, fraction)
            published = Published(
                self._nested, self.best_iter_, list(self.net_.history), self._scaling,
                self._sizes["is_pca"],
            )  # fmt: skip
        found = fit_piece(network, training, rows, going, published)
        if isinstance(found, Fit):
            self._keep(found)
        else:
            self._refresh(found)
        self._follow(X)
        self._use_wanted((self.n_samples_, X.shape[1]))

    def _rows_to_train(
        self, X: Any, training: TrainingSpec, *, on_device: bool = False, **checks: Any
    ) -> tuple[Any, Any, TrainingSpec]:
        """Check rows; return them, what is read of them, and the training, where they are.

        With `on_device`, those of a tensor on the device of the training are read there.
        """
        X = self._validated(X, **checks)
        if sparse.issparse(X) and not X.has_canonical_format:
            # Cells that are stored in parts, or out of order.
            X = X.copy()
            X.sum_duplicates()
        given = as_rows(X)
        if torch.is_tensor(given) and given.is_cuda:
            if training.device == "auto":
                training = replace(training, device=str(given.device))
            if on_device and resolve_device(training.device) == given.device:
                return X, TensorMatrix(given.resolve_neg()), training
        return X, on_host(X), training

    def _draw_seed(self) -> int:
        """Draw what seeds all else."""
        return int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))

    def _came_in_pieces(self) -> bool:
        """Tell whether `partial_fit` said by their content which rows are not trained on."""
        return self._going is not None and from_text(self._going["text"])["n_calls"] > 0

    def _check_same(self, structure: dict, seen: Seen, fraction: float | None) -> None:
        """Check that the parameters describe the network of the calls before, and its rows."""
        found = changes(self._structure, structure)
        if Seen.nothing(seen.seed, fraction).share != seen.share:
            found.append(
                f"early_stopping={self.early_stopping!r} with validation_fraction="
                f"{self.validation_fraction!r} holds out another share of the rows"
            )
        if found:
            raise ValueError(
                f"partial_fit goes on with the network and the rows of before, but "
                f"{', '.join(found)}. Set what was, or start anew: with fit, or partial_fit of a "
                "clone."
            )

    def _refresh(self, found: Refreshed) -> None:
        """Set what is of all rows, where the network and what is known of it stay."""
        self.mean_, self.n_samples_ = found.mean, found.n_rows
        self._variance, self._variances = found.variance, found.variances
        self._pca = found.pca
        if found.whitening is not None:
            others = [whitening for whitening in self._whitenings if whitening[0]]
            mean, deviation = found.whitening
            self._whitenings = [(0, mean.tolist(), deviation.tolist()), *others]
        # Nothing that was is changed: a call that fails later leaves it.
        net = object.__new__(type(self.net_))
        net.__dict__ |= self.net_.__dict__
        net.history_ = type(self.net_.history)(found.history)
        self.net_ = net
        self._keep_going(found.going)
        self._keep_history(found.history)

    def _keep_going(self, going: Going | None) -> None:
        """Set what the next call goes on from; None while a fit is under way."""
        learner = None if going is None else going.learner
        self._going = None if going is None else packed(going)
        self._learner = None if learner is None else learner.nested
        self.n_samples_seen_ = self.n_samples_

    def _keep_history(self, history: Any) -> None:
        """Set what is told of the passes."""
        # scikit-learn counts a closed form as one iteration.
        self.n_iter_ = max(len(history), 1)
        self.loss_curve_ = [row["train_loss"] for row in history]
        self.validation_loss_curve_ = None
        if self.early_stopping:
            self.validation_loss_curve_ = [row.get("valid_loss", np.nan) for row in history]

    def _keep(self, fit: Fit) -> None:
        """Set the attributes that are those of codes of any size."""
        raise NotImplementedError

    def _follow(self, X: Any) -> None:
        """Give what is an array the namespace and the device of the rows."""
        raise NotImplementedError

    def _use_wanted(self, shape: tuple[int, int]) -> None:
        """Set what is that of codes of the size that is wanted."""
        raise NotImplementedError


def changes(before: dict, now: dict) -> list[str]:
    """Return what is another value in a description of a network, in words."""
    return [
        f"{name}={value!r}, was {before[name]!r}"
        for name, value in now.items()
        if value != before[name]
    ]
