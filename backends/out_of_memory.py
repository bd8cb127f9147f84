"""What is said if memory runs out: one table, since the frameworks stand on the same CUDA, cuDNN, cuBLAS and XLA.

A row is as narrow as the message allows: XLA's RESOURCE_EXHAUSTED is also shared memory of a kernel that is too small
and a message of gRPC that is too long, TensorFlow's error of that name is also a full disk, and many errors only name
memory. `tests/backends/test_out_of_memory.py` has the messages, and where each was seen.
"""

from __future__ import annotations

import re

_MESSAGES = re.compile(
    "|".join(
        (
            r"CUDA out of memory",  # torch, c10/cuda/CUDACachingAllocator.cpp
            r"CUDA (?:driver )?error: out of memory",  # torch, c10/cuda/CUDAException.cpp
            r"Triton Error \[CUDA\]: out of memory",
            r"\bDefaultCPUAllocator: (?:can't allocate|not enough) memory",  # torch, c10/core/impl/alloc_cpu.cpp
            # cuDNN, cuBLAS and the like. cuDNN 9 says whether the device or the host lacked memory.
            r"\bCU[A-Z]+_STATUS_(?:[A-Z_]+_)?ALLOC(?:ATION)?_FAILED\b",
            r"\bCUDA_ERROR_OUT_OF_MEMORY\b|\bcudaErrorMemoryAllocation\b",
            r"\bOut of memory (?:while trying to allocate|allocating) ",  # XLA
            r"\bStatus: out of memory\b",  # TensorFlow, as it starts CUDA
            r"\bOOM when allocating tensor\b",  # TensorFlow, core/framework/op_kernel.cc
            r"\bDst tensor is not initialized\b",  # TensorFlow: no room on the GPU for what is copied there
            # Of XLA's and TensorFlow's allocators, which say of what size, or only that it was memory.
            r"\b[Ff]ailed to allocate (?:memory\b|request for |\d[\d.]* ?(?:[KMGT]i?B|bytes)\b)",
            r"\b[Uu]nable to allocate \d[\d.]* ?[KMGT]i?B\b",  # NumPy
            r"\bstd::bad_alloc\b",
            r"\b[Cc]an(?:'t|not) allocate memory\b",  # the system's ENOMEM
        )
    )
)


def says_memory_ran_out(text: str) -> bool:
    """Whether a message, of an error or in a log, is one of those."""
    return _MESSAGES.search(text) is not None


def is_lack_of_memory(error: BaseException, *kinds: type[BaseException]) -> bool:
    """Whether an error means that memory ran out: Python's own does, and one of these kinds if its message says so.

    An error of another kind may quote any text: the name of a file, or an option.
    """
    return isinstance(error, MemoryError) or (isinstance(error, kinds) and says_memory_ran_out(str(error)))
