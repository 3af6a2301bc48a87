"""The papers' experiments: a teacher, students by every method, their results.

A run is its folder. results.json is written anew after each trained network; the
same command finds it and goes on with what is missing.
"""

import json
import pathlib

import keras
import numpy as np

from skt_tf import reports
from skt_tf.datasets import load_dataset
from skt_tf.distiller import SequentialDistiller
from skt_tf.distribution import distribution_strategy
from skt_tf.environment import environment
from skt_tf.errors import UserError
from skt_tf.files import write_json
from skt_tf.flows import normalized_flow_weights
from skt_tf.folding import fold_batch_norm
from skt_tf.methods import TEACHER, stage_steps
from skt_tf.metrics import write_metrics
from skt_tf.models import resnet
from skt_tf.points import dense_flows, flow_name
from skt_tf.saving import load_network, save_network
from skt_tf.targets import keep_targets
from skt_tf.training import probabilities, run_stages

# Enough for a mean within one percent, and ten seconds instead of a minute.
WEIGHT_IMAGES = 10_000


def run(config):
    """Runs, or goes on with, the experiment that `config` describes.

    Args:
        config: a `skt_tf.config.Config`.

    Returns:
        The results, as written to results.json.

    Raises:
        ValueError: what the configuration alone could not tell: data, teacher or
            output folder do not fit, in one sentence.
    """
    folder = pathlib.Path(config.output_dir)
    results = _open(folder, config)
    keras.config.set_dtype_policy(config.precision)
    dataset = load_dataset(config.dataset, config.data_dir)
    given = _load_teacher(config, dataset) if config.teacher and not results["teacher"] else None
    write_json(folder / "results.json", results)

    with distribution_strategy(config.distribution, config.batch_size).scope():
        _run_all(config, dataset, given, folder, results)
    # A run that went on has met its methods in another order.
    results["methods"] = {method: results["methods"][method] for method in config.methods}
    write_json(folder / "results.json", results)
    (folder / "targets.float16").unlink(missing_ok=True)
    reports.write(folder)
    return results


def _run_all(config, dataset, given, folder, results):
    """Trains the teacher and all nets that are missing."""
    teacher = _teacher(config, dataset, given, folder, results)
    flow_weights = _flow_weights(config, dataset, teacher, folder, results)
    frozen = fold_batch_norm(teacher, config.teacher_precision)
    kept = _kept_targets(config, dataset, frozen, folder, results)
    for method in config.methods:
        for net in range(config.nets):
            entry = results["methods"].get(method)
            if entry is None or len(entry["accuracies"]) <= net:
                guidance = {"teacher": frozen, "flow_weights": flow_weights, "kept": kept}
                _train_net(method, net, config, dataset, guidance, folder, results)
                write_json(folder / "results.json", results)
        _complete(method, config, dataset, folder, results)


def _open(folder, config):
    """The results so far in `folder`; refuses one that holds anything else."""
    path = folder / "results.json"
    fresh = {
        "experiment": config.experiment,
        "dataset": config.dataset,
        "config": config.as_dict(),
        "environment": environment(),
        "teacher": None,
        "flow_weights": None,
        "methods": {},
    }
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--output_dir={folder} is a file: expected a folder")
    if not path.exists():
        if folder.exists() and any(folder.iterdir()):
            raise UserError(
                f"--output_dir={folder} holds other files and no results.json: give an empty or "
                "a new folder"
            )
        return fresh
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
        differing = [
            f"{name} ({results['config'].get(name)} there, {value} here)"
            for name, value in fresh["config"].items()
            if results["config"].get(name) != value
        ]
    except (ValueError, TypeError, KeyError, AttributeError):
        raise UserError(
            f"{path} is not a results file of this project: give another --output_dir"
        ) from None
    if differing:
        raise UserError(
            f"--output_dir={folder} holds another experiment; it differs in "
            + ", ".join(differing)
            + ": give another folder"
        )
    return results


def _build(depth, config, dataset, seed):
    return resnet(
        depth,
        dataset.num_classes,
        dataset.image_shape,
        config.width,
        normalization=(dataset.mean.tolist(), dataset.variance.tolist()),
        seed=seed,
    )


def _load_teacher(config, dataset):
    teacher = load_network(config.teacher)
    if teacher.input_shape[1:] != dataset.image_shape:
        raise UserError(
            f"--teacher={config.teacher} takes images of shape {teacher.input_shape[1:]}, "
            f"but those of {dataset.name} have {dataset.image_shape}"
        )
    if teacher.output_shape[1:] != (dataset.num_classes,):
        raise UserError(
            f"--teacher={config.teacher} has outputs of shape {teacher.output_shape[1:]}, "
            f"but {dataset.name} has {dataset.num_classes} classes"
        )
    _check_channels(teacher, config, dataset)
    return teacher


def _check_channels(teacher, config, dataset):
    """Builds every stage's distiller once, so that a misfit shows before hours of training."""
    student = _build(config.student_depth, config, dataset, seed=0)
    for method in config.methods:
        for stage in config.stages(method):
            try:
                SequentialDistiller(teacher, student, stage, steps=1)
            except UserError as error:
                raise UserError(
                    f"--teacher={config.teacher} cannot teach {method}: {error}"
                ) from None


def _accuracy(network, dataset):
    return float(
        np.mean(probabilities(network, dataset.test_images).argmax(1) == dataset.test_labels)
    )


def _depth(network):
    """Weighted layers: what the 6n+2 of a residual network counts."""
    weighted = (keras.layers.Conv2D, keras.layers.Dense)
    return sum(isinstance(layer, weighted) for layer in network.layers)


def _teacher(config, dataset, given, folder, results):
    """The teacher: given, trained before, or trained now. It is recorded and saved."""
    path = folder / "teacher" / "model.keras"
    if results["teacher"] is not None:
        return load_network(path)
    if given is not None:
        teacher, iterations, seconds = given, 0, 0.0
    else:
        teacher = _build(config.teacher_depth, config, dataset, seed=config.seed)
        title = f"teacher, {config.teacher_depth} layers"
        (record,) = run_stages(
            (TEACHER,), teacher, None, dataset, config, seed=config.seed, title=title
        )
        iterations, seconds = record.steps, record.seconds
        write_metrics(folder / "teacher" / "metrics.csv", [record])
    save_network(teacher, path)
    results["teacher"] = {
        "depth": _depth(teacher),
        "accuracy": _accuracy(teacher, dataset),
        "iterations": iterations,
        "seconds": round(seconds, 1),
        "parameters": teacher.count_params(),
        "source": config.teacher,
    }
    write_json(folder / "results.json", results)
    print(f"teacher: {results['teacher']['accuracy']:.2%} of the test images")
    return teacher


def _flow_weights(config, dataset, teacher, folder, results):
    """λ of every dense flow: the same for every net and stage of a run."""
    flows = dense_flows(config.dense_flows)
    if not any(stage.objective == "transfer" for m in config.methods for stage in config.stages(m)):
        return None
    if results["flow_weights"] is not None:
        return {flow: results["flow_weights"][flow_name(flow)] for flow in flows}
    if config.flow_weights == "normalized":
        weights = normalized_flow_weights(teacher, flows, dataset.train_images[:WEIGHT_IMAGES])
    elif config.flow_weights == "equal":
        weights = dict.fromkeys(flows, 1.0)
    else:
        weights = dict(zip(flows, config.flow_weights, strict=True))
    results["flow_weights"] = {flow_name(flow): weight for flow, weight in weights.items()}
    write_json(folder / "results.json", results)
    return weights


def _kept_targets(config, dataset, teacher, folder, results):
    """The targets of all dense flows, if they are to be kept and a net still needs them."""
    waiting = [
        m
        for m in config.methods
        if len(results["methods"].get(m, {}).get("accuracies", ())) < config.nets
    ]
    transfers = [s for m in waiting for s in config.stages(m) if s.objective == "transfer"]
    if not (config.target_views and transfers):
        return None
    return keep_targets(
        teacher,
        dense_flows(config.dense_flows),
        dataset,
        config.target_views,
        config.seed,
        folder / "targets.float16",
        config.batch_size,
    )


def _train_net(method, net, config, dataset, guidance, folder, results):
    plan = config.stages(method)
    # Net k of every method starts from the same weights and sees the same data.
    seed = config.seed + 1 + net
    student = _build(config.student_depth, config, dataset, seed=seed)
    title = f"{method}, net {net + 1} of {config.nets}"
    records = run_stages(
        plan,
        student,
        guidance["teacher"],
        dataset,
        config,
        seed=seed,
        flow_weights=guidance["flow_weights"],
        kept=guidance["kept"],
        title=title,
    )
    place = folder / method / f"net{net}"
    save_network(student, place / "student.keras")
    write_metrics(place / "metrics.csv", records)
    entry = results["methods"].setdefault(
        method,
        {
            "accuracies": [],
            "mean": None,
            "ensemble": None,
            "iterations": 0,
            "seconds": 0.0,
            "parameters": student.count_params(),
            "stages": [{"name": r.name, "steps": r.steps, "final_loss": 0.0} for r in records],
        },
    )
    done = len(entry["accuracies"])
    entry["accuracies"].append(_accuracy(student, dataset))
    entry["iterations"] += sum(stage_steps(plan, config.iterations))
    entry["seconds"] = round(entry["seconds"] + sum(record.seconds for record in records), 1)
    for stage, record in zip(entry["stages"], records):
        stage["final_loss"] = (stage["final_loss"] * done + record.final_loss) / (done + 1)
    print(f"{title}: {entry['accuracies'][-1]:.2%} of the test images")


def _complete(method, config, dataset, folder, results):
    """Mean and ensemble (the mean of softmax outputs) over the nets of a method."""
    entry = results["methods"][method]
    if entry["ensemble"] is not None:
        return
    entry["mean"] = float(np.mean(entry["accuracies"]))
    outputs = [
        probabilities(
            load_network(folder / method / f"net{k}" / "student.keras"), dataset.test_images
        )
        for k in range(config.nets)
    ]
    entry["ensemble"] = float(np.mean(np.mean(outputs, axis=0).argmax(1) == dataset.test_labels))
