"""Writers of small data files, for tests."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
from PIL import Image

IDX_CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def idx_bytes(array: np.ndarray) -> bytes:
    code = IDX_CODES[array.dtype.str[1:]]
    header = bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def write_idx(path: Path, array: np.ndarray) -> Path:
    content = idx_bytes(array)
    path.write_bytes(gzip.compress(content, 1) if path.suffix == ".gz" else content)
    return path


def write_mnist_like(folder: Path, train: int = 20, test: int = 10, ending: str = ".gz") -> Path:
    """Random 5x4 images of ten classes in MNIST's four files."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    for part, count in (("train", train), ("t10k", test)):
        images = rng.integers(0, 256, (count, 5, 4), np.uint8)
        write_idx(folder / f"{part}-images-idx3-ubyte{ending}", images)
        write_idx(folder / f"{part}-labels-idx1-ubyte{ending}", np.arange(count, dtype=np.uint8) % 10)
    return folder


def write_images(folder: Path, count: int, size=(6, 5), ending: str = "png", seed: int = 0) -> Path:
    """`count` random RGB images of height and width `size`."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        pixels = rng.integers(0, 256, (*size, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:03}.{ending}")
    return folder


def write_image_folder(root: Path, parts=("train", "test"), classes=("cat", "dog"), count: int = 4) -> Path:
    for p, part in enumerate(parts):
        for c, name in enumerate(classes):
            write_images(root / part / name, count, seed=10 * p + c)
    return root
