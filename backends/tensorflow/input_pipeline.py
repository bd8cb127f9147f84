"""The input pipeline that users of TensorFlow choose: tf.data. `bcdl experiment input-pipelines` measures it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .. import Examples

PACKAGE = "tensorflow"


def tf_data(examples: Examples, batch_size: int, cores: int) -> Iterator[Any]:
    """Batches without end, by a call of Python for each image on one of tf.data's own threads, as many as cores."""
    import tensorflow as tf

    def draw(index: Any) -> Any:
        image, label = tf.numpy_function(examples.draw, [index], [tf.uint8, tf.float32])
        return tf.ensure_shape(image, examples.image_shape), tf.ensure_shape(label, examples.label_shape)

    indices = tf.data.Dataset.range(len(examples)).shuffle(len(examples)).repeat()
    drawn = indices.map(draw, num_parallel_calls=cores).batch(batch_size, drop_remainder=True)
    return iter(drawn.prefetch(tf.data.AUTOTUNE).as_numpy_iterator())


PIPELINES = {"tf.data": tf_data}
