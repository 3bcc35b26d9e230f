"""States of fitted estimators, changed between saving and loading."""

import contextlib
import json
import pickle

from sklearn_ae._persistence.state import checksum


def load(estimator, change=lambda saved: None, *, true=True, **attributes):
    """Save, change what is saved, and if it is to be true the checksum with it, and load."""
    state = pickle.loads(pickle.dumps(estimator.__getstate__())) | attributes
    change(state["_saved"])
    if true:
        with contextlib.suppress(TypeError):  # of what are no arrays
            state["_saved"]["checksum"] = checksum(state["_saved"])
    loaded = object.__new__(type(estimator))
    loaded.__setstate__(state)
    return loaded


def change_text(key, change):
    """Change what a text says."""

    def changed(saved):
        value = json.loads(saved[key])
        change(value)
        saved[key] = json.dumps(value)

    return changed
