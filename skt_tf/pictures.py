"""FSP matrices of one image, for the report to show."""

from skt_tf.flows import flow_model
from skt_tf.packing import pack
from skt_tf.points import flow_name

# The test image that is shown.
SHOWN = 0


def shown_before(teacher, student, flows, images, points=(None, None)):
    """What `results.json` carries of one test image before transfer.

    Args:
        teacher: a functional `keras.Model` with a layer for each point.
        student: likewise, as it is before its first stage.
        flows: tuple of (point, point).
        images: [number, height, width, channels], of which one is taken.
        points: {point: layer name} of the teacher and of the student, or None.
    """
    image = images[SHOWN]
    return {
        "test_image": SHOWN,
        "image": pack(image),
        "teacher": matrices(teacher, flows, image, points[0]),
        "before": matrices(student, flows, image, points[1]),
    }


def matrices(network, flows, image, points=None):
    """The FSP matrices of one image, as `results.json` carries them.

    Args:
        network: a functional `keras.Model` with a layer for each point, used in inference mode.
        flows: tuple of (point, point).
        image: [height, width, channels], as `network` takes it.
        points: {point: layer name}, or None where layers have the points' names.

    Returns:
        {name of the flow: packed float32 array [m, n]}.
    """
    found = flow_model(network, flows, points)(image[None], training=False)
    return {flow_name(flow): pack(matrix[0]) for flow, matrix in zip(flows, found)}
