"""Data sets that are fetched by name: found in a folder of the user's, in the cache, or downloaded."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from nnvis.data.cache import cache_folder
from nnvis.data.progress import Progress, silent
from nnvis.errors import DataError


@dataclass(frozen=True)
class Remote:
    """Files of a data set on the web.

    Parameters
    ----------
    name : str
        Also the name of its folder in the cache.
    base_url : str
        What file names are appended to.
    files : dict
        File name -> MD5 of the file, as its publisher states it.
    aliases : tuple of str
        Other files or folders that hold the same, such as an unpacked archive.
    """

    name: str
    base_url: str
    files: dict[str, str]
    aliases: tuple[str, ...] = ()


FASHION_MNIST = Remote(
    "fashion-mnist",
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    {
        "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
    },
)
CIFAR10 = Remote(
    "cifar10",
    "https://www.cs.toronto.edu/~kriz/",
    {"cifar-10-binary.tar.gz": "c32a1d4ab5d03f1284b67883e8d87530"},
    aliases=("cifar-10-batches-bin", "cifar-10-batches-py", "cifar-10-python.tar.gz"),
)


def locate(remote: Remote, root: str | Path | None, progress: Progress = silent) -> Path:
    """Return the folder, or the one archive, that holds the data set; download it if need be.

    Parameters
    ----------
    remote : Remote
    root : str or Path, optional
        Look here and nowhere else. Without it the folder that ``NNVIS_DATA`` names is looked at,
        then the cache, then the web.
    progress : callable

    Raises
    ------
    DataError
        If `root` lacks the files, or the download fails: says what to do instead.
    """
    if root is not None:
        found = find_in(remote, Path(root))
        if found is None:
            raise DataError(f"{root} does not hold {remote.name}: expected there {_wanted(remote)}.")
        return found
    return find_local(remote) or _download(remote, progress)


def find_local(remote: Remote) -> Path | None:
    """Where the data set lies on this machine: below ``NNVIS_DATA`` or in the cache; None if nowhere."""
    own = os.environ.get("NNVIS_DATA")
    found = find_in(remote, Path(own)) if own else None
    return found or find_in(remote, cache_folder("downloads", remote.name))


def find_in(remote: Remote, folder: Path) -> Path | None:
    """Where below `folder` the data set lies: in itself or in a folder with the set's name."""
    for place in (folder, folder / remote.name):
        for alias in remote.aliases:
            if (place / alias).exists():
                return place / alias
            if place.name == alias and place.is_dir():
                return place
        if all(_either_form(place, name) for name in remote.files):
            return place if len(remote.files) > 1 else place / next(iter(remote.files))
    return None


def _either_form(place: Path, name: str) -> bool:
    """Whether the file is there, as published or unpacked with gunzip."""
    unpacked = name.removesuffix(".gz") if not name.endswith(".tar.gz") else name
    return (place / name).is_file() or (place / unpacked).is_file()


def _wanted(remote: Remote) -> str:
    return " or ".join([", ".join(remote.files), *remote.aliases])


def _download(remote: Remote, progress: Progress) -> Path:
    instead = (
        f"get {_wanted(remote)} from {remote.base_url}, set NNVIS_DATA to their folder, or use "
        "'mnist' or 'shapes', which need no download"
    )
    try:
        import pooch
    except ImportError:
        raise DataError(
            f"'{remote.name}' must be downloaded, which needs pooch: run 'pip install pooch', or {instead}."
        ) from None
    folder = cache_folder("downloads", remote.name)
    pooch.get_logger().setLevel("ERROR")
    for name, md5 in remote.files.items():
        bar = _Bar(f"downloading {name}", progress)
        fetch = pooch.HTTPDownloader(progressbar=bar, timeout=30)
        try:
            pooch.retrieve(remote.base_url + name, f"md5:{md5}", name, folder, downloader=fetch)
        except Exception as error:  # whatever the network library raises: the way out is the same
            reason = _reason(error)
            raise DataError(f"Cannot download '{remote.name}' ({reason}): {instead}.") from error
    found = find_in(remote, folder)
    assert found is not None
    return found


def _reason(error: Exception) -> str:
    """A few words in place of the network library's nested texts."""
    if isinstance(error, ValueError) and "hash" in str(error):
        return "the file that came has another checksum"
    kind = type(error).__name__
    known = {"ConnectionError": "no connection", "ProxyError": "no connection", "SSLError": "no connection"}
    timeouts = {"ConnectTimeout": "no answer", "ReadTimeout": "no answer", "Timeout": "no answer"}
    return (known | timeouts).get(kind, str(error).split("\n")[0][:100] or kind)


class _Bar:
    """The part of tqdm's interface that pooch uses, in terms of a progress callable."""

    def __init__(self, what: str, progress: Progress):
        self.what, self.progress = what, progress
        self.total = 0
        self.done = 0

    def update(self, amount: int) -> None:
        self.done += amount
        self.progress(self.what, self.done, self.total)

    def reset(self) -> None:
        self.done = 0

    def close(self) -> None:
        self.progress(self.what, self.total, self.total)
