"""Arrays as the CUDA package has them, without a GPU: memory is a range of addresses, and kernels are called in name.

The simulator's arrays are NumPy's in disguise and allow more. Here every network of the zoo is rehearsed on the real
class, and the arguments of each kernel are made ready for the driver.
"""

from __future__ import annotations

import contextlib
import ctypes
import types as types_module
from typing import Any, ClassVar

import numpy as np
import pytest
from numba.core import sigutils, types, typing

import nnvis as nv
from kernels.cuda import jit, memory, toolkit, uploads
from kernels.cuda.relaunch import relaunching
from nnvis.probe import Probe
from nnvis.zoo.registry import ENTRIES
from tests.nnvis.check_layer import graph_of
from tests.nnvis.cuda.test_layers import CASES

devicearray = pytest.importorskip("numba.cuda.cudadrv.devicearray")
devices = pytest.importorskip("numba.cuda.cudadrv.devices")
dispatcher = pytest.importorskip("numba.cuda.dispatcher")
pytestmark = pytest.mark.skipif(toolkit.SIMULATED or bool(toolkit.gpus()), reason="arrays are simulated, or real")


class Memory:
    """Stands in for memory of the GPU."""

    __cuda_memory__ = True
    _next = 1 << 20

    def __init__(self, begin: int, end: int):
        self.begin, self.end, self._cuda_memsize_ = begin, end, end - begin
        self.device_ctypes_pointer = ctypes.c_void_p(begin)

    @classmethod
    def of(cls, nbytes: int) -> Memory:
        begin, cls._next = cls._next, cls._next + nbytes + 256 - nbytes % 256
        return cls(begin, begin + nbytes)

    def view(self, begin: int, end: int) -> Memory:
        assert begin <= end <= self._cuda_memsize_
        return Memory(self.begin + begin, self.begin + end)


def empty(count: int, dtype: Any = np.float32) -> Any:
    kind = np.dtype(dtype)
    memory = Memory.of(count * kind.itemsize)
    return devicearray.DeviceNDArray((count,), (kind.itemsize,), kind, gpu_data=memory)


def to_host(array: Any, ary: Any = None, stream: int = 0) -> np.ndarray:
    return np.zeros(array.shape, array.dtype)


def to_device(array: Any, ary: Any, stream: int = 0) -> None:
    """What the real one checks."""
    devicearray.sentry_contiguous(array)
    devicearray.check_array_compatibility(devicearray.array_core(array), devicearray.array_core(ary))


class Marshal:
    """What turns arguments into those of the driver; nothing is launched."""

    extensions = ()

    def __init__(self, kernel: jit.Kernel):
        self.kinds, _ = sigutils.normalize_signature(kernel.signature)

    def _prepare_args(self, *arguments: Any) -> None:
        dispatcher._Kernel._prepare_args(self, *arguments)

    def __getitem__(self, where: tuple) -> Marshal:
        blocks, threads, _ = where
        assert all(isinstance(number, int) and number > 0 for number in (*blocks, threads))
        return self

    def __call__(self, *arguments: Any) -> None:
        assert len(arguments) == len(self.kinds)
        for kind, value in zip(self.kinds, arguments, strict=True):
            if isinstance(kind, types.Array):
                assert (value.ndim, value.dtype) == (kind.ndim, np.dtype(str(kind.dtype)))
                assert value.is_c_contiguous()
                assert value.gpu_data.begin % 4 == 0
            self._prepare_args(kind, value, 0, [], [])


class Event:
    """What happens to an event of the GPU, noted in `log`."""

    log: ClassVar[list[tuple]] = []

    def __init__(self, timing: bool = True):
        self.name = len(self.log)

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self.log.append((name, *arguments))


@pytest.fixture
def streams(monkeypatch):
    """Streams of the GPU by name; what happens on them is noted, copies among it."""
    Event.log = []
    monkeypatch.setattr(toolkit.cuda, "event", Event)
    monkeypatch.setattr(toolkit.cuda, "stream", lambda: "copying")
    monkeypatch.setattr(toolkit, "stream", lambda: "computing")
    monkeypatch.setattr(toolkit.cuda, "pinned_array", np.empty)
    monkeypatch.setattr(memory, "_uploads", uploads.Uploads())

    def noted(array: Any, ary: Any, stream: Any = 0) -> None:
        to_device(array, ary)
        Event.log.append(("copy", stream))

    monkeypatch.setattr(devicearray.DeviceNDArray, "copy_to_device", noted)
    return Event.log


@pytest.fixture
def gpu(monkeypatch, streams):
    """A device "cuda" that computes nothing."""
    monkeypatch.setattr(toolkit, "require", lambda: None)
    monkeypatch.setattr(toolkit.cuda, "device_array", empty)
    monkeypatch.setattr(toolkit.cuda, "to_device", _to_device)
    monkeypatch.setattr(devices, "get_context", lambda *_: None)
    monkeypatch.setattr(devices._runtime, "ensure_context", contextlib.nullcontext)
    monkeypatch.setattr(devicearray._driver, "MemoryPointer", lambda context, pointer, size: Memory(0, 0))
    monkeypatch.setattr(devicearray.DeviceNDArray, "copy_to_host", to_host)
    monkeypatch.setattr(toolkit, "wait", lambda: None)
    monkeypatch.setattr(jit, "stream", lambda: 0)
    monkeypatch.setattr(jit.Kernel, "compile", _marshal)


def _to_device(array: np.ndarray, stream: Any = 0) -> Any:
    return empty(array.size, array.dtype).reshape(array.shape)


def _marshal(kernel: jit.Kernel) -> None:
    kernel._compiled = Marshal(kernel)


@pytest.fixture(autouse=True)
def forget_compiled():
    yield
    for kernel in jit.KERNELS.values():
        kernel._compiled = None


@pytest.mark.parametrize("name", [name for name in ENTRIES if name != "resnet1202"])  # which is long
def test_steps_and_answers_call_kernels_with_arguments_that_the_driver_takes(gpu, name):
    shape = (28, 28, 1) if name.startswith("lenet") else (32, 32, 3)
    trainer = nv.Trainer(nv.Network(nv.zoo.build(name, num_classes=10, input_shape=shape), device="cuda"))
    for _ in range(2):  # the second time as they were noted
        trainer.rehearse([2], [1])
    assert sum(kernel._compiled is not None for kernel in jit.KERNELS.values()) > 5


def test_a_kernel_is_launched_again_with_the_arguments_that_were_made_for_the_first_time(gpu, monkeypatch):
    """The package's own kernel class and launch; only the last call, that of the driver, is replaced."""
    if not hasattr(dispatcher.driver, "launch_kernel"):
        pytest.skip("another way of launching")
    seen: list[tuple] = []

    def launch(handle, *numbers, cooperative=False):
        *where, shared, stream, made = numbers
        seen.append((handle, tuple(where), shared, stream, [each.value for each in made]))

    class Library:
        def get_cufunc(self):
            return type("Function", (), {"handle": "function"})

    monkeypatch.setattr(dispatcher.driver, "launch_kernel", launch)
    kernel = dispatcher._Kernel.__new__(dispatcher._Kernel)
    signature = signature_of("void(float32[::1], UniTuple(int32, 3), float32)")
    vars(kernel).update(extensions=[], debug=False, cooperative=False, signature=signature, _codelibrary=Library())
    arguments = empty(7), (1, 2, 3), 0.5
    again = relaunching(Compiled(kernel), ((2, 1, 1), (256, 1, 1), 0), arguments)
    kernel.launch(arguments, (2, 1, 1), (256, 1, 1))
    monkeypatch.setattr(dispatcher._Kernel, "_prepare_args", lambda *_: pytest.fail("made anew"))
    again(), again()
    assert seen[0] == seen[1] == seen[2]
    assert seen[0][:3] == ("function", (2, 1, 1, 256, 1, 1), 0)
    assert seen[0][4][-4:] == [1, 2, 3, 0.5]


class Compiled:
    """As the package has compiled kernels: by types of arguments, and to be given the shape of a launch."""

    def __init__(self, kernel):
        self.overloads = {"": kernel}

    def __getitem__(self, where):
        griddim, blockdim, stream = where
        return types_module.SimpleNamespace(griddim=griddim, blockdim=blockdim, stream=stream, sharedmem=0)


def signature_of(text: str) -> Any:
    arguments, result = sigutils.normalize_signature(text)
    return typing.signature(result, *arguments)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0].kind)
def test_every_layer_calls_kernels_with_arguments_that_the_driver_takes(gpu, case):
    net = nv.Network(graph_of(case[0], list(case[1:])), device="cuda")
    for training in (True, False):
        y = net.forward(np.zeros((2, *net.input_shape)), training)
        net.backward(y)


def test_all_that_a_run_asks_of_a_network_goes_there_and_back(gpu):
    net = nv.Network(nv.zoo.resnet20_cifar(), device="cuda")
    trainer = nv.Trainer(net, optimizer=nv.Adam(), clip_norm=1.0, clip_value=0.1)
    x, labels = np.zeros((3, 32, 32, 3), np.uint8), np.arange(3)
    records = []
    trainer.step(x, labels)
    trainer.observer = records.append
    trainer.step(x, labels)
    assert {each.direction for each in records} == {"forward", "loss", "backward", "update"}
    net.load_state_dict(net.state_dict())
    trainer.updater.load_state_dict(trainer.updater.state_dict())
    trainer.change_optimizer(nv.AdamW())
    assert nv.evaluate(net, (x / 255, labels), batch_size=2)["count"] == 3
    assert nv.predict(net, x).shape == (3, 10)
    assert len(Probe(net, trainer.loss).look(x, labels)) > 20
    with net.frozen():
        assert net.forward(x).shape == (3, 10)


def test_a_batch_is_copied_beside_the_computing_and_two_take_turns(gpu, streams):
    target, sender = empty(6).reshape((2, 3)), uploads.Uploads()
    for _ in range(2):
        sender.send(target, np.ones((2, 3)))
    way = [
        ("wait", "copying"), ("copy", "copying"), ("record", "copying"),
        ("wait", "computing"), ("copy", "computing"), ("record", "computing"),
    ]  # fmt: skip
    assert streams == way * 2
    del streams[:]
    sender.send(target, np.ones((2, 3)))  # into pinned memory that must have been read by now
    assert streams == [("synchronize",), *way]
    del streams[:]
    sender.send(empty(9), np.ones(9))  # into larger memory, when the smaller one is in nobody's use
    assert streams == [("synchronize",), ("synchronize",), *way]
