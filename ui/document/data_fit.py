"""Whether the data of the settings fit the network, as far as is known before they are loaded; and what helps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace

import nnvis as nv
from nnvis.data.registry import DatasetInfo
from nnvis.errors import NnvisError
from nnvis.layers.base import describe
from ui.document import edits
from ui.document.analysis import Analysis, analyse
from ui.document.fixes import Fix
from ui.document.state import DocumentState

#: Fields that say how many values a layer makes.
_SIZES = ("out_features", "out_channels")
_MOST = 3


def misfit(state: DocumentState, analysis: Analysis) -> str:
    """One sentence about what keeps a network that works from learning the data; "" if nothing is known to."""
    if not analysis.works:
        return ""
    info = _known(state)
    if info is not None and info.shape != state.input_shape:
        return (
            f"The network takes examples of shape {describe(state.input_shape)}, "
            f"but those of {info.name} have {describe(info.shape)}."
        )
    return _loss_fault(state, analysis) or (_too_few(info, state, analysis) if info is not None else "")


def data_fixes(state: DocumentState, analysis: Analysis) -> list[Fix]:
    """Edits after which the data fit, best first; each has been tried."""
    found = ((label, after) for label, after in _candidates(state, analysis) if _fits(after))
    return [Fix(label, lambda after=after: after) for (label, after), _ in zip(found, range(_MOST), strict=False)]


def _known(state: DocumentState) -> DatasetInfo | None:
    return next((info for info in nv.data.available() if info.name == state.settings.data), None)


def _loss_fault(state: DocumentState, analysis: Analysis) -> str:
    try:
        state.settings.options.loss.check_output(tuple(analysis.shapes[analysis.output]))
    except NnvisError as error:
        return str(error)
    return ""


def _too_few(info: DatasetInfo, state: DocumentState, analysis: Analysis) -> str:
    outputs = analysis.shapes[analysis.output][0]
    if state.settings.options.loss.decision != "argmax" or info.classes <= outputs:
        return ""
    return f"The network has {outputs} outputs, but {info.name} has {info.classes} classes."


def _fits(state: DocumentState) -> bool:
    analysis = analyse(state)
    return analysis.works and not misfit(state, analysis)


def _candidates(state: DocumentState, analysis: Analysis) -> Iterator[tuple[str, DocumentState]]:
    info = _known(state)
    if info is not None:
        shaped = edits.set_input_shape(state, info.shape)
        yield f"Set the input shape to {describe(info.shape)}", shaped
        end, resized = _with_outputs(state, analysis, info.classes)
        yield f"Give {end} {info.classes} outputs", resized
        if not _fits(shaped):
            yield f"Fit input and outputs to {info.name}", edits.set_input_shape(resized, info.shape)
    for other in nv.data.available():
        if not other.needs_download:
            yield f"Train on {other.name}", replace(state, settings=replace(state.settings, data=other.name))


def _with_outputs(state: DocumentState, analysis: Analysis, count: int) -> tuple[str, DocumentState]:
    """The last layer that says how many values there are, and the network with another number there."""
    name = analysis.output
    while name in state.nodes:
        node = state.nodes[name]
        size = next((f.name for f in fields(node.layer) if f.name in _SIZES), None)
        if size is not None:
            return name, edits.set_layer(state, name, replace(node.layer, **{size: count}))
        name = node.inputs[0] if len(node.inputs) == 1 else None
    return "", state
