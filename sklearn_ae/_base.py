"""What both estimators do; each of them lists its own parameters."""

import contextlib
import copy
import functools
from collections.abc import Callable
from dataclasses import replace
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import BaseEstimator

from sklearn_ae._array_api import like, on_host
from sklearn_ae._callbacks import copy_callbacks, is_checkpoint
from sklearn_ae._device import nearest_device, own_settings, resolve_device
from sklearn_ae._fitting import Fit, Previous, fit_network, used_size
from sklearn_ae._fitting.training.net import net_of, restored_net
from sklearn_ae._inference import count_outputs, in_user_units
from sklearn_ae._memory import all_that_decides, hashes, remembered
from sklearn_ae._parameters import (
    CONSTRAINTS,
    describe_network,
    for_columns,
    read_parameters,
)
from sklearn_ae._partial import PartialFitMixin, changes
from sklearn_ae._parts import Part, spread
from sklearn_ae._persistence import modules_given, pack, pack_parameters, unpack, unpack_parameters
from sklearn_ae._processes import Processes
from sklearn_ae._rows import Scaling, fingerprint
from sklearn_ae._sklearn import CallbackSupportMixin, fit_context, with_callbacks
from sklearn_ae._tasks import FitTask

DOCUMENTATION = "https://sklearn-ae.readthedocs.io/en/stable/"


# What `_keep` needs beside the parameters.
NEEDED_TO_KEEP = ("n_features_in_", "_split_seed", "_structure")
# Attributes that are arrays, in the namespace of the rows of `fit` and on their device.
ARRAYS = ("mean_", "_some_codes")


class BaseAutoencoder(CallbackSupportMixin, PartialFitMixin, BaseEstimator):
    """How both are fitted. It has no constructor: each estimator lists its parameters."""

    _parameter_constraints: ClassVar[dict] = CONSTRAINTS
    # Where scikit-learn's HTML representation links to.
    _doc_link_module = "sklearn_ae"
    _doc_link_template = DOCUMENTATION + "generated/{estimator_module}.{estimator_name}.html"

    @with_callbacks
    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> "BaseAutoencoder":
        """Learn codes from which the rows can be rebuilt.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training rows. Arrays of h5py, zarr and dask, AnnData's sparse matrices in files and
            datasets of pyarrow are read where they lie, here and wherever rows are taken.
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
        KeyboardInterrupt
            If the training is interrupted. The estimator is fitted with the best weights so far;
            before the training begins and after it has ended it stays as it was. (Raised by a
            callback it ends the training, as `EarlyStopping` of skorch does.)
        """
        task = FitTask(self)
        before = self.__dict__.copy()
        try:
            interrupted = self._fit(X, y, task)
            task.end()
        except BaseException:
            self.__dict__ = before
            raise
        if interrupted:
            kept = (
                "as PCA" if self._nested is None else f"with the weights of epoch {self.best_iter_}"
            )
            raise KeyboardInterrupt(
                f"The training of {type(self).__name__} was interrupted in epoch "
                f"{len(self.loss_curve_) + 1}; it is fitted, {kept}."
            )
        return self

    def _fit(self, X: Any, y: Any, task: FitTask) -> bool:
        """Check what is given, and fit; return whether that was interrupted."""
        # A subclass may have a constructor of its own, with fewer of them.
        params = {name: getattr(self, name) for name in self._parameter_constraints}
        network, training = read_parameters(params, type(self).__name__)
        processes = X.processes if isinstance(X, Part) else None
        if processes is None:
            X, rows, training = self._rows_to_train(
                X, training, on_device=True, ensure_min_samples=2
            )
        else:
            X, rows, training = self._rows_to_train(X.rows, training, ensure_min_samples=0)
        network = for_columns(network, training.noise, X.shape[1])
        structure = describe_network(params, X.shape[1])
        seed = self._draw_seed()
        previous, checkpoint = self._previous(structure), training.checkpoint
        if processes is not None:
            decided_by = self._decided_by(params, seed)
            rows = spread(rows, processes, self, decided_by, previous)
            seed = processes.of_first(seed)
            training = replace(training, verbose=training.verbose if processes.is_first else 0)
        with contextlib.ExitStack() as opened:
            if checkpoint is not None:
                device = str(resolve_device(training.device))
                told_apart = self._told_apart(params | {"device": device}, rows, seed, previous)
                seed = opened.enter_context(checkpoint.opened(told_apart, seed, processes))
            # Rows that were trained on are not held out after.
            self._split_seed = previous.seed if previous else seed
            self._structure = structure
            task.begin(X, y)
            listen = functools.partial(self._listeners, task, X)

            def train(estimator: Any) -> bool:
                fit = fit_network(network, training, rows, seed, previous, listen)
                estimator._keep(fit)
                return fit.interrupted

            # What it goes on from decides a training, too.
            if self.memory is None or previous is not None:
                interrupted = train(self)
            else:
                interrupted = self._remember(params, rows, seed, train)
            if checkpoint is not None and not interrupted:
                checkpoint.end()
        self._follow(X)
        self._use_wanted(rows.shape)
        return interrupted

    def _remember(self, params: dict, X: Any, seed: int, train: Callable[[Any], bool]) -> bool:
        """Take the fit of the same rows and parameters from memory, or train and keep it there."""
        # Nothing else that hangs on this estimator is for others.
        needed = {name: getattr(self, name) for name in (*params, *NEEDED_TO_KEEP)}
        bare = object.__new__(type(self))
        bare.__dict__ |= needed
        interrupted = False

        def trained() -> dict:
            nonlocal interrupted
            interrupted = train(bare)
            if interrupted:
                raise KeyboardInterrupt
            # The whole code, so that a module goes with it.
            bare._use(len(bare._sizes["score"]))
            return bare._pack({k: v for k, v in vars(bare).items() if k not in params})

        try:
            decided_by, rows = self._decided_by(params, seed), fingerprint(X)
            found = remembered(self.memory, decided_by, params, rows, trained)
        except KeyboardInterrupt:
            if not interrupted:
                raise
            self.__dict__ |= vars(bare)
            return True
        self._unpack(pack_parameters(params) | found, trusted=True)
        # As they were given, and not as files have them.
        self.__dict__ |= needed
        return False

    def _become_that_of_first(self, processes: Processes) -> None:
        """Take what the first process has fitted: processors of other kinds round."""
        params = {name: getattr(self, name) for name in self._parameter_constraints}
        fitted = self._pack({k: v for k, v in vars(self).items() if k not in params})
        of_first = processes.of_first(fitted)
        if not processes.is_first:
            of_first["device_"] = self.device_
            self._unpack(pack_parameters(params) | of_first, trusted=True)
            self.__dict__ |= params
            self._use(self.n_components_)

    def _decided_by(self, params: dict, seed: int) -> dict:
        """Return what decides a training but its rows and the code that it runs."""
        decided_by = params.copy()
        for name in ("memory", "verbose", "warm_start"):
            del decided_by[name]
        if self.max_components is not None:
            del decided_by["n_components"]
        if self.random_state is not None:
            # Without a seed, one is as good as another.
            decided_by["random_state"] = seed
        decided_by["callbacks"] = [c for c in self.callbacks or [] if not is_checkpoint(c)]
        return pack_parameters(decided_by)

    def _told_apart(self, params: dict, X: Any, seed: int, previous: Any) -> dict[str, str]:
        """Return what tells this fit from others, for a checkpoint."""
        decided_by = all_that_decides(self._decided_by(params, seed), params)
        decided_by["rows"] = fingerprint(X)
        if previous is not None:
            state = previous.nested.state_dict()
            decided_by["the last fit"] = [on_host(value) for value in state.values()]
        return hashes(decided_by, "FitCheckpoint", "no checkpoint")

    def _previous(self, structure: dict) -> Previous | None:
        """Return the fit to go on from, None to start anew."""
        if not (self.warm_start and hasattr(self, "net_")) or self._nested is None:
            return None
        if self._sizes["is_pca"][len(self._nested.ratios) - 1] or self._came_in_pieces():
            return None
        found = changes(self._structure, structure)
        if found:
            raise ValueError(
                f"warm_start=True goes on with the network of the last fit, but "
                f"{', '.join(found)}. Set warm_start=False to start anew."
            )
        return Previous(self._nested, self._scaling, self._split_seed)

    def _listeners(self, task: FitTask, X: Any, now: Any) -> list:
        """Return what tells scikit-learn's callbacks of the epochs, and of the fit as it is now."""

        def fitted() -> dict:
            estimator = object.__new__(type(self))
            estimator.__dict__.update(self.__dict__)
            estimator._keep(now())
            estimator._follow(X)
            largest, wanted = len(estimator._sizes["is_pca"]), self.n_components
            given = isinstance(wanted, Integral)
            estimator._use(min(int(wanted), largest) if given else largest)
            return estimator.__dict__

        return task.epochs(fitted)

    def _keep(self, fit: Fit) -> None:
        """Set the attributes that are those of codes of any size."""
        self.net_, self._scaling, self._code_layer = fit.net, fit.scaling, self.code_layer
        self._nested, self._pca, self._some_codes = fit.nested, fit.pca, fit.codes
        self._sizes = {name: values.tolist() for name, values in vars(fit.sizes).items()}
        self._is_ordered = fit.is_ordered
        self._whitenings = [
            (n, mean.tolist(), deviation.tolist()) for n, (mean, deviation) in fit.whitening.items()
        ]
        self._variance, self._variances = fit.variance, fit.variances
        self._watched_pca_loss = fit.watched_pca_loss
        self.mean_, self.n_samples_ = fit.mean, fit.n_rows
        self._n_steps = self.transform_max_iter
        self._keep_history(fit.net.history)
        self.best_iter_, self.batch_size_ = fit.best_iter, fit.net.batch_size
        self._keep_going(fit.going)

    def _follow(self, X: Any) -> None:
        """Give what is an array the namespace and the device of the rows, as PCA does."""
        for name in ARRAYS:
            values = getattr(self, name)
            if values is not None:
                setattr(self, name, like(on_host(values), X))

    def _use_wanted(self, shape: tuple[int, int]) -> None:
        """Set what is that of codes of the size that is wanted, of so many rows and columns."""
        known: Any = self._sizes["score"]
        held_out = self.early_stopping
        if self._nested is None and self._variances is not None and self._variance > 0:
            # PCA of all rows says of all rows what it explains, as PCA does.
            known, held_out = np.cumsum(self._variances) / self._variance, False
        self._use(used_size(self.n_components, known, shape, held_out=held_out))

    def _use(self, n: int) -> None:
        """Set what is that of codes of size `n`."""
        self.net_ = net_of(self.net_, self._module_of_size(n))
        self.n_components_, self.is_pca_ = n, self._sizes["is_pca"][n - 1]
        self.best_loss_ = self._known("loss", n)
        held_out = self.validation_loss_curve_ is not None
        for name in ("pca_loss", "score", "pca_score"):
            setattr(self, f"{name}_", self._known(name, n) if held_out else None)
        self._wrap()

    def _wrap(self) -> None:
        """Set the device, and the module for rows and codes in the units of the user."""
        self.device_ = str(self.net_.device)
        with own_settings(torch.device(self.device_)):
            self.module_, self._coder = in_user_units(
                self.net_.module_,
                self._scaling,
                0 if self.is_pca_ else self._n_steps,
                self._code_layer,
                self._whitening_of_size(self.n_components_),
            )
        self._n_features_out = self.n_components_
        if self._code_layer is not None:
            device = torch.device(self.device_)
            self._n_features_out = count_outputs(self._coder, len(self._scaling.shift), device)

    def __sklearn_clone__(self) -> "BaseAutoencoder":
        """Return an unfitted copy; a callback that cannot be copied is shared, as in a fit.

        What encoder and decoder share, those of the copy share, too.
        """
        modules = modules_given(self.__dict__)
        without = object.__new__(type(self))  # not by way of what files hold
        without.__dict__ |= self.__dict__ | dict.fromkeys(["callbacks", *modules])
        cloned = super(BaseAutoencoder, without).__sklearn_clone__()
        cloned.__dict__ |= copy.deepcopy(modules)
        cloned.callbacks = copy_callbacks(self.callbacks)
        return cloned

    def __sklearn_is_fitted__(self) -> bool:
        """Tell whether `fit` has been called."""
        return hasattr(self, "module_")

    def __sklearn_tags__(self) -> Any:
        """Return the tags of scikit-learn."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.array_api_support = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        tags.non_deterministic = False
        return tags

    def __sklearn_array_api_convert__(self, convert: Callable[[Any], Any]) -> "BaseAutoencoder":
        """Return the estimator for rows of another namespace; it shares weights with this one."""
        moved = object.__new__(type(self))
        moved.__dict__ |= self.__dict__
        moved._follow(convert(self.mean_))
        return moved

    def __getstate__(self) -> dict:
        """Return the state to pickle: numpy arrays in place of torch tensors, each weight once."""
        state = pack_parameters(super().__getstate__())
        return self._pack(state) if "net_" in state else state

    def _pack(self, state: dict) -> dict:
        """Turn what was fitted into text and arrays."""
        state = state.copy()
        if torch.is_tensor(self.mean_):
            state["_tensors_on"] = str(self.mean_.device)
        state |= {name: on_host(state[name]) for name in ARRAYS if state[name] is not None}
        net = state.pop("net_")
        del state["module_"], state["_coder"]
        rest = {name: getattr(net, name) for name in ("batch_size", "max_epochs")}
        rest["history"] = list(net.history)
        parts = {name: state.pop(f"_{name}") for name in ("nested", "pca", "learner")}
        return pack(self, state, {**parts, "loss": net.criterion_}, rest)

    def __setstate__(self, state: dict) -> None:
        """Rebuild the modules, on their device if it is here, else on the CPU.

        Raises
        ------
        ValueError
            If the state is damaged, names what is not read from a file, or is of a format that
            cannot be read.
        """
        self._unpack(state)

    def _unpack(self, state: dict, *, trusted: bool = False) -> None:
        """Rebuild what `_pack` took apart; what is trusted is not tried out, `_use` comes after."""
        saved = unpack(type(self), state, Scaling, nearest_device, trusted=trusted)
        tensors_on = saved.attributes.pop("_tensors_on", None)
        super().__setstate__(unpack_parameters(saved.attributes))
        if saved.net is not None:
            self._scaling, self._nested, self._pca = saved.scaling, saved.nested, saved.pca
            self._learner = saved.learner
            module = self._module_of_size(self.n_components_)
            self.net_ = restored_net(
                module, saved.loss, saved.device, self.n_features_in_, saved.net
            )
            if tensors_on is not None:
                self._follow(torch.empty(0, device=nearest_device(tensors_on)))
            if not trusted:
                self._wrap()
