"""Checkpoints: all arrays and the position of a training, in one safetensors file.

Arrays are called ``net/<parameter or buffer>`` and ``optimizer/<state>``; the rest of the state is JSON in the file's
metadata, with a checksum of everything.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nnvis.errors import CheckpointError
from nnvis.runs.files import write_bytes

FORMAT = "nnvis-checkpoint"
VERSION = "1"


@dataclass
class Checkpoint:
    """What a checkpoint file holds.

    Attributes
    ----------
    net, optimizer : dict of str to ndarray
        As ``Network.state_dict()`` and ``Updater.state_dict()`` give them.
    state : dict
        Plain JSON values: step, epoch, position and so on.
    fingerprint : str
        Of the graph.
    """

    net: dict[str, np.ndarray]
    optimizer: dict[str, np.ndarray]
    state: dict[str, Any]
    fingerprint: str

    def to_bytes(self) -> bytes:
        """The content of the file."""
        from safetensors.numpy import save

        named = {f"net/{k}": v for k, v in self.net.items()} | {f"optimizer/{k}": v for k, v in self.optimizer.items()}
        # safetensors writes the memory of an array as it lies there, whatever its strides are.
        arrays = {name: np.ascontiguousarray(value).reshape(np.shape(value)) for name, value in named.items()}
        metadata = {
            "format": FORMAT,
            "version": VERSION,
            "fingerprint": self.fingerprint,
            "state": json.dumps(self.state),
        }
        return save(arrays, metadata | {"checksum": _checksum(arrays, metadata)})

    def save(self, path: Path) -> None:
        """Write the file; it is either complete or, on OutputError, as it was before."""
        write_bytes(path, self.to_bytes())


def load_checkpoint(path: Path, fingerprint: str | None = None) -> Checkpoint:
    """Read a checkpoint file.

    Parameters
    ----------
    path : Path
    fingerprint : str, optional
        Of the graph that it must belong to.

    Raises
    ------
    CheckpointError
        No such file, torn or changed content, or a checkpoint of another graph.
    """
    found = read_checkpoint(_content(path), str(path), _alternative(path))
    if fingerprint is not None and found.fingerprint != fingerprint:
        raise CheckpointError(
            f"{path} belongs to another graph: its fingerprint is {found.fingerprint}, that of the network "
            f"{fingerprint}; use the graph.json of its run."
        )
    return found


def read_checkpoint(content: bytes, title: str, hint: str = "") -> Checkpoint:
    """The checkpoint in the bytes of a file; `title` names it, and `hint` ends the sentence, where it is damaged.

    Raises
    ------
    CheckpointError
        Torn or changed content, or something else.
    """
    arrays, metadata = _parsed(content, title, hint)
    if metadata.get("format") != FORMAT or metadata.get("version") != VERSION:
        raise CheckpointError(
            f"{title} is a safetensors file but not a checkpoint of nnvis that this version can read."
        )
    state = json.loads(metadata["state"])
    return Checkpoint(_part(arrays, "net/"), _part(arrays, "optimizer/"), state, metadata["fingerprint"])


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise CheckpointError(f"There is no checkpoint {path}.") from None
    except OSError as error:
        raise CheckpointError(f"The checkpoint {path} cannot be read: {error.strerror or error}.") from None


def _parsed(content: bytes, title: str, hint: str) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays = load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        metadata = dict(header.get("__metadata__", {}))
        torn = metadata.get("format") == FORMAT and metadata.pop("checksum", "") != _checksum(arrays, metadata)
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, OverflowError):
        torn, arrays, metadata = True, {}, {}
    if torn:
        raise CheckpointError(f"The checkpoint {title} is truncated or damaged ({len(content):,} bytes){hint}.")
    return arrays, metadata


def _alternative(path: Path) -> str:
    other = path.with_name("best.safetensors" if path.name != "best.safetensors" else "last.safetensors")
    return f"; try {other}" if other.exists() else ""


def _part(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}


def _checksum(arrays: dict[str, np.ndarray], metadata: dict[str, str]) -> str:
    """Of all arrays and all other metadata, in an order that is always the same."""
    total = zlib.crc32(json.dumps(metadata, sort_keys=True).encode())
    for name in sorted(arrays):
        value = arrays[name]
        total = zlib.crc32(f"{name} {value.dtype} {value.shape}".encode(), total)
        total = zlib.crc32(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data, total)
    return f"{total:08x}"
