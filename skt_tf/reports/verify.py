"""`--job=verify`: is what results.json says true of the networks beside it?"""

import pathlib
import statistics

from skt_tf.data.datasets import load_dataset
from skt_tf.data.images import image_size
from skt_tf.models.checks import check_images
from skt_tf.models.evaluation import accuracy, ensemble_accuracy, probabilities
from skt_tf.models.saving import load_network
from skt_tf.reports.results import RESULTS, check_data, finished, network_path
from skt_tf.utils import failed_operations
from skt_tf.utils.environment import environment

# On another machine, or with other versions, sums round otherwise, and an image on the border
# between two classes may fall on the other side.
_TOLERANCE = 0.001


@failed_operations.said()
def run(config):
    """Evaluates every network of the run in `config.output_dir` once more.

    On the test images, and on those that were held out, if there are any.

    Returns:
        Whether all accuracies are those of results.json: exactly so on the machine and
        with the versions of the run, else to one image in a thousand.

    Raises:
        ValueError: a folder that holds no finished run, or a network that cannot be read.
    """
    folder = pathlib.Path(config.output_dir)
    results = finished(folder)
    known = {"crop": "pad", **results["config"]}
    dataset = load_dataset(
        results["dataset"],
        config.data_dir,
        image_size(known.get("image_size")),
        crop=known["crop"],
        image_bits=known.get("image_bits"),
        stream=config.stream,
    )
    check_data(results, dataset)
    if results["config"].get("validation"):
        dataset = dataset.hold_out(results["config"]["validation"])
    now = environment()
    # On how many devices it was trained, a network does not show.
    same = all(now.get(k) == v for k, v in results["environment"].items() if k != "replicas")
    same = same and not results.get("further_environments")
    same = same and results["config"].get("deterministic", True)
    allowed = 0.0 if same else _TOLERANCE

    def measure(path):
        network = load_network(path)
        check_images(network, dataset, path)
        held = None
        if dataset.validation_images is not None:
            held = accuracy(network, dataset.validation_images, dataset.validation_labels)
        return probabilities(network, dataset.test_images), held

    refuted = 0
    for name, said, found in _pairs(folder, results, measure, dataset.test_labels):
        confirmed = abs(said - found) <= allowed
        refuted += not confirmed
        print(
            f"{'confirmed' if confirmed else 'REFUTED':9}  {name}: {said:.2%} in results.json, "
            f"{found:.2%} measured"
        )
    if not same:
        print(
            f"another machine or other versions, or --nodeterministic: {_TOLERANCE:.1%} is allowed"
        )
    print(f"{folder / RESULTS}: {f'{refuted} REFUTED' if refuted else 'all confirmed'}")
    return not refuted


def _pairs(folder, results, measure, labels):
    """(name, accuracy in results.json, measured accuracy) of everything that has one."""
    # A teacher of other classes has none.
    if results["teacher"]["accuracy"] is not None:
        outputs, held = measure(network_path(folder, "teacher", 0))
        yield "teacher", results["teacher"]["accuracy"], ensemble_accuracy([outputs], labels)
        if held is not None:
            yield "teacher, held-out images", results["teacher"]["validation_accuracy"], held
    for method, entry in results["methods"].items():
        outputs, accuracies = [], []
        for net, said in enumerate(entry["accuracies"]):
            found, held = measure(network_path(folder, method, net))
            outputs.append(found)
            accuracies.append(ensemble_accuracy([found], labels))
            yield f"{method}, net {net + 1}", said, accuracies[-1]
            if held is not None:
                said = entry["validation_accuracies"][net]
                yield f"{method}, net {net + 1}, held-out images", said, held
        if entry["mean"] is not None:
            yield f"{method}, mean", entry["mean"], statistics.fmean(accuracies)
        if entry["ensemble"] is not None:
            yield f"{method}, ensemble", entry["ensemble"], ensemble_accuracy(outputs, labels)
