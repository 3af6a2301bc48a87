"""What a configuration must be: every check of a flag's value, each refusal in one sentence."""

import dataclasses
import itertools
import math
import os
import re
from fractions import Fraction

from skt_tf.errors import UserError
from skt_tf.methods import ONE_START, TEACHERS, stage_steps
from skt_tf.points import SECTIONS, check_depth, flow_name
from skt_tf.space import searchable


def check(config):
    """Raises a ValueError where the values of a `Config` are not possible."""
    _check_choices(config)
    _check_numbers(config)
    _check_images(config)
    _check_points(config)
    _check_networks_and_methods(config)
    _check_flow_weights(config)
    _check_job(config)


def check_fresh(config):
    """Raises a ValueError where --fresh would move away what the new run is to read."""
    output = os.path.realpath(config.output_dir)
    for name in ("teacher", "student", "data_dir") if config.fresh else ():
        path = getattr(config, name)
        if path and os.path.commonpath([output, os.path.realpath(path)]) == output:
            raise UserError(
                f"--{name}={path} lies in --output_dir={config.output_dir}, which --fresh gives "
                "another name: give another --output_dir"
            )


def _check_choices(config):
    for field in dataclasses.fields(config):
        choices, value = field.metadata["choices"], getattr(config, field.name)
        if choices and value == ():
            raise UserError(f"--{field.name} is empty: expected some of {', '.join(choices)}")
        for one in value if isinstance(value, tuple) else (value,):
            if choices and one is not None and one not in choices:
                raise UserError(
                    f"--{field.name}={one} is unknown: expected "
                    f"{'some' if isinstance(value, tuple) else 'one'} of {', '.join(choices)}"
                )


def _check_job(config):
    if config.job == "export" and not config.student:
        raise UserError("--job=export needs --student, the path of a saved student (.keras)")
    if config.export and len(set(config.export)) < len(config.export):
        raise UserError(f"--export={','.join(config.export)} names a format twice")
    if config.job in ("verify", "report") and not (config.output_dir or config.runs):
        raise UserError(f"--job={config.job} needs --output_dir, the folder of a finished run")
    wanted = {
        "student": ("experiment", "export", "tune"),
        "export": ("export",),
        "compare": ("benchmark",),
        "runs": ("report",),
        "teacher": ("experiment", "tune"),
        "fresh": ("experiment", "tune"),
        "tune": ("tune",),
        "project": ("experiment", "tune"),
    }
    for name, jobs in wanted.items():
        if getattr(config, name) and config.job not in jobs:
            raise UserError(
                f"--{name} is for --job={' or '.join(jobs)}: leave it out of --job={config.job}"
            )
    if config.job != "experiment" and config.distribution in ("mirrored", "multi_worker"):
        raise UserError(
            f"--job={config.job} uses one device: leave out --distribution={config.distribution}"
        )
    if config.job == "tune":
        _check_search(config)
    if not re.fullmatch(r"[1-9][0-9]{0,8}s?", config.checkpoint_every):
        raise UserError(
            f"--checkpoint_every={config.checkpoint_every} is not understood: expected a number "
            "of iterations, such as 500, or of seconds, such as 60s"
        )


def _check_search(config):
    if len(config.methods) != 1:
        raise UserError(
            f"--methods={','.join(config.methods)}: expected one method for --job=tune to search "
            "the values of"
        )
    possible = searchable(config)
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
    if config.tune == ():
        raise UserError(f"--tune is empty: expected some of {', '.join(possible)}")


def _check_numbers(config):
    for name, most in {"width": 4096, "nets": 10_000}.items():
        if not 1 <= getattr(config, name) <= most:
            raise UserError(
                f"--{name}={getattr(config, name)} is out of range: expected 1 to {most}"
            )
    for name, least in {
        "batch_size": 1,
        "teacher_steps": 1,
        "transfer_steps": 1,
        "hint_steps": 1,
        "task_steps": 1,
        "evaluations": 1,
        "seed": 0,
        "target_views": 0,
        "trials": 1,
        "validation": 0,
    }.items():
        value = getattr(config, name)
        if not least <= value < 2**30:
            raise UserError(f"--{name}={value} is out of range: expected {least} to 2³⁰ − 1")
    for name in ("budget", "temperature", "learning_rate", "hint_learning_rate"):
        _check_positive(name, getattr(config, name))
    if config.temperature < 0.001:  # Logits divided by less leave float32.
        raise UserError(f"--temperature={config.temperature:g} is too low: expected 0.001 or more")
    for kind, number in config.iterations.items():
        if number >= 2**30:
            raise UserError(
                f"--{kind}_steps={getattr(config, kind + '_steps')} with "
                f"--budget={config.budget:g} makes {number} iterations: expected fewer than 2³⁰"
            )
    if config.transfer_learning_rate is not None:
        _check_positive("transfer_learning_rate", config.transfer_learning_rate)
    if not 0 <= config.weight_decay < 1:
        raise UserError(
            f"--weight_decay={config.weight_decay} is out of range: expected 0 or more, below 1"
        )


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


def _check_points(config):
    for side in ("teacher", "student"):
        names = getattr(config, f"{side}_points")
        if names is None:
            continue
        if not names or not all(name.strip() for name in names):
            raise UserError(
                f"--{side}_points={','.join(names)} has an empty name: expected names of layers, "
                "comma-separated"
            )
        if not getattr(config, side) and config.job != "report":
            raise UserError(
                f"--{side}_points names layers of the network that --{side} gives: give both"
            )
        if config.section_flows == "within":
            raise UserError(
                f"--section_flows=within begins flows at the first layer inside of each section, "
                f"which --{side}_points does not name: leave out one of them"
            )
    try:
        config.layout  # noqa: B018 – it is checked as it is made
    except UserError as error:
        raise UserError(f"--teacher_points, --student_points, --sections: {error}") from None
    # Networks that are given are looked at before training, whatever was named.
    if not config.student and config.job != "report" and config.layout.sections > SECTIONS:
        raise UserError(
            f"--teacher_points, --student_points, --sections: {config.layout.sections} sections, "
            f"and networks that are built here have {SECTIONS}: expected no more, or a --student "
            "of your own"
        )
    if config.student_weights == "saved" and not config.student:
        raise UserError("--student_weights=saved needs --student, the path of the saved network")


def _check_networks_and_methods(config):
    for name in ("teacher_depth", "student_depth"):
        if getattr(config, name) > 1202:  # The deepest that has been published.
            raise UserError(f"--{name}={getattr(config, name)} is too deep: expected 8 to 1202")
        try:
            check_depth(getattr(config, name))
        except UserError as error:
            raise UserError(f"--{name}: {error}") from None
    same = config.student_depth == config.teacher_depth or config.student
    if config.experiment == "fast_optimization" and not same:
        raise UserError(
            f"--student_depth={config.student_depth} differs from "
            f"--teacher_depth={config.teacher_depth}: in fast_optimization the student is as "
            "deep as the teacher, so leave it out"
        )
    controls = [method for method in config.methods if method in ONE_START]
    if controls and (config.experiment != "fast_optimization" or config.job == "tune"):
        raise UserError(
            f"--methods={','.join(config.methods)}: the nets of {', '.join(controls)} begin their "
            "task with the same weights, as a control of fast optimization: give "
            "--experiment=fast_optimization, or other methods"
        )
    if config.teacher and TEACHERS in config.methods:
        raise UserError(
            f"--methods={','.join(config.methods)} trains teachers beside "
            f"--teacher={config.teacher}: leave out one of them"
        )
    if len(set(config.methods)) < len(config.methods):
        raise UserError(f"--methods={','.join(config.methods)} names a method twice")
    for method in config.methods:
        try:
            config.unsplit_stages(method)
        except UserError as error:
            raise UserError(f"--methods={','.join(config.methods)}: {error}") from None
    _check_split(config)
    _check_boundaries(config)
    for method in config.methods:
        plan = config.stages(method)
        for stage, steps in zip(plan, stage_steps(plan, config.iterations)):
            if steps < 1:
                kind = next(iter(stage.iterations))
                split = f", {_split(config)}" if stage.flows and config.transfer_split else ""
                raise UserError(
                    f"--{kind}_steps={getattr(config, kind + '_steps')} with "
                    f"--budget={config.budget:g}{split} leaves no iteration for stage "
                    f"'{stage.name}' of {method}: raise one of them"
                )


def _check_split(config):
    if config.transfer_split is None:
        return
    given = _split(config)
    if not config.transfer_split or not all(0 < part < 1e9 for part in config.transfer_split):
        raise UserError(f"{given}: expected numbers above 0 and below 10⁹, such as 1,3")
    if all(_transfer_stages(config, name) < 2 for name in config.methods):
        raise UserError(
            f"{given} has nothing to split: none of --methods={','.join(config.methods)} has "
            "several transfer stages"
        )
    for method in config.methods:
        try:
            config.stages(method)
        except UserError as error:
            raise UserError(f"{given} has {error}: give as many, or other --methods") from None


def _transfer_stages(config, method):
    return sum(bool(stage.flows) for stage in config.unsplit_stages(method))


def _check_boundaries(config):
    given = config.transfer_boundaries
    if given is None:
        return
    shares = [Fraction(0), *map(Fraction, given), Fraction(1)]
    if not given or any(first >= second for first, second in itertools.pairwise(shares)):
        raise UserError(
            f"--transfer_boundaries={','.join(given)}: expected rising shares of a stage, above 0 "
            "and below 1, such as 1/2,3/4"
        )


def _split(config):
    return f"--transfer_split={','.join(f'{part:g}' for part in config.transfer_split)}"


def _check_flow_weights(config):
    names = [flow_name(flow) for flow in config.flows]
    if isinstance(config.flow_weights, str):
        if config.flow_weights not in ("normalized", "equal"):
            raise UserError(
                f"--flow_weights={config.flow_weights} is not understood: expected normalized, "
                f"equal, or {len(names)} numbers for {', '.join(names)}"
            )
        return
    given = ",".join(f"{weight:g}" for weight in config.flow_weights)
    if len(config.flow_weights) != len(names):
        raise UserError(
            f"--flow_weights={given} has {len(config.flow_weights)} numbers: expected "
            f"{len(names)}, for {', '.join(names)}"
        )
    # Beyond lies what float32 cannot hold.
    possible = all(0 <= weight < 1e30 for weight in config.flow_weights)
    if not possible or not any(config.flow_weights):
        raise UserError(
            f"--flow_weights={given}: expected finite numbers of 0 or more, below 10³⁰, not all 0"
        )
    weights = dict(zip(config.flows, config.flow_weights))
    for method in config.methods:
        for stage in config.stages(method):
            if stage.flows and not any(weights[flow] for flow in stage.flows):
                raise UserError(
                    f"--flow_weights={given} leaves stage '{stage.name}' of {method} nothing "
                    "to transfer: expected a weight above 0 for one of "
                    + ", ".join(flow_name(flow) for flow in stage.flows)
                )


def _check_positive(name, value):
    if not (math.isfinite(value) and 0 < value < 1e9):
        raise UserError(f"--{name}={value:g} is out of range: expected above 0 and below 10⁹")
