"""Which shapes objectives can compare, and maps that are pooled to one size.

Shapes are without the batch: those of maps (height, width, channels).
"""

import tensorflow as tf

from skt_tf.utils.errors import UserError


def check_classes(name, teacher, student, standardized=False):
    """Refuses logits of other classes, or of so few that no loss has a gradient; both `Seen`."""
    classes = [seen.logits[-1] for seen in (teacher, student)]
    if classes[0] != classes[1]:
        raise UserError(
            f"the teacher has {classes[0]} classes and the student {classes[1]}: '{name}' needs "
            "two networks of the same classes"
        )
    if classes[0] < 2:
        raise UserError(f"the networks have a single class: '{name}' needs two or more")
    if standardized and classes[0] < 3:
        raise UserError(
            "the networks have two classes, and two logits that are standardised are the same for "
            f"every image: '{name}' needs three classes or more here, and 'soft' does not"
        )


def check_features(name, teacher, student, instead):
    """Refuses embeddings of other widths, and says what to do `instead`; both `Seen`."""
    widths = [seen.embedding[-1] for seen in (teacher, student)]
    if widths[0] != widths[1]:
        raise UserError(
            f"the teacher's classifier takes {widths[0]} features and the student's {widths[1]}: "
            f"'{name}' needs the same of both here; {instead}"
        )


def check_pairs(name, teacher, student, least=1):
    """Refuses other numbers of maps than pairs of them, and fewer than `least`; both `Seen`."""
    numbers = [len(seen.maps) for seen in (teacher, student)]
    if numbers[0] != numbers[1] or numbers[0] < least:
        raise UserError(
            f"'{name}' sees {numbers[0]} maps of the teacher and {numbers[1]} of the student: "
            f"expected as many of each, {least} or more"
        )


def check_channels(name, teacher, student, instead):
    """Refuses pairs of maps of other channels, and says what to do `instead`; both `Seen`."""
    for taught, maps in zip(teacher.maps, student.maps):
        if taught[-1] != maps[-1]:
            raise UserError(
                f"maps have {taught[-1]} channels in the teacher and {maps[-1]} in the student: "
                f"'{name}' needs the same of both here; {instead}"
            )


def check_sizes(name, teacher, student):
    """Refuses pairs of maps of which neither is the smaller in both directions; both `Seen`."""
    for taught, maps in zip(teacher.maps, student.maps):
        if smaller(taught, maps) not in (taught[:2], maps[:2]):
            sizes = ["×".join(map(str, shape[:2])) for shape in (taught, maps)]
            raise UserError(
                f"maps are of size {sizes[0]} in the teacher and {sizes[1]} in the student, and "
                f"'{name}' pools the larger to the smaller: name points where one is at most as "
                "large as the other in both directions"
            )


def smaller(first, second):
    """(height, width): the least of two shapes in each direction."""
    return tuple(map(min, zip(first[:2], second[:2])))


def average_pool_to(maps, size):
    """Averages maps [batch, height, width, channels] down, or up, to `size` (height, width).

    Cell k of n on a length L averages the places ⌊kL/n⌋ to ⌈(k+1)L/n⌉, which overlap where L is
    no multiple of n: adaptive average pooling.
    """
    height, width = maps.shape[1:3]
    if (height, width) == tuple(size):
        return maps
    if height % size[0] == 0 and width % size[1] == 0:
        window = (height // size[0], width // size[1])
        return tf.nn.avg_pool2d(maps, window, window, "VALID")
    rows, columns = _cells(height, size[0]), _cells(width, size[1])
    return tf.einsum("ih,jw,bhwc->bijc", rows, columns, maps)


def _cells(length, cells):
    """[cells, length]: which places each cell averages."""
    rows = []
    for k in range(cells):
        first, last = k * length // cells, -(-(k + 1) * length // cells)
        rows.append([(first <= place < last) / (last - first) for place in range(length)])
    return tf.constant(rows, tf.float32)


def pooled_alike(first, second):
    """Two maps, of which the larger is average-pooled to the size of the smaller."""
    size = smaller(tuple(first.shape[1:3]), tuple(second.shape[1:3]))
    return average_pool_to(first, size), average_pool_to(second, size)
