"""Write the files that later versions must read.

``python tests/files/make_files.py`` writes those of this version and its format into a folder that
is named for both, in place of what is there. Run it before a release, and whenever the format
changes before that. The folder that names a version alone is of format 1.
"""

import pickle
from pathlib import Path
from zipfile import ZIP_DEFLATED

import numpy as np

from sklearn_ae import AutoencoderTransformer, DenoisingAutoencoderTransformer, __version__
from sklearn_ae._persistence.state import FORMAT

HERE = Path(__file__).resolve().parent
SMALL = {"n_components": 2, "max_iter": 20, "random_state": 0, "device": "cpu"}
# Without rows held out, a network is not compared with PCA, and so is what its name says.
NETWORK = SMALL | {"early_stopping": False}
ESTIMATORS = {
    "dense": AutoencoderTransformer(hidden_layer_sizes=(6,), init="random", **NETWORK),
    "conv": AutoencoderTransformer(
        encoder="conv", image_shape=(1, 3, 4), hidden_layer_sizes=(2,), **NETWORK
    ),
    "denoising": DenoisingAutoencoderTransformer(hidden_layer_sizes=(6,), **NETWORK),
    "whitened": AutoencoderTransformer(
        hidden_layer_sizes=(4,), max_components=4, whiten=True, **NETWORK
    ),
    "pca": AutoencoderTransformer(hidden_layer_sizes=(), learning_rate_init=1e-12, **SMALL),
}


def make_rows() -> np.ndarray:
    """Make rows on a curved surface in twelve columns, far from zero, in units of their own."""
    rng = np.random.default_rng(0)
    codes = rng.uniform(-1, 1, size=(60, 2))
    terms = np.column_stack([codes, codes**2, codes.prod(axis=1)])
    rows = terms @ rng.normal(size=(5, 12)) + 0.01 * rng.normal(size=(60, 12))
    return 100 + 10 * rows


def write(folder: Path) -> None:
    """Fit the estimators, and write each by skops and pickle beside the results that it must give.

    Parameters
    ----------
    folder : Path
        Is made, and what is there is replaced.
    """
    import skops.io

    X = make_rows()
    fitted = {name: estimator.fit(X) for name, estimator in ESTIMATORS.items()}
    wrong = [name for name in fitted if fitted[name].is_pca_ != (name == "pca")]
    if wrong:
        raise RuntimeError(f"{wrong} are not what their names say.")
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    results = {"X": X, "numpy": np.array(np.__version__)}
    for name, estimator in fitted.items():
        skops.io.dump(estimator, folder / f"{name}.skops", compression=ZIP_DEFLATED)
        (folder / f"{name}.pickle").write_bytes(pickle.dumps(estimator, protocol=4))
        results[f"{name}_codes"] = estimator.transform(X)
        results[f"{name}_reconstructions"] = estimator.reconstruct(X)
        if estimator.init == "pca":
            results[f"{name}_smaller"] = estimator.truncated(1).reconstruct(X[:9])
    np.savez_compressed(folder / "results.npz", **results)


if __name__ == "__main__":
    write(HERE / f"{__version__}.format{FORMAT}")
