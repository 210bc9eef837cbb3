"""Convolutions from and to images, whose few channels a CPU is slow with, computed in other ways."""

from __future__ import annotations

from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

MOST_CHANNELS = 4
"""Of an image. XLA's convolutions of 1 or 3 channels take up to five times as long as products; TensorFlow's transposed
ones take twice as long as convolutions of blocks of pixels."""

Way = Literal["keras", "products", "blocks"]


class ImageConvolution:
    """What `ImageConv2D` and `ImageConv2DTranspose` share.

    Attributes:
        way: how to compute what has padding "same", a square kernel, and neither dilation nor groups: `"keras"` as
            Keras does; as matrix `"products"`, faster under XLA on a CPU; in `"blocks"` of pixels, faster on a CPU
            without XLA where the stride is not 1, in float32. Everything else is Keras's own. To be set before the
            layer is traced.
    """

    way: Way = "keras"

    def _way(self, inputs: Any) -> Way:
        layer: Any = self
        is_square = len({*layer.kernel_size}) == len({*layer.strides}) == 1
        is_plain = {*layer.dilation_rate} == {1} and getattr(layer, "groups", 1) == 1
        is_padded = layer.padding == "same" and getattr(layer, "output_padding", None) is None
        if not (is_square and is_plain and is_padded and layer.data_format == "channels_last"):
            return "keras"
        if self.way == "blocks" and (layer.strides[0] == 1 or inputs.dtype != tf.float32):
            return "keras"
        return self.way


@keras.saving.register_keras_serializable(package="tuner_gan")
class ImageConv2D(ImageConvolution, layers.Conv2D):  # type: ignore[misc]
    """Keras's Conv2D, of a few input channels, or of a few filters and no stride."""

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        """Maps [N, H, W, C] to [N, ceil(H / stride), ceil(W / stride), filters]."""
        way = self._way(inputs)
        if way == "keras":
            return super().convolution_op(inputs, kernel)
        kernel = ops.cast(kernel, inputs.dtype)
        height, width, channels = inputs.shape[1:]
        size, stride = self.kernel_size[0], self.strides[0]
        if way == "blocks":
            return _convolve(inputs, kernel, stride)
        if channels > MOST_CHANNELS:
            # What each pixel adds to the pixels round it: a transposed convolution with the kernel turned round.
            spread = _spread(inputs, ops.transpose(ops.flip(kernel, (0, 1)), (0, 1, 3, 2)))
            first = size - 1 - (size - 1) // 2
            return spread[:, first : first + height, first : first + width]
        kernel = _in_blocks(kernel, stride)
        paddings = [_padding(side, size, stride) for side in (height, width)]
        padded = ops.pad(inputs, [(0, 0), *paddings, (0, 0)])
        rows, columns = (
            (side + sum(padding)) // stride for side, padding in zip((height, width), paddings, strict=True)
        )
        blocks = ops.reshape(padded, (-1, rows, stride, columns, stride, channels))
        blocks = ops.reshape(ops.transpose(blocks, (0, 1, 3, 2, 4, 5)), (-1, rows, columns, stride**2 * channels))
        return _collect(blocks, kernel)


@keras.saving.register_keras_serializable(package="tuner_gan")
class ImageConv2DTranspose(ImageConvolution, layers.Conv2DTranspose):  # type: ignore[misc]
    """Keras's Conv2DTranspose, of a few filters."""

    def call(self, inputs: Any) -> Any:
        """Maps [N, H, W, C] to [N, H * stride, W * stride, filters]."""
        way = self._way(inputs)
        if way == "keras":
            return super().call(inputs)
        size, stride, filters = self.kernel_size[0], self.strides[0], self.filters
        height, width = (side * stride for side in inputs.shape[1:3])
        kernel = ops.cast(self.kernel, inputs.dtype)
        if way == "blocks":
            images = _convolve_up(inputs, kernel, stride, height, width)
        else:
            blocks = _spread(inputs, _in_blocks(kernel, stride))
            rows, columns = blocks.shape[1:3]
            images = ops.reshape(blocks, (-1, rows, columns, stride, stride, filters))
            images = ops.transpose(images, (0, 1, 3, 2, 4, 5))
            images = ops.reshape(images, (-1, rows * stride, columns * stride, filters))
            images = _crop(images, height, width, size, stride)
        if self.use_bias:
            images = images + ops.cast(self.bias, images.dtype)
        return images if self.activation is None else self.activation(images)


# TensorFlow keeps the graph that a gradient of one's own was traced in until the process ends. Within these functions
# that graph is a small one for each shape, not that of the whole training step.


@tf.function(autograph=False)  # type: ignore[untyped-decorator]
def _convolve(x: Any, kernel: Any, stride: int) -> Any:
    """TensorFlow's convolution of [N, H, W, a] with [k, k, a, b], whose derivative by `x` is `_convolve_up`."""

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def convolve(x: Any, kernel: Any) -> Any:
        def gradient(by_y: Any) -> tuple[Any, Any]:
            return _convolve_up(by_y, kernel, stride, *x.shape[1:3]), _by_kernel(x, kernel, by_y, stride)

        return tf.nn.conv2d(x, kernel, stride, "SAME"), gradient

    return convolve(x, kernel)


@tf.function(autograph=False)  # type: ignore[untyped-decorator]
def _convolve_up(x: Any, kernel: Any, stride: int, height: int, width: int) -> Any:
    """The transpose of `_convolve`: from [N, h, w, b] with [k, k, a, b] to [N, height, width, a].

    It makes blocks of `stride` x `stride` pixels at once; its derivatives are those of TensorFlow's own.
    """

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def convolve_up(x: Any, kernel: Any) -> Any:
        def gradient(by_y: Any) -> tuple[Any, Any]:
            return tf.nn.conv2d(by_y, kernel, stride, "SAME"), _by_kernel(by_y, kernel, x, stride)

        return _blocks_of_pixels(x, kernel, stride, height, width), gradient

    return convolve_up(x, kernel)


def _by_kernel(images: Any, kernel: Any, by_features: Any, stride: int) -> Any:
    return tf.raw_ops.Conv2DBackpropFilter(
        input=images,
        filter_sizes=kernel.shape,
        out_backprop=by_features,
        strides=[1, stride, stride, 1],
        padding="SAME",
    )


def _blocks_of_pixels(x: Any, kernel: Any, stride: int, height: int, width: int) -> Any:
    size, _, a, b = kernel.shape
    blocks = -(-size // stride)
    missing = blocks * stride - size
    kernel = tf.pad(kernel, [(0, missing), (0, missing), (0, 0), (0, 0)])
    # Turned round, for each block of pixels and each feature; one `gather` is faster than TensorFlow's transposes.
    order = np.arange(kernel.shape.num_elements()).reshape(blocks, stride, blocks, stride, a, b)
    order = order.transpose(0, 2, 5, 1, 3, 4)[::-1, ::-1].reshape(blocks, blocks, b, stride**2 * a)
    turned = tf.gather(tf.reshape(kernel, (-1,)), order)
    padded = tf.pad(x, [(0, 0), (blocks - 1, blocks - 1), (blocks - 1, blocks - 1), (0, 0)])
    images = tf.nn.depth_to_space(tf.nn.conv2d(padded, turned, 1, "VALID"), stride)
    return _crop(images, height, width, size, stride)


def _crop(images: Any, height: int, width: int, size: int, stride: int) -> Any:
    """The part of padded images that is not padding."""
    top, left = (_padding(side, size, stride)[0] for side in (height, width))
    return images[:, top : top + height, left : left + width]


def _padding(side: int, size: int, stride: int) -> tuple[int, int]:
    """Pixels before and after an image's side: TensorFlow's "same", then up to whole blocks of `stride` pixels."""
    outputs = -(-side // stride)
    before = max((outputs - 1) * stride + size - side, 0) // 2
    return before, stride * (outputs - 1 + -(-size // stride)) - before - side


def _in_blocks(kernel: Any, stride: int) -> Any:
    """A kernel [k, k, a, b] as one of stride 1 on blocks of pixels, [ceil(k / stride), the same, stride^2 a, b]."""
    size, _, a, b = kernel.shape
    blocks = -(-size // stride)
    missing = blocks * stride - size
    kernel = ops.pad(kernel, [(0, missing), (0, missing), (0, 0), (0, 0)])
    kernel = ops.reshape(kernel, (blocks, stride, blocks, stride, a, b))
    return ops.reshape(ops.transpose(kernel, (0, 2, 1, 3, 4, 5)), (blocks, blocks, stride**2 * a, b))


def _collect(x: Any, kernel: Any) -> Any:
    """The convolution of [N, H, W, a] with [k, k, a, b] that needs no padding, [N, H - k + 1, W - k + 1, b]."""
    size, _, a, b = kernel.shape
    rows, columns = (side - size + 1 for side in x.shape[1:3])
    seen = [x[:, row : row + rows, column : column + columns] for row in range(size) for column in range(size)]
    product = ops.matmul(ops.reshape(ops.concatenate(seen, axis=-1), (-1, size**2 * a)), ops.reshape(kernel, (-1, b)))
    return ops.reshape(product, (-1, rows, columns, b))


def _spread(x: Any, kernel: Any) -> Any:
    """The transpose of `_collect`: from [N, H, W, b] with [k, k, a, b] to [N, H + k - 1, W + k - 1, a]."""
    size, _, a, b = kernel.shape
    rows, columns = x.shape[1:3]
    product = ops.matmul(ops.reshape(x, (-1, b)), ops.transpose(ops.reshape(kernel, (-1, b))))
    product = ops.reshape(product, (-1, rows, columns, size**2, a))
    last = size - 1
    return sum(
        ops.pad(product[:, :, :, row * size + column], [(0, 0), (row, last - row), (column, last - column), (0, 0)])
        for row in range(size)
        for column in range(size)
    )
