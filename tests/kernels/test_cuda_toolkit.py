"""What is wrong with a GPU is said in one sentence, and the shapes of launches."""

from __future__ import annotations

import numpy as np
import pytest

from kernels.cuda import launch, toolkit


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ("[2] Call to cuMemAlloc results in CUDA_ERROR_OUT_OF_MEMORY", "its memory is full; use a smaller batch"),
        ("CUDA driver library cannot be found.\nEnsure that a driver is installed.", "there is no NVIDIA driver"),
        ("[222] CUDA_ERROR_UNSUPPORTED_PTX_VERSION", "update the driver"),
        ("something\n  new.", "something new."),
    ],
)
def test_errors_of_the_driver_become_one_sentence(told, said):
    with pytest.raises(toolkit.CudaError) as caught, toolkit.explained("train"):
        raise RuntimeError(told)
    assert str(caught.value).startswith("The GPU could not train: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_error_that_is_explained_already_stays_as_it_is():
    with pytest.raises(toolkit.CudaError, match=r"^The GPU could not hear: no room\.$"), toolkit.explained("train"):
        raise toolkit.CudaError("hear", "no room")


@pytest.mark.skipif(bool(toolkit.gpus()), reason="there is a GPU")
def test_without_a_gpu_there_is_none_to_list_and_one_sentence_to_say():
    assert toolkit.gpus() == []
    with pytest.raises(toolkit.CudaError, match="^The GPU could not be used: there is no NVIDIA"):
        toolkit.require()


def test_blocks_cover_all_elements_and_are_refused_where_a_grid_ends():
    assert launch.over(1).blocks == (1, 1, 1)
    assert launch.over(4 * launch.THREADS + 1, each=4).blocks == (2, 1, 1)
    with pytest.raises(ValueError, match="at most 65535 blocks"):
        launch.blocks(1, 65536)


class Memory:
    """Stands in for memory of the GPU, where there is none."""

    def __init__(self, begin: int, end: int):
        self.begin, self._cuda_memsize_ = begin, end - begin

    def view(self, begin: int, end: int) -> Memory:
        return Memory(self.begin + begin, self.begin + end)


def test_the_memory_of_a_view_begins_at_its_first_number_and_is_not_copied():
    devicearray = pytest.importorskip("numba.cuda.cudadrv.devicearray")
    whole = devicearray.DeviceNDArray((2, 3, 4), (48, 16, 4), np.float32, gpu_data=Memory(0, 96))
    part = whole._do_getitem((slice(None), slice(1, None), slice(1, 3)))
    memory = toolkit.line(part)
    assert (memory.shape, memory.strides, memory.dtype) == ((18,), (4,), np.float32)
    assert memory.gpu_data is part.gpu_data
    assert (memory.gpu_data.begin, memory.gpu_data._cuda_memsize_) == (20, 72)
