"""Can Qt show windows here? Asked before Qt is, since Qt ends the whole process where it cannot."""

from __future__ import annotations

import ctypes
import importlib
import importlib.metadata
import importlib.util
import os
import re
import sys
from pathlib import Path

from nnvis.errors import DeviceError

_PACKAGES = ("PySide6", "pyqtgraph", "OpenGL", "qtawesome", "superqt")
#: What the platform plugins of Qt's wheels are linked with, as Debian and Ubuntu call it.
_LIBRARIES = (
    "libegl1 libgl1 libglib2.0-0 libdbus-1-3 libfontconfig1 libxkbcommon-x11-0 libxcb-cursor0 libxcb-icccm4 "
    "libxcb-image0 libxcb-keysyms1 libxcb-randr0 libxcb-render-util0 libxcb-shape0 libxcb-sync1 libxcb-xfixes0 "
    "libxcb-xkb1"
)


def check_qt() -> None:
    """Raise DeviceError with the one command that helps, unless Qt can show windows here."""
    for package in _PACKAGES:
        if not _installed(package):
            raise _lacks_package(package)
    try:
        importlib.import_module("PySide6.QtWidgets")
    except ModuleNotFoundError as error:
        raise _lacks_package(str(error.name)) from None
    except ImportError as error:
        raise _lacks_library(str(error)) from None
    if sys.platform.startswith("linux"):
        _check_platform()


def _installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):  # half of it is there
        return False


def _lacks_package(name: str) -> DeviceError:
    return DeviceError(
        f"The app needs {name}, which is not installed; run: {sys.executable} -m pip install {_wanted()}"
    )


def _wanted() -> str:
    """What pip is to install: the requirements of the app, whether or not nnvis itself can be had from an index."""
    try:
        known = importlib.metadata.requires("nnvis") or []
    except importlib.metadata.PackageNotFoundError:
        known = []
    of_app = [line.partition(";")[0].strip() for line in known if re.search(r"extra == ['\"]app['\"]", line)]
    return " ".join(f'"{line}"' for line in of_app) or '"nnvis[app]"'


def _lacks_library(error: str) -> DeviceError:
    found = re.search(r"lib[\w.+-]+\.so[\w.]*", error)
    return DeviceError(
        f"Qt lacks a system library ({found[0] if found else error}); on Debian or Ubuntu run: "
        f"sudo apt-get install -y {_LIBRARIES}"
    )


# --- the screen -------------------------------------------------------------------------------------------


def _check_platform() -> None:
    """At least one of the ways to a screen that Qt will try must be open."""
    errors = []
    for platform in _platforms():
        error = _trouble(platform)
        if error is None:
            return
        errors.append(error)
    if not errors:
        raise DeviceError("The app needs a screen, but neither DISPLAY nor WAYLAND_DISPLAY is set; start it there.")
    raise errors[0]


def _platforms() -> list[str]:
    """Qt's platform plugins in the order in which it tries them."""
    chosen = [part.partition(":")[0] for part in os.environ.get("QT_QPA_PLATFORM", "").split(";") if part]
    if chosen:
        return chosen
    known = {"DISPLAY": "xcb", "WAYLAND_DISPLAY": "wayland"}
    found = [platform for variable, platform in known.items() if os.environ.get(variable)]
    return found[::-1] if os.environ.get("XDG_SESSION_TYPE") == "wayland" else found


def _trouble(platform: str) -> DeviceError | None:
    """Why Qt would end the process with this plugin."""
    core = importlib.import_module("PySide6.QtCore")
    places = core.QLibraryInfo.path(core.QLibraryInfo.LibraryPath.PluginsPath)
    plugin = Path(os.environ.get("QT_QPA_PLATFORM_PLUGIN_PATH") or Path(places) / "platforms") / f"libq{platform}.so"
    if not plugin.exists():
        return None  # somebody has another Qt, and knows more
    try:
        ctypes.CDLL(str(plugin))
    except OSError as error:
        return _lacks_library(str(error))
    return _unreachable() if platform == "xcb" else None


def _unreachable() -> DeviceError | None:
    """Whether the X server answers; its library has just been loaded with the plugin."""
    try:
        xcb = ctypes.CDLL("libxcb.so.1")
    except OSError:
        return None
    xcb.xcb_connect.restype = ctypes.c_void_p
    connection = ctypes.c_void_p(xcb.xcb_connect(None, None))
    refused = xcb.xcb_connection_has_error(connection)
    xcb.xcb_disconnect(connection)
    display = os.environ.get("DISPLAY", "")
    words = f"The app cannot reach the screen DISPLAY={display!r}; set DISPLAY to one that is there."
    return DeviceError(words) if refused else None
