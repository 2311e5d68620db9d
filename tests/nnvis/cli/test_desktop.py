"""`nnvis app` where Qt, or what Qt needs, is missing: one sentence with the command that helps, and exit code 2."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="plugins are loaded in another way elsewhere")
needs_qt = pytest.mark.skipif(importlib.util.find_spec("PySide6") is None, reason="PySide6 is not installed")
BLOCK = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            raise {error}

sys.meta_path.insert(0, Blocker())
"""


def _app(before: str = "", **environment: str) -> str:
    """Start the app in a process where `before` has been run first; return the one line that it says on failing."""
    code = f"{before}\nimport sys\nfrom nnvis.cli import main\nsys.exit(main(['app']))"
    known = {"PYTHONPATH": str(Path(__file__).parents[3]), "NNVIS_DEBUG": "0", "QT_QPA_PLATFORM": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env=os.environ | known | environment
    )
    assert done.returncode == 2, (done.returncode, done.stderr)
    *others, line = done.stderr.splitlines()
    assert not any(other.startswith("nnvis: ") for other in others), done.stderr  # PySide6 may have a word of its own
    assert line.startswith("nnvis: ") and "Traceback" not in line
    return line


def _block(name: str, error: str) -> str:
    return BLOCK.format(name=name, error=error)


@pytest.mark.parametrize("package", ["PySide6", "pyqtgraph", "superqt"])
def test_a_package_that_is_not_installed_comes_with_the_pip_command(package):
    line = _app(_block(package, "ModuleNotFoundError(f'No module named {name}', name=name)"))
    assert f"The app needs {package}, which is not installed" in line
    assert f"run: {sys.executable} -m pip install " in line
    assert "PySide6-Essentials" in line or "nnvis[app]" in line


@needs_qt
def test_half_a_qt_comes_with_the_pip_command():
    line = _app(_block("shiboken6", "ModuleNotFoundError(f'No module named {name}', name=name)"))
    assert "pip install" in line


@needs_qt
def test_a_library_that_python_cannot_load_comes_with_the_apt_command():
    error = "ImportError('libEGL.so.1: cannot open shared object file: No such file or directory')"
    line = _app(_block("PySide6.QtWidgets", error))
    assert "(libEGL.so.1)" in line and "sudo apt-get install -y libegl1 " in line


@needs_qt
@linux
def test_a_library_that_the_plugin_cannot_load_comes_with_the_apt_command_before_qt_aborts():
    fake = (
        "import ctypes\nreal = ctypes.CDLL\n"
        "def fake(name, *rest, **more):\n"
        "    if 'libqxcb' in str(name):\n"
        "        raise OSError('libxcb-cursor.so.0: cannot open shared object file: No such file or directory')\n"
        "    return real(name, *rest, **more)\nctypes.CDLL = fake\n"
    )
    line = _app(fake, DISPLAY=":77")
    assert "(libxcb-cursor.so.0)" in line and " libxcb-cursor0 " in line


@needs_qt
@linux
@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler to make a broken plugin with")
def test_a_plugin_that_really_lacks_a_library_is_found_out(tmp_path):
    (tmp_path / "a.c").write_text("int here(void) { return 1; }\n")
    lacking = ["cc", "-shared", "-fPIC", "-o"]
    subprocess.run([*lacking, str(tmp_path / "libgone.so.3"), str(tmp_path / "a.c")], check=True)
    plugin = [*lacking, str(tmp_path / "libqxcb.so"), str(tmp_path / "a.c"), "-Wl,--no-as-needed"]
    subprocess.run([*plugin, "-L", str(tmp_path), "-l:libgone.so.3"], check=True)
    (tmp_path / "libgone.so.3").unlink()
    line = _app(DISPLAY=":77", QT_QPA_PLATFORM_PLUGIN_PATH=str(tmp_path))
    assert "(libgone.so.3)" in line and "sudo apt-get install" in line


@needs_qt
@linux
def test_no_screen_is_said():
    assert "needs a screen" in _app(DISPLAY="", WAYLAND_DISPLAY="")


@needs_qt
@linux
def test_a_screen_that_does_not_answer_is_said():
    line = _app(DISPLAY=":7654", WAYLAND_DISPLAY="")
    assert "':7654'" in line or "sudo apt-get" in line


@needs_qt
def test_a_file_that_is_not_there_is_said(refused, monkeypatch):
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    assert "There is no file gone.nnvis." in refused("app", "gone.nnvis")
