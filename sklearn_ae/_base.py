"""What both estimators do; each of them lists its own parameters."""

import copy
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import nn

from sklearn_ae._fitting import Fit, fit_network
from sklearn_ae._parameters import CONSTRAINTS
from sklearn_ae._persistence import pack, unpack
from sklearn_ae._sklearn import CallbackSupportMixin, fit_context, with_callbacks
from sklearn_ae._tasks import FitTask
from sklearn_ae._training.denoising import Denoising
from sklearn_ae._training.device import resolve_device
from sklearn_ae._training.net import restored_net
from sklearn_ae._training.rows import dense, row_blocks
from sklearn_ae._training.scaling import Scaling
from sklearn_ae.modules import Autoencoder, Rescaled
from sklearn_ae.modules.hidden import hidden_layers
from sklearn_ae.modules.refined import refined

FLOATS = [np.float64, np.float32]
DOCUMENTATION = "https://sklearn-ae.readthedocs.io/en/stable/"


class BaseAutoencoder(
    CallbackSupportMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator
):
    """Fit, transform and back. It has no constructor: each estimator lists its parameters."""

    _parameter_constraints: ClassVar[dict] = CONSTRAINTS
    # Where scikit-learn's HTML representation links to.
    _doc_link_module = "sklearn_ae"
    _doc_link_template = DOCUMENTATION + "generated/{estimator_module}.{estimator_name}.html"

    def _denoising(self, scaling: Scaling, device: torch.device, seed: int) -> Denoising | None:
        """Make what corrupts a batch in training; None trains on clean rows."""
        return None

    @with_callbacks
    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> "BaseAutoencoder":
        """Learn codes from which the rows can be rebuilt.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training rows.
        y : Ignored
            Not used, present for API consistency by convention.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If the rows or a parameter cannot be used. The estimator stays as it was.
        """
        task = FitTask(self)
        before = self.__dict__.copy()
        try:
            X = validate_data(self, X, accept_sparse="csr", dtype=FLOATS, ensure_min_samples=2)
            seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
            task.begin(X, y)
            self._keep(fit_network(self, X, seed, self._previous(), task))
            task.end()
        except BaseException:
            self.__dict__ = before
            raise
        return self

    def _previous(self) -> tuple[Autoencoder, Scaling] | None:
        """Return the network to go on from and its units, None to start anew."""
        if not (self.warm_start and hasattr(self, "net_")) or self.is_pca_:
            return None
        before = self._structure
        changed = {name: now for name, now in self._describe().items() if now != before[name]}
        if changed:
            found = ", ".join(
                f"{name}={now!r}, was {before[name]!r}" for name, now in changed.items()
            )
            raise ValueError(
                f"warm_start=True goes on with the network of the last fit, but {found}. Set "
                "warm_start=False to start anew."
            )
        return self.net_.module_, self._scaling

    def _describe(self) -> dict:
        """Return what the network is built from."""
        names = ("n_components", "activation", "init", "encoder", "decoder", "tied_weights")
        described = {name: getattr(self, name) for name in names}
        for name in ("hidden_layer_sizes", "image_shape"):
            described[name] = np.ravel(getattr(self, name)).tolist()
        described["n_features_in_"] = self.n_features_in_
        # What these change is the last layer of the decoder, and a head beside it.
        described["loss"] = "binary_log_loss" if self.loss == "binary_log_loss" else "another"
        described["corruption_loss_weight > 0"] = getattr(self, "corruption_loss_weight", 0) > 0
        return described

    def _keep(self, fit: Fit) -> None:
        """Set the fitted attributes."""
        self.net_, self._scaling = fit.net, fit.scaling
        self.n_components_, self._code_layer = self.n_components, self.code_layer
        self._structure = self._describe()
        self._n_steps = 0 if fit.is_pca else self.transform_max_iter
        self._wrap()
        history, keeper = fit.net.history, fit.keeper
        # scikit-learn counts a closed form as one iteration.
        self.n_iter_ = max(len(history), 1)
        self.best_iter_ = keeper.best_epoch_ if keeper else 0
        self.best_loss_ = keeper.best_loss_ if keeper and np.isfinite(keeper.best_loss_) else None
        self.loss_curve_ = [row["train_loss"] for row in history]
        self.validation_loss_curve_ = (
            [row["valid_loss"] for row in history] if self.early_stopping else None
        )
        self.pca_loss_ = fit.pca_loss
        self.pca_score_, self.score_, self.is_pca_ = fit.pca_score, fit.score, fit.is_pca
        self.batch_size_ = fit.net.batch_size

    def _attributes_of(self, fit: Fit) -> dict:
        """Return the attributes that this estimator would have after `fit`."""
        fitted = object.__new__(type(self))
        fitted.__dict__.update(self.__dict__)
        fitted._keep(fit)
        return fitted.__dict__

    def _wrap(self) -> None:
        """Set the device, and the module for rows and codes in the units of the user."""
        device = torch.device(self.net_.device)
        # In float32, codes would depend on the batch that a row is transformed in, and steps
        # multiply what was rounded.
        network = copy.deepcopy(self.net_.module_).double()
        network, scale = refined(network, self._n_steps), self._scaling.scale
        shift = torch.tensor(self._scaling.shift, dtype=torch.float64, device=device)
        origin = torch.zeros((), dtype=shift.dtype, device=device)
        self.device_ = str(device)
        self.module_ = Autoencoder(
            Rescaled(network.encoder, shift, scale, origin, scale),
            Rescaled(network.decoder, origin, scale, shift, scale),
        ).eval()
        self._coder, self._n_features_out = self.module_.encoder, self.n_components_
        if self._code_layer is not None:
            layer = hidden_layers(network)[self._code_layer]
            self._coder = Rescaled(layer, shift, scale, origin, 1.0).eval()
            row = torch.zeros(1, len(shift), dtype=shift.dtype, device=device)
            with torch.inference_mode():
                self._n_features_out = self._coder(row).shape[1]

    def transform(self, X: Any) -> Any:
        """Encode rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_components)
            Codes, in the units of `X`; with `code_layer`, the activations of that hidden layer, of
            shape (n_samples, size of the layer).
        """
        return self._transform(self._check_rows(X))

    def inverse_transform(self, X: Any) -> np.ndarray:
        """Decode codes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components)
            Codes, as `transform` gives them.

        Returns
        -------
        X_original : ndarray of shape (n_samples, n_features)
            The rows that the codes stand for.

        Raises
        ------
        ValueError
            If the codes have a wrong width, or are those of a hidden layer (`code_layer`).
        """
        check_is_fitted(self)
        if self._code_layer is not None:
            raise ValueError(
                f"code_layer={self._code_layer!r} makes transform return the activations of a "
                "hidden layer, which inverse_transform cannot decode. Fit with code_layer=None, "
                "or use reconstruct."
            )
        X = check_array(X, dtype=FLOATS)
        if X.shape[1] != self.n_components_:
            raise ValueError(
                f"X has {X.shape[1]} columns, but {type(self).__name__} is expecting codes of "
                f"{self.n_components_} components."
            )
        return self._decode(X)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the codes.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Not used.

        Returns
        -------
        names : ndarray of str
            The lower-case name of the class and a number; with `code_layer`, the layer between.
        """
        names = super().get_feature_names_out(input_features)
        if self._code_layer is None:
            return names
        prefix = type(self).__name__.lower()
        return np.asarray(
            [f"{prefix}_layer{self._code_layer}_{i}" for i in range(len(names))], dtype=object
        )

    def reconstruct(self, X: Any) -> np.ndarray:
        """Rebuild rows from their codes.

        It is ``inverse_transform(transform(X))``, and the same with `code_layer`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        X_hat : ndarray of shape (n_samples, n_features)
            What the codes keep of them.
        """
        return self._decode(self._encode(self._check_rows(X)))

    def score_samples(self, X: Any) -> np.ndarray:
        """Return how well each row is rebuilt: an anomaly score.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        score : ndarray of shape (n_samples,)
            Minus the squared Euclidean distance between the row and its reconstruction, in squared
            units of `X`. Lower is more unusual.
        """
        return -self._squared_errors(self._check_rows(X), 1.0)

    def score(self, X: Any, y: Any = None) -> float:
        """Return the share of variance explained, which compares with PCA's.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        y : Ignored
            Not used, present for API consistency by convention.

        Returns
        -------
        score : float
            ``1 - SSE / SST``: the sums over all rows of the squared distance to the reconstruction
            and to the mean of the training rows. For PCA on its training rows it is the sum of
            ``explained_variance_ratio_``. The best value is 1; it can be negative.
        """
        X = self._check_rows(X)
        # In units of the training data: squares of extreme values would leave float64.
        unit, total = self._scaling.scale, 0.0
        for start, stop in row_blocks(*X.shape):
            rows = (dense(X[start:stop]) - self._scaling.shift) / unit
            total += float(np.einsum("ij,ij->", rows, rows))
        error = float(self._squared_errors(X, unit).sum())
        return 1 - error / total if total > 0 else float(error == 0)

    def _check_rows(self, X: Any) -> Any:
        check_is_fitted(self)
        return validate_data(self, X, accept_sparse="csr", dtype=FLOATS, reset=False)

    def _transform(self, X: Any) -> np.ndarray:
        return self._apply(self._coder, X, self._n_features_out)

    def _encode(self, X: Any) -> np.ndarray:
        return self._apply(self.module_.encoder, X, self.n_components_)

    def _squared_errors(self, X: Any, unit: float) -> np.ndarray:
        """Return the squared distance of each row to its reconstruction, in units of `unit`."""
        errors = np.empty(X.shape[0])
        for start, stop in row_blocks(*X.shape):
            rows = dense(X[start:stop])
            missed = (rows.astype(np.float64) - self._decode(self._encode(rows))) / unit
            errors[start:stop] = np.einsum("ij,ij->i", missed, missed)
        return errors

    def _decode(self, Z: np.ndarray) -> np.ndarray:
        return self._apply(self.module_.decoder, Z, self.n_features_in_)

    def _apply(self, module: nn.Module, X: Any, n_outputs: int) -> np.ndarray:
        """Run rows through a module, a block at a time."""
        result = np.empty((X.shape[0], n_outputs), dtype=X.dtype)
        with torch.inference_mode():
            for start, stop in row_blocks(X.shape[0], max(X.shape[1], n_outputs)):
                # torch takes neither read-only arrays nor foreign byte orders.
                rows = np.require(dense(X[start:stop]), requirements=["C", "W"])
                result[start:stop] = module(torch.from_numpy(rows).to(self.device_)).cpu().numpy()
        return result

    def __sklearn_is_fitted__(self) -> bool:
        """Tell whether `fit` has been called."""
        return hasattr(self, "module_")

    def __sklearn_tags__(self) -> Any:
        """Return the tags of scikit-learn."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        tags.non_deterministic = False
        return tags

    def __getstate__(self) -> dict:
        """Return the state to pickle: numpy arrays in place of torch tensors, each weight once."""
        state = super().__getstate__().copy()
        if "net_" in state:
            net = state.pop("net_")
            del state["module_"], state["_coder"]
            rest = {name: getattr(net, name) for name in ("batch_size", "max_epochs")}
            rest["history"] = list(net.history)
            state = pack(self, state, [net.module_, net.criterion_], rest)
        return state

    def __setstate__(self, state: dict) -> None:
        """Rebuild the modules, on their device if it is here, else on the CPU.

        Raises
        ------
        ValueError
            If the state is damaged, names what is not read from a file, or is of a format that
            cannot be read.
        """
        saved = unpack(type(self), state, Scaling, resolve_device)
        super().__setstate__(saved.attributes)
        if saved.network is not None:
            self._scaling = saved.scaling
            self.net_ = restored_net(saved.network, saved.loss, saved.device, saved.net)
            self._wrap()
