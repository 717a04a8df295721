"""Devices that are there and are not used."""

from __future__ import annotations

from pathlib import Path

from mtkit.backend import tf


def unseen_gpu(strategy: str, devices: Path = Path("/dev")) -> str:
    """Why strategy `auto` trains on the CPU although the machine has an NVIDIA device; empty if it does not.

    Args:
        strategy: what the recipe names; whoever names another knows what to expect.
        devices: where the system keeps its devices.
    """
    found = sorted(devices.glob("nvidia[0-9]*"))
    if strategy != "auto" or not found or tf.config.list_physical_devices("GPU"):
        return ""
    return (
        f"{found[0]} is there, but TensorFlow sees no GPU, so the CPU is used; install its CUDA libraries with: "
        'pip install "mtkit[gpu]", or say strategy = "one_device" to use the CPU without this warning'
    )
