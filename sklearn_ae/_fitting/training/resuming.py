"""All that a training is between two epochs, as plain values and tensors."""

from typing import Any

import torch
from skorch.callbacks import LRScheduler

from sklearn_ae._fitting.training.net import ReconstructionNet
from sklearn_ae._fitting.training.stopping import KeepBest, Kept

OF_KEEPER = ("diverged", "finished", "_idle", "_uncut", "_epoch")


def state_of(net: ReconstructionNet, keeper: KeepBest) -> dict[str, Any]:
    """Return the state of a training after an epoch."""
    return {
        "module": net.module_.state_dict(),
        "optimizer": net.optimizer_.state_dict(),
        "history": list(net.history),
        "keeper": {name: getattr(keeper, name) for name in OF_KEEPER},
        "kept": vars(keeper.kept),
        "schedules": [callback.lr_scheduler_.state_dict() for callback in _schedules(net)],
        "generators": [generator.get_state() for generator in _generators(net)],
        "sizes": None if net.prefixes is None else net.prefixes.generator.bit_generator.state,
    }


def restore(net: ReconstructionNet, keeper: KeepBest, state: dict[str, Any]) -> None:
    """Let a training that is about to begin be where another one was."""
    net.module_.load_state_dict(state["module"])
    net.optimizer_.load_state_dict(state["optimizer"])
    net.history.extend(state["history"])
    for name in OF_KEEPER:
        setattr(keeper, name, state["keeper"][name])
    keeper.kept = Kept(**state["kept"])
    keeper.kept.state.update(
        (name, tensor.to(net.device)) for name, tensor in list(keeper.kept.state.items())
    )
    for callback, saved in zip(_schedules(net), state["schedules"], strict=True):
        callback.lr_scheduler_.load_state_dict(saved)
    for generator, saved in zip(_generators(net), state["generators"], strict=True):
        generator.set_state(saved)
    if net.prefixes is not None:
        net.prefixes.generator.bit_generator.state = state["sizes"]


def _schedules(net: ReconstructionNet) -> list[LRScheduler]:
    return [callback for _, callback in net.callbacks_ if isinstance(callback, LRScheduler)]


def _generators(net: ReconstructionNet) -> list[torch.Generator]:
    """Return what draws: the order of rows, the noise, and what modules of users draw from."""
    found = [net.iterator_train__generator, torch.default_generator]
    if net.denoising is not None and net.denoising.generator is not None:
        found.append(net.denoising.generator)
    device = torch.device(net.device)
    if device.type == "cuda":
        found.append(torch.cuda.default_generators[device.index])
    return found
