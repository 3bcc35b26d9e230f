"""What `partial_fit` goes on from, as text and arrays: between two calls, and in files."""

from typing import Any

import numpy as np
import torch
from scipy import sparse

from sklearn_ae._fitting.fit import Going, Learner
from sklearn_ae._persistence import from_text, to_text
from sklearn_ae._rows import MergedPCA, Sample, Scaling, Seen, Sums
from sklearn_ae.modules import Nested

OF_SAMPLE = "hashes", "counts", "repeats"


def packed(going: Going) -> dict[str, Any]:
    """Return all but the network under training and its units, as a text and arrays.

    Parameters
    ----------
    going : Going
        Stays as it is; the arrays are its own.

    Raises
    ------
    ValueError
        If the state of a user's optimizer is not numbers and tensors.
    """
    seen: Any = going.seen
    arrays = {f"sums.{name}": value for name, value in seen.sums.arrays().items()}
    for name in ("held", "kept"):
        sample = getattr(seen, name)
        if sample is not None:
            arrays |= {f"{name}.{part}": getattr(sample, part) for part in OF_SAMPLE}
            arrays |= _of_rows(name, sample.rows)
    one_pca = seen.merged is seen.train_merged
    for name in ["merged"] if one_pca else ["merged", "train_merged"]:
        merged = getattr(seen, name)
        if merged is not None:
            arrays |= {f"{name}.{part}": np.asarray(v) for part, v in vars(merged).items()}
    known = {name: getattr(seen, name) for name in ("seed", "bound", "share", "n_before")}
    known |= {"one_pca": one_pca, "n_calls": going.n_calls, "n_judged": going.n_judged}
    learner = going.learner
    if learner is not None:
        known |= {"unit": float(learner.unit), "n_different": float(learner.n_different)}
        known["optimizer"] = _of_tensors(learner.optimizer, arrays)
        if learner.losses is not None:
            arrays["losses"] = learner.losses
        if learner.waiting is not None:
            arrays |= _of_rows("waiting", learner.waiting)
    return {"text": to_text(known), "arrays": arrays}


def unpacked(
    state: dict[str, Any], nested: Nested | None, scaling: Scaling, device: torch.device
) -> Going:
    """Return what `packed` told of.

    Parameters
    ----------
    state : dict
        Stays as it is.
    nested : Nested or None
        The network under training.
    scaling : Scaling
        Its units.
    device : torch.device
        Where sums are.
    """
    known, arrays = from_text(state["text"]), state["arrays"]
    sums = {name[5:]: array for name, array in arrays.items() if name.startswith("sums.")}
    merged = _merged("merged", arrays)
    train_merged = merged if known["one_pca"] else _merged("train_merged", arrays)
    seen = Seen(
        known["seed"], known["bound"], known["share"], Sums.of_arrays(sums, device),
        _sample("held", arrays), _sample("kept", arrays), merged, train_merged, known["n_before"],
    )  # fmt: skip
    learner = None
    if nested is not None:
        learner = Learner(
            nested, scaling, known["unit"], arrays.get("losses"), known["n_different"],
            _tensors(known["optimizer"], arrays), _rows("waiting", arrays),
        )  # fmt: skip
    return Going(seen, learner, known["n_calls"], known["n_judged"])


def _sample(name: str, arrays: dict[str, np.ndarray]) -> Sample | None:
    """Return the sample of this name; None where there is none."""
    if f"{name}.hashes" not in arrays:
        return None
    hashes, counts, repeats = (arrays[f"{name}.{part}"] for part in OF_SAMPLE)
    return Sample(hashes, counts, repeats, _rows(name, arrays))


def _merged(name: str, arrays: dict[str, np.ndarray]) -> MergedPCA | None:
    """Return the PCA of this name; None where there is none."""
    if f"{name}.count" not in arrays:
        return None
    mean, components, singular = (
        arrays[f"{name}.{part}"] for part in ("mean", "components", "singular")
    )
    return MergedPCA(int(arrays[f"{name}.count"]), mean, components, singular)


def _of_rows(name: str, rows: Any) -> dict[str, np.ndarray]:
    """Return the arrays of a matrix."""
    if not sparse.issparse(rows):
        return {f"{name}.rows": rows}
    parts = {part: getattr(rows, part) for part in ("data", "indices", "indptr")}
    parts["shape"] = np.array(rows.shape)
    return {f"{name}.{part}": array for part, array in parts.items()}


def _rows(name: str, arrays: dict[str, np.ndarray]) -> Any:
    """Return the matrix of this name; None where there is none."""
    if f"{name}.data" not in arrays:
        return arrays.get(f"{name}.rows")
    parts = tuple(arrays[f"{name}.{part}"] for part in ("data", "indices", "indptr"))
    return sparse.csr_matrix(parts, shape=tuple(arrays[f"{name}.shape"].tolist()))


def _of_tensors(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """Return plain data, with numbers in place of tensors, which become arrays."""
    if torch.is_tensor(value):
        name = f"optimizer.{sum(key.startswith('optimizer.') for key in arrays)}"
        arrays[name] = value.detach().cpu().numpy()
        return {"tensor": name}
    if isinstance(value, dict):
        # Keys are numbers, too.
        return {"items": [[key, _of_tensors(part, arrays)] for key, part in value.items()]}
    if type(value) in (list, tuple):
        return type(value)(_of_tensors(part, arrays) for part in value)
    if value is not None and not isinstance(value, bool | int | float | str | np.generic):
        raise ValueError(
            f"optimizer has a {type(value).__name__} in its state. partial_fit keeps numbers and "
            "tensors alone from one call to the next: use another optimizer, or fit."
        )
    return value


def _tensors(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """Return what `_of_tensors` was given."""
    if isinstance(value, dict):
        if "tensor" in value:
            return torch.tensor(arrays[value["tensor"]], device="cpu")
        return {key: _tensors(part, arrays) for key, part in value["items"]}
    if type(value) in (list, tuple):
        return type(value)(_tensors(part, arrays) for part in value)
    return value
