"""Real messages of errors: those that say that memory ran out, and those that only look so."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcdl import backends

BACKEND = os.environ.get("KERAS_BACKEND", "")
_CONVOLUTION = (
    "Failed to determine best cudnn convolution algorithm for:\n%cudnn-conv-bias-activation.641 = "
    "(f32[1,64,1200,1200]{3,2,1,0}, u8[0]{0}) custom-call(f32[1,1024,1200,1200]{3,2,1,0} %concatenate.372)\n\n"
    "Original error: "
)

# By the kind of error that it comes in: what it says, and where that was seen. A kind is a name in the framework.
RAN_OUT: dict[str, list[tuple[str, str, str]]] = {
    "jax": [
        (
            "JaxRuntimeError",
            "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 4770354232 bytes.",
            "patrickbryant1/AFProfile#8",
        ),
        (
            "JaxRuntimeError",
            "RESOURCE_EXHAUSTED: Failed to allocate request for 256.00MiB (268435456B) on device ordinal 0",
            "kingoflolz/mesh-transformer-jax#209",
        ),
        (
            "JaxRuntimeError",
            f"UNKNOWN: {_CONVOLUTION}RESOURCE_EXHAUSTED: Out of memory while trying to allocate 5898240000 bytes.",
            "prs-eth/thera#10; xla/service/gpu/autotuning/conv_algorithm_picker.cc",
        ),
        (
            "JaxRuntimeError",
            "INTERNAL: Failed to load in-memory CUBIN: CUDA_ERROR_OUT_OF_MEMORY: out of memory",
            "xla/stream_executor/cuda/cuda_executor.cc",
        ),
        (
            "RuntimeError",
            "INTERNAL: Could not create cudnn handle: CUDNN_STATUS_ALLOC_FAILED",
            "kbardool/Keras-frcnn#97",
        ),
        ("MemoryError", "Unable to allocate 2.00 GiB for an array with shape (268435456,)", "NumPy"),
    ],
    "tensorflow": [
        (
            "errors.ResourceExhaustedError",
            "OOM when allocating tensor with shape[1,32,368,368,368] and type float on "
            "/job:localhost/replica:0/task:0/device:GPU:0 by allocator GPU_0_bfc [Op:Conv3D]",
            "tensorflow/tensorflow#44047",
        ),
        ("errors.ResourceExhaustedError", "failed to allocate memory [Op:AddV2]", "faustomorales/keras-ocr#195"),
        (
            "errors.ResourceExhaustedError",
            "Out of memory while trying to allocate 2147483648 bytes.",
            "the same message of XLA, under TensorFlow's name",
        ),
        (
            "errors.InternalError",
            "Failed copying input tensor from /job:localhost/replica:0/task:0/device:CPU:0 to "
            "/job:localhost/replica:0/task:0/device:GPU:0 in order to run _EagerConst: Dst tensor is not initialized.",
            "tensorflow/tensorflow#7025, #52086",
        ),
        (
            "errors.InternalError",
            "CUDA runtime implicit initialization on GPU:0 failed. Status: out of memory",
            "tensorflow/core/common_runtime/gpu/gpu_device.cc",
        ),
        (
            "errors.UnknownError",
            f"{_CONVOLUTION}RESOURCE_EXHAUSTED: Out of memory while trying to allocate 1 bytes",
            "",
        ),
        ("errors.InternalError", "Failed to create cublas handle: CUBLAS_STATUS_ALLOC_FAILED", "markjay4k#7"),
    ],
    "torch": [
        (
            "OutOfMemoryError",
            "CUDA out of memory. Tried to allocate 1.69 GiB. GPU 0 has a total capacity of 14.56 GiB of which "
            "1.31 GiB is free.",
            "One-2-3-45/One-2-3-45#25",
        ),
        (
            "AcceleratorError",
            "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported at some other API call, so "
            "the stacktrace below might be incorrect.",
            "deepbeepmeep/Wan2GP#1083",
        ),
        ("RuntimeError", "CUDA driver error: out of memory", "c10/cuda/driver_api.h, of expandable segments"),
        ("RuntimeError", "cuDNN error: CUDNN_STATUS_ALLOC_FAILED", "pytorch/pytorch#20123"),
        (
            "RuntimeError",
            "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
            "cuDNN 9's own name for it, cudnnStatus_t",
        ),
        (
            "RuntimeError",
            "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
            "QwenLM/Qwen3#873",
        ),
        ("RuntimeError", "Triton Error [CUDA]: out of memory", "triton/backends/nvidia/driver.c"),
        (
            "RuntimeError",
            "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to "
            "allocate 281474976710656 bytes. Error code 12 (Cannot allocate memory)",
            "c10/core/impl/alloc_cpu.cpp",
        ),
    ],
}
OTHER: dict[str, list[tuple[str, str, str]]] = {
    "jax": [
        (
            "JaxRuntimeError",
            "RESOURCE_EXHAUSTED: Shared memory size limit exceeded: requested 4194304, available: 101376",
            "jax-ml/jax#20008",
        ),
        (
            "JaxRuntimeError",
            f"UNKNOWN: {_CONVOLUTION}INTERNAL: All algorithms tried for convolution failed. Profiling failure on cuDNN "
            "engine 7: UNKNOWN: CUDNN_STATUS_EXECUTION_FAILED",
            "jax-ml/jax#8506",
        ),
        ("JaxRuntimeError", "RESOURCE_EXHAUSTED: Received message larger than max (4194305 vs. 4194304)", "gRPC"),
        ("JaxRuntimeError", "INTERNAL: Shared memory requested exceeds device resources.", "jax-ml/jax#17320"),
        ("ValueError", "the file 'Out of memory while trying to allocate 1.png' can't be read", "a file's name"),
    ],
    "tensorflow": [
        (
            "errors.ResourceExhaustedError",
            "/data/train.record; No space left on device",
            "ENOSPC, tsl/platform/errors.h",
        ),
        ("errors.ResourceExhaustedError", "/data/train.record; Too many open files", "EMFILE"),
        (
            "errors.UnknownError",
            "Failed to get convolution algorithm. This is probably because cuDNN failed to initialize",
            "tensorflow/tensorflow#27715",
        ),
        ("errors.InternalError", "failed to create cublas handle: CUBLAS_STATUS_NOT_INITIALIZED", "#9489"),
        ("ValueError", "OOM when allocating tensor", "an error of another kind that quotes"),
    ],
    "torch": [
        ("RuntimeError", "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR", "does not say so"),
        ("RuntimeError", "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED", "askforalfred/alfred#23"),
        ("RuntimeError", "cuDNN error: CUDNN_STATUS_NOT_INITIALIZED", "yukkyo#4"),
        ("AcceleratorError", "CUDA error: an illegal memory access was encountered", "c10/cuda/CUDAException.cpp"),
        (
            "RuntimeError",
            "out of resource: shared memory, Required: 98304, Hardware limit: 49152. Reducing block sizes or "
            "`num_stages` may help.",
            "triton-lang/triton#8182",
        ),
        ("ValueError", "CUDA out of memory. is no value of --data", "an error of another kind that quotes"),
    ],
}


def _ids(messages: dict[str, list[tuple[str, str, str]]]) -> list[Any]:
    return [pytest.param(text, id=f"{name}-{text[:40]}") for name, rows in messages.items() for _, text, _ in rows]


@pytest.mark.parametrize("text", _ids(RAN_OUT))
def test_a_message_says_that_memory_ran_out(text: str) -> None:
    assert backends.says_memory_ran_out(f"a line before it\n{text}")


@pytest.mark.parametrize("text", [text for rows in OTHER.values() for kind, text, _ in rows if kind != "ValueError"])
def test_a_message_that_only_names_memory_does_not(text: str) -> None:
    assert not backends.says_memory_ran_out(text)


@given(st.text(st.characters(codec="ascii"), max_size=60))
def test_words_around_it_change_nothing(words: str) -> None:
    assert backends.says_memory_ran_out(f"{words} CUDA error: out of memory {words}")
    assert not backends.says_memory_ran_out(words)


@pytest.mark.keras
@pytest.mark.parametrize("ran_out", [True, False])
def test_the_adapter_tells_lack_of_memory_from_other_errors(ran_out: bool) -> None:
    pytest.importorskip("keras")
    adapter = backends.load(BACKEND)
    for kind, text, _ in (RAN_OUT if ran_out else OTHER)[BACKEND]:
        error = _error(BACKEND, kind, text)
        assert adapter.is_out_of_memory(error) == ran_out, error


def _error(backend: str, kind: str, text: str) -> BaseException:
    """An error of the framework's own kind, or of Python's."""
    import importlib

    where: Any = importlib.import_module("jax.errors" if backend == "jax" else backend)
    for part in kind.split("."):
        where = getattr(where, part, None) or getattr(__import__("builtins"), part)
    return where(None, None, text) if "errors." in kind else where(text)
