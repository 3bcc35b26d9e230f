"""A stand-in for a CUDA device, whose tensors lie on the CPU."""


class StandIn(str):
    """What torch takes for the CPU, and this package for CUDA."""

    type = "cuda"
