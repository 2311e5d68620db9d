"""How helpers of kernels are compiled: translated, and no more.

By itself Numba optimises every function it compiles and makes machine code of it. Of a helper nothing of that is ever
used: kernels take in its unoptimised form just as well, and are optimised as a whole. That saves a third of the time.
"""

from __future__ import annotations

from typing import Any

from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import PassManager, register_pass
from numba.core.typed_passes import NativeLowering


class _WithoutEnvironment:
    """The code generator as a library without machine code sees it."""

    def __init__(self, codegen: Any):
        self._codegen = codegen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._codegen, name)

    def set_env(self, name: str, environment: Any) -> None:
        """Nothing: the variable that would hold it lies in machine code."""


class InlinedLibrary(JITCodeLibrary):
    """A function as others link it: not optimised, and not to be run."""

    @property
    def codegen(self):
        """Numba asks for it when it makes the function callable from Python."""
        return _WithoutEnvironment(self._codegen)

    def get_pointer_to_function(self, name):
        """There is none."""
        self._ensure_finalized()
        return 0

    def _optimize_functions(self, ll_module):
        ll_module.data_layout = self._codegen._data_layout

    def _optimize_final_module(self):
        pass

    def _finalize_final_module(self):
        self._finalize_dynamic_globals()
        self._finalized = True


@register_pass(mutates_CFG=True, analysis_only=False)
class _InlinedLowering(NativeLowering):
    _name = "inlined_lowering"

    def run_pass(self, state):
        state.library = InlinedLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        return super().run_pass(state)


class InlinedCompiler(CompilerBase):
    """Numba's own pipeline, but that an :class:`InlinedLibrary` comes out."""

    def define_pipelines(self) -> list[PassManager]:
        """The passes, in order."""
        made = DefaultPassBuilder.define_nopython_pipeline(self.state)
        made.passes = [(_InlinedLowering if each is NativeLowering else each, text) for each, text in made.passes]
        made.finalize()
        return [made]
