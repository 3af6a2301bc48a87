"""Proves that a change of the code changes nothing that a user sees, byte for byte.

    python tests/robustness/unchanged.py BEFORE AFTER FOLDER

BEFORE and AFTER are checkouts; with each the same jobs are run, into FOLDER/before and
FOLDER/after, by the Python that runs this. Compared are results (times, speeds, environment and
the command aside), logs, weights and exported files. What BEFORE has saved must load in AFTER, and
a run that was begun there must go on here. Takes some ten minutes for each on two cores; what is
in FOLDER already is not run again.
"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

SMALL = (
    "--dataset=digits", "--teacher_depth=14", "--student_depth=8", "--width=4", "--batch_size=32",
    "--teacher_steps=24", "--transfer_steps=12", "--hint_steps=6", "--task_steps=12",
    "--evaluations=3",
)  # fmt: skip
FAST = tuple(flag for flag in SMALL if "student_depth" not in flag)
COMMANDS = {
    "quickstart": ("--flagfile={checkout}/flags/quickstart.flags", "--output_dir=quickstart"),
    "skt_kd": (*SMALL, "--methods=skt_kd", "--transfer_split=1,3", "--output_dir=skt_kd"),
    "fast": (
        *FAST, "--experiment=fast_optimization", "--nets=2", "--output_dir=fast",
        "--methods=teachers,baseline,teacher_copied,hint,fsp_shared,skt",
    ),
    "search": (*SMALL, "--job=tune", "--methods=skt", "--trials=2", "--output_dir=search"),
    "views": (
        *SMALL, "--methods=fsp", "--target_views=2", "--section_flows=within", "--output_dir=views",
    ),
    "held_out": (
        *SMALL, "--methods=baseline,kd", "--validation=100", "--crop=none", "--output_dir=held_out",
    ),
    "exported": (
        "--job=export", "--student=skt_kd/skt_kd/net0/student.keras", "--dataset=digits",
        "--output_dir=exported", "--export=saved_model,litert,onnx",
    ),
    "report": ("--job=report", "--output_dir=skt_kd"),
    "verify": ("--job=verify", "--output_dir=fast"),
}  # fmt: skip
# Goes on in AFTER from where it was stopped in BEFORE.
RESUMED = (*SMALL, "--methods=skt,hint", "--checkpoint_every=5", "--teacher_steps=2000")
PROGRAM = """
import keras, numpy as np, skt_tf
keras.utils.set_random_seed(0)
def network(name, channels, classes):
    x = images = keras.Input((8, 8, 1))
    for k in range(5):
        layer = keras.layers.Conv2D(channels, 3, 1 + k % 2, "same", activation="relu", name=f"c{k}")
        x = layer(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(images, keras.layers.Dense(classes)(x), name=name)
data = skt_tf.load_dataset("digits")
train = data.train_images[:512], data.train_labels[:512]
points = [f"c{k}" for k in range(5)]
teacher, student = network("teacher", 12, 10), network("student", 6, 10)
result = skt_tf.distill(
    teacher, student, train, (data.test_images, data.test_labels), "skt", transfer_steps=12,
    task_steps=12, teacher_points=points, student_points=points, project=True, batch_size=32,
    output_dir="distilled", evaluations=3, verbose=0,
)
stage, names = skt_tf.stages("fsp")[0], skt_tf.layout(None, None)
teacher = skt_tf.resnet(14, 10, (8, 8, 1), 4, seed=1)
student = skt_tf.resnet(8, 10, (8, 8, 1), 4, seed=2)
weights = skt_tf.normalized_flow_weights(teacher, skt_tf.dense_flows(), train[0])
distiller = skt_tf.SequentialDistiller(teacher, student, stage, flow_weights=weights)
distiller.compile(keras.optimizers.SGD(0.01))
distiller.fit(*train, batch_size=32, epochs=1, shuffle=False, verbose=0)
distiller.save("distiller.keras")
np.save("logits.npy", student(train[0][:32]))
"""
LOADED = """
import sys, keras, numpy as np, skt_tf
skt_tf.SequentialDistiller
images = skt_tf.load_dataset("digits").train_images[:32]
before = sys.argv[1]
distiller = keras.models.load_model(f"{before}/distiller.keras")
assert np.array_equal(distiller(images), np.load(f"{before}/logits.npy"))
keras.models.load_model(f"{before}/skt_kd/skt_kd/net0/student.keras")
"""


def main(before, after, folder):
    checkouts = {"before": pathlib.Path(before).resolve(), "after": pathlib.Path(after).resolve()}
    folder = pathlib.Path(folder).resolve()
    for name, checkout in checkouts.items():
        record(checkout, folder / name)
    run(
        [sys.executable, "-c", LOADED, str(folder / "before")], checkouts["after"], folder / "after"
    )
    crossed = folder / "crossed"
    if not crossed.exists():
        shutil.copytree(folder / "before/stopped", crossed / "resumed")
        resume(checkouts["after"], crossed)
    differing = compare(folder / "before", folder / "after")
    differing += compare(folder / "before/resumed", crossed / "resumed")
    print("\n".join(differing) or "nothing differs")
    return bool(differing)


def record(checkout, place):
    place.mkdir(parents=True, exist_ok=True)
    for name, arguments in COMMANDS.items():
        if not (place / f"{name}.txt").exists():
            words = [word.format(checkout=checkout) for word in arguments]
            said = command(words, checkout, place)
            (place / f"{name}.txt").write_text(said)
    if not (place / "logits.npy").exists():
        run([sys.executable, "-c", PROGRAM], checkout, place)
    if not (place / "stopped").exists():
        stop(checkout, place)
    if not (place / "resumed/results.json").exists():
        shutil.copytree(place / "stopped", place / "resumed", dirs_exist_ok=True)
        resume(checkout, place)


def stop(checkout, place):
    """Begins the run and stops it by a signal in the midst of its teacher's training."""
    arguments = [*RESUMED, "--output_dir=stopped"]
    words = [sys.executable, "-m", "skt_tf.main", *arguments]
    process = subprocess.Popen(words, cwd=place, env=environment(checkout))
    while not list(place.glob("stopped/teacher/checkpoints/*")):
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 128 + signal.SIGTERM
    assert not (place / "stopped/teacher/model.keras").exists()


def resume(checkout, place):
    command([*RESUMED, "--output_dir=resumed"], checkout, place)


def command(arguments, checkout, place):
    return run([sys.executable, "-m", "skt_tf.main", *arguments], checkout, place)


def environment(checkout):
    return {**os.environ, "PYTHONPATH": str(checkout), "TF_CPP_MIN_LOG_LEVEL": "3"}


def run(words, checkout, place):
    done = subprocess.run(
        words, cwd=place, env=environment(checkout), capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(
            f"{' '.join(words[:6])} in {checkout}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        )
    return done.stdout


def compare(one, other):
    """What differs between the files of two folders, a line each."""
    found = []
    paths = {path.relative_to(folder) for folder in (one, other) for path in folder.rglob("*")}
    for path in sorted(paths):
        if path.parts[0] == "stopped" or {"checkpoints", "trials"} & set(path.parts):
            continue  # When a checkpoint is written, the clock decides.
        if path.name == "distiller.keras":
            continue  # Keras notes the date in it; it is loaded and asked instead.
        if path.suffix in (".txt", ".html", ".md") or "fingerprint.pb" in path.name:
            continue  # They say times; what they are made of is compared.
        if not all((folder / path).exists() for folder in (one, other)):
            found.append(f"{path}: not on both sides")
        elif (one / path).is_file() and content(one / path) != content(other / path):
            found.append(f"{path}: differs")
    return found


ASIDE = {
    "seconds", "environment", "images_per_second", "milliseconds", "bytes",
    "message",  # A traceback, which names files of the checkout.
    "tried_so_far",  # A set.
    "settings", "augmentation",  # Which flags there are may change.
}  # fmt: skip


def content(path):
    if path.suffix == ".flags":
        return sorted(path.read_text("utf-8").splitlines())
    if path.suffix != ".json":
        return path.read_bytes()
    return without_times(json.loads(path.read_text("utf-8")))


def without_times(value):
    if isinstance(value, list):
        return [without_times(part) for part in value]
    if isinstance(value, dict):
        return {k: without_times(part) for k, part in value.items() if k not in ASIDE}
    return value


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
