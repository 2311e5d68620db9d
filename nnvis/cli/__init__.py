"""The command line: ``nnvis train lenet5``. One file a command; see :mod:`nnvis.cli.app`."""

from nnvis.cli.app import main

__all__ = ["main"]
