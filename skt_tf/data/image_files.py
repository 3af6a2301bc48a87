"""Files of images → pixels of uint8, as Pillow reads them; of 16 bits none is cut off."""

import contextlib
import os
import pathlib
import re
import typing
import warnings
import zlib

import numpy as np

from skt_tf.data.lazy_images import ordered
from skt_tf.utils.errors import UserError, one_line, option
from skt_tf.utils.records import digest

ENDINGS = (
    ".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".pgm", ".ppm",
    ".pbm", ".pnm", ".tga", ".jp2", ".avif", ".jpe", ".apng", ".dib", ".j2k", ".jpx", ".jpf",
    ".pcx", ".ico", ".icns", ".sgi", ".dds",
)  # fmt: skip
# What cameras and scanners use of 16 bits.
_DEPTHS = (8, 10, 12, 14, 16)
_MOST_NAMED = 10
# Bytes of each end of a file that tell it from others; of formats that keep their length whatever
# is changed, all bytes do.
_END = 1024
_UNCOMPRESSED = ("BMP", "DIB", "PPM", "TIFF", "TGA", "SGI", "PCX", "ICO", "ICNS", "DDS")


class ImageFiles:
    """The images of some files, read when they are asked for: a source of `LazyImages`.

    They are grey if all of them are, else RGB. To begin with, the head of each file is read, and
    of those of 16 bits all; a file is read again where it still is what it was then.

    Args:
        paths: the files, as text.
        bits: how many bits those of 16 bits use; None: the fewest of 8, 10, 12, 14 and 16 that hold
            the brightest pixel of all.
        where: what errors call them; the folder that they are in.

    Attributes:
        notes: sentences on what was chosen, for the user.
        shape: (height, width, channels), None where images differ.
        two_shapes: those of two images that differ, where any do.
        bytes: of all pixels.

    Raises:
        ValueError: `bits` that do not hold the images; where images are read, files that cannot
            be, ten of them by name, or that have changed.
    """

    def __init__(self, paths, bits=None, where=""):
        self._paths, self.where, self.notes = paths, where, []
        # Of each file: height and width, and what `_facts` says.
        self._sizes = np.zeros((len(paths), 2), np.int32)
        self._facts = np.zeros((len(paths), 2), np.int64)
        grey, several, cut, deep, self._damaged = True, 0, [], [], []
        for row, found in enumerate(ordered(_look, paths)):
            if found is None:
                self._damaged.append(row)
                continue
            self._sizes[row], self._facts[row] = found.size, found.facts
            grey &= found.grey
            several += found.several
            if found.level is not None:
                deep.append((found.level, paths[row]))
                cut += [paths[row]] * found.cut
        self._mode, self._bits = "L" if grey else "RGB", None
        self._describe()
        if several:
            self.notes.append(f"several pictures in {several} of its files: the first is read")
        if deep:
            self._bits = self._chosen(bits, *max(deep))
            if cut and self._bits < 16:
                raise UserError(
                    f"{cut[0]} has colours of 16 bits, of which {self._bits} are used and only the "
                    "upper 8 can be read: expected PNG, or 8 bits a colour"
                )
            self.notes.append(
                f"16 bits a pixel, with levels up to {max(deep)[0]}, in {len(deep)} of its files: "
                f"read as of {self._bits} bits, which {option('image_bits')} sets"
            )

    def _describe(self):
        sound = np.delete(self._sizes, self._damaged, axis=0)
        channels = 1 if self._mode == "L" else 3
        kinds, first = np.unique(sound, axis=0, return_index=True)
        kinds = kinds[np.argsort(first)][:2].tolist()  # As they are met.
        self.two_shapes = tuple((*kind, channels) for kind in kinds)
        size = kinds[0] if len(kinds) == 1 else (None, None)
        self.shape = (*size, channels)
        self.bytes = channels * int(sound.astype(np.int64).prod(axis=1).sum())

    @staticmethod
    def _chosen(bits, level, path):
        if bits is None:
            return next(depth for depth in _DEPTHS if level < 2**depth)
        if level >= 2**bits:
            raise UserError(
                f"{path} has levels up to {level}: {option('image_bits')}={bits} holds them up to "
                f"{2**bits - 1}"
            )
        return bits

    def __len__(self):
        return len(self._paths)

    def __getitem__(self, row):
        """The image [height, width, 1 or 3], uint8, of a file."""
        found = self._read(row)
        if isinstance(found, _Damage):
            raise UserError(_cannot_be_read([found]))
        return found

    def each(self, rows):
        """Yields the images of some files in turn; those that are damaged are told together."""
        damaged = []
        for found in ordered(self._read, rows):
            if isinstance(found, _Damage):
                damaged.append(found)
            else:
                yield found
        if damaged:
            raise UserError(_cannot_be_read(damaged))

    def check_heads(self):
        """Raises a ValueError where the head alone of a file shows that it cannot be read."""
        for _ in self.each(self._damaged):
            pass

    @property
    def digest(self):
        """A number that other files would hardly have.

        It is made of their names below train/ and test/, their lengths, their first and last KiB
        (of uncompressed formats of all bytes), and how they are read; not of when they were
        written, so that copies are the same.
        """
        names = (str(pathlib.Path(path).relative_to(self.where)) for path in self._paths)
        names = "\n".join(name.partition(os.sep)[2] for name in names)
        # Of names that are no text, the bytes that the disk has.
        how = os.fsencode(f"{names}\n{self._mode} {self._bits}")
        return digest((np.frombuffer(how, np.uint8), self._facts))

    def _read(self, row):
        """The image of a file, or a `_Damage`."""
        from PIL import UnidentifiedImageError

        path = self._paths[row]
        try:
            return self._pixels(row, path)
        # Pillow and TensorFlow pass on what their decoders raise.
        except Exception as error:
            reason = getattr(error, "strerror", None) or one_line(error)
            if isinstance(error, UnidentifiedImageError):  # Which would name the path again.
                reason = "cut short, or another kind of file"
            return _Damage(path, reason)

    def _pixels(self, row, path):
        from PIL import ImageOps

        with _opened(path) as (file, image):
            known, now = self._facts[row], _facts(file, image.format)
            if known.any() and tuple(known) != now:
                raise ValueError("it has changed since it was found")
            if _is_deep(image):
                pixels = (_levels(image, path) >> (self._bits - 8)).astype(np.uint8)
                return (
                    pixels if self._mode == "L" else np.broadcast_to(pixels, (*pixels.shape[:2], 3))
                )
            image = ImageOps.exif_transpose(image)
            if image.mode == "F":
                raise ValueError("its pixels are no integers")
            if "A" in image.mode or "transparency" in image.info:
                image = image.convert("RGBA")  # A palette may be what is transparent.
            pixels = np.asarray(image.convert(self._mode))
        return pixels if pixels.ndim == 3 else pixels[..., None]


class _Damage(typing.NamedTuple):
    """A file that cannot be read, and why."""

    path: str
    reason: str


class _Look(typing.NamedTuple):
    """What the head of a file says."""

    size: tuple  # (height, width), turned as its camera noted.
    facts: tuple
    grey: bool
    several: bool
    level: int | None  # The brightest, of 16 bits.
    cut: bool


def _look(path):
    """A `_Look` at a file, or None where it cannot be opened: reading it will say why."""
    from PIL import ExifTags, Image

    try:
        with _opened(path) as (file, image):
            # Without what Pillow would add to it: for PNG it would read all pixels.
            turned = Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
            deep = _is_deep(image)
            return _Look(
                size=image.size if turned else image.size[::-1],
                grey=image.mode in ("1", "L", "LA") or image.mode.startswith("I"),
                # The second picture of a photograph is no other one.
                several=image.format != "MPO" and getattr(image, "n_frames", 1) > 1,
                cut=deep and _is_cut(image),
                facts=_facts(file, image.format),
                level=int(_levels(image, path).max()) if deep else None,
            )
    except Exception:
        return None


def _facts(file, kind):
    """(bytes, a sum of the ends, or of all) of a file; not when, for to be written is no change."""
    size = os.fstat(file.fileno()).st_size
    told = os.pread(file.fileno(), size if kind in _UNCOMPRESSED else _END, 0)
    told += os.pread(file.fileno(), _END, max(0, size - _END))
    return size, zlib.crc32(told)


@contextlib.contextmanager
def _opened(path):
    """(the file, Pillow's image of it), which is not decoded yet."""
    from PIL import Image

    with (
        warnings.catch_warnings(action="ignore"),
        open(path, "rb") as file,
        Image.open(file) as image,
    ):
        yield file, image


def _is_deep(image):
    """Whether an image that is not loaded yet has 16 bits, of which Pillow may keep the upper 8."""
    return image.mode.startswith("I") or bool(re.search(";16[BLN]", str(image.tile)))


def _is_cut(image):
    return not image.mode.startswith("I") and image.format != "PNG"


def _levels(image, path):
    """Pixels of 16 bits, [height, width, 1 or 3], uint16."""
    import tensorflow as tf
    from PIL import ExifTags, ImageOps

    if not image.mode.startswith("I") and image.format == "PNG":
        levels = tf.io.decode_png(pathlib.Path(path).read_bytes(), dtype=tf.uint16).numpy()
        image.load()  # What its camera noted may follow the pixels.
        levels = _turned(levels, image.getexif().get(ExifTags.Base.Orientation, 1))
        return levels[..., : levels.shape[-1] - 1 + levels.shape[-1] % 2]  # Without transparency.
    if _is_cut(image):
        return np.asarray(image.convert("RGB"), np.uint16) << 8
    levels = np.asarray(ImageOps.exif_transpose(image))[..., None]
    if levels.min() < 0 or levels.max() > 65535:
        raise ValueError(f"it has levels from {levels.min()} to {levels.max()}, not 0 to 65535")
    return levels.astype(np.uint16)


def _turned(pixels, orientation):
    """`pixels` [height, width, …] as Pillow's `exif_transpose` turns an image."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    rows = -1 if orientation in (3, 4, 7, 8) else 1
    columns = -1 if orientation in (2, 3, 6, 7) else 1
    return pixels[::rows, ::columns]


def _cannot_be_read(damaged):
    if len(damaged) == 1:
        ((path, reason),) = damaged
        return (
            f"{path} cannot be read as an image ({reason}): mend it, or take it out of the folder"
        )
    named = ", ".join(f"{path} ({reason})" for path, reason in damaged[:_MOST_NAMED])
    more = f", and {len(damaged) - _MOST_NAMED} more" * (len(damaged) > _MOST_NAMED)
    return (
        f"{len(damaged)} files cannot be read as images: {named}{more}: mend them, or take them "
        "out of the folder"
    )
