"""The backends hold the same functions with the same parameters in the same order."""

from __future__ import annotations

import inspect
import pkgutil

import pytest

from kernels import reference

#: Files that explain how a fast form of another function works, and have no twins.
EXPLANATIONS = {"kernels.reference.winograd"}


def public_functions(package):
    """Names of all functions that the files of a package define without a leading underscore."""
    names = set()
    for info in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        if info.name in EXPLANATIONS:
            continue
        module = __import__(info.name, fromlist=["_"])
        functions = inspect.getmembers(module, inspect.isfunction)
        names |= {n for n, f in functions if f.__module__ == info.name and not n.startswith("_")}
    return names


def test_the_oracle_exports_every_public_function_of_its_files():
    assert set(reference.__all__) == public_functions(reference)


def test_every_backward_function_has_a_forward_function():
    backward = [name for name in reference.__all__ if "_backward" in name]
    assert backward
    for name in backward:
        stem = name[: name.index("_backward")]
        assert any(n.startswith(f"{stem}_forward") for n in reference.__all__), name


@pytest.mark.parametrize("name", reference.__all__)
def test_the_oracle_documents_every_parameter(name):
    function = getattr(reference, name)
    documented = function.__doc__.split("Parameters\n", 1)[1]
    headings = [line.split(":")[0] for line in documented.splitlines() if line.startswith("    ")]
    words = {word.strip() for heading in headings for word in heading.split(",")}
    assert set(inspect.signature(function).parameters) <= words


@pytest.mark.parametrize("name", reference.__all__)
def test_the_cpu_twin_has_the_same_parameters_in_the_same_order(name):
    from kernels import cpu  # a missing backend fails this test instead of the collection

    twin = getattr(cpu, name, None)
    assert twin is not None, f"kernels.cpu has no {name}"
    ours = list(inspect.signature(getattr(reference, name)).parameters)
    assert list(inspect.signature(twin).parameters) == ours


@pytest.mark.parametrize("name", reference.__all__)
def test_the_gpu_twin_has_the_same_parameters_in_the_same_order(name):
    from kernels import cuda

    twin = getattr(cuda, name, None)
    assert twin is not None, f"kernels.cuda has no {name}"
    ours = list(inspect.signature(getattr(reference, name)).parameters)
    assert list(inspect.signature(twin).parameters) == ours
