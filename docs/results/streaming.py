"""Data larger than memory: what streaming costs, and how little memory it takes.

    python -m docs.results.streaming [--images=50000] [--batches=300]

Makes JPEGs of 224×224 in a temporary folder, a photograph's worth of detail in each, and a dataset
of TensorFlow Datasets of the same files; loads both as they stream, and draws batches. Each
measurement is a process of its own, whose peak of memory is the kernel's. Then the training step of
a MobileNetV3Small student, alone and on the batches. Prints a table, with the processor's name.
"""

import argparse
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import time

import numpy as np
from PIL import Image

SIZE, CLASSES, BATCH, DRAWN = 224, 10, 64, 512
TEST = 1000
KINDS = {
    "folder": ("folder", {}),
    "folder, resized crops": ("folder", {"crop": "resized", "image_size": SIZE}),
    "TensorFlow Datasets": ("drawn", {}),
    "TensorFlow Datasets, resized crops": ("drawn", {"crop": "resized", "image_size": SIZE}),
}


def pictures():
    """`DRAWN` encoded JPEGs: gradients, shapes of several sizes, and noise."""
    random, found = np.random.default_rng(0), []
    rows, columns = np.mgrid[:SIZE, :SIZE] / SIZE
    for _ in range(DRAWN):
        image = np.zeros((SIZE, SIZE, 3))
        for scale in (4, 14, 56):
            small = Image.fromarray(random.integers(0, 256, (scale, scale, 3), np.uint8))
            image += np.asarray(small.resize((SIZE, SIZE), Image.Resampling.BICUBIC)) / 3
        image += 40 * (rows + columns)[..., None] * random.normal(size=3)
        image += random.normal(0, 6, image.shape)
        with tempfile.SpooledTemporaryFile() as file:
            Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
            file.seek(0)
            found.append(file.read())
    return found


def write(place, number):
    """Folders of classes and a prepared dataset of the same files; their bytes on average.

    What is drawn repeats, but each file is one of its own.
    """
    drawn, total = pictures(), 0
    for part, images in (("train", number), ("test", TEST)):
        for k in range(images):
            path = place / "images" / part / f"class{k % CLASSES}" / f"{k:07}.jpg"
            if k < CLASSES:
                path.parent.mkdir(parents=True)
            path.write_bytes(drawn[k % DRAWN])
            total += len(drawn[k % DRAWN])
    prepare(place / "prepared", place / "images")
    return total / (number + TEST)


def prepare(folder, images):
    """Prepares the images of a folder as TensorFlow Datasets does, in tfrecord files."""
    import tensorflow_datasets as tfds

    tfds.disable_progress_bar()

    class Drawn(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")
        pkg_dir_path = folder
        name = "drawn"

        def _info(self):
            kinds = {
                "image": tfds.features.Image(shape=(SIZE, SIZE, 3), encoding_format="jpeg"),
                "label": tfds.features.ClassLabel(num_classes=CLASSES),
            }
            features = tfds.features.FeaturesDict(kinds)
            return tfds.core.DatasetInfo(builder=self, features=features)

        def _split_generators(self, manager):
            return {part: self._generate_examples(part) for part in ("train", "test")}

        def _generate_examples(self, part):
            for path in sorted((images / part).rglob("*.jpg")):
                yield path.name, {"image": path, "label": int(path.parent.name[-1])}

    Drawn(data_dir=folder).download_and_prepare()


def measure(place, kind, batches):
    """Loads a dataset and draws batches; a dict of what it took. Of a process of its own."""
    import skt_tf

    name, options = KINDS[kind]
    where = place / ("images" if name == "folder" else "prepared")
    began = time.perf_counter()
    dataset = skt_tf.load_dataset(name, where, stream=True, **options)
    loaded = time.perf_counter() - began
    began = time.perf_counter()
    dataset.mean  # noqa: B018 – the colour that is padded with, and what networks subtract.
    seen = time.perf_counter() - began
    drawn = iter(dataset.training_batches(BATCH, 0, 10**6))
    for _ in range(10):
        next(drawn)
    began = time.perf_counter()
    for _ in range(batches):
        next(drawn)
    seconds = time.perf_counter() - began
    peak = peak_memory()
    found = {"load": loaded, "mean": seen, "images/s": batches * BATCH / seconds, "peak": peak}
    if kind == "folder, resized crops":
        found |= train(dataset)
    return found


def train(dataset, steps=12):
    """Seconds of a student's step, on one batch again and again and on those that stream."""
    import keras
    import tensorflow as tf

    student = keras.Sequential(
        [
            keras.Input((SIZE, SIZE, 3)),
            keras.applications.MobileNetV3Small((SIZE, SIZE, 3), weights=None, classes=CLASSES),
        ]
    )
    student.compile("sgd", "sparse_categorical_crossentropy")

    def images_per_second(batches):
        drawn = iter(batches)
        for _ in range(3):
            student.train_on_batch(*next(drawn))
        began = time.perf_counter()
        for _ in range(steps):
            student.train_on_batch(*next(drawn))
        return steps * BATCH / (time.perf_counter() - began)

    batches = dataset.training_batches(BATCH, 0, 10**6)
    one = tf.data.Dataset.from_tensors(next(iter(batches))).repeat()
    found = {"step alone": images_per_second(one), "step streaming": images_per_second(batches)}
    found["peak with student"] = peak_memory()
    return found


def peak_memory():
    """Bytes of the largest resident set so far; of this program alone, as no `getrusage` has it."""
    status = pathlib.Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * int(re.search(r"VmHWM:\s+(\d+)", status)[1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--batches", type=int, default=300)
    parser.add_argument("--kind", help="measure this one alone, in --place")
    parser.add_argument("--place", type=pathlib.Path)
    args = parser.parse_args()
    if args.kind:
        print(json.dumps(measure(args.place, args.kind, args.batches)))
        return
    with tempfile.TemporaryDirectory() as folder:
        place = pathlib.Path(folder)
        size = write(place, args.images)
        pixels = (args.images + TEST) * SIZE * SIZE * 3 / 1e9
        from skt_tf.utils.environment import environment

        machine = environment()
        print(f"{machine['processor']}, {machine['cores']} cores")
        print(f"{args.images:,} images of {SIZE}×{SIZE}, {size / 1000:.0f} kB each as JPEG,")
        print(f"{pixels:.1f} GB as pixels; {args.batches} batches of {BATCH}\n")
        print("| source | load s | mean s | images/s | peak memory GB |\n|---|---:|---:|---:|---:|")
        rest = {}
        for kind in KINDS:
            command = [sys.executable, "-m", "docs.results.streaming", f"--kind={kind}"]
            command += [f"--place={place}", f"--batches={args.batches}"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                sys.exit(done.stderr)
            found = json.loads(done.stdout.splitlines()[-1])
            load, mean, speed, peak = (found.pop(n) for n in ("load", "mean", "images/s", "peak"))
            row = f"{load:.1f} | {mean:.1f} | {speed:,.0f} | {peak / 1e9:.2f}"
            print(f"| {kind} | {row} |", flush=True)
            rest |= found
        print(f"\nMobileNetV3Small, training: {rest['step alone']:,.0f} images/s on one batch,")
        print(f"{rest['step streaming']:,.0f} on batches that stream (resized crops, folder);")
        print(f"peak memory with it {rest['peak with student'] / 1e9:.2f} GB")


if __name__ == "__main__":
    main()
