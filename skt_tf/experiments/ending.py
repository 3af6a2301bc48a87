"""How an experiment ends: what takes all nets of a method, and the report."""

from skt_tf.experiments.nets import first_student
from skt_tf.methods.fsp import shown_before
from skt_tf.models.cost import describe
from skt_tf.models.evaluation import ensemble_accuracy, probabilities
from skt_tf.models.saving import load_network
from skt_tf.reports import report
from skt_tf.reports.results import SHARED, grow, nets_done


def complete(run, dataset):
    """Adds to a run what takes all nets of a method, and reports.

    Args:
        run: the `RunFolder`, in which no net is missing.
        dataset: the `Dataset`.
    """
    grow(run.results)
    for method, entry in run.results["methods"].items():
        if entry["ensemble"] is None and not entry["failed"]:
            entry["ensemble"] = _ensemble(run, method, dataset)
    _describe(run, dataset)
    run.record()
    run.targets.unlink(missing_ok=True)
    report.write(run.folder, run.config)


def needed(run):
    """(method, net) of the networks that must be there for a run to go on, a set."""
    missing, found = run.missing(), set()
    if missing or _lacks_description(run):
        found.add(("teacher", 0))
    for method in {method for method, _ in missing}:  # Of all nets an ensemble is made.
        found |= {(method, net) for net in range(nets_done(run.results, method))}
        found.add((method, SHARED))
    return found


def _lacks_description(run):
    """Whether the results lack what is said of the networks beside their accuracies."""
    config, results = run.config, run.results
    shows = results.get("shown") or not config.transfers(results["config"]["methods"])
    return not (results.get("networks") and shows)


def _describe(run, dataset):
    """Adds what the report says of the networks, and the FSP matrices that it shows."""
    config, results = run.config, run.results
    if not _lacks_description(run):
        return
    student = first_student(config, dataset)
    teacher = None
    if not results["teacher"]["failed"]:
        teacher = load_network(run.path("teacher", 0))
    if not results.get("networks"):
        images = dataset.test_images[: config.batch_size]
        networks = {"student": student, **({"teacher": teacher} if teacher else {})}
        results["networks"] = describe(networks, images)
    if not results.get("shown") and teacher and config.transfers(results["methods"]):
        images, points = dataset.test_images, config.points
        results["shown"] = shown_before(teacher, student, config.flows, images, points)


def _ensemble(run, method, dataset):
    """Accuracy of a method's nets together."""
    nets = nets_done(run.results, method)
    if nets == 1:
        return run.results["methods"][method]["mean"]
    students = [load_network(run.path(method, net)) for net in range(nets)]
    outputs = [probabilities(student, dataset.test_images) for student in students]
    return ensemble_accuracy(outputs, dataset.test_labels)
