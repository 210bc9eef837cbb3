"""The GAN as a Keras model: its training step, its averaged generator, its samples."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from keras import ops

from tuner_gan.errors import ConfigError
from tuner_gan.gan.architecture import GANArchitecture, TrainingSpec
from tuner_gan.gan.arithmetic import step_flops, uses_onednn
from tuner_gan.gan.augmentation import augment
from tuner_gan.gan.batches import USELESS, check_first, check_range, fill_up, of_each, peek, split, unpack, useless
from tuner_gan.gan.convolutions import ImageConvolution, Way
from tuner_gan.gan.losses import LOSSES, class_loss, margins
from tuner_gan.gan.networks import build_discriminator, build_generator
from tuner_gan.gan.normalization import FusedBatchNormalization
from tuner_gan.gan.penalties import PENALTIES
from tuner_gan.image_labels import check_class_indices
from tuner_gan.images import generate_images, input_signature
from tuner_gan.plain_numbers import check_count, check_limit
from tuner_gan.precision import SINGLE, default_policy, precision

if keras.config.backend() != "tensorflow":
    raise ConfigError(
        f"tuner_gan runs Keras on TensorFlow, but the Keras backend is {keras.config.backend()}: "
        "set KERAS_BACKEND=tensorflow."
    )


STEPS_PER_CALL = 8
"""Training steps of small images in one call from Python, whose overhead is about a tenth of such a step."""
PIXELS_PER_CALL = 2**13
"""Height x width of an image times steps in one call, at most: large images take long enough on their own, and
callbacks, time limits and Ctrl-C are heard between calls only."""
XLA_PAYS_AFTER = 600
"""Steps of a `fit` from which compiling with XLA saves more time than it takes; see docs/performance.md."""
ONEDNN_PAYS_AFTER = 2000
"""The same where TensorFlow has oneDNN without XLA,"""
ONEDNN_MOST_FLOPS = 1e9
"""and floating-point operations of a step above which oneDNN is faster."""
LOOKED_AT = 64
"""Images of an array of floats that `fit` looks at, to see whether they lie in another range than [-1, 1]."""
PREFETCHED = 2
"""Batches made while the ones before are trained on."""
OPTIMIZERS = ("generator_optimizer", "discriminator_optimizer")
"""Arguments of `compile`, and attributes."""
RANDOM_STATE = "seed_generator_state"
"""Name of the variable of a `keras.random.SeedGenerator`."""
FLOAT16_SCALE = 2.0**10
"""Of gradients in float16: derivatives by logits are at most one over the batch size, so it leaves a factor of 65."""
LEAST_SEED = 1e-15
"""Below this, a derivative by a fake's logit is raised to it, so that it can be divided by."""
ADA_TARGET = 0.6
"""How sure the discriminator may be of real images, r_t, which the share of augmented images is steered to
(arXiv:2006.06676, section 3)."""
ADA_IMAGES = 50_000
"""Real images over which that share may grow from 0 to 1: the tenth part of ADA's, for trainings of minutes."""


@keras.saving.register_keras_serializable(package="tuner_gan")
class GAN(keras.Model):  # type: ignore[misc]
    """A generator and a discriminator that train each other.

    Both networks are built at once, so that weights can be saved, loaded and counted before the first step.
    `compile`, `fit`, `save`, `save_weights`, `load_weights` and callbacks work as in any Keras model;
    `predict` maps latents to images with the averaged generator.

    Args:
        architecture: both networks and the training recipe.
        seed: integer from 0 that fixes latents and the order of the images. Initial weights follow Keras's
            global seed (`keras.utils.set_random_seed`); with None, so does this seed.
        **kwargs: of `keras.Model`. `dtype` is the policy that both networks train in: Keras's global one, but
            `mixed_bfloat16` where that is `float32` and the GPUs compute in it (`dtype="float32"` turns it off).

    Raises:
        ConfigError: the policy has weights in another dtype than float32, or the seed is no integer from 0.

    Attributes:
        generator: the network being trained, latents [N, latent_dim] to images [N, H, W, C] in [-1, 1].
        discriminator: images to logits [N, 1].
        ema_generator: exponential moving average of the generator (arXiv:1806.04498), the one to use; in float32.

    Example:
        >>> gan = GAN(architecture, seed=0)
        >>> gan.compile()
        >>> gan.fit(images, epochs=10)      # uint8 [N, H, W, C]
        >>> gan.generate(16, seed=0)        # uint8 [16, H, W, C]

    A conditional one (`classes` in its architecture) takes labels, too:
        >>> gan.fit(images, labels, epochs=10)
        >>> gan.generate(16, labels=3)
    """

    jit_compile: bool  # of keras.Model, which ships no types
    steps_per_execution: int

    def __init__(self, architecture: GANArchitecture, seed: int | None = None, **kwargs: Any) -> None:
        # Latents are for the averaged generator, in float32: cast to the policy of the others, they would be rounded.
        super().__init__(**{"dtype": default_policy(), "autocast": False, **kwargs})
        if self.variable_dtype != "float32":
            raise ConfigError(
                "dtype must be a policy with weights in float32 (float32, mixed_bfloat16, mixed_float16), but got "
                f"{self.dtype_policy.name}."
            )
        seed = check_limit("seed", seed, least=0)
        self.architecture = architecture
        self.seed = random.randrange(2**31) if seed is None else seed
        shape, classes = architecture.image_shape, architecture.classes
        with precision(self.dtype_policy):
            self.generator = build_generator(architecture.generator, shape, classes, for_training=True)
            self.discriminator = build_discriminator(architecture.discriminator, shape, classes, for_training=True)
        # It is what is scored and exported, also for machines that are slow in half precision.
        with precision(SINGLE):
            self.ema_generator = build_generator(architecture.generator, shape, classes)
        self.ema_generator.set_weights(self.generator.get_weights())
        self.ema_generator.trainable = False
        self.seed_generator = keras.random.SeedGenerator(self.seed)
        # Counted here, not by an optimizer: averaging and noise go on from it after loading.
        self.steps = self.add_weight(shape=(), dtype="int64", initializer="zeros", trainable=False, name="steps")
        self.augmentation_share = None
        if architecture.training.augmentation and architecture.training.adaptive_augmentation:
            self.augmentation_share = self.add_weight(
                shape=(), initializer="zeros", trainable=False, name="augmentation_share"
            )
        self.d_loss_tracker = keras.metrics.Mean(name="d_loss")
        self.g_loss_tracker = keras.metrics.Mean(name="g_loss")
        # Not by `build`, after which Keras lets a subclass add no layer, weight or metric of its own.
        self.built = True

    def build(self, input_shape: Any) -> None:
        """Does nothing: the networks are made in the constructor."""

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Maps latents [N, latent_dim], or a pair of them and labels, to images with the averaged generator."""
        return self.ema_generator(inputs, training=False)

    def export(self, filepath: str | Path, format: str = "tf_saved_model", **kwargs: Any) -> None:
        """Exports the averaged generator for serving, before any call, too; see `keras.Model.export`."""
        self.ema_generator.export(
            filepath, format, **{"input_signature": input_signature(self.ema_generator), **kwargs}
        )

    def compile(
        self,
        generator_optimizer: keras.optimizers.Optimizer | str | None = None,
        discriminator_optimizer: keras.optimizers.Optimizer | str | None = None,
        *,
        jit_compile: bool | Literal["auto"] = "auto",
        steps_per_execution: int | None = None,
        run_eagerly: bool = False,
    ) -> None:
        """Sets the optimizers and builds their state, so that it can be saved and loaded at any time.

        Args:
            generator_optimizer: None for the architecture's, with its learning rate and decays; or a name of Keras's.
            discriminator_optimizer: None for the same at `lr_ratio` times that rate; or a name of Keras's.
            jit_compile: whether XLA compiles the training step; `"auto"` where that pays in a `fit` on arrays: on a GPU
                always; on a CPU from 600 steps on, or, with oneDNN, from 2000 on of networks of few channels or whose
                generator repeats pixels, and that make grey images or have no convolutions in the generator; never for
                networks or recipes that XLA makes slower.
            steps_per_execution: training steps in one call, between which no callback runs; None for 8 of small images,
                fewer of larger ones and where 8 do not divide the `steps_per_epoch` of a `fit`, down to 1.
            run_eagerly: as in `keras.Model.compile`.

        Raises:
            ConfigError: an optimizer is one that takes gradients of a scaled loss, or one optimizer is to train both.
            ValueError: Keras knows no optimizer of that name.
        """
        training = self.architecture.training
        rates = training.generator_lr, training.generator_lr * training.lr_ratio
        optimizers = [
            keras.optimizers.get(_optimizer(training, rate) if given is None else given)
            for given, rate in zip((generator_optimizer, discriminator_optimizer), rates, strict=True)
        ]
        if optimizers[0] is optimizers[1]:
            raise ConfigError(
                f"Each network needs an optimizer of its own, but got {optimizers[0].name} for both: pass two of them, "
                "because each has the moments of the weights that it trains."
            )
        for optimizer in optimizers:
            if isinstance(optimizer, keras.optimizers.LossScaleOptimizer) or optimizer.loss_scale_factor:
                raise ConfigError(
                    "An optimizer must not take the gradients of a scaled loss, because in float16 the GAN scales them "
                    f"itself, but got {optimizer.name}: pass it without loss_scale_factor and LossScaleOptimizer."
                )
        self.generator_optimizer, self.discriminator_optimizer = optimizers
        self._xla = jit_compile
        self._chosen_steps_per_call = steps_per_execution
        super().compile(
            optimizer=self.generator_optimizer,
            jit_compile=jit_compile is True,
            steps_per_execution=self._steps_per_call(),
            run_eagerly=run_eagerly,
            auto_scale_loss=False,
        )
        self._set_xla(self.jit_compile)
        # Weights loaded into an optimizer without variables are dropped with only a warning.
        self.generator_optimizer.build(self.generator.trainable_variables)
        self.discriminator_optimizer.build(self.discriminator.trainable_variables)

    def restart_as(self, fresh: GAN) -> bool:
        """Takes over every weight, the optimizers' state and the seed of a GAN that was just built.

        A training step that has been traced and compiled serves again: what differs, learning rates among it, are
        variables. The decays of the optimizers are not, so they must be equal, like the networks.

        Args:
            fresh: compiled, and not needed afterwards.

        Returns:
            Whether it could be done; if not, nothing was changed.

        Raises:
            ValueError: one of the two is not compiled.
        """
        # A subclass may hold anything in its step.
        if not type(self) is type(fresh) is GAN or self._step_constants() != fresh._step_constants():
            return False
        self.set_state(fresh._state_variables())
        self.architecture, self.seed = fresh.architecture, fresh.seed
        return True

    def _step_constants(self) -> list[Any]:
        """All that differs between GANs and is no variable in a traced training step."""
        self._assert_compile_called()
        architecture = self.architecture.to_json()
        for rate in ("generator_lr", "lr_ratio"):
            del architecture["training"][rate]
        compiled = self.get_compile_config() or {}
        for name in OPTIMIZERS:
            config = compiled[name]["config"]
            del config["name"]
            if not isinstance(config.get("learning_rate"), dict):  # a schedule is no variable
                config.pop("learning_rate", None)
        trained = [variable.shape for variable in self.trainable_variables]  # the owner may have frozen layers
        return [architecture, compiled, trained, self.steps_per_execution, self.dtype_policy.name]

    def get_state(self) -> list[np.ndarray]:
        """Returns all that training changes: weights, average, optimizers, counts and every random state.

        Keras's own files of weights leave out the random states of layers, such as that of dropout.

        Raises:
            ValueError: the GAN is not compiled, so it has no optimizers.
        """
        return [np.array(variable) for variable in self._state_variables()]

    def set_state(self, state: Sequence[Any]) -> None:
        """Goes back to what `get_state` returned, of a GAN of the same architecture, compiled alike.

        Raises:
            ValueError: it is of another one, or this one is not compiled; nothing was changed.
        """
        variables = self._state_variables()
        if [tuple(variable.shape) for variable in variables] != [tuple(value.shape) for value in state]:
            raise ValueError("the state is of another GAN")
        for variable, value in zip(variables, state, strict=True):
            variable.assign(value)

    def _state_variables(self) -> list[Any]:
        self._assert_compile_called()
        return [*self.variables, *self.generator_optimizer.variables, *self.discriminator_optimizer.variables]

    def get_compile_config(self) -> dict[str, Any] | None:
        """Returns what the GAN was compiled with, optimizers as configuration; None if it is not compiled."""
        if not self.compiled:
            return None
        return {
            **{name: keras.optimizers.serialize(getattr(self, name)) for name in OPTIMIZERS},
            "jit_compile": self._xla,
            "steps_per_execution": self._chosen_steps_per_call,
            "run_eagerly": self.run_eagerly,
        }

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles as `get_compile_config` says."""
        self.compile(**{**config, **{name: keras.optimizers.deserialize(config[name]) for name in OPTIMIZERS}})

    def get_config(self) -> dict[str, Any]:
        """Returns the architecture, the seed and the precision as JSON-ready data."""
        return {
            "architecture": self.architecture.to_json(),
            "seed": self.seed,
            "name": self.name,
            "dtype": self.dtype_policy.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> GAN:
        """Builds the untrained model that `get_config` describes."""
        return cls(**{**config, "architecture": GANArchitecture.from_json(config["architecture"])})

    def save(self, filepath: str | Path, *args: Any, **kwargs: Any) -> None:
        """Writes the GAN, both optimizers included, as a `.keras` file; see `keras.Model.save`.

        Raises:
            ConfigError: the file is to be an HDF5 file, which holds no more than one network.
        """
        if str(filepath).endswith((".h5", ".hdf5")):
            raise ConfigError(
                f"A GAN is saved as a .keras file, but got {filepath}: choose that ending, or save_weights for a "
                ".weights.h5 file."
            )
        super().save(filepath, *args, **kwargs)

    def save_own_variables(self, store: Any) -> None:
        """Saves every random state beside the weights, those of latents, noise and dropout, which Keras leaves out."""
        super().save_own_variables(store)
        for number, state in enumerate(self._random_states()):
            store[f"{RANDOM_STATE}_{number}"] = np.asarray(state)

    def load_own_variables(self, store: Any) -> None:
        """Loads what `save_own_variables` wrote, so that training goes on with new latents, not with old ones."""
        own = {**store}
        for number, state in enumerate(self._random_states()):
            state.assign(np.asarray(own.pop(f"{RANDOM_STATE}_{number}")))
        super().load_own_variables(own)

    def _random_states(self) -> list[Any]:
        return [variable for variable in self.variables if variable.name == RANDOM_STATE]

    @classmethod
    def load(cls, path: str | Path) -> GAN:
        """Loads what `save` wrote, both optimizers included, in Keras's safe mode.

        Raises:
            ConfigError: the file holds another kind of model.
        """
        model = keras.saving.load_model(path, safe_mode=True)
        if not isinstance(model, cls):
            raise ConfigError(f"{path} must hold a GAN, but it holds a {type(model).__name__}.")
        return model

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """Running means of both losses, and a subclass's own metrics, all reset each epoch."""
        return list(self._metrics)

    def train_step(self, data: Any) -> dict[str, Any]:
        """Trains the discriminator `critic_steps` times, each on its part of the images, in the last both networks.

        In the last part the fakes are made once, and so are the discriminator's forward and backward passes, which
        serve both networks.

        Args:
            data: real images, uint8 [N, H, W, C] or float in [-1, 1], N a multiple of `critic_steps`; of a conditional
                GAN a pair of them and of labels, integers [N]; or a dictionary of such `images` and `labels`, and of
                `latents`, float32 [N, latent_dim], which are drawn here otherwise.

        Returns:
            Means of `d_loss` and `g_loss` over the epoch so far, in the unit of the loss (nats for logarithmic ones),
            penalties not counted.

        Raises:
            ConfigError: a batch is none of these, or no multiple of `critic_steps`.
        """
        architecture = self.architecture
        batch = unpack(data, architecture.image_shape, architecture.classes)
        if "latents" not in batch:
            shape = (ops.shape(batch["images"])[0], architecture.generator.latent_dim)
            batch["latents"] = keras.random.normal(shape, seed=self.seed_generator)
        parts = split(batch, architecture.training.critic_steps)
        for part in parts[:-1]:
            self._train_discriminator(part)
        d_loss, g_loss = self._train_both(parts[-1])
        # Not before the batch is there: its order follows from the count.
        with tf.control_dependencies([d_loss]):
            self.steps.assign_add(1)
        self._update_average()
        self.d_loss_tracker.update_state(d_loss)
        self.g_loss_tracker.update_state(g_loss)
        return {metric.name: metric.result() for metric in self.metrics}

    def test_step(self, data: Any) -> NoReturn:
        """Refuses to `evaluate` images, of which a GAN has no loss without training on them.

        Raises:
            ConfigError: always.
        """
        raise ConfigError("A GAN has no loss to evaluate: score the images that it generates, with QualityEvaluator.")

    def _train_discriminator(self, batch: dict[str, Any]) -> None:
        labels = batch.get("labels")
        seen = self._disguise(batch["images"]), self._disguise(self._make(batch, labels))
        gradients, _, outputs, _ = self._backward(seen, labels)
        _apply(self.discriminator_optimizer, gradients, self.discriminator.trainable_variables)
        self._adapt_augmentation(outputs)

    def _train_both(self, batch: dict[str, Any]) -> tuple[Any, Any]:
        labels, variables = batch.get("labels"), self.generator.trainable_variables
        real = self._disguise(batch["images"])
        with tf.GradientTape() as tape:
            fake = self._disguise(self._make(batch, labels))
        d_gradients, by_fake, outputs, losses = self._backward((real, fake), labels)
        g_gradients = self._divided(tape.gradient(fake, variables, by_fake))
        _apply(self.discriminator_optimizer, d_gradients, self.discriminator.trainable_variables)
        _apply(self.generator_optimizer, g_gradients, variables)
        self._adapt_augmentation(outputs)
        return losses

    def _backward(self, seen: tuple[Any, Any], labels: Any) -> tuple[list[Any], Any, list[Any], tuple[Any, Any]]:
        """Judges real and fake images, and takes one backward pass for all who learn from it where that can be.

        Returns:
            The gradients of the discriminator's loss, penalty included, by its variables; the gradient of the
            generator's loss by the fake images, times `_scale`; the discriminator's outputs for both; both losses.
        """
        training, variables = self.architecture.training, self.discriminator.trainable_variables
        with tf.GradientTape() as penalty_tape:
            with tf.GradientTape(persistent=True) as tape:
                tape.watch(seen)
                outputs = [self._judge(images, labels) for images in seen]
            losses, d_seeds, g_seed = self._losses_and_seeds(outputs, labels)
            slopes: list[Any] = []
            if self._judges_each_by_one_number():
                # Derivatives of both losses and of a logit by an image differ only by their derivatives by that logit.
                d_seeds = [ops.where(ops.abs(seed) < LEAST_SEED, LEAST_SEED, seed) for seed in d_seeds]
                *gradients, by_real, by_fake = tape.gradient(outputs, [*variables, *seen], d_seeds)
                slopes = [
                    by_images / ops.reshape(seed, (-1, 1, 1, 1))
                    for by_images, seed in zip((by_real, by_fake), d_seeds, strict=True)
                ]
                by_fake = slopes[1] * ops.reshape(g_seed, (-1, 1, 1, 1))
            else:
                d_seeds, g_seed = [self._scale * seed for seed in d_seeds], self._scale * g_seed
                gradients = self._divided(tape.gradient(outputs, variables, d_seeds))
                by_fake = tape.gradient(outputs[1], seen[1], g_seed)
            del tape
            if training.penalty == "none" or not training.penalty_weight:
                return gradients, by_fake, outputs, losses

            def slope(images: Any) -> Any:
                known = [one for one, place in zip(slopes, seen, strict=False) if place is images]
                return known[0] if known else self._slope(images, labels)

            penalty = self._scale * PENALTIES[training.penalty](slope, *seen, self.seed_generator)
        weight = training.penalty_weight / self._scale
        gradients = [
            # The last bias moves no gradient by an image.
            gradient if of_penalty is None else gradient + weight * of_penalty
            for gradient, of_penalty in zip(gradients, penalty_tape.gradient(penalty, variables), strict=True)
        ]
        return gradients, by_fake, outputs, losses

    @property
    def _scale(self) -> float:
        """What derivatives are multiplied by in the backward pass, because float16 has none below 6e-8.

        References:
            Micikevicius et al. 2018, arXiv:1710.03740, section 3.2; the factor is constant.
        """
        return FLOAT16_SCALE if self.compute_dtype == "float16" else 1.0

    def _divided(self, gradients: list[Any]) -> list[Any]:
        if self._scale == 1.0:
            return gradients
        # Of an embedding it is sparse, and TensorFlow divides no such tensor.
        return [tf.convert_to_tensor(gradient) / self._scale for gradient in gradients]

    def _losses_and_seeds(self, outputs: list[Any], labels: Any) -> tuple[tuple[Any, Any], list[Any], Any]:
        """Both losses, the derivatives of the first by both outputs, and of the second by that of fake images."""
        outputs = [tf.stop_gradient(output) for output in outputs]  # a penalty does not look at the losses
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(outputs)
            d_loss, g_loss = self._both_losses(outputs, labels)
        zero = tf.UnconnectedGradients.ZERO  # of logits that a loss does not look at
        d_seeds = tape.gradient(d_loss, outputs, unconnected_gradients=zero)
        return (d_loss, g_loss), d_seeds, tape.gradient(g_loss, outputs[1], unconnected_gradients=zero)

    def _slope(self, images: Any, labels: Any) -> Any:
        """The gradients of each image's logit by its own pixels."""
        with tf.GradientTape() as tape:
            tape.watch(images)
            logits = self._judge(images, labels)[:, :1]
        return tape.gradient(logits, images)

    def _judges_each_by_one_number(self) -> bool:
        # Half precision has too few digits for a ratio: a small derivative would be lost before it is scaled up.
        # A block of the user's own may normalise by the batch, too.
        layers = self.discriminator._flatten_layers()
        is_alone = not any(isinstance(layer, keras.layers.BatchNormalization) for layer in layers)
        return self.compute_dtype == "float32" and is_alone and self.discriminator.output_shape[-1] == 1

    def _make(self, batch: dict[str, Any], labels: Any) -> Any:
        return self.generator(batch["latents"] if labels is None else [batch["latents"], labels], training=True)

    def _judge(self, images: Any, labels: Any) -> Any:
        """The discriminator's output for images as it sees them, [N, 1] or, telling classes apart, [N, 1 + classes]."""
        projects = len(self.discriminator.inputs) == 2
        return self.discriminator([images, labels] if projects else images, training=True)

    def _both_losses(self, outputs: list[Any], labels: Any) -> tuple[Any, Any]:
        training = self.architecture.training
        smoothing = {"label_smoothing": training.label_smoothing} if training.label_smoothing else {}
        d_loss, g_loss = LOSSES[training.loss](*[output[:, :1] for output in outputs], **smoothing)
        if outputs[0].shape[-1] > 1:
            real, fake = (class_loss(output[:, 1:], labels) for output in outputs)
            d_loss, g_loss = d_loss + real + fake, g_loss + fake
        return d_loss, g_loss

    def _disguise(self, images: Any) -> Any:
        """Images as the discriminator sees them: augmented, and with noise."""
        training = self.architecture.training
        if training.augmentation:
            share = 1.0 if self.augmentation_share is None else self.augmentation_share
            images = augment(images, training.augmentation, share, self.seed_generator)
        if not training.instance_noise:
            return images
        left = ops.maximum(1.0 - ops.cast(self.steps, "float32") / training.instance_noise_steps, 0.0)
        noise = keras.random.normal(ops.shape(images), seed=self.seed_generator)
        return images + training.instance_noise * left * noise

    def _adapt_augmentation(self, outputs: list[Any]) -> None:
        """Augments more images when the discriminator is surer of real ones than it should be, and fewer otherwise.

        ADA's r_t = E[sign D(x)] says how sure it is: 0 for a D that cannot tell real from fake images, 1 for one that
        always can. That is so if its loss parts them at D = 0; otherwise `losses.margins` takes the place of D, for
        relativistic logits as in R3GAN's code.

        References:
            ADA, Karras et al. 2020, arXiv:2006.06676, section 3, equation 1.
        """
        if self.augmentation_share is None:
            return
        training = self.architecture.training
        real, fake = (output[:, :1] for output in outputs)
        overfit = ops.mean(ops.sign(margins(training.loss, real, fake, training.label_smoothing))) - ADA_TARGET
        change = ops.sign(overfit) * ops.cast(ops.shape(real)[0], "float32") / ADA_IMAGES
        self.augmentation_share.assign(ops.clip(self.augmentation_share + change, 0.0, 1.0))

    def _update_average(self) -> None:
        steps = ops.cast(self.steps, "float32")
        # The warm-up (1 + t) / (10 + t) lets short trainings forget the random start.
        decay = ops.minimum(self.architecture.training.ema_decay, (1.0 + steps) / (10.0 + steps))
        for average, current in zip(self.ema_generator.weights, self.generator.weights, strict=True):
            if current.dtype.startswith(("float", "bfloat")):
                average.assign(decay * average + (1.0 - decay) * current)

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        *,
        batch_size: int | None = None,
        epochs: int = 1,
        **kwargs: Any,
    ) -> keras.callbacks.History:
        """Trains on images; otherwise as `keras.Model.fit`.

        Args:
            x: images [N, H, W, C], uint8 or float in [-1, 1], an array or what makes one (a tensor, a list), or a
                dictionary of `images` and `labels`; or what makes batches as `train_step` takes: a `tf.data.Dataset`, a
                `keras.utils.PyDataset` or a generator, which Keras wants to yield tuples: `(images,)` or, of a
                dictionary, `(batch,)`. Each batch must be a multiple of `critic_steps` images for each replica of a
                strategy; of a `tf.data.Dataset`, the last may be smaller: its first images are repeated.
            y: labels of images that come in no batches, integers [N] in 0..classes-1, for a conditional GAN; None for
                any other.
            batch_size: images for each step of the discriminator, shared out among a strategy's replicas; None for the
                architecture's. What is left over at the end of an epoch, less than `critic_steps` batches, waits for
                the next epoch's order.
            epochs: passes over the images. With fewer `steps_per_epoch` than batches, a pass goes on in the next epoch,
                and what is left of it makes a shorter one.
            **kwargs: as in `keras.Model.fit`, without weights and validation; images in no batches are always shuffled.

        Returns:
            History of `d_loss` and `g_loss`, one value an epoch.

        Raises:
            ConfigError: images have another shape than the architecture's, or another dtype or range, or are too few;
                or labels are missing, are not what the architecture's classes need, or are given without classes; or
                there are weights, or images for validation; or `batch_size` is no integer from 1.

        Warns:
            UserWarning: the first images of an array, a data set or a generator of floats have no negative value, as if
                they lay in [0, 1].
        """
        self._assert_compile_called("fit")
        if not kwargs.get("validation_split", True):
            del kwargs["validation_split"]  # 0.0, Keras's own default
        for name in USELESS:
            if kwargs.get(name) is not None:
                raise useless(name)
        if isinstance(x, dict):
            if x.keys() - {"labels"} != {"images"}:
                raise ConfigError(
                    f"x must hold images and, for a conditional GAN, labels, but got {' and '.join(map(str, x))}: "
                    "a tf.data.Dataset may hold latents, too."
                )
            x, y = x["images"], x.get("labels", y)
        # Keras has a limit of its own, for debugging.
        limits = kwargs.get("steps_per_epoch"), keras.config.max_steps_per_epoch()
        steps_per_epoch = min(filter(None, limits), default=None)
        self._set_steps_per_call(steps_per_epoch)
        training = self.architecture.training
        critic_steps = training.critic_steps
        batch_size = check_count("batch_size", training.batch_size if batch_size is None else batch_size)
        replicas = self.distribute_strategy.num_replicas_in_sync
        if isinstance(x, (list, tuple)) or hasattr(x, "__array__"):
            images = self._check_images(x)
            labels = self._check_labels(y, len(images))
            if len(images) < critic_steps * replicas:
                each = of_each(replicas)
                raise ConfigError(f"images must be at least critic_steps={critic_steps}{each}, but got {len(images)}.")
            batch_size = min(batch_size, len(images) // critic_steps)
            batch_size = max(replicas, batch_size - batch_size % replicas)  # Keras wants as many for each of them
            if self._xla == "auto":
                # Epochs before `initial_epoch` count: XLA rounds otherwise, so a training that goes on must not change.
                passes = len(images) // (critic_steps * batch_size)
                steps = epochs * min(steps_per_epoch or passes, passes)
                self._set_xla(self._xla_pays(steps, batch_size))
            x, y = self._batches(images, labels, critic_steps * batch_size), None
        elif hasattr(x, "images") and not isinstance(x, keras.utils.PyDataset):  # of a user's, it may well keep them
            raise ConfigError(
                f"x must be images, but got {type(x).__name__}: pass its images, and for a conditional GAN its labels."
            )
        else:
            first, x = peek(x)
            if first is not None:
                check_first(first, self.architecture.image_shape, self.architecture.classes, critic_steps, replicas)
            if isinstance(x, tf.data.Dataset):
                x = fill_up(x, critic_steps * replicas)
        if not isinstance(x, keras.utils.PyDataset):
            kwargs["shuffle"] = False  # the order of other batches is their own; Keras warns of its own default
        return super().fit(x, y, epochs=epochs, **kwargs)

    def _check_images(self, images: Any) -> np.ndarray:
        try:
            found = np.asarray(images)
        except ValueError:
            is_fitting, kind = False, f"a {type(images).__name__} of different shapes"
        else:
            is_fitting = found.ndim == 4 and found.shape[1:] == self.architecture.image_shape and len(found) > 0
            # ml_dtypes' type, which NumPy does not count among its floats.
            is_float = np.issubdtype(found.dtype, np.floating) or found.dtype.name == "bfloat16"
            is_fitting &= found.dtype == np.uint8 or is_float
            kind = f"{found.dtype} {list(found.shape)}"
        if not is_fitting:
            raise ConfigError(
                f"images must be uint8, or float in [-1, 1], of shape "
                f"[N, {', '.join(map(str, self.architecture.image_shape))}], but got {kind}."
            )
        if is_float:
            check_range(found[:LOOKED_AT].astype(np.float32))
        return found

    def _check_labels(self, labels: Any, count: int) -> np.ndarray | None:
        classes = self.architecture.classes
        if not classes:
            if labels is not None:
                raise ConfigError("y must be None: this GAN has no classes; set classes in its architecture.")
            return None
        return check_class_indices(labels, count, classes).astype(np.int32)

    def _steps_per_call(self, steps_per_epoch: int | None = None) -> int:
        if self._chosen_steps_per_call:
            return self._chosen_steps_per_call
        height, width, _ = self.architecture.image_shape
        most = max(1, min(STEPS_PER_CALL, PIXELS_PER_CALL // (height * width)))
        if self.distribute_strategy.num_replicas_in_sync > 1:
            most = 1  # of several, Keras 3.15 makes a graph that TensorFlow cannot run
        # Keras makes whole calls: of 10 steps in an epoch, in calls of 8, it would make 16.
        return next(steps for steps in range(most, 0, -1) if (steps_per_epoch or 0) % steps == 0)

    def _set_steps_per_call(self, steps_per_epoch: int | None) -> None:
        steps = self._steps_per_call(steps_per_epoch)
        if self.steps_per_execution != steps:
            self.steps_per_execution = steps
            self.train_function = self.predict_function = None  # traced for another number

    def _xla_pays(self, steps: int, batch_size: int) -> bool:
        """Tells whether compiling a `fit` of so many steps of so many images saves time."""
        training = self.architecture.training
        generator, discriminator = self.architecture.generator, self.architecture.discriminator
        if self.run_eagerly or tf.distribute.has_strategy() or self.distribute_strategy.num_replicas_in_sync > 1:
            return False
        if tf.config.list_physical_devices("GPU"):
            return True
        # Measured on a CPU: with noise XLA takes twice as long, with max pooling a quarter more, with dropout a sixth.
        is_slow = training.instance_noise > 0 or discriminator.downsampling == "max_pool" or discriminator.dropout > 0
        least = XLA_PAYS_AFTER
        if uses_onednn():
            least = ONEDNN_PAYS_AFTER
            # oneDNN is slow, too, where each pixel of an image is summed up from many channels at full resolution.
            repeats = generator.family == "conv" and generator.upsampling == "nearest"
            is_slow |= not repeats and step_flops(self.generator, self.discriminator, batch_size) > ONEDNN_MOST_FLOPS
            # XLA is slower where convolutions make images of three channels: by a tenth to a half.
            is_slow |= generator.family != "dense" and self.architecture.image_shape[-1] == 3
        return steps >= least and not is_slow

    def _set_xla(self, on: bool) -> None:
        if self.jit_compile != on:
            self.jit_compile = on
            self.train_function = None  # traced for the other
        has_gpu = bool(tf.config.list_physical_devices("GPU"))
        on_cpu: Way = "products" if on else "blocks" if uses_onednn() else "keras"
        for layer in self._flatten_layers():
            if isinstance(layer, ImageConvolution):
                layer.way = "keras" if has_gpu else on_cpu
            elif isinstance(layer, FusedBatchNormalization):
                layer.is_fused = not on

    def _batches(self, images: np.ndarray, labels: np.ndarray | None, batch_size: int) -> tf.data.Dataset:
        """One epoch's batches; order and latents follow from the seed and the steps before that epoch alone.

        So a training that goes on, from saved weights or in another process, sees what it would have seen.
        """
        order_seed, latent_seed = np.random.SeedSequence(self.seed).generate_state(2).tolist()
        options = tf.data.Options()
        # The autotuning thread delays the end of every epoch by up to twice the epoch's own time.
        options.autotune.enabled = False
        options.deterministic = True
        # TensorFlow misreads floats of another byte order, and does not know long ones.
        kind = np.dtype(np.uint8 if images.dtype == np.uint8 else np.float32)
        kinds = [kind, np.dtype(np.int64)] + ([] if labels is None else [labels.dtype])
        # Not this model: TensorFlow may keep `take` until the process ends.
        first, order, steps, latent_dim = 0, np.arange(len(images)), self.steps, self.architecture.generator.latent_dim

        def take(index: np.int64) -> list[np.ndarray]:
            nonlocal first, order
            if index == 0:
                first = int(ops.convert_to_numpy(steps))  # a variable of several replicas is no number
                order = np.random.default_rng([order_seed, first]).permutation(len(images))
            chosen = order[index * batch_size : (index + 1) * batch_size]
            # Taken from the array itself: as a tensor, all images would be in memory a second time, mapped ones too.
            taken = [images[chosen].astype(kind, copy=False), np.array([latent_seed, first + index], np.int64)]
            return taken if labels is None else [*taken, labels[chosen]]

        def batch(index: Any) -> dict[str, Any]:
            real, seed, *rest = tf.numpy_function(take, [index], kinds)
            real = tf.ensure_shape(real, (batch_size, *images.shape[1:]))
            # Latents are drawn here, because in a step compiled by XLA they would take a tenth of its time on a CPU.
            made = {
                "images": real,
                "latents": tf.random.stateless_normal((batch_size, latent_dim), tf.ensure_shape(seed, (2,))),
            }
            return {**made, "labels": tf.ensure_shape(rest[0], (batch_size,))} if rest else made

        # In order, one at a time: the first batch of an epoch fixes the others' order.
        return tf.data.Dataset.range(len(images) // batch_size).map(batch).prefetch(PREFETCHED).with_options(options)

    def generate(
        self, n: int, seed: int | None = None, batch_size: int = 256, labels: npt.ArrayLike | None = None
    ) -> np.ndarray:
        """Makes images with the averaged generator.

        Args:
            n: how many, from 1.
            seed: integer that fixes the latents; None draws new ones.
            batch_size: images made at a time.
            labels: of a conditional GAN, one class for all images or integers [n]; None for every class in turn.

        Returns:
            uint8 array [n, H, W, C].
        """
        return generate_images(self.ema_generator, n, seed=seed, batch_size=batch_size, labels=labels)

    def save_generator(self, path: str | Path) -> None:
        """Writes the averaged generator as a `.keras` file that loads without tuner_gan, ready to train on."""
        self.ema_generator.trainable = True
        try:
            self.ema_generator.save(path)
        finally:
            self.ema_generator.trainable = False

    def save_discriminator(self, path: str | Path) -> None:
        """Writes the discriminator as a `.keras` file that loads without tuner_gan."""
        architecture = self.architecture
        with precision(self.dtype_policy):
            plain = build_discriminator(architecture.discriminator, architecture.image_shape, architecture.classes)
        plain.set_weights(self.discriminator.get_weights())
        plain.save(path)


def _optimizer(training: TrainingSpec, learning_rate: float) -> keras.optimizers.Optimizer:
    if training.optimizer == "rmsprop":
        return keras.optimizers.RMSprop(learning_rate, rho=training.beta2)
    betas = {"beta_1": training.beta1, "beta_2": training.beta2}
    if training.optimizer == "adamw":
        return keras.optimizers.AdamW(learning_rate, weight_decay=training.weight_decay, **betas)
    return keras.optimizers.Adam(learning_rate, **betas)


def _apply(optimizer: keras.optimizers.Optimizer, gradients: list[Any], variables: list[Any]) -> None:
    """Applies gradients as `optimizer.apply` does, without its leak.

    In replica context Keras sums the gradients over replicas, and for that TensorFlow registers a gradient function
    that keeps the whole traced graph until the process ends: some megabytes a trial. One replica has nothing to sum.
    """
    if tf.distribute.has_strategy():
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        if replicas > 1:  # whose gradients Keras sums, each a mean over the replica's images
            gradients = [tf.convert_to_tensor(gradient) / replicas for gradient in gradients]
        optimizer.apply(gradients, variables)
    else:
        tf.distribute.get_replica_context().merge_call(lambda _: optimizer.apply(gradients, variables))
