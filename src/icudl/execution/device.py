"""Which device the models run on."""

from __future__ import annotations

from icudl.errors import DeviceError


def resolve_device(name: str) -> str:
    """Return ``"cpu"`` or ``"cuda:N"`` for ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        DeviceError: The name is not that of a device, or the device does not exist on this machine.
    """
    import torch

    available = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return "cuda:0" if available else "cpu"
    if name == "cpu":
        return "cpu"
    kind, _, number = name.partition(":")
    if kind != "cuda" or not (number or "0").isdigit():
        raise DeviceError(f"execution.device = {name!r} is not a device. Expected auto, cpu, cuda or cuda:N.")
    index = int(number or 0)
    if index >= available:
        raise DeviceError(
            f"execution.device = {name!r} does not exist: {available} CUDA devices were found. Use cpu or auto."
        )
    return f"cuda:{index}"
