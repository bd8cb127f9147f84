"""The tree of a data folder: every file is sorted into one kind, whatever its name; nothing outside is looked at."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcdl.datasets import tree
from bcdl.errors import UsageError


def touch(root: Path, *names: str) -> Path:
    """Empty files under the folder: what a file is, is seen by its name."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def images(root: Path) -> list[str]:
    return [image.name for image in tree.walk(root).images]


@pytest.mark.parametrize(
    "suffix",
    [
        ".png",
        ".PNG",
        ".jpg",
        ".jpeg",
        ".JPE",
        ".jfif",
        ".tif",
        ".tiff",
        ".bmp",
        ".webp",
        ".gif",
        ".pgm",
        ".ppm",
        ".pnm",
        ".dcm",
    ],
)
def test_what_can_be_read_is_an_image(suffix: str, tmp_path: Path) -> None:
    assert images(touch(tmp_path, f"benign/1{suffix}")) == [f"benign/1{suffix}"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("1.heic", "HEIC images"),
        ("1.SVS", "whole-slide images"),
        ("1.ndpi", "whole-slide images"),
        ("1.nii", "NIfTI volumes"),
        ("1.nii.gz", "NIfTI volumes"),
        ("1.mat", "MATLAB files"),
        ("1.dng", "camera raw images"),
        ("1.npy", "NumPy arrays"),
        ("1.j2k", "JPEG 2000 images of other kinds"),
        ("1.jpx", "JPEG 2000 images of other kinds"),
        ("1.TGA", "TGA images"),
        ("1.mpo", "MPO images"),
        ("1.pfm", "PFM images"),
        ("1.pcx", "PCX images"),
        ("1.ico", "icons"),
        ("1.exr", "OpenEXR images"),
        ("1.fits", "FITS images"),
    ],
)
def test_a_format_that_no_reader_is_there_for_is_told_by_its_kind(name: str, kind: str, tmp_path: Path) -> None:
    found = tree.walk(touch(tmp_path, f"benign/{name}"))
    assert found.left_out == {kind: 1}
    assert tree.tell(found.left_out) == [f"1 {kind} left out: no reader for this format, save them as PNG"]


def test_other_files_are_tables_archives_or_stray(tmp_path: Path) -> None:
    found = tree.walk(touch(tmp_path, "groups.csv", "a/b.xlsx", "all.zip", "README", "notes.txt"))
    assert [table.name for table in found.tables] == ["a/b.xlsx", "groups.csv"]
    assert found.left_out == {"archives": 1, tree.STRAY: 2}


@pytest.mark.parametrize(
    "name",
    [
        ".DS_Store",
        "._1.png",
        ".hidden.png",
        "Thumbs.db",
        "desktop.ini",
        "__MACOSX/benign/._1.png",
        "benign/.ipynb_checkpoints/1-checkpoint.png",
        "benign/@eaDir/1.png/SYNOPHOTO_THUMB_M.jpg",
        "$RECYCLE.BIN/1.png",
        "System Volume Information/1.png",
        ".git/objects/1.png",
        "~$table.xlsx",
        *(
            f"benign/{folder}/old.png"
            for folder in ("@Recycle", "#snapshot", "~snapshot", "@Recently-Snapshot", "Network Trash Folder")
        ),
        "FOUND.000/1.png",
        "RECYCLED/1.png",
        "benign/.notes.txt.icloud",
    ],
)
def test_hidden_and_system_files_are_counted(name: str, tmp_path: Path) -> None:
    found = tree.walk(touch(tmp_path, "benign/1.png", name))
    assert [image.name for image in found.images] == ["benign/1.png"]
    assert found.left_out == {tree.HIDDEN: 1}


def test_images_that_are_in_the_cloud_are_told(tmp_path: Path) -> None:
    found = tree.walk(touch(tmp_path, "benign/1.png", "benign/.2.png.icloud", "benign/.3.JPG.icloud"))
    assert found.left_out == {tree.IN_CLOUD: 2}
    assert tree.tell(found.left_out) == [
        "2 images that are not on this disk, but in iCloud, left out: download them",
    ]


@pytest.mark.parametrize("begins", [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"II*\0", b"GIF89a", b"RIFF1234WEBP"])
def test_an_image_without_a_suffix_is_told(begins: bytes, tmp_path: Path) -> None:
    touch(tmp_path, "benign/1.png", "benign/README", "benign/2")
    (tmp_path / "benign" / "2").write_bytes(begins)
    found = tree.walk(tmp_path)
    assert found.left_out == {tree.NAMELESS: 1, tree.STRAY: 1}
    assert tree.tell(found.left_out)[0] == (
        "1 images without a suffix left out: give them names that end in their format, as .png"
    )


ENDS = (
    "_msk _mask_0_1 _seg_1_2 _mask-final _mask_v2 _mask_a _Maske _masque _binary _lesion _segm_b _mask_(2) -gradcam"
    " -cnn-gradcam"
)


@pytest.mark.parametrize(
    "name",
    [
        "benign/x (1)_mask.png",
        "benign/x (1)_mask_1.png",
        "benign/x (1)_MASK.bmp",
        "benign/x (1)-mask.png",
        "benign/x (1) mask 2.png",
        "benign/x (1)mask.png",
        "benign/x (1)_segmentation.png",
        "benign/x (1)_seg.png",
        "benign/x (1)_GT.png",
        "benign/x (1)_tumor.png",
        "benign/mask_x (1).png",
        "benign/other_mask.png",  # its image is gone
        "benign/masks/x (1).png",
        "benign/ground truth/1.png",
        "masks/benign/x (1).png",
        "benign_mask/x (1).png",
        "Segmentations/1.png",
        "lesion_masks/benign/1.png",
        "segmentation_masks/1.png",
        "benign/tumor_masks/1.png",
        "ROI mask images/1.png",
        "masks_png/1.png",
        "Masken/1.png",
        *(f"benign/x (1){end}.png" for end in ENDS.split()),
        "benign/x (1)_mask (copy).png",
        "benign/x (1)_mask - Kopie.png",
        "benign/x (1)-gt mask.png",
    ],
)
def test_masks_are_counted(name: str, tmp_path: Path) -> None:
    found = tree.walk(touch(tmp_path, "benign/x (1).png", name))
    assert [image.name for image in found.images] == ["benign/x (1).png"]
    assert found.left_out == {tree.MASKS: 1}


@pytest.mark.parametrize(
    "name",
    ["benign/x_thumb.jpg", "benign/x-preview.png", "benign/x_thumbnail.png", "thumbnails/x.png", "benign/Thumbs/x.png"],
)
def test_previews_are_counted(name: str, tmp_path: Path) -> None:
    found = tree.walk(touch(tmp_path, "benign/x.png", name))
    assert [image.name for image in found.images] == ["benign/x.png"]
    assert found.left_out == {tree.PREVIEWS: 1}


@pytest.mark.parametrize(
    "names",
    [
        ["benign/x.png", "benign/unmask.png"],
        ["benign/x.png", "benign/x_1.png"],
        ["benign/x.png", "benign/y_tumor.png"],  # no y
        ["benign/x.png", "benign/y_thumb.png"],
        ["benign/x.png", "benign/thumbprint.png"],
        ["benign/x.png", "benign/y_lesion.png"],
        ["benign/x.png", "benign/x_maskara.png"],
        ["benign/x.png", "benign/x_mask of another long kind.png"],
        ["benign/x.png", "images without masks/1.png"],
        ["benign/x.png", "masks of one more kind/1.png"],
        ["masks/benign/1.png", "masks/malignant/1.png"],  # nothing is beside them
    ],
)
def test_what_only_resembles_a_mask_or_a_preview_is_an_image(names: list[str], tmp_path: Path) -> None:
    found = tree.walk(touch(tmp_path, *names))
    assert [image.name for image in found.images] == sorted(names)
    assert not found.left_out


def test_images_that_are_all_named_as_masks_are_read_and_told(tmp_path: Path) -> None:
    found = tree.walk(touch(tmp_path, "benign/a_mask.png", "benign/b_mask.png"))
    assert len(found.images) == 2
    assert found.notices == ("2 images are named as masks, but no other image is beside them: they are read",)


def test_a_folder_that_is_named_to_be_read_is_none_of_masks(tmp_path: Path) -> None:
    touch(tmp_path, "benign/1.png", "Masks/1.png")
    assert [image.name for image in tree.walk(tmp_path, ["masks"]).images] == ["Masks/1.png", "benign/1.png"]


@pytest.mark.parametrize("where", ["", "benign"])
def test_a_folder_that_cannot_be_read_is_named(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = touch(tmp_path / "set", "benign/1.png", "malignant/1.png")
    original = os.scandir

    def scandir(path: str | Path) -> object:  # a superuser may read everything
        if Path(path) == root / where:
            raise PermissionError(13, "Permission denied", str(path))
        return original(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(UsageError, match=r"set can't be read \(Permission denied\); see to its permissions") as raised:
        tree.walk(root)
    assert where in str(raised.value)
    assert str(tmp_path) not in str(raised.value)


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_links_are_followed_within_the_folder_alone(tmp_path: Path) -> None:
    root = touch(tmp_path / "set", "benign/1.png")
    touch(tmp_path / "outside", "secret.png")
    for name, target in {
        "benign/file.png": "1.png",
        "benign/out.png": "../../outside/secret.png",
        "benign/gone.png": "nothing.png",
        "benign/itself.png": "itself.png",
        "benign/up": "..",
        "out": "../outside",
        "linked": "benign",
    }.items():
        (root / name).symlink_to(target)
    found = tree.walk(root)
    assert [image.name for image in found.images] == [
        "benign/1.png",
        "benign/file.png",
        "linked/1.png",
        "linked/file.png",
    ]
    assert found.left_out[tree.LINKS_OUT] == 3  # out, benign/out.png and the same under linked
    assert found.left_out.total() == 3 + 4 + 2  # two broken, twice; up, twice


@pytest.mark.skipif(sys.platform == "win32", reason="there are none")
def test_what_is_no_file_is_never_opened(tmp_path: Path) -> None:
    touch(tmp_path, "benign/1.png")
    os.mkfifo(tmp_path / "benign" / "pipe.png")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(tmp_path / "s.png"))
        found = tree.walk(tmp_path)
    assert [image.name for image in found.images] == ["benign/1.png"]
    assert found.left_out == {"pipes, sockets or devices": 2}


PARTS = st.one_of(
    st.sampled_from(["benign", "masks", "x", "x_mask", "train", ".x", "Thumbs", "Würfel", "._x", "x_thumb"]),
    st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=8).filter(
        lambda name: name not in {".", ".."}
    ),
)
SUFFIXES = st.sampled_from(["", ".png", ".JPG", ".webp", ".heic", ".csv", ".txt", ".nii.gz", ".dcm"])


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse some names")
@given(st.lists(st.tuples(st.lists(PARTS, max_size=3), PARTS, SUFFIXES), max_size=12))
def test_every_file_is_counted_once(
    tmp_path_factory: pytest.TempPathFactory, names: list[tuple[list[str], str, str]]
) -> None:
    root = tmp_path_factory.mktemp("tree")
    written = 0
    for folders, stem, suffix in names:
        file = root.joinpath(*folders, stem + suffix)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.open("x").close()
        except OSError:  # a file stands where a folder should, or is there already
            continue
        written += 1
    found = tree.walk(root)
    assert len(found.images) + len(found.tables) + found.left_out.total() >= written
    files = sum(len(files) for _, _, files in os.walk(root))
    empty_hidden = found.left_out.total() + len(found.images) + len(found.tables) - files
    assert 0 <= empty_hidden <= found.left_out[tree.HIDDEN]  # a hidden folder without files counts as one
    assert [image.parts for image in found.images] == sorted(image.parts for image in found.images)
    assert not any(tree.is_hidden(part) for image in found.images for part in image.parts)
    assert tree.walk(root) == found
