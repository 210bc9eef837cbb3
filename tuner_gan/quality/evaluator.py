"""A generator goes in, named scores come out: the same classifier, latents and reference for every trial."""

from __future__ import annotations

import hashlib
import json
import math
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tuner_gan import files
from tuner_gan.datasets import DataSplits, ImageDataset
from tuner_gan.errors import ConfigError, DegenerateError, ProjectError, QualityError, unknown
from tuner_gan.image_labels import misfit
from tuner_gan.images import check_generator, class_count, images_from_latents, latent_dim
from tuner_gan.plain_numbers import check_count, check_limit
from tuner_gan.quality import metrics
from tuner_gan.quality.accuracy_score import classification_accuracy_score
from tuner_gan.quality.catalogue import CAS, OBJECTIVES, SECOND
from tuner_gan.quality.classifier import ReferenceClassifier
from tuner_gan.quality.extractor import FeatureExtractor, make_extractor
from tuner_gan.quality.frozen import Images, damaged, inference_batch, read_card
from tuner_gan.quality.guards import find_flags
from tuner_gan.quality.labels import Labels, allocate_labels
from tuner_gan.quality.overlap import holds_reference
from tuner_gan.quality.reference import ClassScore, Floats, Outputs, Reference
from tuner_gan.quality.second import SecondOpinion

FEWEST_SAMPLES, MOST_SAMPLES = 500, 2_000
LARGEST_BIAS = 0.1
"""Above this share of the reference variance, `fit` warns that the score of a perfect generator is far from 0."""
DEAD = 1e-6
"""A feature is dead when its variance is below this share of the mean variance."""
USUAL_FIT_S = 15.0
"""Seconds that a classifier takes to train, about, where none was trained yet."""
MOST_TAUGHT = 10_000
"""Generated images, one for each training image, that `cas` learns from at most."""
FEWEST_EVALUATED = 6
"""Images that have five nearest neighbours among each other, one more than these."""
CHUNK = 4_096
"""Images whose features are held at a time beyond those that are compared pair by pair."""


class QualityEvaluator:
    """Scores generators against reference images that neither classifier nor GAN has seen.

    A conditional generator is asked for the classes of the reference images, in their frequencies, and gets the scores
    of labelled images besides.

    Make one with `fit` or `load`.

    Attributes:
        objective: name of the metric that a search ranks by.
        classifier: the frozen `ReferenceClassifier`, or the user's own `FeatureExtractor`.
        samples: images generated for each score, the same for all trials, because the scores of different numbers of
            images cannot be compared: as many as there are reference images, but 500 to 2,000.
        seed: of the classifier and of the latents.
        card: what `card.json` holds, `floor`, `holdout_images`, `accuracy`, `effective_rank`, `dead_units` and
            `sampling_bias` among it.
    """

    def __init__(
        self,
        classifier: ReferenceClassifier | FeatureExtractor,
        reference: Reference,
        card: dict[str, Any],
        objective: str = "fcd",
    ) -> None:
        self.classifier = classifier
        self.objective = objective
        self.samples: int = reference.samples
        self.seed: int = card["seed"]
        self.card = card
        self._reference = reference
        self._latents: dict[int, Floats] = {}
        self._data: DataSplits | None = None
        self._folder: Path | None = None
        self._second: SecondOpinion | None = None
        _check_objective(objective, self.metrics)

    @property
    def direction(self) -> str:
        """`"min"` when less of the objective is better, `"max"` when more is."""
        return OBJECTIVES[self.objective]

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the scores of `evaluate`, in the order of tables; those of classes are left out without labels."""
        return self._reference.names

    @property
    def label_metrics(self) -> tuple[str, ...]:
        """Names of the scores that conditional generators, and images with labels, get besides, also at every rung."""
        return self._reference.label_names

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes that a conditional generator may have, by their labels; empty without."""
        return () if self._reference.labels is None else tuple(self.card["class_names"])

    @property
    def rung_metrics(self) -> tuple[str, ...]:
        """Names of the scores of `score`, which are cheap enough for every rung."""
        return self._reference.cheap_names

    @property
    def second_metrics(self) -> tuple[str, ...]:
        """Names of the scores that a second classifier adds."""
        has_classes = self._reference.class_counts is not None
        return tuple(name for name, metric in SECOND.items() if has_classes or not metric.needs_classes)

    @property
    def floor(self) -> dict[str, float]:
        """The scores of held-out real images, about the best that can be expected of a generator.

        They are those of `card["holdout_images"]` images, `samples` at most. Where they are fewer, `fcd`, `mind` and
        `class_fcd` have more of the bias of finite samples than those of a generator, and `coverage` is lower.
        """
        return dict(self.card["floor"])

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hexadecimal) of all that a score depends on; scores of different fingerprints cannot be compared."""
        fixed = [self.classifier.fingerprint, self.card["data_fingerprint"], self.seed, self.samples, *self.metrics]
        fixed += [*self.label_metrics, len(self.class_names)] if self.class_names else []
        digest = hashlib.sha256(json.dumps(fixed).encode())
        for features in (self._reference.features, self._reference.train):
            digest.update(np.ascontiguousarray(features, "<f4").tobytes())
        for whole in (self._reference.class_counts, self._reference.labels):
            if whole is not None:
                digest.update(np.ascontiguousarray(whole, "<i8").tobytes())
        return digest.hexdigest()

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of the images that are scored."""
        return self.classifier.image_shape

    def __repr__(self) -> str:
        floor = f"{self.objective} with floor {self.card['floor'][self.objective]:.4g}"
        what = f"samples {self.samples}, images {self.image_shape}, {type(self.classifier).__name__}"
        return f"QualityEvaluator({self.card['data_name']!r}: objective {floor}, {what}, seed {self.seed})"

    @classmethod
    def fit(
        cls,
        data: DataSplits,
        directory: str | Path | None = None,
        *,
        seed: int = 0,
        objective: str = "fcd",
        features: keras.Model | FeatureExtractor | str | Path | None = None,
        samples: int | None = None,
    ) -> QualityEvaluator:
        """Trains the classifier of a project, or reads the one that the project already has.

        Args:
            data: disjoint splits: the classifier learns from `train`, `reference` is what generated images are
                compared with, `holdout` gives accuracy and floor.
            directory: the project folder; `directory/classifier/` is read or written. None keeps all in memory.
            seed: of the classifier and of the latents, >= 0.
            objective: `"fcd"`, `"kid"`, `"coverage"`, `"mind"` or `"classifier_score"`.
            features: instead of a classifier of the project's own, any Keras model from images, float32
                `[N, H, W, C]` in 0..255, to features `[N, d]`; or the path of a .keras file with one; or the name of a
                `keras.applications` network, with its ImageNet weights. Scores of classes are left out then.
            samples: images that are generated for each score and compared pair by pair, at least 6; None for as many
                as there are reference images, but 500 to 2,000.

        Raises:
            ConfigError: another objective, or one that needs labels where there are none; data without splits; or a
                seed or samples that are no such integers.
            ProjectError: the folder holds a classifier of other data or of another seed, or a damaged one, or cannot
                be written.
            QualityError: `features` cannot be used.

        Warns:
            UserWarning: the objective is `"classifier_score"`, or so few reference images that even a perfect generator
                would score above 0.1.

        Example:
            >>> quality = QualityEvaluator.fit(datasets.load("digits").split(seed=0), "runs/digits")
            >>> quality.score(generator)["fcd"]
        """
        _check_objective(objective, OBJECTIVES)
        seed, samples = check_count("seed", seed, least=0), check_limit("samples", samples, least=FEWEST_EVALUATED)
        if not isinstance(data, DataSplits):
            raise ConfigError(
                "data must be the disjoint splits of a data set, datasets.load(...).split(seed=0) or "
                f"datasets.from_arrays(...).split(seed=0), but got {type(data).__name__}."
            )
        extractor = None if features is None else make_extractor(features, data.image_shape)
        folder = None if directory is None else Path(directory) / files.CLASSIFIER_DIR
        if folder is not None and (folder / files.CARD).exists():
            evaluator = cls.load(folder.parent, objective=objective)
            _check_same(folder, evaluator, data, seed, extractor, samples)
        else:
            if folder is not None:
                files.create_folder(folder)
            evaluator = cls._train(data, seed, objective, extractor, samples)
            if folder is not None:
                evaluator.save(folder.parent)
        evaluator._data = data
        evaluator._folder = folder
        evaluator._warn()
        return evaluator

    @classmethod
    def _train(
        cls, data: DataSplits, seed: int, objective: str, extractor: FeatureExtractor | None, samples: int | None
    ) -> QualityEvaluator:
        started = time.monotonic()
        classifier = extractor or ReferenceClassifier.fit(data.train, data.holdout, seed=seed)
        fit_s = time.monotonic() - started
        features, logits = _predict(classifier, data.reference.images)
        counts = None if logits is None else np.bincount(logits.argmax(axis=1), minlength=logits.shape[1])
        samples = samples or min(max(len(features), FEWEST_SAMPLES), MOST_SAMPLES)
        class_names = data.train.class_names
        is_labelled = len(class_names) >= 2 and data.reference.class_names == class_names
        train = _predict(classifier, data.train.images)[0]
        variance = features.var(axis=0, dtype=np.float64)
        card: dict[str, Any] = {
            "data_name": data.name,
            "data_licence": data.train.licence,
            "data_fingerprint": data.fingerprint,
            "image_shape": list(data.image_shape),
            "reference_images": len(features),
            "seed": seed,
            "samples": samples,
            "fit_s": round(fit_s, 3),
            "effective_rank": metrics.effective_rank(features),
            "dead_units": int(np.count_nonzero(variance < DEAD * variance.mean())),
            "sampling_bias": metrics.relative_sampling_bias(features, samples),
            "class_names": list(class_names) if is_labelled else [],
        }
        labels = data.reference.labels if is_labelled else None
        evaluator = cls(classifier, Reference(features, train, counts, samples, labels), card, objective)
        holdout = _chosen(data, seed, samples)
        card["holdout_images"] = len(holdout)
        card["floor"] = evaluator.evaluate(holdout.images, holdout.labels if is_labelled else None)
        if isinstance(classifier, ReferenceClassifier) and classifier.kind == "classifier":
            card["floor"][CAS] = classifier.accuracy  # the same training, on real images
        card["fingerprint"] = evaluator.fingerprint
        evaluator.card = {**classifier.card(), **card}
        return evaluator

    def _warn(self) -> None:
        if self.objective == "classifier_score":
            warnings.warn(
                "classifier_score is blind to copies of training images, to a few images repeated within each class "
                "and to noise that fools the classifier: rank by fcd unless you know why not.",
                UserWarning,
                stacklevel=3,
            )
        bias = self.card["sampling_bias"]
        if bias > LARGEST_BIAS and self.objective in ("fcd", "mind"):
            real = self.card["reference_images"]
            few = f"{real} reference" if real <= self.samples else f"{self.samples} generated"
            floor, held_out = f"the floor {self.floor['fcd']:.2f}", self.card["holdout_images"]
            # Fewer images have more of the bias: below that floor, a generator need not be better than real images.
            measure = floor if held_out == self.samples else f"that, not with {floor} of only {held_out} images"
            warnings.warn(
                f"{few} images are few: a perfect generator is expected to score fcd {bias:.2f} with {self.samples} "
                f"images, not 0; compare scores with {measure}, add images, or rank by kid, which has no such bias.",
                UserWarning,
                stacklevel=3,
            )

    def score(self, generator: keras.Model) -> dict[str, float]:
        """Generates `samples` images from the project's fixed latents and gives them the scores of every rung.

        Args:
            generator: float32 `[B, latent_dim]` to `[B, H, W, C]` in [-1, 1], or a conditional one, whose second input
                is int32 labels `[B]`; called in inference mode.

        Returns:
            A number for each name in `rung_metrics`; of a conditional generator in `label_metrics`, too.

        Raises:
            DegenerateError: NaN or infinity in the output, or images that are all the same.
            QualityError: images of another shape, or a generator for other classes.
        """
        return self._reference.score(self._outputs(*self._generate(generator)))

    def evaluate(
        self, images: Images | keras.Model, labels: Labels | None = None, *, second: bool = False
    ) -> dict[str, float]:
        """Gives images every score.

        The Frechet distance compares all images with all reference images; scores that compare pair by pair take
        `samples` of each at most, the first ones; those that look for copies take the whole training set.

        Args:
            images: uint8 `[N, H, W, C]`, N >= 2, in random order, or a generator, whose images of the project's fixed
                latents are taken. Scores are comparable for equal N only, which is `samples` for a generator.
            labels: of images, integers `[N]` that index `class_names`; None for images without, and for a generator.
            second: whether to ask a second classifier of another seed, too, which adds `second_metrics`. It is trained
                when the project has none yet; an evaluator that was loaded without images cannot.

        Returns:
            A number for each name in `metrics`, with labels in `label_metrics`, and in `second_metrics` if asked for.
            Fewer than d + 3 images, d the number of features, have no `fcd_infinity`; images of which no class has two,
            among the reference images as well, have no `class_fcd`.

        Raises:
            DegenerateError: NaN or infinity in a generator's output, or images that are all the same.
            QualityError: another shape or dtype, fewer than six images, labels that do not fit, a generator for other
                classes, or no second classifier can be trained.
        """
        if not isinstance(images, np.ndarray):
            images, labels = self._generate(images)
        elif labels is not None:
            labels = self._check_labels(labels, len(images))
        outputs = self._outputs(images, labels)
        if len(images) < FEWEST_EVALUATED:
            raise QualityError(f"images must be at least {FEWEST_EVALUATED} for every score, got {len(images)}.")
        scores = self._reference.evaluate(outputs)
        if second:
            seen = self._second_opinion().score(images)
            scores |= {name: seen[name] for name in self.second_metrics}
        return scores

    def evaluate_classes(self, generator: keras.Model) -> tuple[ClassScore, ...]:
        """Scores the images of each class of a conditional generator, the same images as for `evaluate`.

        Returns:
            One score for each of `class_names`; nothing for a generator without classes.
        """
        outputs = self._outputs(*self._generate(generator))
        if outputs.labels is None:
            return ()
        return tuple(self._reference.class_score(outputs, label) for label in range(len(self.class_names)))

    def cas(self, generator: keras.Model) -> float:
        """Trains a classifier on images of a conditional generator, and tests it on the held-out images.

        It gets an image for each training image, of the same class, 10,000 at most; so its accuracy can be compared
        with that of the classifier trained on the real images, which is the floor. It takes as long as that training.

        Args:
            generator: conditional, as for `score`.

        Returns:
            The classification accuracy score in [0, 1].

        Raises:
            QualityError: it is no generator, not conditional or for other classes, or this evaluator was loaded without
                images.

        References:
            Ravuri and Vinyals 2019, arXiv:1905.10887.
        """
        if self._data is None:
            raise QualityError(
                "images are needed to train and test a classifier for cas, but this evaluator was loaded without: make "
                "it with QualityEvaluator.fit."
            )
        check_generator(generator)
        self._check_classes(class_count(generator))
        train = self._data.train
        assert train.labels is not None  # there are classes
        labels = train.labels[np.random.default_rng(self.seed).permutation(len(train))[:MOST_TAUGHT]]
        # Other latents than those of the scores, which are too few.
        latents = np.random.default_rng([self.seed, latent_dim(generator), 1]).standard_normal(
            (len(labels), latent_dim(generator)), dtype=np.float32
        )
        images = images_from_latents(generator, latents, inference_batch(self.image_shape), labels)
        taught = ImageDataset("generated", images, labels, train.class_names)
        return classification_accuracy_score(taught, self._data.holdout, seed=self.seed)

    def flags(self, scores: Mapping[str, float], count: int | None = None) -> tuple[str, ...]:
        """Names what is wrong with images by the scores that `evaluate` gave them; empty for nothing found.

        Args:
            scores: what `evaluate` returned; without those of a second classifier, no image is called adversarial.
            count: of the images; None for `samples`, as a generator makes.
        """
        compared = min(count or self.samples, self.samples)
        reference = min(len(self._reference.features), self.samples)
        return find_flags(scores, self.floor, compared, reference, self.card["holdout_images"])

    def is_trained_on(self, images: Images) -> bool:
        """Tells whether training images, uint8 `[N, H, W, C]`, hold most of the reference images.

        An evaluator that was loaded without images does not know, and says False.
        """
        return self._data is not None and holds_reference(images, self._data)

    def _generate(self, generator: keras.Model) -> tuple[Images, Labels | None]:
        """Images of the fixed latents, and the fixed labels where the generator takes some."""
        check_generator(
            generator,
            f"images, a uint8 array [N, {', '.join(map(str, self.image_shape))}]",
            "datasets.from_arrays(images).images makes such an array of other images",
        )
        classes = class_count(generator)
        labels = None
        if classes:
            self._check_classes(classes)
            assert self._reference.labels is not None
            labels = allocate_labels(self._reference.labels, classes, self.samples, self.seed)
        latents = self._fixed_latents(latent_dim(generator))
        return images_from_latents(generator, latents, inference_batch(self.image_shape), labels), labels

    def _check_classes(self, classes: int) -> None:
        known = len(self.class_names)
        if not known:
            raise QualityError(
                "a conditional generator needs reference images labelled with the classes of the training images, but "
                "these have no such labels."
            )
        if classes != known:
            kind = f"for {classes}" if classes else "not conditional"
            raise QualityError(f"the generator must be for the {known} classes of the real images, but it is {kind}.")

    def _check_labels(self, labels: Any, count: int) -> Labels:
        classes = len(self.class_names)
        if not classes:
            raise QualityError("labels were given, but the reference images have none.")
        found = misfit(labels, count, classes)
        if found is not None:
            raise QualityError(
                f"labels must be {count} integers in 0..{classes - 1}, one for each image, but got {found}."
            )
        return np.asarray(labels).astype(np.int64)

    def _outputs(self, images: Images, labels: Labels | None = None) -> Outputs:
        moments: metrics.Moments | None = None
        kept, every = [], []
        for start in range(0, len(images), CHUNK):
            features, logits = _predict(self.classifier, images[start : start + CHUNK])
            part = metrics.Moments.of(features)
            moments = part if moments is None else moments.merge(part)
            kept.append(features[: max(0, self.samples - start)])
            if logits is not None:
                every.append(logits)
        if moments is None or moments.count < 2:
            raise QualityError(f"images must be at least 2, got {len(images)}.")
        if all((images[start : start + CHUNK] == images[0]).all() for start in range(0, len(images), CHUNK)):
            raise DegenerateError(
                f"all {len(images)} images are the same: the generator has collapsed to a constant, "
                "which has no score.",
                "constant",
            )
        return Outputs(np.concatenate(kept), moments, np.concatenate(every) if every else None, labels)

    def _fixed_latents(self, size: int) -> Floats:
        if size not in self._latents:
            rng = np.random.default_rng([self.seed, size])
            self._latents[size] = rng.standard_normal((self.samples, size), dtype=np.float32)
        return self._latents[size]

    def _second_opinion(self) -> SecondOpinion:
        folder = None if self._folder is None else self._folder / files.SECOND_DIR
        if self._second is None and folder is not None and (folder / files.CARD).exists():
            self._second = SecondOpinion.load(folder)
        if self._second is None:
            if self._data is None:
                raise QualityError(
                    "a second classifier has to be trained, but this evaluator was loaded without images: make it "
                    "with QualityEvaluator.fit."
                )
            holdout = _chosen(self._data, self.seed, self.samples).images
            self._second = SecondOpinion.fit(self._data, holdout, self.seed + 1)
            if folder is not None:
                self._second.save(folder)
        floor = {name: self._second.floor[name] for name in self.second_metrics}
        if not floor.items() <= self.card["floor"].items():  # new, or the process that made it was killed here
            self.card["floor"] |= floor
            if folder is not None:
                files.write_json(folder.parent / files.CARD, self.card)
        return self._second

    @property
    def second_fit_s(self) -> float:
        """Seconds that the first second opinion will take beyond its scores, about; 0 when its classifier is there.

        Infinite when it is not, and this evaluator was loaded without images to train it.
        """
        there = self._second is not None or (
            self._folder is not None and (self._folder / files.SECOND_DIR / files.CARD).exists()
        )
        return 0.0 if there else self.cas_s

    @property
    def cas_s(self) -> float:
        """Seconds that `cas` takes, about: the training of a classifier; infinite without images to judge it by."""
        if self._data is None:
            return math.inf
        return float(self.card["fit_s"]) if isinstance(self.classifier, ReferenceClassifier) else USUAL_FIT_S

    def save(self, directory: str | Path) -> None:
        """Writes `directory/classifier/`, the card last, so that an interrupted write leaves no card.

        Raises:
            ProjectError: the folder cannot be written.
        """
        folder = Path(directory) / files.CLASSIFIER_DIR
        files.create_folder(folder)
        (folder / files.CARD).unlink(missing_ok=True)
        self._reference.save(folder)
        self.classifier.save(folder, self.card)

    @classmethod
    def load(cls, directory: str | Path, *, objective: str = "fcd") -> QualityEvaluator:
        """Reads `directory/classifier/` and checks it against its card; no images are needed.

        Raises:
            ProjectError: a file is missing or damaged, or does not belong to the others.
            ConfigError: the objective is none of this evaluator's.
        """
        folder = Path(directory) / files.CLASSIFIER_DIR
        card = read_card(folder)
        kind = FeatureExtractor if card.get("kind") == "features" else ReferenceClassifier
        classifier = kind.load(folder)
        samples = card.get("samples")
        if not isinstance(samples, int) or samples < 2:
            raise damaged(folder, f"{files.CARD} lacks entries or has wrong ones")
        try:
            reference = Reference.load(folder, samples)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise damaged(folder, f"{files.REFERENCE} is missing or cannot be read") from error
        if (
            reference.features.shape[1:] != (classifier.feature_dim,)
            or reference.train.ndim != 2
            or not _labels_fit(reference, card.get("class_names"))
        ):
            raise damaged(folder, f"{files.REFERENCE} does not fit the classifier")
        # A card of an earlier version lacks it: a split gives reference and holdout as many images, to within one.
        card.setdefault("holdout_images", min(len(reference.features), samples))
        try:
            evaluator = cls(classifier, reference, card, objective)
            fits = evaluator.fingerprint == card["fingerprint"] and math.isfinite(card["sampling_bias"])
            fits = fits and card["holdout_images"] >= 2
            # Few held-out images have no extrapolated distance, or no class with two of them.
            named = {*evaluator.metrics, *evaluator.label_metrics} - {"fcd_infinity", "class_fcd"}
            fits = fits and named <= set(card["floor"])
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, ConfigError):
                raise
            raise damaged(folder, f"{files.CARD} lacks entries or has wrong ones") from error
        if not fits:
            raise damaged(folder, f"{files.REFERENCE} and {files.CARD} do not belong together")
        evaluator._folder = folder
        return evaluator


def _predict(classifier: ReferenceClassifier | FeatureExtractor, images: Images) -> tuple[Floats, Floats | None]:
    """Features, and logits where there are classes: the turns of a rotation classifier are none."""
    if isinstance(classifier, FeatureExtractor):
        return classifier.features(images), None
    features, logits = classifier.predict(images)
    return features, logits if classifier.kind == "classifier" else None


def _labels_fit(reference: Reference, names: Any) -> bool:
    labels = reference.labels
    if labels is None:
        return True
    is_named = isinstance(names, list) and all(isinstance(name, str) for name in names)
    is_whole = labels.dtype == np.int64 and labels.shape == (len(reference.features),)
    return is_named and is_whole and labels.min() >= 0 and labels.max() < len(names)


def _chosen(data: DataSplits, seed: int, samples: int) -> ImageDataset:
    """The held-out images that floors are measured with."""
    chosen = np.sort(np.random.default_rng(seed).permutation(len(data.holdout))[:samples])
    labels = None if data.holdout.labels is None else data.holdout.labels[chosen]
    return ImageDataset("holdout", data.holdout.images[chosen], labels, data.holdout.class_names)


def _check_objective(objective: str, known: Any) -> None:
    if not isinstance(objective, str):
        raise ConfigError(f"objective must be a name, one of {', '.join(OBJECTIVES)}, but got {objective!r}.")
    if objective not in OBJECTIVES:
        raise unknown("objective", objective, list(OBJECTIVES))
    if objective not in known:
        raise ConfigError(
            f"The objective {objective!r} needs labels, and a classifier of them in place of other features: choose "
            "fcd, kid, coverage or mind."
        )


def _check_same(
    folder: Path,
    evaluator: QualityEvaluator,
    data: DataSplits,
    seed: int,
    extractor: FeatureExtractor | None,
    samples: int | None,
) -> None:
    card = evaluator.card
    advice = "choose another project folder (--name), or overwrite the project (--overwrite)."
    # The seed first: the fingerprint of a split depends on it.
    if card["seed"] != seed:
        raise ProjectError(f"{folder} holds a classifier of seed {card['seed']}, asked for seed {seed}: {advice}")
    if card["data_fingerprint"] != data.fingerprint:
        raise ProjectError(
            f"{folder} holds a classifier of other data ({card['data_name']!r}, fingerprint "
            f"{card['data_fingerprint'][:12]}; asked for {data.name!r}, fingerprint {data.fingerprint[:12]}): {advice}"
        )
    stored, wanted = card["kind"] == "features", extractor is not None
    if stored != wanted or (extractor is not None and extractor.fingerprint != evaluator.classifier.fingerprint):
        raise ProjectError(f"{folder} holds another feature extractor than the one asked for: {advice}")
    if samples not in (None, evaluator.samples):
        raise ProjectError(f"{folder} compares {evaluator.samples} images, asked for {samples}: {advice}")
