"""The restricted Boltzmann machine."""

import torch
from torch import nn
from torch.nn import functional as F

# Standard deviation of the initial weights.
WEIGHT_DEVIATION = 0.1


class RestrictedBoltzmannMachine(nn.Module):
    """Visible and hidden units, each pair of them joined by a weight.

    Parameters
    ----------
    n_visible, n_hidden : int
        Number of units.
    generator : torch.Generator
        Source of the initial weights, on the CPU.
    gaussian_visible, gaussian_hidden : bool, default=False
        Whether these units are normal with unit variance; else they are binary.

    References
    ----------
    G. E. Hinton, "Training Products of Experts by Minimizing Contrastive Divergence", Neural
    Computation 14:1771, 2002.

    G. E. Hinton, R. R. Salakhutdinov, "Reducing the Dimensionality of Data with Neural Networks",
    Science 313:504, 2006.

    Examples
    --------
    >>> import torch
    >>> machine = RestrictedBoltzmannMachine(6, 4, torch.Generator().manual_seed(0))
    >>> machine.hidden(torch.ones(3, 6)).shape
    torch.Size([3, 4])
    """

    def __init__(
        self,
        n_visible: int,
        n_hidden: int,
        generator: torch.Generator,
        *,
        gaussian_visible: bool = False,
        gaussian_hidden: bool = False,
    ):
        super().__init__()
        weight = torch.empty(n_hidden, n_visible, device="cpu", dtype=torch.float32)
        self.weight = nn.Parameter(weight.normal_(0, WEIGHT_DEVIATION, generator=generator))
        self.hidden_bias = nn.Parameter(torch.zeros(n_hidden, device="cpu", dtype=torch.float32))
        self.visible_bias = nn.Parameter(torch.zeros(n_visible, device="cpu", dtype=torch.float32))
        self.gaussian_visible = gaussian_visible
        self.gaussian_hidden = gaussian_hidden

    def hidden(self, visible: torch.Tensor) -> torch.Tensor:
        """Return the means of the hidden units ``(n, n_hidden)`` given ``(n, n_visible)``."""
        field = F.linear(visible, self.weight, self.hidden_bias)
        return field if self.gaussian_hidden else torch.sigmoid(field)

    def visible(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return the means of the visible units ``(n, n_visible)`` given ``(n, n_hidden)``."""
        field = F.linear(hidden, self.weight.T, self.visible_bias)
        return field if self.gaussian_visible else torch.sigmoid(field)

    @torch.no_grad()
    def contrastive_divergence(self, visible: torch.Tensor, generator: torch.Generator) -> None:
        """Set the gradients to those of one step of contrastive divergence.

        They are negative, so that an optimizer, which descends, does what the paper does.

        Parameters
        ----------
        visible : Tensor of shape (n, n_visible)
            A batch.
        generator : torch.Generator
            Draws the states of the hidden units, on the device of the batch. The reconstruction is
            taken at its means, as in the paper's code.
        """
        means = self.hidden(visible)
        if self.gaussian_hidden:
            noise = torch.randn(
                means.shape, generator=generator, device=means.device, dtype=means.dtype
            )
            states = means + noise
        else:
            draws = torch.rand(
                means.shape, generator=generator, device=means.device, dtype=means.dtype
            )
            states = (draws < means).to(means.dtype)
        rebuilt = self.visible(states)
        again = self.hidden(rebuilt)
        n_rows = len(visible)
        self.weight.grad = (again.T @ rebuilt - means.T @ visible) / n_rows
        self.hidden_bias.grad = (again - means).mean(0)
        self.visible_bias.grad = (rebuilt - visible).mean(0)

    @torch.no_grad()
    def free_energy(self, visible: torch.Tensor) -> torch.Tensor:
        """Return the free energy ``(n,)`` of rows ``(n, n_visible)``; lower is more probable."""
        field = F.linear(visible, self.weight, self.hidden_bias)
        summed = field.square() / 2 if self.gaussian_hidden else F.softplus(field)
        if self.gaussian_visible:
            own = (visible - self.visible_bias).square().sum(1) / 2
        else:
            own = -(visible @ self.visible_bias)
        return own - summed.sum(1)
