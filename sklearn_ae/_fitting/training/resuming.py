"""All that a training is between two epochs, as plain values and tensors."""

from typing import Any

import numpy as np
import torch
from skorch.callbacks import LRScheduler

from sklearn_ae._fitting.training.net import ReconstructionNet
from sklearn_ae._fitting.training.stopping import KeepBest, Kept, load_state

OF_KEEPER = ("diverged", "finished", "_idle", "_uncut", "_epoch")


def state_of(
    net: ReconstructionNet, keeper: KeepBest, *, foreign: bool, ended: bool = False
) -> dict[str, Any]:
    """Return the state of a training after an epoch.

    Parameters
    ----------
    net : ReconstructionNet
        What trains.
    keeper : KeepBest
        What it has seen.
    foreign : bool
        Whether torch's global generators are borrowed for code that is not ours.
    ended : bool, default=False
        Whether there are no more epochs.
    """
    states = [generator.get_state() for generator in _generators(net, foreign)]
    return {
        "ended": ended,
        "module": net.module_.state_dict(),
        "criterion": net.criterion_.state_dict(),
        "optimizer": net.optimizer_.state_dict(),
        "history": [_plain(row) for row in net.history],
        "keeper": {name: getattr(keeper, name) for name in OF_KEEPER},
        "kept": vars(keeper.kept),
        "schedules": [_plain(c.lr_scheduler_.state_dict()) for c in _schedules(net)],
        "generators": [states] if net.processes is None else net.processes.gathered(states),
        "sizes": None if net.prefixes is None else net.prefixes.generator.bit_generator.state,
    }


def restore(
    net: ReconstructionNet, keeper: KeepBest, state: dict[str, Any], *, foreign: bool
) -> None:
    """Let a training that is about to begin be where another one was."""
    load_state(net.module_, state["module"])
    net.criterion_.load_state_dict(state["criterion"])
    net.optimizer_.load_state_dict(state["optimizer"])
    net.history.extend(state["history"])
    for name in OF_KEEPER:
        setattr(keeper, name, state["keeper"][name])
    keeper.kept = Kept(**state["kept"])
    for name, value in keeper.kept.state.items():
        if torch.is_tensor(value):
            keeper.kept.state[name] = value.to(net.device)
    for callback, saved in zip(_schedules(net), state["schedules"], strict=True):
        callback.lr_scheduler_.load_state_dict(saved)
    states = state["generators"][net.processes.rank if net.processes else 0]
    for generator, saved in zip(_generators(net, foreign), states, strict=True):
        generator.set_state(saved)
    if net.prefixes is not None:
        net.prefixes.generator.bit_generator.state = state["sizes"]


def _plain(value: Any) -> Any:
    """Return what a file may hold: numbers of Python, and nothing that only code can make."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items() if _is_plain(part)}
    if isinstance(value, list | tuple):
        return type(value)(_plain(part) for part in value)
    return value.item() if isinstance(value, np.generic) else value


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return True
    if isinstance(value, list | tuple):
        return type(value) in (list, tuple) and all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str | np.generic | torch.Tensor)


def _schedules(net: ReconstructionNet) -> list[LRScheduler]:
    return [callback for _, callback in net.callbacks_ if isinstance(callback, LRScheduler)]


def _generators(net: ReconstructionNet, foreign: bool) -> list[torch.Generator]:
    """Return what draws: the order of rows, the noise, and what code of users draws from."""
    found = [net.iterator_train__generator]
    if net.denoising is not None and net.denoising.generator is not None:
        found.append(net.denoising.generator)
    device = torch.device(net.device)
    if foreign:
        found.append(torch.default_generator)
    if foreign and device.type == "cuda":
        found.append(torch.cuda.default_generators[device.index])
    return found
