"""What files hold becomes 8-bit RGB: by the depth of their set, upright, not inverted, or it is refused and told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms, TiffImagePlugin

from bcdl import datasets
from bcdl.datasets import LABELS, Request, decode, pixels
from bcdl.datasets.pixels import Depth
from bcdl.errors import UsageError

SIDE = 8
RAMP = np.linspace(0, 255, SIDE * SIDE).round().astype(np.uint8).reshape(SIDE, SIDE)


def levels(bits: int) -> np.ndarray:
    """A ramp over all grey levels of so many bits, [SIDE, SIDE] uint16, which becomes `RAMP`."""
    return np.linspace(0, 2**bits - 1, SIDE * SIDE).round().astype(np.uint16).reshape(SIDE, SIDE)


def read(file: Path, depth: Depth = pixels.OWN_DEPTH) -> np.ndarray:
    return decode.read_image(file, SIDE, depth)


def survey(*files: Path, grey_bits: int = 0) -> pixels.Survey:
    return decode.survey(files, [file.name for file in files], grey_bits)


def class_folders(root: Path, save: Callable[[int, Path], None], count: int = 10) -> Path:
    """A folder of both classes, whose images `save` writes by number and path without a suffix."""
    for label, kind in enumerate(LABELS):
        (root / kind).mkdir(parents=True)
        for number in range(count):
            save(number + count * label, root / kind / f"{kind}-{number}")
    return root


def noise(seed: int, most: int, dtype: type = np.uint16) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, most + 1, (SIDE, SIDE)).astype(dtype)


def save_png(pixels_: np.ndarray, file: Path) -> Path:
    Image.fromarray(pixels_).save(file)
    return file


def save_pgm(bits: int, file: Path) -> Path:
    head = f"P5\n{SIDE} {SIDE}\n{2**bits - 1}\n".encode()
    file.write_bytes(head + levels(bits).astype(">u2").tobytes())
    return file


def save_tiff(bits: int, file: Path, byteorder: str = "<", dtype: type = np.uint16, **options: object) -> Path:
    tifffile.imwrite(file, levels(bits).astype(dtype), byteorder=byteorder, **options)
    return file


@given(st.integers(1, 16), st.data())
def test_scaling_keeps_order_and_both_ends(bits: int, data: st.DataObject) -> None:
    top = 2**bits - 1
    first, second = sorted(data.draw(st.tuples(st.integers(0, top), st.integers(0, top))))
    scaled = pixels.scale(np.array([0, first, second, top]), bits).tolist()
    assert scaled == sorted(scaled)
    assert (scaled[0], scaled[-1]) == (0, 255)
    assert abs(scaled[1] - first * 255 / top) <= 0.5


def test_levels_of_8_bits_stay_as_they_are() -> None:
    assert pixels.scale(np.arange(256), 8).tolist() == list(range(256))


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
@pytest.mark.parametrize("kind", ["png", "tif", "tif, big-endian", "tif of 32 bits", "pgm"])
def test_the_depth_of_grey_is_found(bits: int, kind: str, tmp_path: Path) -> None:
    file = {
        "png": lambda: save_png(levels(bits), tmp_path / "a.png"),
        "tif": lambda: save_tiff(bits, tmp_path / "a.tif"),
        "tif, big-endian": lambda: save_tiff(bits, tmp_path / "a.tif", ">"),
        "tif of 32 bits": lambda: save_tiff(bits, tmp_path / "a.tif", dtype=np.uint32),
        "pgm": lambda: save_pgm(bits, tmp_path / "a.pgm"),
    }[kind]()
    seen = survey(file)
    assert seen.facts == {"grey_bits": 16 if kind == "pgm" else bits}  # Pillow scales what a PGM states
    np.testing.assert_allclose(read(file, seen.depth)[..., 0], RAMP, atol=1)
    np.testing.assert_allclose(read(file)[..., 0], RAMP, atol=1)


def test_one_depth_holds_for_a_whole_set(tmp_path: Path) -> None:
    dark = save_png(np.full((SIDE, SIDE), 900, np.uint16), tmp_path / "dark.png")
    bright = save_png(np.full((SIDE, SIDE), 4080, np.uint16), tmp_path / "bright.png")
    seen = survey(dark, bright)
    assert seen.notices[0] == (
        "2 grey images of more than 8 bits: 12 bits found (greatest level 4,080); --grey-bits sets it"
    )
    assert (read(dark, seen.depth).max(), read(bright, seen.depth).max()) == (56, 254)


def test_eight_bits_in_files_of_16_are_read_as_they_are(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "set", lambda n, path: save_png(noise(n, 219), path.with_suffix(".png")) and None)
    dataset = datasets.load(Request(str(root), SIDE))
    assert dataset.facts["grey_bits"] == 8
    first = dataset.train.names[0]
    original = np.asarray(Image.open(root / str(first)))
    np.testing.assert_array_equal(dataset.train.images[0][..., 1], original)


def test_the_depth_that_is_given_counts(tmp_path: Path) -> None:
    file = save_png(levels(10), tmp_path / "a.png")
    seen = survey(file, grey_bits=12)
    assert seen.facts == {"grey_bits": 12}
    assert seen.notices == ("1 grey images of more than 8 bits are read as of 12 bits, as --grey-bits says",)
    np.testing.assert_allclose(read(file, seen.depth)[..., 0], RAMP / 4, atol=1)
    with pytest.raises(UsageError, match=r"--grey-bits 9 holds grey levels of up to 511, and 'a.png' has 1,023;"):
        survey(file, grey_bits=9)
    with pytest.raises(ValueError, match="a grey level of 1,023 is above what 9 bits hold, 511"):
        read(file, Depth(9, given=True))


def test_a_depth_that_is_given_for_nothing_is_told(tmp_path: Path) -> None:
    seen = survey(save_png(RAMP, tmp_path / "a.png"), grey_bits=12)
    assert seen.notices == ("--grey-bits 12 changes nothing: there are no grey images of more than 8 bits",)
    assert seen.facts == {}


def test_images_of_8_bits_are_none_of_all_this(tmp_path: Path) -> None:
    seen = survey(save_png(RAMP, tmp_path / "a.png"))
    assert (seen.depth, seen.notices, seen.facts) == (Depth(), (), {})


def test_a_bright_mark_that_hides_the_depth_is_told(tmp_path: Path) -> None:
    pixels_ = np.full((64, 64), 4000, np.uint16)
    pixels_[0, 0] = 65535
    notices = survey(save_png(pixels_, tmp_path / "a.png")).notices
    assert notices[1].startswith("0.024% of the pixels of these images alone are above what 14 bits hold")


def test_bits_that_a_tiff_states_are_believed(tmp_path: Path) -> None:
    dark = np.full((SIDE, SIDE), 900, np.uint16)
    said = tmp_path / "said.tif"
    tifffile.imwrite(said, dark, extratags=[(281, "H", 1, 4095, True)])  # MaxSampleValue
    assert survey(said).depth == Depth(12)
    assert read(said).max() == 56
    packed = tmp_path / "packed.tif"
    packed.write_bytes(packed_tiff(dark))
    seen = survey(packed)
    assert (seen.facts, read(packed, seen.depth).max()) == ({"grey_bits": 12}, 56)
    assert seen.notices == ("1 grey images of more than 8 bits are read as of the bits that their files state: 12",)
    # Beside others of another depth, too.
    other = save_png(levels(16), tmp_path / "b.png")
    assert read(packed, survey(packed, other).depth).max() == 56


def packed_tiff(pixels_: np.ndarray, byteorder: str = "<", photometric: int = 1) -> bytes:
    """A TIFF of 12 bits a pixel, two in three bytes."""
    bits = np.unpackbits(pixels_.astype(">u2").view(np.uint8).reshape(-1, 2), axis=1)[:, 4:]
    content = np.packbits(bits.reshape(-1)).tobytes()
    tags = TiffImagePlugin.ImageFileDirectory_v2(prefix=b"II" if byteorder == "<" else b"MM")
    tags[256], tags[257], tags[258], tags[259], tags[262] = SIDE, SIDE, 12, 1, photometric
    tags[273], tags[277], tags[278], tags[279] = 0, 1, SIDE, len(content)
    head = b"II*\0\x08\0\0\0" if byteorder == "<" else b"MM\0*\0\0\0\x08"
    return head + tags.tobytes(8) + content  # where the pixels lie is written by Pillow


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("bits", [1, 8, 12, 16])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_white_that_is_zero_is_inverted_at_every_depth(
    bits: int, byteorder: str, compression: str | None, tmp_path: Path
) -> None:
    pixels_ = {1: RAMP > 100, 8: RAMP}.get(bits, levels(bits))
    files = {name: tmp_path / f"{name}.tif" for name in ("minisblack", "miniswhite")}
    for name, file in files.items():
        tifffile.imwrite(file, pixels_, photometric=name, byteorder=byteorder, compression=compression)
    black, white = (read(file, survey(file).depth) for file in files.values())
    np.testing.assert_array_equal(white, 255 - black)
    assert survey(files["miniswhite"]).notices[-1] == "1 images are stored with 0 as white: read inverted"


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_packed_white_that_is_zero_is_inverted(byteorder: str, tmp_path: Path) -> None:
    for photometric in (0, 1):
        (tmp_path / f"{photometric}.tif").write_bytes(packed_tiff(levels(12), byteorder, photometric))
    np.testing.assert_allclose(read(tmp_path / "1.tif")[..., 0], RAMP, atol=1)
    np.testing.assert_allclose(read(tmp_path / "0.tif")[..., 0], 255 - RAMP, atol=1)


@pytest.mark.parametrize(
    ("suffix", "deep"),
    [(".png", False), (".tif", False), (".jpg", False), (".webp", False), (".png", True), (".tif", True)],
)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_upright(suffix: str, orientation: int, deep: bool, tmp_path: Path) -> None:
    upright = np.zeros((16, 16), np.uint8)
    upright[:8, :4] = 255
    turned = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright),
        7: upright[::-1, ::-1].T,
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[274] = orientation
    stored = turned.astype(np.uint16) * 257 if deep else turned
    file = tmp_path / f"a{suffix}"
    Image.fromarray(np.ascontiguousarray(stored)).save(file, exif=exif)
    np.testing.assert_allclose(decode.read_image(file, 16)[..., 0], upright, atol=8)


def test_cmyk_is_read_whoever_wrote_it(tmp_path: Path) -> None:
    cyan = Image.new("CMYK", (SIDE, SIDE), (255, 0, 0, 0))
    for name in ("a.jpg", "a.tif"):  # of JPEGs Pillow writes those of Adobe, whose values are inverted
        cyan.save(tmp_path / name)
        np.testing.assert_allclose(read(tmp_path / name)[0, 0], (0, 255, 255), atol=3)
        assert survey(tmp_path / name).notices == ("1 CMYK images are read without their colour profiles",)
    content = bytearray((tmp_path / "a.jpg").read_bytes())
    content[content.index(b"Adobe") + 11] = 2  # now it says that it holds YCCK
    (tmp_path / "ycck.jpg").write_bytes(content)
    with Image.open(tmp_path / "ycck.jpg") as image:
        expected = np.asarray(image.convert("RGB"))[0, 0]
    np.testing.assert_array_equal(read(tmp_path / "ycck.jpg")[0, 0], expected)


def test_lab_is_read_by_its_profile(tmp_path: Path) -> None:
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    image = ImageCms.profileToProfile(Image.new("RGB", (SIDE, SIDE), (200, 60, 90)), srgb, lab, outputMode="LAB")
    assert image
    image.save(tmp_path / "a.tif")
    np.testing.assert_allclose(read(tmp_path / "a.tif")[0, 0], (200, 60, 90), atol=4)


def test_what_is_transparent_is_white(tmp_path: Path) -> None:
    half = np.zeros((SIDE, SIDE), np.uint8)
    half[:4] = 255
    black = np.zeros_like(half)
    palette = Image.fromarray(half // 255).convert("P")
    palette.putpalette([90, 90, 90, 0, 0, 0])
    deep = np.where(half > 0, 4095, 77).astype(np.uint16)
    saved: dict[str, tuple[Image.Image, dict[str, object]]] = {
        "rgba.png": (Image.fromarray(np.dstack([black] * 3 + [half])), {}),
        "la.png": (Image.fromarray(np.dstack([black, half])), {}),
        "rgba.tif": (Image.fromarray(np.dstack([black] * 3 + [half])), {}),
        "rgba.webp": (Image.fromarray(np.dstack([black] * 3 + [half])), {"lossless": True}),
        "palette.png": (palette, {"transparency": 0}),
        "palette.gif": (palette, {"transparency": 0}),
        "grey.png": (Image.fromarray(black + (half > 0)), {"transparency": 0}),
        "deep.png": (Image.fromarray(deep), {"transparency": 77}),
    }
    for name, (image, options) in saved.items():
        image.save(tmp_path / name, **options)  # type: ignore[arg-type]
        opaque, transparent = (int(row.max()) for row in (read(tmp_path / name)[0], read(tmp_path / name)[-1]))
        assert (opaque, transparent) == (255 if name == "deep.png" else opaque, 255), name
        assert name == "deep.png" or opaque < 2, name
        notice = "1 images have transparency: what is transparent is read as white"
        assert notice in survey(tmp_path / name).notices, name


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_deep_colours_are_read_by_their_upper_byte_or_refused(channels: int, suffix: str, tmp_path: Path) -> None:
    for bits in (12, 16):
        image = np.dstack([levels(bits)] * channels)
        if suffix == ".png":
            cv2.imwrite(str(tmp_path / f"{bits}.png"), image)
        else:
            extra = {"extrasamples": ["unassalpha"]} if channels == 4 else {}
            tifffile.imwrite(tmp_path / f"{bits}.tif", image, photometric="rgb", **extra)
    seen = survey(tmp_path / f"16{suffix}")
    assert seen.notices[0] == "1 colour images of 16 bits a channel are read by the upper 8"
    if channels == 3:
        np.testing.assert_allclose(read(tmp_path / f"16{suffix}")[..., 0], RAMP, atol=1)
    with pytest.raises(UsageError, match="1 colour images of 16 bits a channel have no level above 4,095 of 65,535"):
        survey(tmp_path / f"12{suffix}")


def test_one_bright_image_does_not_hide_colours_that_are_too_dark(tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.png" for number in range(3)]
    for number, file in enumerate(files):
        cv2.imwrite(str(file), np.dstack([levels(12 if number else 16)] * 3))
    assert (
        survey(*files)
        .notices[1]
        .startswith("2 of 3 colour images of 16 bits a channel have no level above 16,383 of 65,535: ")
    )
    assert len(survey(files[0]).notices) == 1


@pytest.mark.parametrize(
    ("pixels_", "message"),
    [
        (RAMP.astype(np.float32), "floating-point pixels have no known scale"),
        (RAMP.astype(np.int16) - 90, "negative grey levels have no known scale"),
        (RAMP.astype(np.int32) * 1000, "grey levels of up to 255,000 have no known scale"),
    ],
)
def test_pixels_without_a_known_scale_are_refused(pixels_: np.ndarray, message: str, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", pixels_)
    with pytest.raises(ValueError, match=message):
        read(tmp_path / "a.tif")


def test_a_set_with_an_image_of_no_known_scale_names_it(tmp_path: Path) -> None:
    def save(number: int, path: Path) -> None:
        image = RAMP.astype(np.float32) if number == 3 else noise(number, 255, np.uint8)
        tifffile.imwrite(path.with_suffix(".tif"), image)

    root = class_folders(tmp_path / "set", save)
    with pytest.raises(UsageError, match=r"1 unreadable image \('benign/benign-3.tif': floating-point pixels"):
        datasets.load(Request(str(root), SIDE))


@pytest.mark.parametrize("suffix", [".tif", ".gif", ".webp", ".png"])
def test_of_several_frames_the_first_is_read_and_the_rest_told(suffix: str, tmp_path: Path) -> None:
    frames = [Image.new("RGB", (SIDE, SIDE), (level,) * 3) for level in (200, 100, 0)]
    frames[0].save(tmp_path / f"a{suffix}", save_all=True, append_images=frames[1:])
    np.testing.assert_allclose(read(tmp_path / f"a{suffix}"), 200, atol=3)
    assert survey(tmp_path / f"a{suffix}").notices == (
        "1 files hold several pages or frames: the first of each is read, 2 others are not",
    )


def test_a_set_of_one_value_is_refused(tmp_path: Path) -> None:
    black = np.zeros((SIDE, SIDE), np.uint8)
    root = class_folders(tmp_path / "set", lambda n, path: save_png(black, path.with_suffix(".png")) and None)
    with pytest.raises(UsageError, match=r"every pixel of all \d+ images of data set set is 0; look"):
        datasets.load(Request(str(root), SIDE))


def test_a_split_of_one_value_is_refused(tmp_path: Path) -> None:
    for split in ("train", "val", "test"):

        def save(number: int, path: Path, split: str = split) -> None:
            seed = number + 100 * len(split)
            save_png(RAMP * 0 + 7 if split == "test" else noise(seed, 255, np.uint8), path.with_suffix(".png"))

        class_folders(tmp_path / "set" / split, save)
    with pytest.raises(UsageError, match=r"every pixel of all 20 images of split test of data set set is 7"):
        datasets.load(Request(str(tmp_path / "set"), SIDE))


def test_images_that_show_nothing_are_counted(tmp_path: Path) -> None:
    def save(number: int, path: Path) -> None:
        save_png(noise(number, 255, np.uint8) if number % 5 else RAMP * 0 + number, path.with_suffix(".png"))

    root = class_folders(tmp_path / "set", save)
    assert "4 images are of one colour, and show nothing" in datasets.load(Request(str(root), SIDE)).notices


def test_a_set_of_few_levels_is_told(tmp_path: Path) -> None:
    root = class_folders(
        tmp_path / "set", lambda n, path: save_png(noise(n, 15, np.uint8), path.with_suffix(".png")) and None
    )
    notices = datasets.load(Request(str(root), SIDE)).notices
    assert "20 images, all of them, have levels from 0 to 15 of 0 to 255 alone: look at one" in notices
