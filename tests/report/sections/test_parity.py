"""The parity section: what it shows, and what it must not hide."""

from __future__ import annotations

import math
from pathlib import Path

from bcdl.parity.findings import Finding, append_finding
from bcdl.parity.verdicts import ParityGroup
from bcdl.report.sections import parity
from tests import pages
from tests.in_process import completed
from tests.parity.dumps import judged, write, write_reference

# What the table of differences says above its rows, if torch alone has figures that differ.
ALIKE = "In all rows: tolerance: 1.0e-05; jax: 0.\n\n| model | quantity | torch |\n| --- | --- | ---: |\n"


def report(results: Path) -> str:
    """The page that the command makes of the findings under `results`."""
    (results / "records").mkdir(exist_ok=True)
    done = completed("report", "--results", results)
    assert done.returncode == 0, done.stderr
    return pages.text(results)


def test_the_section_is_drawn(tmp_path: Path) -> None:
    write(tmp_path, "jax")
    write(tmp_path, "torch", {"third": 1e-8})
    write_reference(tmp_path)
    append_finding(tmp_path, "a-machine", judged(tmp_path))
    page = report(tmp_path)
    assert "- tf32: not run on this machine: TF32 is arithmetic of NVIDIA GPUs" in page
    assert "# Parity: float32, 32x32, batch 4" in page
    assert "| CNN | within float32 rounding |" in page
    assert {file.stem for file in tmp_path.glob("plots/parity-*/*.png")} == {"parity_reference", "parity_steps"}
    assert len(list(tmp_path.glob("tables/parity-*.csv"))) == 6


def test_batch_norms_settled_otherwise_leave_quantities_out_of_table_and_picture(tmp_path: Path) -> None:
    write(tmp_path, "jax")
    write(tmp_path, "torch", {"third": 1e-8}, settled="other")
    write_reference(tmp_path)
    append_finding(tmp_path, "a-machine", judged(tmp_path))
    page = report(tmp_path)
    assert ALIKE in page
    assert "| CNN | inference outputs | not measured |\n| CNN | training-mode outputs | 1.0e-08 |\n" in page


def test_a_backend_that_gives_nan_is_kept_and_shown(tmp_path: Path) -> None:
    write(tmp_path, "jax")
    write(tmp_path, "torch", {"third": math.nan}, losses=[math.nan] * 20)
    write_reference(tmp_path)
    append_finding(tmp_path, "a-machine", judged(tmp_path))
    page = report(tmp_path)
    assert ALIKE in page
    assert "| CNN | inference outputs | not finite |\n" in page
    assert "| CNN | differs: third (Conv2D, torch), nan relative" in page


def test_without_a_reference_there_is_one_picture(tmp_path: Path) -> None:
    write(tmp_path, "jax")
    write(tmp_path, "torch", {"third": 1e-8})
    finding = Finding.from_json(judged(tmp_path).to_json())
    section = parity.section(ParityGroup("a-machine", (finding,)))
    assert [key.rpartition("/")[2] for key in section.figures] == ["parity_steps"]
    assert "In all rows: tolerance: not measured; jax: not measured; torch: not measured.\n" in section.text
    assert "| CNN | inference outputs |\n" in section.text


def test_every_pair_of_many_backends_has_a_line_in_the_picture(tmp_path: Path) -> None:
    for backend in ("jax", "tensorflow", "torch"):
        write(tmp_path, backend)
    finding = judged(tmp_path)
    finding.backends["another"] = finding.backends["jax"]
    finding.pairs.update({f"another-{name}": finding.pairs["jax-torch"] for name in ("jax", "tensorflow", "torch")})
    group = ParityGroup("a-machine", (Finding.from_json(finding.to_json()),))
    figures = dict(parity.parity_pictures.draw(group))
    (axis,) = figures["parity_steps"].axes
    assert len(axis.lines) == 6
    assert len({(line.get_marker(), str(line.get_linestyle())) for line in axis.lines}) == 6


def test_each_panel_of_a_short_last_row_has_its_steps(tmp_path: Path) -> None:
    write(tmp_path, "jax")
    write(tmp_path, "torch")
    group = ParityGroup("a-machine", (Finding.from_json(judged(tmp_path).to_json()),) * 5)
    figure = dict(parity.parity_pictures.draw(group))["parity_steps"]
    figure.canvas.draw()
    shown = [axis for axis in figure.axes if axis.get_visible()]
    assert len(shown) == 5
    for axis in shown:
        labels = [label for label in axis.get_xticklabels() if label.get_visible()]
        assert [label.get_text() for label in labels] == ["1", "5", "20"]
