"""Environment variables of a process that measures: those that it must not have, and those that its record tells."""

from __future__ import annotations

import functools
import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path

from bcdl.machine import gpus, places, provenance
from bcdl.text import known_names

# Keras reads these when it is imported, and then trains less than was asked for, or by other code.
UNWANTED = ("KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH", "KERAS_NNX_ENABLED")

# How the names begin of variables that frameworks, their libraries and the memory allocator read.
_PREFIXES = (
    *("OMP_", "GOMP_", "KMP_", "MKL_", "MKLDNN_", "DNNL_", "ONEDNN_", "OPENBLAS_", "GOTO_", "BLIS_", "VECLIB_"),
    *("NUMEXPR_", "NPY_", "OPENCV_", "TF_", "TF2_", "TFDATA_", "TPU_", "XLA_", "JAX_", "PJRT_", "LIBTPU_", "KERAS_"),
    *("CUDA_", "CUDNN_", "CUBLAS_", "NVIDIA_", "NCCL_", "TRITON_"),
    *("PYTORCH_", "TORCH_", "TORCHINDUCTOR_", "TORCHDYNAMO_", "ATEN_", "MALLOC_", "TCMALLOC_", "JEMALLOC_"),
)
# The others: threads of OpenBLAS and of XLA's pool, the allocator, and what Python runs by.
_NAMES = (
    *("LD_PRELOAD", "LD_BIND_NOW", "GLIBC_TUNABLES", "NPROC", "PYTHONMALLOC", "PYTHONOPTIMIZE", "PYTHONDEVMODE"),
    *("PYTHON_GIL", "PYTHON_JIT"),
)
# Terraform's, Azure's, and what a container's image requires of a driver: whatever they hold, no framework reads them.
_OF_OTHERS = (
    "NVIDIA_REQUIRE_",
    "TF_VAR_",
    "TF_CLI_",
    "TF_LOG",
    "TF_TOKEN_",
    "TF_WORKSPACE",
    "TF_DATA_DIR",
    "TF_INPUT",
    "TF_BUILD",
)
# Those that change no figure: what bcdl itself sets for each cell, what is only printed, what names a folder or an
# image of a container, and what packages set for themselves when they are imported.
_HARMLESS = frozenset(
    (
        *("KERAS_BACKEND", "KERAS_TORCH_DEVICE", "KERAS_HOME", "JAX_PLATFORMS", "JAX_PLATFORM_NAME"),
        *("JAX_COMPILATION_CACHE_DIR", "JAX_ENABLE_COMPILATION_CACHE", "JAX_LOGGING_LEVEL", "JAX_TRACEBACK_FILTERING"),
        *("TF_CPP_MIN_LOG_LEVEL", "TF_CPP_MIN_VLOG_LEVEL", "TF_CPP_MAX_VLOG_LEVEL", "TF_CPP_VMODULE", "TF2_BEHAVIOR"),
        *("TPU_ML_PLATFORM", "KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK", "KMP_WARNINGS", "OPENCV_LOG_LEVEL"),
        *("CUDA_VERSION", "CUDA_HOME", "CUDA_PATH", "NVIDIA_DRIVER_CAPABILITIES", "NVIDIA_PRODUCT_NAME"),
        *("NCCL_VERSION", "TORCH_HOME", "TORCH_LOGS", "TORCH_CUDA_ARCH_LIST", "NVIDIA_REQUIRE_CUDA"),
        # A record says which GPU computed, whatever number it has.
        *(gpus.VISIBLE, gpus.ORDER, "NVIDIA_VISIBLE_DEVICES"),
    )
)
# Those that a cell on a CPU does not depend on.
_OF_GPUS = ("CUDA_", "CUDNN_", "CUBLAS_", "NVIDIA_", "NCCL_", "TRITON_")
# Names of variables whose value may be a secret, or name a person or a place in a network, whatever it looks like.
_SECRET = re.compile(
    r"(^|_)(TOKEN|(API)?KEY|SECRET|PASS(WORD|WD|PHRASE)?|PWD|PW|PIN|AUTH|CREDENTIALS?|CERT|USER(NAME)?|LOGIN|ACCOUNT|"
    r"E?MAIL|HOST(NAME|S)?|NODE(NAME|S|LIST)?|MASTER|ADDR(ESS)?|URL|URI|SERVER|PROXY|COORD(INATOR)?|IP)S?(_|$)|^TF_CONFIG$"
)
# A switch or a small number is told of a variable that such a word names, unless it may be a password. A compiler has
# passes, so that PASS alone hides no switch.
_SWITCH = re.compile(r"[01]|true|false|on|off|yes|no", re.IGNORECASE)
_NUMBER = re.compile(r"-?[0-9]{1,7}(\.[0-9]{1,6})?")
_PASSWORD = re.compile(r"TOKEN|KEY|SECRET|PASS(WORD|WD|PHRASE)|PWD|_PW|_PIN|AUTH|CREDENTIAL|CERT|ACCOUNT")
# A word of a value that is plainly a number, a switch or a choice: short, and no identifier of a machine.
_PLAIN = re.compile(r"[A-Za-z0-9_.+-]{0,40}")
_TELLING = re.compile(
    r"[0-9]+(\.[0-9]+){3}"  # an address
    r"|[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-"  # a UUID
    r"|(?=[A-Za-z]*[0-9])(?=[0-9]*[A-Za-z])[A-Za-z0-9]{16,}"  # what a key looks like
    r"|^(GPU|MIG)-"  # the beginning of a UUID
    r"|^(gh[a-z]_|hf_|sk-|nvapi-|xox[a-z]-|AKIA|eyJ)"  # and how those of well-known services begin
    r"|^(?!lib|glibc)[A-Za-z0-9-]*[A-Za-z][A-Za-z0-9-]*\.[A-Za-z]"  # the name of a host
)
_IPV6 = re.compile(r"(\b[0-9A-Fa-f]{1,4}:){3,}|::")
_SEPARATORS = re.compile(r"([\s,:;=]+)")
# A path, with all that follows up to the next flag: folders may have any of the characters that separate words.
_PATH = re.compile(r"[^\s,:;=]*[/\\~].*?(?=\s+-|$)", re.DOTALL)
WITHHELD_PATH = "(path)"
WITHHELD = "(set, value withheld)"


def without_unwanted(variables: Mapping[str, str]) -> dict[str, str]:
    """The variables without those of `UNWANTED`: what a new process should start with."""
    return {name: value for name, value in variables.items() if name not in UNWANTED}


def of_child(source: Path | None = None) -> dict[str, str]:
    """The variables for a process that runs this very bcdl: those of this process, less `UNWANTED`, with one GPU.

    If a checkout is given by its top, `source`, the process runs that one's bcdl, whatever folder this one works in.
    """
    variables = without_unwanted(os.environ)
    first = provenance.python_path() if source is None else [str(source)]
    safe = {} if source is None else {"PYTHONSAFEPATH": "1"}  # or `python -m` would look into the working folder first
    paths = os.pathsep.join(filter(None, [*first, variables.get("PYTHONPATH")]))
    return {**variables, **gpus.variables(), **safe, "PYTHONPATH": paths}


def prepare(device: str) -> None:
    """Remove the variables of `UNWANTED` from this process and, if a GPU computes, show it no other.

    It is to be called before a framework is imported.
    """
    for name in UNWANTED:
        os.environ.pop(name, None)
    if device == "gpu":
        os.environ |= gpus.variables()


def notices(device: str) -> list[str]:
    """Lines for people before cells run on `device`: on variables of `UNWANTED`, without effect here, on
    folders that are done without, and on GPUs.
    """
    set_here = (name for name in UNWANTED if name in os.environ)
    unwanted = [f"note: {name} is set, and has no effect: what runs is what was asked for" for name in set_here]
    return [*unwanted, *places.notices(), *gpus.notices(device)]


def variables() -> dict[str, str]:
    """What `told` says of this process when it was first asked: before a framework, which adds some, was imported."""
    return dict(_at_first())


@functools.cache
def _at_first() -> Mapping[str, str]:
    return told(os.environ)


def told(variables: Mapping[str, str]) -> dict[str, str]:
    """What a record says of the variables that frameworks and their libraries read, by name: no path and no secret.

    A word of a value that is plainly a number, a switch or a choice is kept. Of a library to load first its name is,
    and of another word its digest, unless the variable's name says that it may be a secret.
    """
    names = (name for name in variables if name.isascii() and (name.startswith(_PREFIXES) or name in _NAMES))
    ours = (name for name in names if not name.startswith(_OF_OTHERS) and name not in UNWANTED)
    return {name: _told(name, variables[name]) for name in sorted(ours)}


def decisive(told: Mapping[str, str], device: str) -> dict[str, str]:
    """Those of the variables that a record tells of which can change the figures of a cell on `device`."""
    without_effect = _OF_GPUS if device == "cpu" else ()
    return {
        name: value for name, value in told.items() if name not in _HARMLESS and not name.startswith(without_effect)
    }


def _told(name: str, value: str) -> str:
    if _SECRET.search(name) and not _is_harmless(name, value):
        return WITHHELD
    if _IPV6.search(value):
        return WITHHELD
    if name == "LD_PRELOAD":
        value = re.sub(r"[^\s:]*/", "", value)  # libraries, separated by colons or spaces
    return "".join(map(_told_word, _SEPARATORS.split(_PATH.sub(WITHHELD_PATH, value))))


def _is_harmless(name: str, value: str) -> bool:
    """Whether the value of a variable of such a name is a switch or a number that can be no password."""
    if _PASSWORD.search(name):
        return False
    return bool(_SWITCH.fullmatch(value) or (_NUMBER.fullmatch(value) and "PASS" not in name))


def _told_word(word: str) -> str:
    """A word of a value, or a sign that stands for it; what separates words is kept."""
    if word == WITHHELD_PATH:
        return word
    if _SEPARATORS.fullmatch(word):
        return re.sub(r"\s+", " ", word)
    named = {part.lower() for part in re.split(r"[\W_]+", word)} & {name.lower() for name in known_names()}
    if _PLAIN.fullmatch(word) and not _TELLING.search(word) and not named:
        return word
    digest = hashlib.sha256(word.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return f"(withheld, SHA-256 {digest})"
