"""What the compilers make of a kernel: registers, shared memory and instructions. It takes CUDA's tools, but no GPU.

Numba compiles a kernel to PTX, the assembly of a machine that does not exist. NVIDIA's ``ptxas`` makes of it what runs,
and tells what that takes. Of the program itself (SASS) ``nvdisasm`` makes a text, where it is installed.
"""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from kernels.cuda.jit import KERNELS
from kernels.cuda.toolkit import SIMULATED

Capability = tuple[int, int]
#: What is compiled for: Turing, Ampere and Hopper.
CAPABILITIES: tuple[Capability, ...] = ((7, 5), (8, 0), (9, 0))


class MissingToolError(RuntimeError):
    """A tool is missing; the message is one sentence that says which."""


@dataclass(frozen=True)
class Resources:
    """Of a kernel: registers of a thread, bytes of shared memory of a block, and bytes that a thread spills."""

    registers: int
    shared: int
    spilled: int


@functools.cache
def ptx(name: str, capability: Capability) -> str:
    """PTX of the kernel of this name.

    Raises
    ------
    MissingToolError
        If Numba finds no compiler, or kernels are simulated.
    """
    if SIMULATED:
        raise MissingToolError("kernels run in the simulator here, and are not compiled.")
    try:
        return KERNELS[name].ptx(capability)
    except Exception as error:  # whatever the package says where a part of it is missing
        raise MissingToolError(f"no CUDA compiler: {' '.join(str(error).split())[:100]}") from error


def resources(name: str, capability: Capability) -> Resources:
    """What a kernel takes, as ptxas tells it.

    Raises
    ------
    MissingToolError
        If Numba finds no compiler, or there is no ptxas.
    """
    told, _ = _assembled(name, capability)
    patterns = r"Used (\d+) registers", r"(\d+) bytes smem", r"(\d+) bytes spill stores"
    found = (re.search(pattern, told) for pattern in patterns)
    return Resources(*(int(match[1]) if match else 0 for match in found))


def program(name: str, capability: Capability) -> str:
    """Text of what runs, SASS; PTX where there is no ptxas or no nvdisasm.

    Raises
    ------
    MissingToolError
        If Numba finds no compiler.
    """
    if not disassembles():
        return ptx(name, capability)
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(_assembled(name, capability)[1])
        file.flush()
        return _run("nvdisasm", "-c", file.name)


def disassembles() -> bool:
    """Whether what runs can be read."""
    return bool(shutil.which("ptxas") and shutil.which("nvdisasm"))


@functools.cache
def ptxas_release() -> str:
    """Such as ``"13.0"``: another release may take a few registers more."""
    found = re.search(r"release (\d+\.\d+)", _run("ptxas", "--version"))
    return found[1] if found else "unknown"


@functools.cache
def _assembled(name: str, capability: Capability) -> tuple[str, bytes]:
    """What ptxas tells of a kernel, and what it makes of it."""
    with tempfile.TemporaryDirectory() as folder:
        source, made = Path(folder, "kernel.ptx"), Path(folder, "kernel.cubin")
        source.write_text(ptx(name, capability))
        told = _run("ptxas", "-v", f"-arch=sm_{capability[0]}{capability[1]}", str(source), "-o", str(made))
        return told, made.read_bytes()


def _run(tool: str, *arguments: str) -> str:
    """What a tool prints."""
    if shutil.which(tool) is None:
        raise MissingToolError(f"no {tool} in the path.")
    done = subprocess.run([tool, *arguments], capture_output=True, text=True, check=True)
    return done.stdout + done.stderr
