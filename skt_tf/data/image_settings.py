"""The settings that decide which images a command works on. Nothing here loads TensorFlow."""

import dataclasses

from skt_tf.data.images import BITS, CROPS, image_size
from skt_tf.utils.fields import NATURAL, setting


@dataclasses.dataclass(frozen=True)
class ImageSettings:
    """What `load_dataset` loads for a command; each field is the flag of the same name."""

    dataset: str = setting(
        "cifar10",
        "Images to train and test on: digits (built in); folder, for images in train/<class>/… "
        "and test/<class>/… of --data_dir; or a name of TensorFlow Datasets, such as cifar10",
    )
    data_dir: str | None = setting(
        None, "Folder of the images, or of TensorFlow Datasets; its own default if not given"
    )
    image_size: str | None = setting(
        None,
        "Size that all images are brought to, such as 32, or 32x48 for height and width; theirs, "
        "which must be one, if not given",
    )
    image_bits: int | None = setting(
        None,
        "Bits that images of 16 bits in a folder use, such as 12; the fewest of 8, 10, 12, 14 and "
        "16 that hold all of them if not given",
        limits=BITS,
    )
    mirror: bool | None = setting(
        None,
        "Mirror training images at random; those of CIFAR and of --crop=resized if not given",
    )
    crop: str = setting(
        "pad",
        "Training images padded by an eighth of their size and cropped at random, or as they are; "
        "or, for photographs of any sizes, random parts of them brought to --image_size, tested on "
        "the middle",
        CROPS,
    )
    stream: bool | None = setting(
        None,
        "Read images from the disk as they are drawn, not into memory; where they need more than a "
        "third of the memory that is free if not given",
    )
    validation: int = setting(
        0,
        "Training images, of each class its share, that are held out for choosing by: curves show "
        "them instead of the test images",
        limits=NATURAL,
    )

    @property
    def size(self):
        """(height, width) of --image_size, or None."""
        return image_size(self.image_size)

    @property
    def images(self):
        """What `load_dataset` is to load."""
        return (
            self.dataset, self.data_dir, self.size, self.mirror, self.crop, self.image_bits,
            self.stream,
        )  # fmt: skip
