"""Contrastive representation distillation: Tian, Krishnan, Isola, ICLR 2020, arXiv 1910.10699."""

import keras
import tensorflow as tf

from skt_tf.methods.heads import dense, seed
from skt_tf.methods.numerics import check_temperature, normalized
from skt_tf.methods.objective import Objective
from skt_tf.utils.errors import UserError

# Of the logarithms, as in the authors' code.
_EPSILON = 1e-7


class CRD(Objective):
    """Tells an image's embedding in the other network from those of many other images.

    h = (Wᵀ f + b) / ‖·‖, [width], of an embedding f, each network by a dense layer of its own, both
    trained beside the student. Two memories keep an h of each training image, Mˢ and Mᵗ [images,
    width]. With c₀ the image itself and c₁ … c_K others, aₖ = exp(hˢ · Mᵗ_cₖ / τ) / Z₁ and bₖ =
    exp(hᵗ · Mˢ_cₖ / τ) / Z₂, and q = K / images, the loss is ℓ(a) + ℓ(b),

        ℓ(x) = −log(x₀ / (x₀ + q)) − Σₖ log(q / (xₖ + q)).

    Z is `images` times the mean of the exponentials of the first batch, and stays. Afterwards the
    image's rows become m M + (1 − m) h, divided by their norm.

    The others are drawn uniformly, with replacement, from all other images, as the paper's text has
    it; the recipe's code draws them from other classes, of which there are 99 in 100.

    Args:
        negatives: K.
        width: of h.
        temperature: τ.
        momentum: m.
        seed: that of the draws. What is drawn depends on it, on the images of a batch, and on how
            many batches there have been, which is kept with the memories.
    """

    looks_at = ("embedding",)
    weight = 0.8
    compares_images = True
    memory = True

    def __init__(self, negatives=16384, width=128, temperature=0.07, momentum=0.5, seed=0):
        check_temperature(temperature)
        self.negatives, self.width, self.temperature = negatives, width, temperature
        self.momentum, self.seed = momentum, seed

    def build(self, teacher, student, number=None):
        if not number or number < 2:
            known = "how many there are is not known" if number is None else f"there are {number}"
            raise UserError(
                f"'{self.name}' remembers each training image, and {known}: expected two or more, "
                "as arrays or a skt_tf.Dataset"
            )
        self.number = number
        self.embed_student, self.embed_teacher = (
            dense(self.width, f"crd_{role}") for role in ("student", "teacher")
        )
        self.embed_student.build((None, student.embedding[-1]))
        self.embed_teacher.build((None, teacher.embedding[-1]))
        self.remembered = Memory(number, self.width, name="crd_memory")
        self.remembered.build()
        self.heads = [self.embed_student, self.embed_teacher, self.remembered]

    def loss(self, teacher, student, batch):
        """[batch], of embeddings and indices; the memories move on by each call."""
        memory = self.remembered
        contrast = self.draw(batch.indices, memory.batches)
        outputs = normalized(self.embed_student(student.embedding))
        taught = normalized(self.embed_teacher(teacher.embedding))
        scores = self._scores(outputs, memory.teacher, contrast)
        scores_teacher = self._scores(taught, memory.student, contrast)
        constants = memory.constants_of(scores, scores_teacher)
        losses = self._told_apart(scores / constants[0])
        losses += self._told_apart(scores_teacher / constants[1])
        memory.remember(batch.indices, outputs, taught, self.momentum)
        return losses

    def draw(self, indices, batches):
        """The images that are told apart: [batch, 1 + negatives], int64, the own one first.

        Args:
            indices: [batch], integers, of the batch's images.
            batches: how many there have been, an integer.
        """
        indices = tf.cast(indices, tf.int64)[:, None]
        shape = [tf.shape(indices)[0], self.negatives]
        start = tf.stack([tf.constant(self.seed, tf.int64), tf.cast(batches, tf.int64)])
        # Steps to another image, so that none is compared with itself.
        steps = tf.random.stateless_uniform(shape, start, 1, self.number, tf.int64)
        return tf.concat([indices, (indices + steps) % self.number], 1)

    def _scores(self, embedding, memory, contrast):
        """[batch, 1 + negatives]: exponentials of cosines."""
        # With all rows at once and then chosen: [batch, negatives, width] is far larger.
        cosines = tf.matmul(embedding, tf.convert_to_tensor(memory), transpose_b=True)
        return tf.exp(tf.gather(cosines, contrast, batch_dims=1) / self.temperature)

    def _told_apart(self, scores):
        noise = (tf.shape(scores)[1] - 1) / self.number
        noise = tf.cast(noise, tf.float32)
        own, others = scores[:, 0], scores[:, 1:]
        own = tf.math.log(own / (own + noise + _EPSILON))
        return -own - tf.reduce_sum(tf.math.log(noise / (others + noise + _EPSILON)), 1)


class Memory(keras.layers.Layer):
    """What is remembered of each image, none of it trained: rows, constants, and a count."""

    def __init__(self, number, width, name):
        super().__init__(name=name, dtype="float32")
        self.shape = (number, width)

    def build(self, input_shape=None):
        # All devices see the batch of all, and so remember the same.
        def kept(name, shape, initializer, dtype="float32"):
            return self.add_weight(
                shape,
                initializer,
                dtype,
                trainable=False,
                aggregation="only_first_replica",
                name=name,
            )

        def rows(name):
            limit = (3 / self.shape[1]) ** 0.5
            start = keras.initializers.RandomUniform(-limit, limit, seed(name))
            return kept(name, self.shape, start)

        self.student, self.teacher = rows("crd_memory_student"), rows("crd_memory_teacher")
        # Z₁ and Z₂, zero until the first batch.
        self.constants = kept("constants", (2,), "zeros")
        self.batches = kept("batches", (), "zeros", "int64")
        self.built = True

    def constants_of(self, *scores):
        """Z₁ and Z₂, [2], which the first batch sets."""
        found = tf.stop_gradient(tf.stack([self.shape[0] * tf.reduce_mean(x) for x in scores]))
        constants = tf.convert_to_tensor(self.constants)
        constants = tf.where(constants > 0, constants, found)
        self.constants.assign(constants)
        return constants

    def remember(self, indices, student, teacher, momentum):
        """Moves the rows of `indices` towards embeddings [batch, width] of unit norm."""
        for memory, found in ((self.student, student), (self.teacher, teacher)):
            rows = tf.gather(tf.convert_to_tensor(memory), indices)
            rows = momentum * rows + (1 - momentum) * tf.stop_gradient(found)
            # Not all of it is assigned: the memory is large.
            memory.value.scatter_update(tf.IndexedSlices(normalized(rows), indices))
        self.batches.assign_add(1)
