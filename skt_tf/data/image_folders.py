"""Images in folders: train/<class>/*.png and test/<class>/*.jpg."""

import numpy as np

from skt_tf.data.images import gather
from skt_tf.utils.errors import UserError, one_line

_ENDINGS = (".png", ".jpg", ".jpeg")


def read(folder, image_size=None):
    """((images, labels), (images, labels), class names) of a folder of images.

    Classes are the names of the folders in train/, in their order; other files than PNG and
    JPEG, and what begins with a dot, are passed over. A photograph is turned as its camera
    noted. Images are grey if all of them are, else RGB.

    Args:
        folder: path of the folder that holds train/ and test/.
        image_size: (height, width) to bring all images to; None where they have one size.

    Raises:
        ValueError: a folder or a class without images, a test class that train/ lacks, a file
            that is damaged, or images of several sizes.
    """
    names = _classes(folder / "train")
    unknown = sorted(set(_classes(folder / "test")) - set(names))
    if unknown:
        raise UserError(
            f"{folder / 'test' / unknown[0]} is a class that {folder / 'train'} lacks: expected "
            f"some of {', '.join(names[:8])}" + ", …" * (len(names) > 8)
        )
    files = {part: _files(folder / part, names) for part in ("train", "test")}
    grey = all(_is_grey(path) for paths, _ in files.values() for path in paths)
    paths = [path for paths, _ in files.values() for path in paths]
    images = (_image(path, "L" if grey else "RGB") for path in paths)
    images = gather(images, len(paths), image_size, str(folder))
    train, test = (labels for _, labels in files.values())
    # A copy, so that the training images need not stay where some of them are held out.
    return (images[: len(train)], train), (images[len(train) :].copy(), test), names


def _classes(folder):
    if not folder.is_dir():
        raise UserError(
            f"{folder} is no folder: expected {folder.name}/<class>/*.png or *.jpg, a folder for "
            "each class"
        )
    names = sorted(
        path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")
    )
    if not names:
        raise UserError(f"{folder} has no folders: expected one for each class, with images in it")
    return names


def _files(folder, names):
    """(paths, labels) of all images of a part, class after class."""
    paths, labels = [], []
    for number, name in enumerate(names):
        found = sorted(
            path
            for path in (folder / name).glob("*")
            if path.suffix.lower() in _ENDINGS and not path.name.startswith(".")
        )
        # A class that is never tested is no mistake; one that is never trained on is.
        if not found and folder.name == "train":
            raise UserError(
                f"{folder / name} has no images: expected files that end in {', '.join(_ENDINGS)}"
            )
        paths += found
        labels += [number] * len(found)
    if not paths:
        raise UserError(f"{folder} has no images: expected files that end in {', '.join(_ENDINGS)}")
    return paths, np.array(labels, np.int32)


def _is_grey(path):
    with _opened(path) as image:
        return image.mode in ("1", "L", "LA", "I;16", "I")


def _image(path, mode):
    from PIL import ImageOps

    with _opened(path) as image:
        try:
            image = ImageOps.exif_transpose(image)
            if image.mode.startswith("I"):  # 16 bits, which Pillow would cut off at 255.
                grey = np.asarray(image, np.uint32) >> 8
                image = np.clip(grey, 0, 255).astype(np.uint8)
                return np.stack([image] * len(mode), axis=-1)
            if "A" in image.mode or "transparency" in image.info:
                image = image.convert("RGBA")  # A palette may be what is transparent.
            pixels = np.asarray(image.convert(mode))
        # Pillow passes on what its decoders raise.
        except Exception as error:
            raise _damaged(path, error) from error
    return pixels if pixels.ndim == 3 else pixels[..., None]


def _opened(path):
    from PIL import Image

    try:
        return Image.open(path)
    except Exception as error:
        raise _damaged(path, error) from error


def _damaged(path, error):
    return UserError(
        f"{path} cannot be read as an image ({one_line(error)}): mend it, or take it out of the "
        "folder"
    )
