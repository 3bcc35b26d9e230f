"""torch's optimizers, without what the first step of one has torch load.

Each of their methods is wrapped in calls to torch's compiler, which takes a second to import.
Nothing is compiled here, so what they wrap is called instead.
"""

import inspect
from typing import Any

import torch


def _eager(kind: type[torch.optim.Optimizer]) -> Any:
    """Return a kind of optimizer whose methods do not ask the compiler."""
    methods = {
        name: inspect.unwrap(getattr(kind, name)) for name in ("add_param_group", "zero_grad")
    }
    methods["step"] = torch.no_grad()(inspect.unwrap(kind.step))
    return type(kind.__name__, (kind,), methods)


Adam = _eager(torch.optim.Adam)
AdamW = _eager(torch.optim.AdamW)
SGD = _eager(torch.optim.SGD)
