"""What the ways of pretraining have in common."""

from sklearn.base import BaseEstimator

from sklearn_ae._persistence import check_names


class Pretraining(BaseEstimator):
    """Parameters of a pretraining. It has no constructor: each way lists its own."""

    def __setstate__(self, state: dict) -> None:
        """Set the parameters, which may come from a file.

        Raises
        ------
        ValueError
            If there is anything else that would replace a method.
        """
        check_names(type(self), state)
        super().__setstate__(state)
