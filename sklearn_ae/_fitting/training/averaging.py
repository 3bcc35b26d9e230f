"""What processes that train together average: gradients, and what modules remember."""

import torch
from torch import nn

from sklearn_ae._processes import Processes


@torch.no_grad()
def average_gradients(
    processes: Processes, network: nn.Module, loss: torch.Tensor, n_rows: int
) -> torch.Tensor:
    """Average the gradients of all processes by their rows, in place, and return the mean loss.

    Parameters
    ----------
    processes : Processes
        All of them.
    network : nn.Module
        With the gradients of the mean loss of the rows that are here; without any of no rows.
    loss : Tensor
        That loss.
    n_rows : int
        How many there are.
    """
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    # Rows may have gone another way through a module, past some of the weights.
    has = [0.0 if weight.grad is None else 1.0 for weight in weights]
    parts = [loss.detach().reshape(1).to(weights[0])]
    parts += [w.new_zeros(w.numel()) if w.grad is None else w.grad.flatten() for w in weights]
    flat = torch.cat([*parts, weights[0].new_tensor([*has, 1.0])])
    # Not 0 times what may not be finite.
    flat = flat * n_rows if n_rows else torch.zeros_like(flat)
    # A network is small: one sum of all costs less than many that overlap.
    processes.add_up(flat)
    flat = flat / flat[-1]
    mean, *gradients = flat[: -len(has) - 1].split([part.numel() for part in parts])
    has_any = (flat[-len(has) - 1 : -1] > 0).tolist()
    for weight, gradient, found in zip(weights, gradients, has_any, strict=True):
        weight.grad = gradient.view_as(weight) if found else None
    return mean[0]


def remembered(network: nn.Module) -> dict[str, torch.Tensor]:
    """Return a copy of what modules may remember of their batches."""
    return {name: tensor.clone() for name, tensor in network.named_buffers()}


@torch.no_grad()
def put_back(network: nn.Module, before: dict[str, torch.Tensor]) -> None:
    """Let modules forget a batch."""
    for name, tensor in network.named_buffers():
        tensor.copy_(before[name])


@torch.no_grad()
def align(
    processes: Processes, network: nn.Module, before: dict[str, torch.Tensor], n_rows: int
) -> None:
    """Make a network the same in all processes, at the end of an epoch.

    Parameters
    ----------
    processes : Processes
        All of them.
    network : nn.Module
        Its weights become those of the first process: others may have rounded. Of what was
        remembered since `before` numbers are averaged, and counts become the largest.
    before : dict of str to Tensor
        As `remembered` gave it.
    n_rows : int
        Rows of the epoch that were here.
    """
    changed = {n for n, tensor in network.named_buffers() if not torch.equal(tensor, before[n])}
    everywhere = set().union(*processes.gathered(changed))
    buffers = dict(network.named_buffers())
    n_all = processes.total(n_rows)
    for name in sorted(everywhere):
        if buffers[name].is_floating_point():
            mean = buffers[name] * (n_rows / n_all) if n_rows else torch.zeros_like(buffers[name])
            processes.add_up(mean)
            buffers[name].copy_(mean)
        else:
            # A count, which is none where there were no rows.
            counts = processes.gathered(buffers[name].cpu())
            buffers[name].copy_(torch.stack(counts).amax(0))
    processes.align(list(network.state_dict().values()))
