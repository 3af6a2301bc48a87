"""--teacher, --student and their points: networks of a user's own on the command line."""

import keras
import numpy as np
import pytest
from keras import layers
from own_networks import write_networks

from skt_tf.configuration import Config
from skt_tf.experiments.nets import first_student, new_student
from skt_tf.models.initialization import draw_weights


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_networks(tmp_path_factory.mktemp("networks"))


@pytest.mark.parametrize("weights", ["drawn", "saved"])
def test_all_that_a_net_begins_with_depends_on_its_seed(weights, folder, digits):
    path = str(folder / "student.keras")
    config = Config(methods=("baseline",), student=path, student_weights=weights)
    nets = [new_student(config, digits, "baseline", seed) for seed in (1, 1, 2)]
    # What dropout draws from is among them.
    one, same, other = ([v.numpy().tobytes() for v in net.variables] for net in nets)
    assert one == same
    assert one != other
    if weights == "saved":
        given = keras.models.load_model(path).get_weights()
        assert all(np.array_equal(*pair) for pair in zip(given, nets[0].get_weights(), strict=True))


@pytest.mark.parametrize(
    "settings",
    [
        {"methods": ("baseline_long", "skt_bottom_up"), "transfer_split": (1, 2, 3)},
        {"methods": ("fsp",), **dict.fromkeys(("teacher_points", "student_points"), "c0 c2 c4 c6")},
    ],
    ids=["split", "ends"],
)
def test_what_skt_cannot_be_trained_with_has_a_first_student(settings, folder, digits):
    for side in ("teacher", "student"):
        if f"{side}_points" in settings:
            settings |= {side: str(folder / f"{side}.keras")}
            settings |= {f"{side}_points": tuple(settings[f"{side}_points"].split())}
    assert first_student(Config(**settings), digits).output_shape == (None, 10)


def test_weights_are_drawn_by_the_seed_and_statistics_of_the_input_are_kept(folder):
    given = keras.models.load_model(folder / "student.keras")
    given.layers[3].moving_mean.assign(given.layers[3].moving_mean + 5)
    one, same, other = (draw_weights(given, seed) for seed in (1, 1, 2))
    images = np.random.default_rng(0).uniform(0, 255, (4, 8, 8, 1))
    assert np.array_equal(one(images), same(images))
    assert not np.allclose(one(images), other(images))
    assert not np.allclose(one(images), given(images))
    standardised = [network.layers[1](images) for network in (given, one)]
    assert np.array_equal(*standardised)
    assert np.asarray(standardised[0]) == pytest.approx((images - 100) / 50, abs=1e-5)
    # A trainable layer begins anew, with its statistics.
    assert not one.layers[3].moving_mean.numpy().any()
    kernels = [layer.kernel.numpy() for layer in one.layers if isinstance(layer, layers.Conv2D)]
    assert len({kernel.ravel()[:9].tobytes() for kernel in kernels}) == len(kernels)
