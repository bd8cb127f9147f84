"""An image as a file holds it to 8-bit RGB: grey of more bits, inverted, turned, transparent, CMYK and the like.

Grey levels of more than 8 bits say nothing of how bright they are meant to be: 4,080 is almost white in an image of 12
bits and almost black in one of 16, and both lie in files of 16. So the depth is that of the whole set: what its files
state, or else the smallest usual one that holds the greatest level of all its images.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageCms, ImageOps, TiffImagePlugin

from bcdl.errors import UsageError

RULES = 1  # raise when `look` changes, so that old cache entries are not used
USUAL_DEPTHS = (8, 10, 12, 14, 16)
DEEP_GREY = "grey images of more than 8 bits"
# What of a file decides how its set is read. `greatest`: the greatest grey level, if it has more than 8 bits, else -1.
# `said`: what the file says that the greatest is, or could be; else 0. `above`: how many of its `pixels` are above what
# each usual depth holds. `stated`: the bits that the file states, or 0. `deep_colour`: the greatest upper byte of
# colours of 16 bits, else -1.
LOOK = np.dtype(
    [
        ("greatest", np.int32),
        ("said", np.int32),
        ("above", np.int64, len(USUAL_DEPTHS)),
        ("pixels", np.int64),
        ("stated", np.int8),
        ("deep_colour", np.int16),
        ("frames", np.int32),
        ("transparent", bool),
        ("cmyk", bool),
        ("white_is_zero", bool),
        ("dicom", bool),
        ("no_window", bool),
        ("says_burnt_in", bool),
    ]
)
_TOP_OF_16 = 2**16 - 1
# If fewer of a set's pixels need its depth than this share, they are marks or damage, and the images lie below.
_FEW = 0.001
_FEWER_BITS = 4  # by which an image needs a lower depth than its set: it would be almost black
_DARK_BYTE = 64  # of colours of 16 bits: below it, they were stored with 14 bits or fewer, and would be almost black
_PHOTOMETRIC, _BITS_PER_SAMPLE, _MAX_SAMPLE_VALUE = 262, 258, 281  # tags of TIFF

# Pillow unpacks these, but its table lacks them: big-endian grey of 16 bits whose 0 is white, and grey of 12 bits.
for _key, _mode in {
    (b"MM", 0, (1,), 1, (16,), ()): ("I;16B", "I;16B"),
    (b"MM", 1, (1,), 1, (12,), ()): ("I;16", "I;12"),
    (b"MM", 0, (1,), 1, (12,), ()): ("I;16", "I;12"),
    (b"II", 0, (1,), 1, (12,), ()): ("I;16", "I;12"),
}.items():
    TiffImagePlugin.OPEN_INFO.setdefault(_key, _mode)


@dataclasses.dataclass(frozen=True)
class Depth:
    """The depth of a set's grey images of more than 8 bits.

    Attributes:
        bits: the depth; 0 if each image is read by its own.
        given: whether a person gave it, so that it counts for images, too, whose files state another.
    """

    bits: int = 0
    given: bool = False


OWN_DEPTH = Depth()  # of an image that belongs to no set


@dataclasses.dataclass(frozen=True)
class Survey:
    """What a look at all files of a set found.

    Attributes:
        depth: by which its grey images of more than 8 bits are read.
        notices: what a person should know of how its pixels are read.
        facts: what a record holds of it, by the names of `records.shapes.SourceFacts`.
        found: those of the notices that tell of a depth that nobody gave and no file states.
    """

    depth: Depth
    notices: tuple[str, ...]
    facts: dict[str, Any]
    found: tuple[str, ...] = ()


def look(image: Image.Image) -> np.ndarray:
    """What of an opened image file decides how its set is read, as an array of no dimensions and dtype `LOOK`.

    Pixels are decoded only if they have more than 8 bits. ValueError if their grey levels don't fit 16.
    """
    seen = np.zeros((), LOOK)
    seen["frames"] = getattr(image, "n_frames", 1)
    seen["transparent"] = image.has_transparency_data
    seen["cmyk"] = image.mode == "CMYK"
    seen["white_is_zero"] = _white_is_zero(image)
    seen["greatest"] = seen["deep_colour"] = -1
    if _is_deep_grey(image):
        stated, said = _stated(image), _said_greatest(image)
        levels = _levels(image)
        greatest = int(levels.max())
        seen["stated"] = stated if greatest < 2**stated else 0
        seen["greatest"], seen["said"] = greatest, said
        seen["pixels"] = levels.size
        seen["above"] = [np.count_nonzero(levels >= 2**bits) for bits in USUAL_DEPTHS]
    elif _is_deep_colour(image):
        colours = [band for band, name in zip(image.split(), image.getbands(), strict=True) if name != "A"]
        seen["deep_colour"] = max(int(np.asarray(band).max()) for band in colours)
    return seen


def survey(looks: np.ndarray, names: Sequence[str], grey_bits: int) -> Survey:
    """What the looks [N] of dtype `LOOK` at the files of a set found; `names` stand for the files in messages.

    `grey_bits` is the depth that a person gave, 0 for none.

    Raises:
        UsageError: a level is above the given depth, or the images would be almost black.
    """
    deep = looks["greatest"] >= 0
    _check_given(looks, names, grey_bits)
    _check_colours(looks)
    found = looks[deep & (looks["stated"] == 0)]
    stated = looks["stated"][deep & (looks["stated"] > 0)]
    bits = usual_depth(_greatest(found)) if len(found) else 0
    depth = Depth(grey_bits, given=True) if grey_bits else Depth(bits)
    used = deep.any() or (grey_bits and (looks["no_window"] & (looks["greatest"] >= 0)).any())
    facts = {"grey_bits": depth.bits or int(stated.max())} if used else {}
    notices = (*_depth_notices(deep.sum(), found, stated, depth, bool(used)), *_dicom_notices(looks), *_notices(looks))
    return Survey(depth, notices, facts, () if grey_bits else tuple(_found_notices(found, bits)))


def to_rgb(image: Image.Image, depth: Depth) -> Image.Image:
    """An opened image file as 8-bit RGB, upright; what is transparent becomes white.

    Raises:
        ValueError: its pixels have no known scale, or a grey level is above the depth.
    """
    if image.mode == "F":
        raise ValueError("floating-point pixels have no known scale; save it with 8 or 16 bits")
    if _is_deep_grey(image):
        return _deep_to_rgb(image, depth)
    image = ImageOps.exif_transpose(image)
    if image.mode == "P":
        _check_palette(image)
    if image.mode == "LAB":  # Pillow converts it by profiles alone
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        image = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB") or image
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def _check_palette(image: Image.Image) -> None:
    """ValueError if a pixel has a colour that the palette lacks: it would be black, or any other."""
    image.load()  # only now is the palette as long as that of the file
    colours = 0 if image.palette is None else len(image.palette.palette) // len(image.palette.mode)
    if (greatest := int(np.asarray(image).max())) >= colours:
        raise ValueError(f"a pixel has colour {greatest}, and the palette only {colours} colours")


def scale(levels: np.ndarray, bits: int) -> np.ndarray:
    """Grey levels of so many bits, of a whole-number dtype, as uint8: 0 to 0, the greatest to 255, else rounded."""
    top = 2**bits - 1
    return ((levels.astype(np.int32) * 255 + top // 2) // top).astype(np.uint8)


def usual_depth(greatest: int) -> int:
    """The smallest usual depth that holds the level, bits."""
    return next(bits for bits in USUAL_DEPTHS if greatest < 2**bits)


def _deep_to_rgb(image: Image.Image, depth: Depth) -> Image.Image:
    stated, said, white_is_zero = _stated(image), _said_greatest(image), _white_is_zero(image)
    levels = _levels(ImageOps.exif_transpose(image))  # the copy that is upright has no tags any more
    greatest = int(levels.max())
    own = stated if greatest < 2**stated else 0
    bits = depth.bits if depth.given else own or depth.bits or usual_depth(max(greatest, said))
    check_depth(greatest, bits)
    grey = scale(2**bits - 1 - levels if white_is_zero else levels, bits)
    if (transparent := image.info.get("transparency")) is not None:
        grey[levels == transparent] = 255
    return Image.fromarray(grey).convert("RGB")


def _levels(image: Image.Image) -> np.ndarray:
    """The grey levels of an image of more than 8 bits, [H, W] int32; ValueError if they don't fit 16 bits."""
    levels = np.asarray(image).astype(np.int32)
    if levels.min() < 0:
        raise ValueError("negative grey levels have no known scale; save it with 8 or 16 bits, without sign")
    return checked(levels)


def checked(levels: np.ndarray) -> np.ndarray:
    """Grey levels as int32; ValueError if they don't fit 16 bits."""
    if levels.max() > _TOP_OF_16:
        raise ValueError(f"grey levels of up to {levels.max():,} have no known scale; save it with 16 bits")
    return levels.astype(np.int32, copy=False)


def check_depth(greatest: int, bits: int) -> None:
    """ValueError if the greatest grey level of an image is above what so many bits hold."""
    if greatest >= 2**bits:
        raise ValueError(
            f"a grey level of {greatest:,} is above what {bits} bits hold, {2**bits - 1:,}; --grey-bits sets the depth"
        )


def _is_deep_grey(image: Image.Image) -> bool:
    """Whether it has one channel of more than 8 bits: 16 bits a pixel, or 32."""
    return image.mode.startswith("I")


def _is_deep_colour(image: Image.Image) -> bool:
    """Whether a file that is not decoded yet has several channels of 16 bits, of which Pillow keeps the upper 8."""
    return len(image.getbands()) > 1 and ";16" in _raw_mode(image)


def _raw_mode(image: Image.Image) -> str:
    """How a file that is not decoded yet lays out its pixels, in Pillow's words; empty if it does not say so."""
    tiles = getattr(image, "tile", None)
    return str(tiles[0].args) if tiles else ""


def _tag(image: Image.Image, tag: int) -> int:
    """The value of a TIFF tag, the first if it has several; 0 if it has none that is a whole number."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return 0
    value = image.tag_v2.get(tag, 0)
    value = value[0] if isinstance(value, tuple) and value else value
    return value if isinstance(value, int) else 0


def _white_is_zero(image: Image.Image) -> bool:
    """Whether a TIFF says so; Pillow inverts it by itself if it has 8 bits or fewer."""
    return isinstance(image, TiffImagePlugin.TiffImageFile) and image.tag_v2.get(_PHOTOMETRIC) == 0


def _stated(image: Image.Image) -> int:
    """The bits that a file of deep grey states to store, 0 if it states only what fits its pixels' 16 or 32."""
    if image.format == "PPM" and "I;16" not in _raw_mode(image):  # Pillow scaled it to 16 bits by what the file states
        return 16
    bits = _tag(image, _BITS_PER_SAMPLE)
    return bits if 8 < bits < 16 else 0


def _said_greatest(image: Image.Image) -> int:
    """The greatest level that a TIFF states, of its pixels or of its depth; 0 if it states none, or all 16 bits."""
    greatest = _tag(image, _MAX_SAMPLE_VALUE)
    return greatest if 0 < greatest < _TOP_OF_16 else 0


def _greatest(found: np.ndarray) -> int:
    """The greatest level in these looks, or what a file says that it is."""
    return int(max(found["greatest"].max(), found["said"].max()))


def _check_given(looks: np.ndarray, names: Sequence[str], grey_bits: int) -> None:
    greatest = int(looks["greatest"].max(initial=-1))
    if grey_bits and greatest >= 2**grey_bits:
        name = names[int(looks["greatest"].argmax())]
        raise UsageError(
            f"--grey-bits {grey_bits} holds grey levels of up to {2**grey_bits - 1:,}, and {name!r} has {greatest:,}; "
            f"give {greatest.bit_length()} or more, or leave it out"
        )


def _check_colours(looks: np.ndarray) -> None:
    """UsageError if colours of 16 bits a channel, of which the upper 8 are read, were all stored with 14 or fewer."""
    brightest = int(looks["deep_colour"].max(initial=-1))
    if 0 <= brightest < _DARK_BYTE:
        raise UsageError(
            f"{np.count_nonzero(looks['deep_colour'] >= 0)} colour images of 16 bits a channel have no level above "
            f"{brightest * 256 + 255:,} of {_TOP_OF_16:,}, and would be almost black; save them with 8 bits a channel"
        )


def _depth_notices(deep: int, found: np.ndarray, stated: np.ndarray, depth: Depth, used: bool) -> list[str]:
    if depth.given:
        if not used:
            return [f"--grey-bits {depth.bits} changes nothing: there are no {DEEP_GREY}"]
        return [f"{deep} {DEEP_GREY} are read as of {depth.bits} bits, as --grey-bits says"] if deep else []
    notices = _found_notices(found, depth.bits)
    if len(stated):
        depths = ", ".join(str(bits) for bits in np.unique(stated))
        notices.append(f"{len(stated)} {DEEP_GREY} are read as of the bits that their files state: {depths}")
    return notices


def _found_notices(found: np.ndarray, bits: int) -> list[str]:
    """What to tell of a depth that is that of these looks' greatest level."""
    if not len(found):
        return []
    level = f"greatest level {_greatest(found):,}"
    notice = f"{len(found)} {DEEP_GREY}: {bits} bits found ({level}); --grey-bits sets it"
    return [notice, *_few_notices(found, bits), *_lower_notices(found, bits)]


def _few_notices(found: np.ndarray, bits: int) -> list[str]:
    """A notice if next to no pixel needs the depth: a burnt-in mark or a damaged pixel may hide the images' own."""
    lower = USUAL_DEPTHS.index(bits) - 1
    if lower < 0:
        return []
    share = found["above"][:, lower].sum() / found["pixels"].sum()
    if share >= _FEW:
        return []
    return [
        f"{share:.3%} of the pixels of these images alone are above what {USUAL_DEPTHS[lower]} bits hold: if they are "
        "marks or damage, all else is read too dark; mend them in the files"
    ]


def _lower_notices(found: np.ndarray, bits: int) -> list[str]:
    """A notice if single images need far fewer bits than their set: they may be of another depth."""
    own = np.maximum(found["greatest"], found["said"])
    lower = [usual for usual in USUAL_DEPTHS if usual <= bits - _FEWER_BITS]
    if not lower or not (count := np.count_nonzero(own < 2 ** lower[-1])):
        return []
    return [
        f"{count} of {len(found)} grey images have no level above what {lower[-1]} bits hold: if they are of another "
        "depth than the others, they are read too dark; save all with one depth"
    ]


def _dicom_notices(looks: np.ndarray) -> list[str]:
    if not (count := np.count_nonzero(looks["dicom"])):
        return []
    told = np.count_nonzero(looks["says_burnt_in"])
    notices = [
        f"{count} DICOM images: text that is burnt into their pixels (names, dates) is not removed"
        + (f"; {told} of them say that they hold some" if told else "")
    ]
    if windowless := np.count_nonzero(looks["no_window"]):
        notices.append(f"{windowless} DICOM images have no window: black and white are the ends of their depth")
    return notices


def _notices(looks: np.ndarray) -> list[str]:
    """What else is done to images, each with its count."""
    several = looks["frames"] > 1
    further = int((looks["frames"][several] - 1).sum())
    counts = {
        f"files hold several pages or frames: the first of each is read, {further} others are not": several,
        "colour images of 16 bits a channel are read by the upper 8": looks["deep_colour"] >= 0,
        "images are stored with 0 as white: read inverted": looks["white_is_zero"],
        "images have transparency: what is transparent is read as white": looks["transparent"],
        "CMYK images are read without their colour profiles": looks["cmyk"],
    }
    told = [f"{np.count_nonzero(which)} {what}" for what, which in counts.items() if which.any()]
    return told + _dark_notices(looks)


def _dark_notices(looks: np.ndarray) -> list[str]:
    """A notice if some colours of 16 bits a channel were stored with 14 or fewer, by their levels."""
    deep = looks["deep_colour"][looks["deep_colour"] >= 0]
    if not (count := np.count_nonzero(deep < _DARK_BYTE)):
        return []
    return [
        f"{count} of {len(deep)} colour images of 16 bits a channel have no level above {_DARK_BYTE * 256 - 1:,} of "
        f"{_TOP_OF_16:,}: if they are of another depth than the others, they are read too dark; save all with 8 bits"
    ]
