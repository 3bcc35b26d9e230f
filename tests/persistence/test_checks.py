"""What is checked of the attributes of a file that are arrays."""

import pickle

import numpy as np
import pytest
from curves import curve

from sklearn_ae import AutoencoderTransformer
from sklearn_ae._persistence.checks import check_attributes

VALID = {
    "n_features_in_": 12,
    "n_components_": 2,
    "_n_steps": 0,
    "_split_seed": 0,
    "_code_layer": None,
    "_structure": {},
    "device_": "cpu",
    "mean_": np.zeros(12),
    "_whitening": (np.zeros(2), np.ones(2)),
    "_some_codes": np.zeros((3, 2)),
}


@pytest.mark.parametrize(
    "also",
    [{}, {"_whitening": None}, {"_some_codes": None}, {"mean_": np.zeros(12, np.float32)}],
    ids=repr,
)
def test_what_fits(also):
    check_attributes(VALID | also)


@pytest.mark.parametrize(
    "found",
    [
        {"_whitening": [np.zeros(2), np.ones(2)]},
        {"_whitening": (np.zeros(2), np.ones(2), np.ones(2))},
        {"_whitening": (np.zeros(2), np.zeros(2))},
        {"_whitening": (np.zeros(2), np.ones(3))},
        {"_whitening": (np.full(2, np.nan), np.ones(2))},
        {"_whitening": (np.zeros(2), np.ones(2, np.float32))},
        {"_whitening": (0.0, 1.0)},
        {"_some_codes": np.zeros((3, 3))},
        {"_some_codes": np.zeros((0, 2))},
        {"_some_codes": np.zeros((3, 2), np.float32)},
        {"_some_codes": [[0.0, 1.0]]},
        {"mean_": np.zeros(11)},
        {"mean_": np.zeros(12, np.int64)},
        {"mean_": np.full(12, np.inf)},
        {"mean_": np.float64(0)},
        {"mean_": None},
    ],
    ids=repr,
)
def test_what_does_not(found):
    with pytest.raises(ValueError, match=f"is damaged: its {next(iter(found))}"):
        check_attributes(VALID | found)


@pytest.mark.parametrize("whiten", [False, True])
def test_rows_in_float32(whiten):
    rows = curve().astype(np.float32)
    fitted = AutoencoderTransformer(2, whiten=whiten, max_iter=1, random_state=0).fit(rows)
    loaded = pickle.loads(pickle.dumps(fitted))
    assert loaded.mean_.dtype == loaded.components_.dtype == np.float32
    np.testing.assert_array_equal(loaded.transform(rows), fitted.transform(rows))
