"""scikit-learn's own checks, on both estimators in every kind of configuration."""

from collections import Counter

import pytest
from configurations import ESTIMATORS, SMALL
from sklearn.utils.estimator_checks import (
    check_dataframe_column_names_consistency,
    parametrize_with_checks,
)

from sklearn_ae import AutoencoderTransformer, DenoisingAutoencoderTransformer


@parametrize_with_checks(ESTIMATORS)
def test_scikit_learn_check(estimator, check):
    check(estimator)


def test_every_configuration_was_checked(request):
    counts = Counter(
        repr(item.callspec.params["estimator"])
        for item in request.session.items
        if getattr(item, "originalname", None) == "test_scikit_learn_check"
    )
    assert len(counts) == len(ESTIMATORS)
    assert min(counts.values()) > 40


@pytest.mark.parametrize("cls", [AutoencoderTransformer, DenoisingAutoencoderTransformer])
def test_names_of_columns(cls):
    # scikit-learn's, but not one of those above.
    check_dataframe_column_names_consistency(cls.__name__, cls(**SMALL))


@pytest.mark.parametrize("estimator", [ESTIMATORS[0], ESTIMATORS[-1]], ids=repr)
def test_tags(estimator):
    tags = estimator.__sklearn_tags__()
    assert tags.input_tags.sparse
    assert not tags.input_tags.allow_nan
    assert tags.transformer_tags.preserves_dtype == ["float64", "float32"]
    assert not tags.non_deterministic
    assert not tags.target_tags.required
