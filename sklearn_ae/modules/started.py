"""A linear map that starts somewhere, and learns how to leave it."""

import torch
from torch import nn
from torch.nn import functional as F

from sklearn_ae.modules.weights import linear_of


class StartedLinear(nn.Module):
    """A linear map: where it starts, plus a learned change in units of its own.

    ``weight = start + unit * change``, and the same of the bias. An optimizer's step on the change
    moves the output by about ``rate * unit``, whatever the size of the weights; weight decay pulls
    back to the start, and not to zero.

    Parameters
    ----------
    weight : Tensor of shape (n_outputs, n_inputs)
        Where the weight starts.
    bias : Tensor of shape (n_outputs,)
        Where the bias starts.
    unit : float
        Size of a change of 1.
    tied_to : StartedLinear or None, default=None
        A map of ``n_outputs`` inputs to ``n_inputs`` outputs whose weight this one is the transpose
        of; `weight` is then not looked at.

    Notes
    -----
    Input ``(*, n_inputs)``, output ``(*, n_outputs)``.

    Examples
    --------
    >>> import torch
    >>> layer = StartedLinear(torch.eye(3)[:2], torch.zeros(2), 0.1)
    >>> layer(torch.tensor([1.0, 2.0, 3.0]))
    tensor([1., 2.], grad_fn=<ViewBackward0>)
    """

    start: torch.Tensor
    bias_start: torch.Tensor

    def __init__(
        self,
        weight: torch.Tensor,
        bias: torch.Tensor,
        unit: float,
        tied_to: "StartedLinear | None" = None,
    ):
        super().__init__()
        self.unit = unit
        self.transposes = tied_to is not None
        self.register_buffer("start", weight if tied_to is None else tied_to.start)
        self.register_buffer("bias_start", bias)
        self.change: nn.Parameter = (
            nn.Parameter(torch.zeros_like(weight)) if tied_to is None else tied_to.change
        )
        self.bias_change = nn.Parameter(torch.zeros_like(bias))

    @property
    def weight(self) -> torch.Tensor:
        """The weight as it is now, of shape (n_outputs, n_inputs)."""
        weight = torch.add(self.start, self.change, alpha=self.unit)
        return weight.T if self.transposes else weight

    @property
    def bias(self) -> torch.Tensor:
        """The bias as it is now, of shape (n_outputs,)."""
        return torch.add(self.bias_start, self.bias_change, alpha=self.unit)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``(*, n_inputs)`` to ``(*, n_outputs)``."""
        return F.linear(x, self.weight, self.bias)


def settled(module: nn.Module) -> nn.Module:
    """Replace what has learned to leave its start by plain linear layers, in place.

    Parameters
    ----------
    module : nn.Module
        May itself be a `StartedLinear`.

    Returns
    -------
    module : nn.Module
        The same function of its input.
    """
    if isinstance(module, StartedLinear):
        weight, bias = module.weight.detach(), module.bias.detach()
        return linear_of(weight.contiguous(), bias)
    for name, part in module.named_children():
        setattr(module, name, settled(part))
    return module
