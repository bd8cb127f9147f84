"""What the machine is called, and what is never in its name."""

from __future__ import annotations

import platform
import re

from bcdl.machine import hardware


def test_a_machines_name_is_its_hardware_and_never_its_host() -> None:
    name = hardware.machine_name("cpu")
    assert re.fullmatch(r"[a-z0-9-]+-\d+-cores-[0-9a-f]{8}", name)
    assert platform.node().lower() not in name


def test_what_is_said_of_the_machine_names_no_folder() -> None:
    facts = hardware.describe("cpu")
    assert facts["cpu_cores"] >= 1
    assert facts["versions"]["numpy"]
    assert "/" not in str(facts)
