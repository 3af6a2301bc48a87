"""1×1 convolutions that bridge channels which differ between teacher and student.

They stand on the student's side, behind the maps of a point, are trained with it and thrown
away after transfer, as the regressor of [FitNets] is after its hint.
"""

import zlib

import keras

from skt_tf.models.maps import point_output


def bridge(teacher, student, flows, points=(None, None)):
    """The projections that the flows of a stage, or of several, need.

    Args:
        teacher: a functional `keras.Model`.
        student: likewise.
        flows: tuple of (point, point).
        points: {point: layer name} of the teacher and of the student, or None.

    Returns:
        {point: `keras.layers.Conv2D`} for each point of `flows` whose channels differ.
    """
    projections = {}
    for point in sorted({point for flow in flows for point in flow}):
        taught, maps = (point_output(n, point, p) for n, p in zip((teacher, student), points))
        if taught.shape[-1] == maps.shape[-1]:
            continue
        # Seeded by its point, for the same run twice must give the same bytes.
        start = keras.initializers.HeNormal(seed=zlib.crc32(point.encode()) % 2**31)
        projection = keras.layers.Conv2D(
            taught.shape[-1],
            1,
            kernel_initializer=start,
            dtype=student.dtype_policy,
            name=f"{point}_projection",
        )
        projection.build(maps.shape)
        projections[point] = projection
    return projections
