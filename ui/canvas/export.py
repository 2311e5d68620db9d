"""The whole network as a picture file."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QBuffer, QIODevice, QRectF, QSize
from PySide6.QtGui import QColor, QImage, QPainter
from PySide6.QtSvg import QSvgGenerator

from nnvis.errors import OutputError
from nnvis.runs.files import write_bytes
from ui.canvas.scene import CanvasScene
from ui.theme import look

_MARGIN, _LARGEST = 24, 16000


def write_picture(path: Path, scene: CanvasScene) -> None:
    """Write the network as ``.png`` (also where the name has no suffix) or ``.svg``.

    Raises
    ------
    OutputError
        Another kind of picture is wanted, or the file cannot be written.
    """
    kind = path.suffix[1:].lower() or "png"
    if kind not in ("png", "svg"):
        raise OutputError(f"Pictures are written as .png or .svg, not as .{kind}; choose another name for {path.name}.")
    write_bytes(path if path.suffix else path.with_suffix(".png"), picture_file(scene, kind))


def picture_file(scene: CanvasScene, kind: str) -> bytes:
    """The content of a file of this `kind`: "svg" or "png"."""
    buffer = QBuffer()
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    with scene.painted_directly():
        if kind == "svg":
            _draw_svg(scene, buffer)
        else:
            _image(scene).save(buffer, "PNG")
    return bytes(buffer.data().data())


def _image(scene: CanvasScene, scale: float = 2.0) -> QImage:
    """The network in pixels; very long ones are scaled down."""
    area = _area(scene)
    scale = min(scale, _LARGEST / max(area.width(), area.height()))
    made = QImage(QSize(round(area.width() * scale), round(area.height() * scale)), QImage.Format.Format_ARGB32)
    made.fill(QColor(look().theme.canvas))
    painter = QPainter(made)
    scene.render(painter, QRectF(made.rect()), area)
    painter.end()
    return made


def _draw_svg(scene: CanvasScene, buffer: QBuffer) -> None:
    area = _area(scene)
    room = QRectF(0, 0, area.width(), area.height())
    generator = QSvgGenerator()
    generator.setOutputDevice(buffer)
    generator.setSize(area.size().toSize())
    generator.setViewBox(room)
    painter = QPainter(generator)
    scene.render(painter, room, area)
    painter.end()


def _area(scene: CanvasScene) -> QRectF:
    return scene.content().adjusted(-_MARGIN, -_MARGIN, _MARGIN, _MARGIN)
