"""Runs whose images stream end with the same bytes, killed or not, and as those in memory."""

import signal
import time

import pytest
from command_line import copied, ran, snapshot, tiny, without_times
from image_folders import write
from sentences import is_one_sentence

RUN = tiny(
    dataset="folder", data_dir="images", student_depth=8, teacher_steps=12, transfer_steps=8,
    task_steps=6, batch_size=8, methods="skt", evaluations=3,
)  # fmt: skip
# Their flags, and the signals that end them one after another.
KINDS = {
    "padded": (("--image_size=16", "--validation=6"), (signal.SIGKILL, signal.SIGTERM)),
    "resized crops": (
        ("--image_size=16", "--crop=resized", "--target_views=2"), (signal.SIGTERM, signal.SIGKILL),
    ),
}  # fmt: skip


def saved(cwd):
    return set(cwd.glob("run/**/checkpoints/[0-9]*"))


def networks(cwd):
    return {name: b for name, b in snapshot(cwd / "run").items() if name.endswith(".keras")}


@pytest.fixture(scope="module", params=KINDS)
def reference(request, tmp_path_factory):
    """(flags, folder of a run that nobody disturbed, signals for another)."""
    cwd = tmp_path_factory.mktemp("reference")
    write(cwd / "images")
    more, signals = KINDS[request.param]
    flags = (*RUN, *more, "--checkpoint_every=2")
    done = ran(*flags, "--stream", cwd=cwd)
    assert "stream from the disk, as --stream says" in done.stdout
    return flags, cwd, signals


def test_a_killed_run_goes_on_exactly_streaming_or_not(reference, tmp_path):
    flags, there, signals = reference
    write(tmp_path / "images")
    for number in signals:
        process = copied((*flags, "--stream"), tmp_path)
        # Once it has gone on, and has saved something more.
        before = saved(tmp_path)
        while not saved(tmp_path) - before and process.poll() is None:
            time.sleep(0.02)
        if process.poll() is None:
            process.send_signal(number)
        process.wait(300)
    # Whether images stream is not what a run is.
    ran(*flags, "--nostream", cwd=tmp_path)
    assert without_times(tmp_path / "run") == without_times(there / "run")


# Of resized crops, tests/unit/data compares the batches.
@pytest.mark.parametrize("reference", ["padded"], indirect=True)
def test_networks_are_those_of_images_in_memory(reference, tmp_path):
    flags, there, _ = reference
    write(tmp_path / "images")
    ran(*flags, "--nostream", cwd=tmp_path)
    assert networks(tmp_path) == networks(there)
    done = ran("--job=verify", "--output_dir=run", "--data_dir=images", "--stream", cwd=tmp_path)
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
