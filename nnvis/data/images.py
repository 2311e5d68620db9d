"""Decode image files (PNG, JPEG and relatives) into bytes of one size."""

from __future__ import annotations

import os
import struct
import warnings
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from nnvis.data.progress import Progress, silent
from nnvis.errors import ConfigError, DataError

#: File name endings of images that are read; everything else in a folder is ignored.
ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
#: Pillow plug-ins that may read them: no others, some of which start programs.
_FORMATS = ("PNG", "JPEG", "BMP", "WEBP")
_MODES = {"rgb": "RGB", "grey": "L", "gray": "L"}
_PER_JOB = 64


def channels_of(mode: str) -> int:
    """3 for "rgb", 1 for "grey"."""
    if mode not in _MODES:
        raise ConfigError(f"mode is '{mode}', but it is 'rgb' or 'grey'.")
    return 3 if _MODES[mode] == "RGB" else 1


def check_size(size: Any) -> tuple[int, int] | None:
    """`size` as (height, width) in pixels; one number means a square."""
    if size is None:
        return None
    pair = (size, size) if isinstance(size, (int, np.integer)) else tuple(size)
    if len(pair) != 2 or any(not isinstance(n, (int, np.integer)) or n < 1 for n in pair):
        raise ConfigError(f"size is {size!r}, but it is (height, width) in pixels, for example (32, 32).")
    return int(pair[0]), int(pair[1])


def read_image(path: str | Path, size: tuple[int, int] | None = None, mode: str = "rgb") -> np.ndarray:
    """Decode one image file.

    Parameters
    ----------
    path : str or Path
    size : (int, int), optional
        Height and width in pixels to resize to (bilinear, anti-aliased).
    mode : {"rgb", "grey"}

    Returns
    -------
    ndarray
        uint8 (H, W, 3) or (H, W, 1), upright as the camera's orientation tag says.

    Raises
    ------
    DataError
        If the file is missing, torn or no image; names the file.
    """
    channels, size = channels_of(mode), check_size(size)
    pixels = _decode(str(path), size, _MODES[mode])
    return pixels.reshape(*pixels.shape[:2], channels)


def _decode(path: str, size: tuple[int, int] | None, pillow_mode: str) -> np.ndarray:
    from PIL import Image, UnidentifiedImageError

    torn = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, IndexError, KeyError)
    try:
        with Image.open(path, formats=_FORMATS) as image:
            if size is not None:
                image.draft(pillow_mode, (size[1], size[0]))  # JPEG: decode no larger than needed
            return np.asarray(_prepared(image, size, pillow_mode))
    except FileNotFoundError:
        raise DataError(f"There is no image {path}: check the path.") from None
    except (PermissionError, IsADirectoryError) as error:
        raise DataError(f"Cannot read the image {path}: {error.strerror}.") from None
    except UnidentifiedImageError:
        raise DataError(f"{path} is not a PNG, JPEG, BMP or WebP image, or is torn: replace or remove it.") from None
    except Image.DecompressionBombError as error:
        raise DataError(f"{path} is too large to be decoded ({error}): shrink or remove it.") from None
    except torn as error:
        raise DataError(f"{path} is a torn image ({error}): replace or remove it.") from None


def _prepared(image: Any, size: tuple[int, int] | None, pillow_mode: str) -> Any:
    """Upright, of the wanted mode and size."""
    from PIL import Image, ImageOps

    if image.getexif().get(0x0112, 1) != 1:
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # 16-bit grey: keep the upper byte
        image = Image.fromarray((np.asarray(image, np.uint32) >> 8).astype(np.uint8))
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    if image.mode != pillow_mode:
        image = image.convert(pillow_mode)
    if size is not None and image.size != (size[1], size[0]):
        image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return image


def decode_images(
    paths: Sequence[str],
    size: tuple[int, int] | None,
    mode: str,
    progress: Progress = silent,
    workers: int | None = None,
) -> np.ndarray:
    """Decode many files on a pool of threads.

    Parameters
    ----------
    paths : sequence of str
        At least one.
    size : (int, int), optional
        Height and width; without it all images must have the first one's size.
    mode : {"rgb", "grey"}
    progress : callable
    workers : int, optional
        Threads; by default one per core, at most 16.

    Returns
    -------
    ndarray
        uint8 (M, H, W, C) in the order of `paths`.

    Raises
    ------
    DataError
        Names the first file that is torn or of another size.
    """
    first = read_image(paths[0], size, mode)
    images = np.empty((len(paths), *first.shape), np.uint8)
    pool = ThreadPoolExecutor(workers or min(os.cpu_count() or 1, 16), "nnvis-decode")

    def job(start: int) -> int:
        for at in range(start, min(start + _PER_JOB, len(paths))):
            pixels = _decode(paths[at], size, _MODES[mode])
            if pixels.shape[:2] != first.shape[:2]:
                raise DataError(_sizes_differ(paths[at], pixels.shape, paths[0], first.shape))
            images[at] = pixels.reshape(first.shape)
        return min(start + _PER_JOB, len(paths))

    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="PIL")  # odd metadata of intact images
            for done in pool.map(job, range(0, len(paths), _PER_JOB)):
                progress("decoding images", done, len(paths))
    finally:
        pool.shutdown(cancel_futures=True)
    return images


def _sizes_differ(path: str, found: tuple[int, ...], first: str, expected: tuple[int, ...]) -> str:
    return (
        f"{path} is {found[0]}x{found[1]} pixels, but {first} is {expected[0]}x{expected[1]}: pass "
        "size=(height, width) to resize all images to."
    )
