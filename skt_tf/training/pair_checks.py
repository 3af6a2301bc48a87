"""Whether a teacher and a student fit to each other in every stage of a method."""

from skt_tf.models.checks import check_logits
from skt_tf.models.maps import check_order, first_layers
from skt_tf.training.sequential_distiller import SequentialDistiller


def check_pair(teacher, student, config, images):
    """Builds every stage's distiller once, so that a misfit shows before hours of training.

    Args:
        teacher: a functional `keras.Model`, or None where no method of `config` needs one.
        student: likewise.
        config: of the methods, and of the networks' points.
        images: some of those that they are used for, [number, height, width, channels].

    Raises:
        ValueError: networks that a stage of a method cannot compare.
    """
    check_logits(student, "student", images)
    if any(s.objective == "soft_task" for m in config.methods for s in config.stages(m)):
        check_logits(teacher, "teacher", images)
    points = ordered = config.points
    if config.section_flows == "within" and config.transfers(config.methods):
        ordered = [first_layers(*pair) for pair in zip((teacher, student), points)]
    for method in config.methods:
        # The one of most flows first, for an error to list all that differ.
        for stage in sorted(config.stages(method), key=lambda stage: -len(stage.flows)):
            if stage.objective == "transfer":
                check_order(teacher, ordered[0])
                check_order(student, ordered[1])
            SequentialDistiller(
                teacher,
                student,
                stage,
                steps=1,
                teacher_points=points[0],
                student_points=points[1],
                project=config.project,
            )
