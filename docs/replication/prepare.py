"""Packs a dataset into a few files that Pillow alone can read: lossless WebP, 100 images a strip.

    python -m docs.replication.prepare cifar10 [--out=parts] [--parts=4] [--data_dir=…]

The pixels and labels are those of TensorFlow Datasets, the order is by class, which packs best.
"""

import argparse
import concurrent.futures
import io
import pathlib

import numpy as np
from PIL import Image

from skt_tf.data.datasets import load_dataset

STRIP = 100


def packed(images):
    """An image of all images, one below the other, as the bytes of a lossless WebP."""
    file = io.BytesIO()
    strip = Image.fromarray(images.reshape(-1, *images.shape[2:]))
    strip.save(file, "WEBP", lossless=True, quality=75, method=4)
    return np.frombuffer(file.getvalue(), np.uint8)


def pack(images, labels, number):
    """`number` parts of (blob, lengths of the strips, labels)."""
    order = np.argsort(labels, kind="stable")
    images, labels = images[order], labels[order]
    starts = range(0, len(images), STRIP)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        strips = list(pool.map(packed, [images[k : k + STRIP] for k in starts]))
    for chosen in np.array_split(np.arange(len(strips)), number):
        blobs = [strips[k] for k in chosen]
        kept = [labels[k * STRIP : (k + 1) * STRIP] for k in chosen]
        yield np.concatenate(blobs), np.array([len(blob) for blob in blobs]), np.concatenate(kept)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", choices=["cifar10", "cifar100"])
    parser.add_argument("--out", type=pathlib.Path, default="parts")
    parser.add_argument("--parts", type=int, default=4)
    parser.add_argument("--data_dir")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    data = load_dataset(args.dataset, args.data_dir)
    train = pack(data.train_images, data.train_labels, args.parts)
    test = pack(data.test_images, data.test_labels, args.parts)
    for k, split in enumerate(zip(train, test)):
        arrays = {
            f"{name}_{kind}": array
            for name, of_name in zip(("train", "test"), split)
            for kind, array in zip(("blob", "lengths", "labels"), of_name)
        }
        path = args.out / f"{args.dataset}.{k}.npz"
        np.savez(path, parts=args.parts, **arrays)
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
