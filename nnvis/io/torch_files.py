"""Weights that PyTorch saved, from ``.safetensors`` and ``.pth`` files.

A ``.pth`` file is a pickle, which may run any code when it is opened. PyTorch itself reads it here, told to take
weights only; without PyTorch it stays closed.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nnvis.errors import CheckpointError
from nnvis.io.torch_layout import from_torch, torch_shapes
from nnvis.layers.base import Shape, describe
from nnvis.network import Network

_PICKLES = (".pth", ".pt", ".bin")
#: Types of a safetensors file that may lie beside bfloat16, which is read as the bits that it has.
_TYPES = {"BF16": "<u2", "F16": "<f2", "F32": "<f4", "F64": "<f8", "I32": "<i4", "I64": "<i8"}
#: Where training scripts put the weights among other things.
_WRAPPERS = ("state_dict", "model", "model_state_dict")


def load_torch_state_dict(net: Network, path: str | Path, strict: bool = True) -> None:
    """Take over weights that PyTorch saved, by name.

    Parameters
    ----------
    net : Network
        Its nodes are named as the modules of the PyTorch model, as those of the zoo are.
    path : str or Path
        A ``.safetensors`` file, or a ``.pth``, ``.pt`` or ``.bin`` file, for which PyTorch must be installed.
    strict : bool
        False takes what fits and ignores names that are missing on either side.

    Raises
    ------
    CheckpointError
        No such file, a torn one, other names (if `strict`) or other shapes; nothing is changed then.

    Examples
    --------
    >>> net = nv.Network(nv.zoo.resnet18())
    >>> nv.io.load_torch_state_dict(net, "resnet18.safetensors")
    """
    state = _without_counters(read_torch_state_dict(path))
    shapes = torch_shapes(net.graph)
    if strict:
        _check_names(Path(path), net.graph.name, list(shapes), list(state))
    known = {name: value for name, value in state.items() if name in shapes}
    if not known:
        raise CheckpointError(f"{path} holds no weight that {net.graph.name} has: {_example(shapes, state)}.")
    for name, value in known.items():
        _check_shape(Path(path), net.graph.name, name, value.shape, shapes[name])
    net.load_state_dict(from_torch(net.graph, known), strict=strict)


def read_torch_state_dict(path: str | Path) -> dict[str, np.ndarray]:
    """The arrays in a file of PyTorch, by PyTorch's names and in its order; errors as load_torch_state_dict's."""
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"There is no file {path} with weights; check the path.")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    if path.suffix in _PICKLES:
        return _read_pickle(path)
    raise CheckpointError(
        f"{path} should end in .safetensors, or in {', '.join(_PICKLES[:-1])} or {_PICKLES[-1]} for weights that "
        "PyTorch saved."
    )


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(path)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}.") from None
    except TypeError:  # a type that NumPy lacks
        return _read_half(path)
    except (SafetensorError, ValueError, OverflowError):
        size = path.stat().st_size
        raise CheckpointError(f"{path} is torn or not a safetensors file ({size:,} bytes); fetch it again.") from None


def _read_half(path: Path) -> dict[str, np.ndarray]:
    """Arrays in a file with bfloat16 ones, which are the upper halves of float32 ones."""
    from safetensors import deserialize

    arrays = {}
    for name, part in deserialize(path.read_bytes()):
        if part["dtype"] not in _TYPES:
            raise CheckpointError(f"{name} in {path} has type {part['dtype']}, which cannot be read; save it as F32.")
        values = np.frombuffer(part["data"], _TYPES[part["dtype"]])
        if part["dtype"] == "BF16":
            values = (values.astype(np.uint32) << 16).view(np.float32)
        arrays[name] = values.reshape(part["shape"])
    return arrays


def _read_pickle(path: Path) -> dict[str, np.ndarray]:
    try:
        import torch
    except ImportError:
        raise CheckpointError(
            f"{path} is a pickle, which nnvis opens by PyTorch alone: pip install torch, or save the weights as "
            ".safetensors."
        ) from None
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # what a torn zip or pickle raises has no common base
        size = path.stat().st_size
        raise CheckpointError(
            f"{path} is torn, or holds more than weights ({size:,} bytes); save the state_dict() alone."
        ) from None
    return {name: _as_array(value) for name, value in _unwrapped(path, found).items()}


def _unwrapped(path: Path, found: Any) -> dict[str, Any]:
    """The names and tensors, which may lie beside an optimiser's state."""
    for key in _WRAPPERS:
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    if not isinstance(found, Mapping) or not all(hasattr(value, "detach") for value in found.values()):
        raise CheckpointError(
            f"{path} holds no state_dict, a dictionary of names and tensors; save model.state_dict()."
        )
    return dict(found)


def _as_array(tensor: Any) -> np.ndarray:
    """A tensor as an array; half precision, some of which NumPy lacks, as float32."""
    return (tensor.detach().float() if tensor.is_floating_point() else tensor.detach()).numpy()


def _without_counters(state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}


def _check_names(path: Path, network: str, own: list[str], given: list[str]) -> None:
    missing, extra = sorted(set(own) - set(given)), sorted(set(given) - set(own))
    if not missing and not extra:
        return
    parts = [f"lacks {missing[0]}"] * bool(missing)
    parts += [f"has {extra[0]}, which {network} has not"] * bool(extra)
    raise CheckpointError(
        f"{path} holds the weights of another network: it {' and '.join(parts)} ({len(missing)} missing, {len(extra)} "
        "unknown); strict=False takes what fits."
    )


def _check_shape(path: Path, network: str, name: str, found: Shape, expected: Shape) -> None:
    if found != expected:
        raise CheckpointError(
            f"{name} in {path} has shape {describe(found)}, but {network} needs {describe(expected)} (in PyTorch's "
            "order); build the network with the same options."
        )


def _example(own: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    """A pair of names to compare."""
    name = next(iter(given), None)
    if name is None:
        return "it is empty"
    close = difflib.get_close_matches(name, own, n=1, cutoff=0.0)
    return f"it has {name}, and the network {close[0]}" if close else f"it has {name}"
