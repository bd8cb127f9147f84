"""Environment variables that would falsify figures."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcdl.machine import environment


def test_unwanted_variables_are_left_out_and_others_kept() -> None:
    variables = {"KERAS_MAX_EPOCHS": "1", "KERAS_BACKEND": "jax"}
    assert environment.without_unwanted(variables) == {"KERAS_BACKEND": "jax"}
    assert variables["KERAS_MAX_EPOCHS"] == "1"


def test_unwanted_variables_are_cleared_from_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in environment.UNWANTED:
        monkeypatch.setenv(name, "1")
    environment.prepare("cpu")
    assert not set(environment.UNWANTED) & os.environ.keys()
    environment.prepare("cpu")


@pytest.fixture(autouse=True)
def asked_anew() -> Iterator[None]:
    environment._at_first.cache_clear()
    yield
    environment._at_first.cache_clear()


def test_a_variable_without_effect_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    assert environment.notices("cpu") == []
    monkeypatch.setenv("KERAS_MAX_EPOCHS", "1")
    (notice,) = environment.notices("cpu")
    assert notice == "note: KERAS_MAX_EPOCHS is set, and has no effect: what runs is what was asked for"
    assert "KERAS_MAX_EPOCHS" not in environment.variables()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("OMP_NUM_THREADS", "1", "1"),
        ("OPENBLAS_NUM_THREADS", "", ""),
        ("KMP_AFFINITY", "granularity=fine,compact,1,0", "granularity=fine,compact,1,0"),
        ("MALLOC_CONF", "dirty_decay_ms:0,narenas:2", "dirty_decay_ms:0,narenas:2"),
        ("PYTORCH_CUDA_ALLOC_CONF", "max_split_size_mb:128", "max_split_size_mb:128"),
        ("NPROC", "2", "2"),
        (
            "XLA_FLAGS",
            "--xla_cpu_multi_thread_eigen=false  --xla_dump_to=/home/ann/dump",
            "--xla_cpu_multi_thread_eigen=false --xla_dump_to=(path)",
        ),
        ("XLA_FLAGS", "--xla_dump_to=/home/ann/My dump:a,b=c --xla_x=1", "--xla_dump_to=(path) --xla_x=1"),
        ("TF_CACHE", "C:\\Users\\ann", "C:(path)"),
        ("LD_PRELOAD", "/usr/lib/libjemalloc.so.2:/opt/x/libtcmalloc.so.4", "libjemalloc.so.2:libtcmalloc.so.4"),
        ("TF_API_KEY", "1234", environment.WITHHELD),
        ("TF_GPU_HOST_MEM_LIMIT_IN_MB", "512", "512"),
        ("TF_DISABLE_MKL_PASS", "1", "1"),
        ("JAX_DB_PASS", "hunter2", environment.WITHHELD),
        ("JAX_DEBUG_PW", "hunter2", environment.WITHHELD),
        ("JAX_PROXY", "proxy.corp:3128", environment.WITHHELD),
        ("TF_JOB_MASTER", "gpu-node-03", environment.WITHHELD),
        ("JAX_PEERS", "fe80:0:0:0:1::", environment.WITHHELD),
        ("GLIBC_TUNABLES", "glibc.malloc.arena_max=2", "glibc.malloc.arena_max=2"),
        ("JAX_COORDINATOR_ADDRESS", "node17:1234", environment.WITHHELD),
    ],
)
def test_what_is_plain_is_told_and_the_rest_withheld(name: str, value: str, said: str) -> None:
    others = {"HOME": "/home/ann", "PATH": "/bin", "TF_VAR_database": "hunter2", "TF_CLI_ARGS": "-x"}
    others |= {"NVIDIA_REQUIRE_CUDA": "cuda>=13.0 brand=tesla,driver>=535"}
    assert environment.told({name: value, **others}) == {name: said}


@pytest.mark.parametrize(
    "value",
    [
        "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6",
        "10.1.2.3",
        "sk0live9abcdefghijklmnop",
        "é",
        "{1}",
        "nvapi-abcDEF",
        "a.b.example.org",
    ],
)
def test_what_could_name_a_machine_or_be_a_key_is_told_by_its_digest(value: str) -> None:
    (said,) = environment.told({"CUDA_VISIBLE_DEVICES": value}).values()
    assert said.startswith("(withheld, SHA-256 ")
    assert value not in said


NAMES = st.sampled_from(["XLA_FLAGS", "OMP_PLACES", "LD_PRELOAD", "TF_SOMETHING", "PYTORCH_CUDA_ALLOC_CONF"])
FOLDERS = st.lists(st.text("abcdefgh =,:", min_size=3, max_size=8), min_size=1, max_size=4).map("/".join)
AROUND = st.sampled_from(["", "--xla_dump_to=", "a:1,b=", "x "])


@given(NAMES, AROUND, FOLDERS)
def test_no_folder_is_ever_told(name: str, around: str, folders: str) -> None:
    (said,) = environment.told({name: f"{around}/secret-home/{folders}/file"}).values()
    assert "/" not in said
    assert "secret-home" not in said


@given(st.sampled_from(["TOKEN", "API_KEY", "SECRET", "PASSWORD", "AUTH"]), st.text("abc123/=:", min_size=1))
def test_nothing_is_told_of_what_may_be_a_secret(word: str, value: str) -> None:
    assert environment.told({f"NVIDIA_{word}": value}) == {f"NVIDIA_{word}": environment.WITHHELD}


@given(st.dictionaries(st.text("ABC_", min_size=1).map("TF_".__add__), st.text("ab1/=:- \n", max_size=20)))
def test_what_is_told_stands_on_one_line_and_says_the_same_of_the_same(variables: dict[str, str]) -> None:
    said = environment.told(variables)
    assert list(said) == sorted(variables)
    assert not any(mark in value for value in said.values() for mark in "/\n")
    assert environment.told(variables) == said


def test_what_changes_no_figure_does_not_count() -> None:
    said = environment.told(
        {"TF_CPP_MIN_LOG_LEVEL": "2", "KERAS_BACKEND": "jax", "OMP_NUM_THREADS": "1", "CUDA_LAUNCH_BLOCKING": "0"}
    )
    assert environment.decisive(said, "cpu") == {"OMP_NUM_THREADS": "1"}
    assert environment.decisive(said, "gpu") == {"OMP_NUM_THREADS": "1", "CUDA_LAUNCH_BLOCKING": "0"}


def test_what_a_framework_adds_later_is_not_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    before = environment.variables()
    monkeypatch.setenv("TF_ADDED_ON_IMPORT", "1")
    assert environment.variables() == before
