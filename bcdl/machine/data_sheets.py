"""What NVIDIA's data sheets say that a GPU gives at most: the upper limit of its yardsticks, never reached in practice.

Rates are dense: if a sheet prints the rate with structured sparsity alone, it is half of that. They hold at the boost
clock, which a GPU under load need not keep. A figure that no sheet gives, or on which sheets differ, is None; a card
whose figures are all so has no row. Processors have none: their sheets give no rate, and the clock that a rate could be
computed with is not known under load.
"""

from __future__ import annotations

import dataclasses

_TERA, _GIGA = 1e12, 1e9
_SPECIFICATIONS = "table of specifications"


@dataclasses.dataclass(frozen=True)
class DataSheet:
    """A card's rates as its sheet gives them, dense.

    Attributes:
        names: what nvidia-smi calls the card.
        float32: outside of tensor cores, TFLOP/s.
        tf32: on tensor cores, TFLOP/s; None if they lack it.
        bfloat16: on tensor cores, summed in float32, TFLOP/s; None if they lack it.
        memory: bandwidth, GB/s; None if sheets differ.
        source: the document, and the place in it.
    """

    names: tuple[str, ...]
    float32: float
    tf32: float | None
    bfloat16: float | None
    memory: float | None
    source: str

    def flops_per_s(self, precision: str) -> float | None:
        """Operations/s in the arithmetic of a cell's precision; None if the sheet gives none."""
        rate = {"float32": self.float32, "tf32": self.tf32, "mixed_bfloat16": self.bfloat16}.get(precision)
        return None if rate is None else rate * _TERA

    @property
    def memory_bytes_per_s(self) -> float | None:
        """Bandwidth of the memory, bytes/s; None if sheets differ."""
        return None if self.memory is None else self.memory * _GIGA


def find(name: str) -> DataSheet | None:
    """The sheet of the card that nvidia-smi or a framework calls so; None if none is known.

    Capital letters, spaces and the word NVIDIA in front make no difference. All else does: a slice of a card (MIG), or
    a card of another size or socket, has other rates.
    """
    return _BY_NAME.get(_normalised(name))


def _normalised(name: str) -> str:
    return " ".join(name.lower().split()).removeprefix("nvidia ")


def _sheet(document: str) -> str:
    return f"NVIDIA {document} data sheet, {_SPECIFICATIONS}"


_GA102 = "NVIDIA Ampere GA102 GPU architecture whitepaper V2.0"
_ADA = f"NVIDIA Ada GPU architecture whitepaper V2.01, {_SPECIFICATIONS}"
_ADA_PRO = f"NVIDIA Ada Lovelace professional GPU architecture whitepaper, {_SPECIFICATIONS}"
_V100, _A100, _H100 = _sheet("V100 Tensor Core GPU"), _sheet("A100 Tensor Core GPU"), _sheet("H100 Tensor Core GPU")

# A half is written if the sheet prints the rate with sparsity alone.
DATA_SHEETS = (
    DataSheet(("Tesla V100-SXM2-16GB", "Tesla V100-SXM2-32GB"), 15.7, None, None, 900, _V100),
    DataSheet(("Tesla V100-PCIE-16GB", "Tesla V100-PCIE-32GB"), 14, None, None, 900, _V100),
    DataSheet(("Tesla T4",), 8.1, None, None, None, _sheet("T4 Tensor Core GPU")),
    DataSheet(("NVIDIA A100-SXM4-40GB", "NVIDIA A100-PCIE-40GB"), 19.5, 156, 312, 1555, _A100),
    DataSheet(("NVIDIA A100 80GB PCIe",), 19.5, 156, 312, 1935, _A100),
    DataSheet(("NVIDIA A100-SXM4-80GB",), 19.5, 156, 312, 2039, _A100),
    DataSheet(("NVIDIA A10",), 31.2, 62.5, 125, 600, _sheet("A10 Tensor Core GPU")),
    DataSheet(("NVIDIA A30",), 10.3, 82, 165, 933, _sheet("A30 Tensor Core GPU")),
    DataSheet(("NVIDIA A40",), 37.4, 74.8, 149.7, 696, _sheet("A40")),
    DataSheet(("NVIDIA RTX A6000",), 38.7, 77.4, 154.8, 768, f"{_GA102}, appendix C, p. 50"),
    DataSheet(("NVIDIA GeForce RTX 3090",), 35.6, 35.6, 71, 936, f"{_GA102}, appendix A, p. 44"),
    DataSheet(("NVIDIA GeForce RTX 4090",), 82.6, 82.6, 165.2, 1008, _ADA),
    DataSheet(("NVIDIA RTX 6000 Ada Generation",), 91.1, 182.1, 364.2, 960, _ADA_PRO),
    DataSheet(("NVIDIA L4",), 30.3, 120 / 2, 242 / 2, 300, _sheet("L4 Tensor Core GPU")),
    DataSheet(("NVIDIA L40S",), 91.6, 183, 362.05, 864, _sheet("L40S")),
    DataSheet(("NVIDIA H100 80GB HBM3",), 67, 989 / 2, 1979 / 2, 3350, _H100),
    DataSheet(("NVIDIA H100 PCIe",), 51, 756 / 2, 1513 / 2, 2000, _H100),
    DataSheet(("NVIDIA H100 NVL",), 60, 835 / 2, 1671 / 2, 3900, _H100),
    DataSheet(("NVIDIA H200",), 67, 989 / 2, 1979 / 2, 4800, _sheet("H200 Tensor Core GPU")),
    DataSheet(("NVIDIA GH200 480GB",), 67, 989 / 2, 1979 / 2, 4000, _sheet("GH200 Grace Hopper Superchip")),
)

_BY_NAME = {_normalised(name): sheet for sheet in DATA_SHEETS for name in sheet.names}
