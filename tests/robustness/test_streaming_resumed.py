"""Runs that are killed, and go on streaming or not, end with the bytes of one in memory."""

import signal
import time

import pytest
import tensorflow as tf
from command_line import SLOW, copied, ran, tiny, without_times
from image_folders import write
from prepared import draw, prepare
from sentences import is_one_sentence

RUN = tiny(
    dataset="folder", data_dir="images", student_depth=8, teacher_steps=12, transfer_steps=8,
    task_steps=6, batch_size=8, methods="fsp", evaluations=3,
)  # fmt: skip


def prepared(folder):
    """JPEGs of TensorFlow Datasets, in three files."""
    shape = (20, 28, 3)
    kinds = {"name": "drawn", "shape": shape, "files": 3, "encode": tf.io.encode_jpeg}
    prepare(folder, draw(32, shape), draw(16, shape), **kinds)


# What writes their images, their flags, and the signals that end them one after another.
KINDS = {
    "padded": (write, ("--image_size=16", "--validation=6"), (signal.SIGTERM, signal.SIGKILL)),
    "resized crops": (
        prepared, ("--dataset=drawn", "--image_size=16", "--crop=resized", "--target_views=2"),
        (signal.SIGTERM, signal.SIGKILL),
    ),
}  # fmt: skip


def saved(cwd):
    return set(cwd.glob("run/**/checkpoints/[0-9]*"))


@pytest.fixture(
    scope="module",
    # Of resized crops, tests/unit/data compares the batches.
    params=["padded", pytest.param("resized crops", marks=SLOW)],
)
def reference(request, tmp_path_factory):
    """(what writes images, flags, folder of an undisturbed run in memory, signals for another)."""
    cwd = tmp_path_factory.mktemp("reference")
    written, more, signals = KINDS[request.param]
    written(cwd / "images")
    flags = (*RUN, *more, "--checkpoint_every=2")
    ran(*flags, "--nostream", cwd=cwd)
    return written, flags, cwd, signals


def test_a_killed_run_goes_on_exactly_streaming_or_not(reference, tmp_path):
    written, flags, there, signals = reference
    written(tmp_path / "images")
    # Whether images stream is not what a run is.
    for number, streams in zip(signals, ("--nostream", "--stream")):
        process = copied((*flags, streams), tmp_path)
        # Once it has gone on, and has saved something more.
        before = saved(tmp_path)
        while not saved(tmp_path) - before and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(number)
        ended = -number if number == signal.SIGKILL else 128 + number
        assert process.wait(300) == ended, (tmp_path / "stderr").read_text()
        assert saved(tmp_path)
    done = ran(*flags, "--stream", cwd=tmp_path)
    assert "stream from the disk, as --stream says" in done.stdout
    assert without_times(tmp_path / "run") == without_times(there / "run")


@pytest.mark.parametrize("reference", ["padded"], indirect=True)
def test_images_that_stream_confirm_what_those_in_memory_gave(reference):
    cwd = reference[2]
    done = ran("--job=verify", "--output_dir=run", "--data_dir=images", "--stream", cwd=cwd)
    assert "all confirmed" in done.stdout


def test_a_file_that_goes_while_a_run_trains_ends_it_with_a_sentence(tmp_path):
    write(tmp_path / "images", sizes=((16, 16),))
    flags = (*RUN, "--stream", "--crop=none", "--teacher_steps=100000", "--evaluations=1000")
    process = copied(flags, tmp_path)
    while "Epoch 2/" not in (tmp_path / "stdout").read_text():
        assert process.poll() is None, (tmp_path / "stderr").read_text()
        time.sleep(0.05)
    (tmp_path / "images/train/dark/05.jpg").unlink()
    assert process.wait(300) == 2
    said = (tmp_path / "stderr").read_text()
    assert is_one_sentence(said)
    assert "images/train/dark/05.jpg cannot be read as an image (No such file" in said
