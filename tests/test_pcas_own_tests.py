"""scikit-learn's own tests of PCA and of incremental PCA, with the autoencoder in their place.

The tests are those of the scikit-learn that is installed. What PCA has and we do not is left out of
their calls, as the guide's page for those who come from PCA says, and of the 216 tests of sparse
rows 24 are run; nothing else is changed. Expected failures are strict: what begins to pass leaves
the tables below. ``pytest -rx`` lists the reasons, and its last line has the share that passes.
"""

import inspect
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
import sklearn.decomposition
from sklearn.decomposition import PCA

from sklearn_ae import AutoencoderTransformer

PAGE = Path(__file__).parents[1] / "docs/guide/coming_from_pca.md"
LEFT_OUT = {*inspect.signature(PCA).parameters} - {
    *inspect.signature(AutoencoderTransformer).parameters
}
SHARES = "a share of the variance is that of held-out rows"
MLE = "n_components='mle' is not taken: there is no likelihood"
NAMES = "names begin with the name of the class"
COVARIANCE = "no get_covariance, get_precision: not a Gaussian model"
# Nothing of the class is called, or they are skipped without a setting of scipy's.
NOT_OURS = ("test_assess_dim", "test_small_eigenvalues_mle", "array_api")

# Cause, what is raised, tests that fail of it.
PCA_FAILURES = [
    (COVARIANCE, AttributeError, "test_pca"),
    (
        MLE,
        ValueError,
        "test_n_components_mle",
        "test_pca_dim",
        "test_mle_redundant_data",
        "test_mle_simple_case",
        "test_pca_score3",
    ),
    (
        "n_components='mle' is refused, but always, and in other words",
        AssertionError,
        "test_n_components_mle_error",
        "test_fit_mle_too_few_samples",
    ),
    (
        SHARES,
        (AssertionError, ValueError),
        "test_pca_n_components_mostly_explained_variance_ratio",
    ),
    (
        "components may be more than columns or rows; 0 is refused in other words",
        (pytest.fail.Exception, AssertionError),
        "test_pca_validation",
    ),
    (
        "no solver to choose: sparse rows are always taken",
        pytest.fail.Exception,
        "test_sparse_pca_solver_error",
    ),
    (
        "no solver to choose: its private name is looked up",
        AttributeError,
        "test_pca_svd_solver_auto",
    ),
    ("score is a share of variance, not a log-likelihood", AssertionError, "test_pca_score"),
    (NAMES, AssertionError, "test_feature_names_out"),
]
# Cause, what is raised, and of which values a test fails of it.
PARTLY = {
    "test_n_components_none": (
        "no solver to choose: all components, not the one less that arpack finds",
        AssertionError,
        lambda values: "arpack" in values,
    ),
}
INCREMENTAL_FAILURES = [
    (COVARIANCE, AttributeError, "test_incremental_pca", "test_incremental_pca_sparse"),
    (
        "components may be more than columns or rows",
        pytest.fail.Exception,
        "test_incremental_pca_validation",
    ),
    (NAMES, AssertionError, "test_incremental_pca_feature_names_out"),
]


def ours(n_components=None, **given):
    """Return the autoencoder that is PCA of all rows, in place of PCA with these arguments."""
    taken = {name: value for name, value in given.items() if name not in LEFT_OUT}
    return AutoencoderTransformer(n_components, hidden_layer_sizes=(), max_iter=0, **taken)


def thinned(mark):
    """Return a mark of a test, with one of the values that repeat it most."""
    if mark.name == "parametrize" and mark.args[0] in ("density", "scale"):
        name, values = mark.args
        return pytest.mark.parametrize(name, values[1:2]).mark
    return mark


def with_failures(mark, reason, raises, fails):
    """Return a mark of a test whose values are tuples, some of which fail."""
    if mark.name != "parametrize" or "," not in mark.args[0]:
        return mark
    failure = pytest.mark.xfail(reason=reason, raises=raises)
    names, values = mark.args
    marked = [pytest.param(*v, marks=failure) if fails(v) else v for v in values]
    return pytest.mark.parametrize(names, marked).mark


def adopted(name, replaced, failures):
    """Return a class of the tests in a file of scikit-learn's, with ours in place of a class."""
    path = Path(sklearn.decomposition.__file__).parent / "tests" / f"{name}.py"
    # A copy of its own: that of scikit-learn keeps its class.
    spec = spec_from_file_location(f"ours_in_{name}", path)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    setattr(module, replaced, ours)
    tests = {
        key: test
        for key, test in vars(module).items()
        if key.startswith("test_") and not any(part in key for part in NOT_OURS)
    }
    for test in tests.values():
        test.pytestmark = [thinned(mark) for mark in getattr(test, "pytestmark", [])]
    for key in tests.keys() & PARTLY:
        marks = tests[key].pytestmark
        tests[key].pytestmark = [with_failures(mark, *PARTLY[key]) for mark in marks]
    for reason, raises, *names in failures:
        for key in tests.keys() & names:
            pytest.mark.xfail(reason=reason, raises=raises)(tests[key])
    return type(name, (), {key: staticmethod(test) for key, test in tests.items()})


TestPCA = adopted("test_pca", "PCA", PCA_FAILURES)
TestIncrementalPCA = adopted("test_incremental_pca", "IncrementalPCA", INCREMENTAL_FAILURES)


@pytest.fixture
def global_random_seed():
    """Scikit-learn's own default."""
    return 42


@pytest.fixture(params=["float32", "float64"])
def global_dtype(request):
    return np.dtype(request.param)


@pytest.mark.parametrize("name", sorted(LEFT_OUT))
def test_what_is_left_out_is_refused_and_the_guide_says_so(name):
    with pytest.raises(TypeError, match=name):
        AutoencoderTransformer(**{name: None})
    assert f"`{name}`" in PAGE.read_text()
