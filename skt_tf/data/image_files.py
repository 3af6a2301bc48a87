"""Files of images → pixels of uint8, as Pillow reads them; of 16 bits none is cut off."""

import contextlib
import re
import warnings

import numpy as np

from skt_tf.utils.errors import UserError, one_line, option

ENDINGS = (
    ".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".pgm", ".ppm",
    ".pbm", ".pnm", ".tga", ".jp2", ".avif", ".jpe", ".apng", ".dib", ".j2k", ".jpx", ".jpf",
    ".pcx", ".ico", ".icns", ".sgi", ".dds",
)  # fmt: skip
# What cameras and scanners use of 16 bits.
_DEPTHS = (8, 10, 12, 14, 16)
_MOST_NAMED = 10


class ImageFiles:
    """The images of some files, one after the other, grey if all of them are, else RGB.

    Args:
        paths: the files.
        bits: how many bits those of 16 bits use; None: the fewest of 8, 10, 12, 14 and 16 that hold
            the brightest pixel of all.

    Attributes:
        notes: sentences on what was chosen, for the user.

    Raises:
        ValueError: `bits` that do not hold the images; where they are gone through, all files that
            cannot be read, ten of them by name.
    """

    def __init__(self, paths, bits=None):
        self._paths, self.notes = paths, []
        grey, several, cut, deep = True, 0, [], []
        for path in paths:
            try:
                with _opened(path) as image:
                    grey &= image.mode in ("1", "L", "LA") or image.mode.startswith("I")
                    # The second picture of a photograph is no other one.
                    several += image.format != "MPO" and getattr(image, "n_frames", 1) > 1
                    if _is_deep(image):
                        deep.append((int(_levels(image, path).max()), path))
                        cut += [path] * _is_cut(image)
            except Exception:
                continue  # Told by `__iter__`, with all others.
        self._mode = "L" if grey else "RGB"
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

    def __iter__(self):
        """Yields each image, [height, width, 1 or 3], uint8."""
        from PIL import UnidentifiedImageError

        damaged = []
        for path in self._paths:
            try:
                image = self._pixels(path)
            # Pillow and TensorFlow pass on what their decoders raise.
            except Exception as error:
                reason = getattr(error, "strerror", None) or one_line(error)
                if isinstance(error, UnidentifiedImageError):  # Which would name the path again.
                    reason = "cut short, or another kind of file"
                damaged.append((path, reason))
            else:
                yield image
        if damaged:
            raise UserError(_cannot_be_read(damaged))

    def _pixels(self, path):
        from PIL import ImageOps

        with _opened(path) as image:
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


@contextlib.contextmanager
def _opened(path):
    from PIL import Image

    with warnings.catch_warnings(action="ignore"), Image.open(path) as image:
        yield image


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
        levels = tf.io.decode_png(path.read_bytes(), dtype=tf.uint16).numpy()
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
