"""Training on several devices, of which a process has to make up its mind before TensorFlow begins."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import pytest

CODE = """
import json
import keras, numpy as np, tensorflow as tf
from tuner_gan.errors import ConfigError
from tuner_gan.gan.architecture import DiscriminatorSpec, GANArchitecture, GeneratorSpec, TrainingSpec
from tuner_gan.gan.model import GAN

halves = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], halves)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
images = np.random.default_rng(0).integers(0, 256, (11, 8, 9, 1), dtype=np.uint8)
architecture = GANArchitecture(
    (8, 9, 1),
    GeneratorSpec("dense", 4, (5,), normalization="none"),
    DiscriminatorSpec("dense", (3,), normalization="none"),
    TrainingSpec(batch_size=5),
)
gans = []
for scope in (tf.distribute.get_strategy().scope(), strategy.scope()):
    with scope:
        gans.append(gan := GAN(architecture, seed=3))
        gan.set_weights(gans[0].get_weights())
        gan.compile(keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1))
one, two = gans
histories = [gan.fit(images, batch_size=size, epochs=2, verbose=0).history for gan, size in ((one, 4), (two, None))]
steps = [int(np.array(gan.steps)) for gan in gans]
difference = max(float(np.abs(a - b).max()) for a, b in zip(one.get_weights(), two.get_weights()))
# The last batch is one image, which leaves a replica without.
last = two.fit(tf.data.Dataset.from_tensor_slices(images[:9]).batch(4), verbose=0).history
messages = []
for refused in (images[:1], tf.data.Dataset.from_tensor_slices(images).batch(5)):
    try:
        two.fit(refused)
    except ConfigError as error:
        messages.append(str(error))
print(json.dumps({
    "histories": histories,
    "steps": steps,
    "difference": difference,
    "steps of batches": int(np.array(two.steps)) - steps[1],
    "losses of batches": last["d_loss"] + last["g_loss"],
    "refused": messages,
}))
"""


def test_two_replicas_train_as_one_does() -> None:
    """On the same images and latents, four at a time: five cannot be shared out."""
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["steps"] == [4, 4]
    one, two = found["histories"]
    for name in ("d_loss", "g_loss"):
        assert two[name] == pytest.approx(one[name], rel=1e-5)
    assert found["difference"] < 1e-6
    assert found["steps of batches"] == 3
    assert all(map(math.isfinite, found["losses of batches"]))
    assert found["refused"] == [
        "images must be at least critic_steps=1 for each of 2 replicas, but got 1.",
        "A batch must be a multiple of critic_steps=1 images for each of 2 replicas, but got 5.",
    ]
