"""Files of the first format, which had one network, for codes of one size."""

from typing import Any

from torch import nn

from sklearn_ae._persistence.checks import check_attributes
from sklearn_ae._persistence.modules import damaged
from sklearn_ae.modules import Autoencoder, Nested

# Parameters that came later, and what they were.
PARAMETERS: dict[str, Any] = {"whiten": False, "max_components": None, "memory": None}


def upgraded(
    attributes: dict[str, Any], scaling: dict[str, Any], modules: Any
) -> tuple[dict[str, Any], dict[str, nn.Module]]:
    """Return attributes and modules as the present format has them.

    Parameters
    ----------
    attributes : dict
        Of a fitted estimator.
    scaling : dict
        The units of its network.
    modules : nn.Module
        The network and its loss.

    Raises
    ------
    ValueError
        If these are something else.
    """
    if not (isinstance(modules, nn.ModuleList) and len(modules) == 2):
        raise damaged("it is not one network and one loss")
    attributes = {"mean_": scaling["shift"], "_some_codes": None} | attributes
    check_attributes(attributes)
    n, is_pca = attributes["n_components_"], attributes["is_pca_"]
    # The lists below are as long as the code, which a file could call anything.
    if n > attributes["n_features_in_"] + sum(weight.numel() for weight in modules.parameters()):
        raise damaged(f"its n_components_ is {n}")
    unknown = [float("nan")] * (n - 1)
    sizes: dict[str, list] = {"is_pca": [is_pca] * n}
    for name, known in (
        ("loss", "best_loss_"), ("pca_loss", "pca_loss_"),
        ("score", "score_"), ("pca_score", "pca_score_"),
    ):  # fmt: skip
        value = attributes[known]
        sizes[name] = [*unknown, float("nan") if value is None else value]
    whitening = attributes.pop("_whitening", None)
    whitenings = []
    if whitening is not None:
        whitenings = [(0 if is_pca else n, *(part.tolist() for part in whitening))]
    network, loss = modules
    if not isinstance(network, Autoencoder):
        raise damaged(f"{type(network).__name__} in place of an autoencoder")
    found = {"pca" if is_pca else "nested": Nested(network, [1.0] * n), "loss": loss}
    later = {
        "_sizes": sizes, "_is_ordered": False, "_whitenings": whitenings,
        "_variance": 0.0, "_variances": None, "_watched_pca_loss": attributes["pca_loss_"],
    }  # fmt: skip
    return attributes | later, found
