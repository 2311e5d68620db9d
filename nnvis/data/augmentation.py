"""What a loader does to an image before the network sees it."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from nnvis.data import randomness
from nnvis.errors import ConfigError

_WORDS = "'crop4' (any padding), 'flip' and 'no-normalise', joined by commas, or 'none'"


@dataclass(frozen=True)
class Augmentation:
    """Random changes of training images, and normalisation.

    Parameters
    ----------
    crop_padding : int
        Pixels. The image is moved by up to so many pixels up or down and left or right; what
        comes in from outside is black. The same as padding with zeros and cropping at random.
    horizontal_flip : bool
        Mirror every second image, chosen at random.
    normalise : bool
        Subtract the data set's mean and divide by its standard deviation.

    Examples
    --------
    >>> Augmentation.parse("crop4,flip")
    Augmentation(crop_padding=4, horizontal_flip=True, normalise=True)
    """

    crop_padding: int = 0
    horizontal_flip: bool = False
    normalise: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.crop_padding < 2**15:
            raise ConfigError(f"Crop padding is {self.crop_padding}, but it counts pixels: use 0 (off) or more.")

    @classmethod
    def parse(cls, text: str) -> Augmentation:
        """Read the form of the command line: ``"crop4,flip"``, ``"none"``."""
        options: dict[str, int | bool] = {}
        for word in (part.strip().lower() for part in text.split(",")):
            options.update(_parse_word(word, text))
        return cls(**options)  # type: ignore[arg-type]

    def __str__(self) -> str:
        words = [f"crop{self.crop_padding}"] if self.crop_padding else []
        words += ["flip"] if self.horizontal_flip else []
        words += [] if self.normalise else ["no-normalise"]
        return ",".join(words) or "none"

    @property
    def moves_pixels(self) -> bool:
        """Whether it does anything that only makes sense for images."""
        return bool(self.crop_padding or self.horizontal_flip)

    def draw(self, count: int, seed: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw the changes of all samples in one epoch.

        Sample i's change depends on (seed, epoch, i) alone: not on batch size, order or options.

        Returns
        -------
        shift : ndarray
            int64 (count, 2): rows and columns of the crop's corner, in [-crop_padding, crop_padding].
        flip : ndarray
            bool (count,).
        """
        raw = randomness.stream(seed, randomness.AUGMENT, epoch).random_raw(count)
        choices = np.uint64(2 * self.crop_padding + 1)
        fields = np.stack([raw & np.uint64(0xFFFF), (raw >> np.uint64(16)) & np.uint64(0xFFFF)], 1)
        shift = ((fields * choices) >> np.uint64(16)).astype(np.int64) - self.crop_padding
        flip = (raw >> np.uint64(63)).astype(bool) & self.horizontal_flip
        return shift, flip


def _parse_word(word: str, text: str) -> dict[str, int | bool]:
    if word in ("", "none"):
        return {}
    if word == "flip":
        return {"horizontal_flip": True}
    if word == "no-normalise":
        return {"normalise": False}
    crop = re.fullmatch(r"crop(\d{1,4})", word)
    if not crop:
        raise ConfigError(f"Augmentation '{text}' has the unknown part '{word}': known are {_WORDS}.")
    return {"crop_padding": int(crop[1])}
