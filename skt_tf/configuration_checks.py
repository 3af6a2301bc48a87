"""What a command must be, beyond the settings of its trainings: what may stand together.

Each refusal is one sentence that names the flag.
"""

import dataclasses
import os
import re

from skt_tf.experiments.chosen_networks import check_networks
from skt_tf.exporting.formats import FORMATS, check_formats, check_license
from skt_tf.methods.catalogue import ONE_START, TEACHERS, transfers
from skt_tf.training.setting_checks import check_optimizer
from skt_tf.tuning.search_space import searchable
from skt_tf.utils.errors import UserError
from skt_tf.utils.fields import check_fields
from skt_tf.utils.user_modules import check_names

_IMAGES = {"dataset", "data_dir", "image_size", "image_bits", "crop", "stream"}
# What a job reads; of those that train, what they do not.
_READ = {
    "export": {
        *_IMAGES, "student", "export", "input_dtype", "labels", "license", "deterministic",
        "import_modules",
    },
    "benchmark": {
        *_IMAGES, "methods", "mirror", "seed", "batch_size", "teacher_network", "student_network",
        "teacher_depth", "student_depth", "width", "precision", "teacher_precision",
        "weight_decay", "jit_compile", "target_views", "dense_flows", "section_flows", "sections",
        "compare", "peers", "deterministic",
    },
    "verify": {"data_dir", "stream", "deterministic", "import_modules"},
    "report": {"runs"},
}  # fmt: skip
_UNREAD = {
    "experiment": {"tuner", "trials", "input_dtype"},
    "tune": {"nets", "tensorboard", "distribution", "experiment", "input_dtype", "target_views"},
}
# Where a job writes if nothing is given; the others read the folder of a finished run.
FOLDERS = {
    "experiment": "runs/{experiment}_{dataset}", "tune": "runs/tune_{dataset}",
    "export": "runs/export", "benchmark": "runs/benchmark",
}  # fmt: skip


def reads(job, fields):
    """The names of those of `fields`, of a `Config`, that have an effect in a job."""
    names = {f.name for f in fields if job in (f.metadata["jobs"] or (job,))}
    if job in _UNREAD:
        return names - _UNREAD[job]
    return names & {"job", "output_dir", *_READ[job]}


def unread(config):
    """The names of the fields that have no effect in the job of `config`."""
    fields = dataclasses.fields(config)
    read = reads(config.job, fields)
    if config.job == "export" and config.export == FORMATS[:1]:
        read -= _IMAGES - {"data_dir"}  # There are no files to compare by them.
    return [field.name for field in fields if field.name not in read]


def check_values(config):
    """Raises a ValueError where a flag has a value that is never possible, or lacks another."""
    if config.job == "export" and config.export:
        check_formats(config.export, config.input_dtype)
    check_license(config.license)
    check_fields(config)
    for kind, number in config.iterations.items():
        if number >= 2**30:
            raise UserError(
                f"--{kind}_steps={getattr(config, kind + '_steps')} with "
                f"--budget={config.budget:g} makes {number} iterations: expected fewer than 2³⁰"
            )
    if config.seed + config.nets > 2**30:  # Those of teachers lie 2³⁰ further on.
        raise UserError(
            f"--seed={config.seed} with --nets={config.nets} makes seeds of 2³⁰ and more: expected "
            "smaller ones"
        )
    for side in ("teacher", "student") if config.job != "report" else ():
        if getattr(config, f"{side}_points") and not getattr(config, side):
            raise UserError(
                f"--{side}_points names layers of the network that --{side} gives: give both"
            )


def check(config):
    """Raises a ValueError where the flags of a `Config` do not go together."""
    _check_images(config)
    check_networks(config)
    _check_methods(config)
    _check_job(config)
    _check_fresh(config)


def _check_images(config):
    # A name of TensorFlow Datasets, with a configuration or a version.
    if not re.fullmatch(r"\w[\w./:-]{0,199}", config.dataset):
        raise UserError(
            f"--dataset={config.dataset} is not understood: expected digits, folder, or a name of "
            "TensorFlow Datasets, such as cifar10"
        )
    if config.image_size is not None and not (
        re.fullmatch(r"[1-9][0-9]{0,4}(x[1-9][0-9]{0,4})?", config.image_size)
        and min(config.size) >= 4
        and max(config.size) <= 8192
    ):
        raise UserError(
            f"--image_size={config.image_size} is not understood: expected pixels from 4 to 8192, "
            "such as 32, or 32x48 for height and width"
        )
    if config.crop == "resized" and config.image_size is None:
        raise UserError("--crop=resized needs --image_size, the pixels of a crop, such as 224")
    if config.stream and config.dataset == "digits":
        raise UserError("--stream: digits are built in and lie in memory, so leave it out")


def _check_methods(config):
    controls = [method for method in config.methods if method in ONE_START]
    if controls and config.job == "tune":
        raise UserError(
            f"--methods={','.join(config.methods)} is a control of several nets that begin with "
            "the same weights: --job=tune trains one net a trial, so give another method"
        )
    if controls and config.experiment != "fast_optimization":
        raise UserError(
            f"--methods={','.join(config.methods)}: the nets of {', '.join(controls)} begin their "
            "task with the same weights, as a control of fast optimization: give "
            "--experiment=fast_optimization, or other methods"
        )
    for method in config.methods if config.target_views else ():
        for stage in transfers(config.stages(method)):
            if stage.objective != "transfer":
                raise UserError(
                    f"--target_views={config.target_views} keeps targets for stages of 'flows' or "
                    f"'dense' alone, without a weight: leave it out, or '{stage}' of {method}"
                )
    if config.teacher and TEACHERS in config.methods:
        raise UserError(
            f"--methods={','.join(config.methods)} trains teachers beside "
            f"--teacher={config.teacher}: leave out one of them"
        )


def _check_job(config):
    check_optimizer(config.optimizer)
    trains = config.job in ("experiment", "tune", "benchmark")
    if config.jit_compile and config.deterministic and trains:
        raise UserError(
            "--jit_compile compiles nothing where operations are deterministic: give "
            "--nodeterministic beside it, or leave it out"
        )
    if config.import_modules is not None:
        check_names(config.import_modules)
    if config.job == "export" and not config.student:
        raise UserError("--job=export needs --student, the path of a saved student (.keras or .h5)")
    if config.export and len(set(config.export)) < len(config.export):
        raise UserError(f"--export={','.join(config.export)} names a format twice")
    if config.job in ("verify", "report") and not (config.output_dir or config.runs):
        raise UserError(f"--job={config.job} needs --output_dir, the folder of a finished run")
    for field in dataclasses.fields(config):
        jobs = field.metadata["jobs"]
        if jobs and getattr(config, field.name) and config.job not in jobs:
            raise UserError(
                f"--{field.name} is for --job={' or '.join(jobs)}: leave it out of "
                f"--job={config.job}"
            )
    if config.job != "experiment" and config.distribution in ("mirrored", "multi_worker"):
        raise UserError(
            f"--job={config.job} uses one device: leave out --distribution={config.distribution}"
        )
    if config.job == "tune":
        _check_search(config)


def _check_search(config):
    if len(config.methods) != 1:
        raise UserError(
            f"--methods={','.join(config.methods)}: expected one method for --job=tune to search "
            "the values of"
        )
    possible = searchable(config)
    if not possible:
        raise UserError(
            f"--methods={config.methods[0]} uses nothing that --job=tune searches: give another"
        )
    if config.target_views:
        raise UserError("--target_views keeps a file for one run: leave it out of --job=tune")
    if config.experiment != "minimization":
        raise UserError(
            f"--experiment={config.experiment} is a table of methods: leave it out of --job=tune, "
            "which trains one"
        )
    for name in config.tune if config.tune is not None else possible:
        if name not in possible:
            raise UserError(
                f"--tune={name} is nothing that {config.methods[0]} uses: expected some of "
                f"{', '.join(possible)}"
            )


def _check_fresh(config):
    """Raises a ValueError where --fresh would move away what the new run is to read."""
    output = os.path.realpath(config.output_dir)
    for name in ("teacher", "student", "data_dir") if config.fresh else ():
        path = getattr(config, name)
        if path and os.path.commonpath([output, os.path.realpath(path)]) == output:
            raise UserError(
                f"--{name}={path} lies in --output_dir={config.output_dir}, which --fresh gives "
                "another name: give another --output_dir"
            )
