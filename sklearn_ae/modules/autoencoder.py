"""An encoder and a decoder, and the units that they work in."""

import torch
from torch import nn


class Autoencoder(nn.Module):
    """An encoder followed by a decoder.

    Parameters
    ----------
    encoder : nn.Module
        Maps rows ``(n, n_features)`` to codes ``(n, n_components)``.
    decoder : nn.Module
        Maps codes back to rows.
    head : nn.Module or None, default=None
        Maps codes to one logit a cell: whether the cell was corrupted. For training alone.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, head: nn.Module | None = None):
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.head = head

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Rebuild the rows ``(n, n_features)`` through their codes."""
        return self.decoder(self.encoder(x))


class Isolated(nn.Module):
    """A module that is not ours, given a copy of its input: it may compute in place.

    Parameters
    ----------
    module : nn.Module
        Any.
    """

    def __init__(self, module: nn.Module):
        super().__init__()
        self.module = module

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return what the module makes of ``x``, which stays as it is."""
        return self.module(x.clone())


class Rescaled(nn.Module):
    """A module that works in units of its own, for data in the units of the user.

    ``forward(x) = module((x - shift_in) / scale_in) * scale_out + shift_out``

    It shifts and scales in the dtype of the shifts, float64, because columns may lie far from zero;
    the module is given what its weights are, and the result has the dtype of ``x``.

    Parameters
    ----------
    module : nn.Module
        Maps ``(n, n_inputs)`` to ``(n, n_outputs)`` in its own units.
    shift_in, shift_out : Tensor of shape (n_inputs,) or (n_outputs,), or of shape (), float64
        Where the columns lie.
    scale_in, scale_out : float or Tensor, as the shifts
        How wide they spread.
    are_probabilities : bool, default=False
        Whether the results are: they are clamped to [0, 1], as rounding carries some out of it.
    """

    shift_in: torch.Tensor
    shift_out: torch.Tensor
    scale_in: torch.Tensor
    scale_out: torch.Tensor

    def __init__(
        self,
        module: nn.Module,
        shift_in: torch.Tensor,
        scale_in: float | torch.Tensor,
        shift_out: torch.Tensor,
        scale_out: float | torch.Tensor,
        *,
        are_probabilities: bool = False,
    ):
        super().__init__()
        self.module = module
        self.are_probabilities = are_probabilities
        self.register_buffer("shift_in", shift_in)
        self.register_buffer("shift_out", shift_out)
        for name, scale, shift in (
            ("scale_in", scale_in, shift_in),
            ("scale_out", scale_out, shift_out),
        ):
            scale = torch.as_tensor(scale, dtype=shift.dtype, device=shift.device)
            self.register_buffer(name, scale)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``(n, n_inputs)`` to ``(n, n_outputs)``, both in the user's units."""
        inputs = (x.to(self.shift_in.dtype) - self.shift_in) / self.scale_in
        outputs = self.within(inputs) * self.scale_out + self.shift_out
        if self.are_probabilities:
            outputs = outputs.clamp(0, 1)
        return outputs.to(x.dtype)

    def within(self, inputs: torch.Tensor) -> torch.Tensor:
        """Map ``(n, n_inputs)`` to ``(n, n_outputs)`` in the module's units, of any dtype."""
        dtypes = (p.dtype for p in self.module.parameters() if p.is_floating_point())
        outputs = self.module(inputs.to(next(dtypes, inputs.dtype)))
        return outputs.to(self.shift_out.dtype)
