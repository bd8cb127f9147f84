"""DICOM files as a viewer shows them at first, their patients, and what is told of them."""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bcdl import datasets
from bcdl.datasets import LABELS, Request, decode, dicom, pixels
from bcdl.datasets.pixels import Depth
from bcdl.errors import UsageError

pytest.importorskip("pydicom", reason="the extra dicom is not installed")
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

SIDE = 8


def shipped(name: str) -> Path:
    """A small file that pydicom brings."""
    path = get_testdata_file(name, download=False)
    assert path, name
    return Path(path)


def make(stored: np.ndarray, **elements: Any) -> bytes:
    """The content of a DICOM file of grey pixels [H, W] uint8, uint16 or int16."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    dataset.SOPInstanceUID = generate_uid()
    dataset.Rows, dataset.Columns = stored.shape[-2:]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 8 * stored.itemsize
    dataset.PixelRepresentation = int(np.issubdtype(stored.dtype, np.signedinteger))
    dataset.PixelData = stored.tobytes()
    for name, value in elements.items():
        setattr(dataset, name, value)
    dataset.HighBit = dataset.BitsStored - 1
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def grey(content: bytes, depth: Depth = pixels.OWN_DEPTH) -> np.ndarray:
    return np.asarray(dicom.read(content, depth))[..., 0]


def ramp(low: int, high: int, dtype: type = np.uint16) -> np.ndarray:
    return np.linspace(low, high, SIDE * SIDE).round().astype(dtype).reshape(SIDE, SIDE)


RAMP = ramp(0, 255, np.uint8)


def folder(root: Path, count: int = 8, suffix: str = ".dcm", **elements: Any) -> Path:
    """A data set of both classes: two images a patient."""
    for kind in LABELS:
        (root / kind).mkdir(parents=True)
        for number in range(count):
            stored = np.random.default_rng([number, len(kind)]).integers(0, 4096, (SIDE, SIDE)).astype(np.uint16)
            patient = {"PatientID": f"{kind} {number // 2}"} | elements
            (root / kind / f"{number}{suffix}").write_bytes(make(stored, BitsStored=12, **patient))
    return root


def test_the_window_says_what_is_black_and_white() -> None:
    content = make(ramp(0, 4095), BitsStored=12, WindowCenter=[1024.5, 300], WindowWidth=[1025, 5])
    expected = np.clip((ramp(0, 4095).astype(float) - 512) / 1024, 0, 1) * 255
    np.testing.assert_allclose(grey(content), expected, atol=1)


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_every_kind_of_window_uses_all_levels(function: str) -> None:
    content = make(ramp(0, 4095), BitsStored=12, WindowCenter=2048, WindowWidth=512, VOILUTFunction=function)
    shown = grey(content)
    assert (shown.min(), shown.max()) == (0, 255)
    assert abs(int(np.interp(2048, ramp(0, 4095).reshape(-1), shown.reshape(-1))) - 127) <= 4
    assert (np.diff(shown.reshape(-1).astype(int)) >= 0).all()


def test_rescale_comes_before_the_window() -> None:
    content = make(
        ramp(0, 2000), RescaleSlope=2, RescaleIntercept=-1000, WindowCenter=1000.5, WindowWidth=4001, BitsStored=12
    )
    np.testing.assert_allclose(grey(content), RAMP, atol=1)


def test_a_look_up_table_is_used() -> None:
    item = Dataset()
    item.LUTDescriptor = [256, 0, 10]
    item.add_new("LUTData", "OW", np.linspace(1023, 0, 256).astype("<u2").tobytes())
    content = make(RAMP, VOILUTSequence=[item])
    np.testing.assert_allclose(grey(content), 255 - RAMP, atol=1)


def test_monochrome1_is_inverted() -> None:
    for elements in ({}, {"WindowCenter": 128, "WindowWidth": 256}):
        content = make(RAMP, PhotometricInterpretation="MONOCHROME1", **elements)
        np.testing.assert_array_equal(grey(content), 255 - grey(make(RAMP, **elements)))


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_without_a_window_the_bits_that_are_stored_count(bits: int) -> None:
    content = make(ramp(0, 2**bits - 1), BitsStored=bits)
    np.testing.assert_allclose(grey(content), RAMP, atol=1)
    signed = make(ramp(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1, np.int16), BitsStored=bits)
    np.testing.assert_allclose(grey(signed), RAMP, atol=1)


def test_bits_that_are_all_of_16_say_nothing_and_the_set_says_it(tmp_path: Path) -> None:
    files = [tmp_path / "dark.dcm", tmp_path / "bright.dcm"]
    for file, top in zip(files, (900, 4000), strict=True):
        file.write_bytes(make(ramp(0, top)))
    seen = decode.survey(files, ["dark", "bright"], 0)
    assert (seen.depth, seen.facts) == (Depth(12), {"grey_bits": 12})
    assert decode.read_image(files[0], SIDE, seen.depth).max() == round(900 * 255 / 4095)
    with pytest.raises(ValueError, match="a grey level of 4,000 is above what 10 bits hold, 1,023"):
        decode.read_image(files[1], SIDE, Depth(10))  # of another set
    given = decode.survey(files, ["dark", "bright"], 14)
    assert decode.read_image(files[1], SIDE, given.depth).max() == round(4000 * 255 / 16383)


def test_frames_have_their_own_window() -> None:
    window, frame = Dataset(), Dataset()
    window.WindowCenter, window.WindowWidth = 1024, 2048
    frame.FrameVOILUTSequence = [window]
    stored = np.stack([ramp(0, 2047), ramp(0, 0)])
    content = make(stored, BitsStored=12, NumberOfFrames=2, PerFrameFunctionalGroupsSequence=[frame, frame])
    np.testing.assert_allclose(grey(content), RAMP, atol=1)
    assert dicom.look(content)["frames"] == 2


@pytest.mark.parametrize(
    "name",
    [
        "SC_rgb_small_odd.dcm",  # not compressed
        "SC_rgb_rle.dcm",
        "SC_rgb_jpeg_gdcm.dcm",  # JPEG without loss
        "SC_rgb_dcmtk_+eb+cy+s4.dcm",  # JPEG of YBR
        "SC_ybr_full_422_uncompressed.dcm",
        "SC_rgb_jls_lossy_line.dcm",
        "examples_palette.dcm",
        "GDCMJ2K_TextGBR.dcm",
    ],
)
def test_colours_become_rgb(name: str) -> None:
    image = decode.read_image(shipped(name), 64)
    assert (image.shape, image.dtype) == ((64, 64, 3), np.uint8)
    assert np.ptp(image.astype(int), axis=2).max() > 20


def test_pixels_are_the_same_however_they_are_compressed() -> None:
    plain = decode.read_image(shipped("MR_small.dcm"), 64)
    for name in ("MR_small_RLE.dcm", "MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm", "MR_small_expb.dcm"):
        np.testing.assert_array_equal(decode.read_image(shipped(name), 64), plain)


@pytest.mark.parametrize(
    "name", ["JPEG-lossy.dcm", "MR_truncated.dcm", "rtplan.dcm", "badVR.dcm", "DICOMDIR-empty.dcm"]
)
def test_what_has_no_pixels_or_broken_ones_is_a_message_on_one_line(name: str) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011 (each has its own words)
        decode.read_image(shipped(name), 8)
    assert "\n" not in str(raised.value)


def test_a_broken_file_is_named_with_its_folder(tmp_path: Path) -> None:
    root = folder(tmp_path / "set")
    broken = root / "malignant" / "3.dcm"
    broken.write_bytes(broken.read_bytes()[:-40])
    with pytest.raises(UsageError, match=r"1 unreadable image \('malignant/3.dcm': "):
        datasets.load(Request(str(root), SIDE))
    broken.write_bytes(b"no DICOM at all")
    with pytest.raises(UsageError, match=r"1 unreadable image \('malignant/3.dcm': "):
        datasets.load(Request(str(root), SIDE))


def test_files_without_a_suffix_are_known_by_their_beginning(tmp_path: Path) -> None:
    content = make(RAMP)
    for name in ("IM0001", "1.2.840.113619.2", "scan.dcm", "SCAN.DICOM", "old.IMA"):
        (tmp_path / name).write_bytes(content)
        assert dicom.is_dicom(tmp_path / name), name
        assert decode.is_image(tmp_path / name), name
    for name in ("DICOMDIR", "scan.png"):
        (tmp_path / name).write_bytes(content)
        assert not dicom.is_dicom(tmp_path / name), name
    (tmp_path / "README").write_text("text")
    assert not dicom.is_dicom(tmp_path / "README")


@pytest.mark.parametrize("suffix", [".dcm", ""])
def test_a_folder_of_dicom_is_a_data_set_grouped_by_patient(suffix: str, tmp_path: Path) -> None:
    dataset = datasets.load(Request(str(folder(tmp_path / "set", suffix=suffix, BurnedInAnnotation="YES")), SIDE))
    assert dataset.grouped
    assert dataset.facts["groups_from"] == "the PatientID of DICOM files"
    assert dataset.facts["grey_bits"] == 12
    assert "8 patients of 16 images are read from the PatientID of DICOM files" in dataset.notices
    burnt_in = "text that is burnt into their pixels (names, dates) is not removed; 16 of them say that they hold some"
    assert f"16 DICOM images: {burnt_in}" in dataset.notices
    assert "16 DICOM images have no window: black and white are the ends of their depth" in dataset.notices
    groups = np.concatenate([part.groups for part in dataset.splits.values()])
    assert len(set(groups)) == 8
    assert not any("benign" in group or "malignant" in group for group in groups)


def test_a_patient_has_the_same_name_wherever_the_set_lies_and_another_in_another_set(tmp_path: Path) -> None:
    first = folder(tmp_path / "one")
    shutil.copytree(first, tmp_path / "two")
    (tmp_path / "three").mkdir()
    named = [dicom.digests(dicom.patient_ids(sorted((tmp_path / name).rglob("*.dcm")))) for name in ("one", "two")]
    assert named[0] == named[1]
    assert named[0][0] == named[0][1] != named[0][2]
    shutil.copytree(first / "benign", tmp_path / "three" / "benign")
    part = dicom.digests(dicom.patient_ids(sorted((tmp_path / "three").rglob("*.dcm"))))
    assert not set(part) & set(named[0])


@pytest.mark.parametrize("patient", ["", "ANONYMOUS", "XXXXXX", "00000", "Anonymized Patient"])
def test_a_patient_who_was_removed_is_not_known(patient: str, tmp_path: Path) -> None:
    dataset = datasets.load(Request(str(folder(tmp_path / "set", PatientID=patient)), SIDE))
    assert not dataset.grouped
    assert "groups_from" not in dataset.facts


def test_one_patient_for_all_is_taken_for_none(tmp_path: Path) -> None:
    dataset = datasets.load(Request(str(folder(tmp_path / "set", PatientID="case")), SIDE))
    assert "16 DICOM images, all that have a PatientID, have the same: it is taken for none" in dataset.notices
    assert not dataset.grouped


def test_a_patient_id_that_names_an_image_is_cut_to_the_patient_and_shown_nowhere(tmp_path: Path) -> None:
    root = folder(tmp_path / "set")
    for number, file in enumerate(sorted(root.rglob("*.dcm"))):
        view = ("LEFT_CC", "LEFT_MLO_1", "RIGHT_CC", "RIGHT_MLO")[number % 4]
        stored = np.random.default_rng(number).integers(0, 4096, (SIDE, SIDE), dtype=np.uint16)
        file.write_bytes(make(stored, BitsStored=12, PatientID=f"Mass-Training_P_{number // 2:05d}_{view}"))
    dataset = datasets.load(Request(str(root), SIDE))
    assert "8 patients of 16 images are read from the PatientID of DICOM files" in dataset.notices
    told = "8 groups of the PatientID of DICOM files are spelled in several ways: each counts as one"
    assert told in dataset.notices
    assert "P_0000" not in str(dataset.notices)


def test_without_the_extra_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = folder(tmp_path / "set")
    monkeypatch.setattr(dicom, "_is_installed", lambda package: False)
    with pytest.raises(UsageError, match=r"pip install bcdl\[dicom\]"):
        datasets.load(Request(str(root), SIDE))
    with pytest.raises(UsageError, match=r"pip install bcdl\[dicom\]"):
        decode.read_image(root / "benign" / "0.dcm", SIDE)
