"""Convolutions from and to images, whose few channels XLA is slow with on a CPU, as matrix products."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

MOST_CHANNELS = 4
"""Of an image. XLA's convolutions of 1 or 3 channels take up to five times as long as these products."""


class ImageConvolution:
    """What `ImageConv2D` and `ImageConv2DTranspose` share.

    Attributes:
        as_product: whether to compute a matrix product where one is known here: with padding "same", a square kernel,
            and neither dilation nor groups. Otherwise the layer is Keras's own. To be set before the layer is traced:
            products are faster under XLA on a CPU only.
    """

    as_product: bool = False

    def _is_product(self) -> bool:
        layer: Any = self
        is_square = len({*layer.kernel_size}) == len({*layer.strides}) == 1
        is_plain = {*layer.dilation_rate} == {1} and getattr(layer, "groups", 1) == 1
        is_padded = layer.padding == "same" and getattr(layer, "output_padding", None) is None
        return self.as_product and is_square and is_plain and is_padded and layer.data_format == "channels_last"


@keras.saving.register_keras_serializable(package="tuner_gan")
class ImageConv2D(ImageConvolution, layers.Conv2D):  # type: ignore[misc]
    """Keras's Conv2D, of a few input channels, or of a few filters and no stride."""

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        """Maps [N, H, W, C] to [N, ceil(H / stride), ceil(W / stride), filters]."""
        if not self._is_product():
            return super().convolution_op(inputs, kernel)
        kernel = ops.cast(kernel, inputs.dtype)
        height, width, channels = inputs.shape[1:]
        size, stride = self.kernel_size[0], self.strides[0]
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
        if not self._is_product():
            return super().call(inputs)
        size, stride, filters = self.kernel_size[0], self.strides[0], self.filters
        blocks = _spread(inputs, _in_blocks(ops.cast(self.kernel, inputs.dtype), stride))
        rows, columns = blocks.shape[1:3]
        images = ops.reshape(blocks, (-1, rows, columns, stride, stride, filters))
        images = ops.reshape(ops.transpose(images, (0, 1, 3, 2, 4, 5)), (-1, rows * stride, columns * stride, filters))
        height, width = (side * stride for side in inputs.shape[1:3])
        top, left = (_padding(side, size, stride)[0] for side in (height, width))
        images = images[:, top : top + height, left : left + width]
        if self.use_bias:
            images = images + ops.cast(self.bias, images.dtype)
        return images if self.activation is None else self.activation(images)


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
