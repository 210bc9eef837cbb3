import itertools
import random
from typing import Any

import pytest

from tuner_gan.errors import ConfigError
from tuner_gan.gan.architecture import DiscriminatorSpec, GANArchitecture, GeneratorSpec
from tuner_gan.search_spaces import SPACES, SearchSpace, check_search_space, make_space

SHAPE = (8, 8, 1)


def _architecture(units: int = 4, shape: tuple[int, int, int] = SHAPE) -> GANArchitecture:
    return GANArchitecture(shape, GeneratorSpec("dense", 4, (units,)), DiscriminatorSpec("dense", (units,)))


class Good:
    def sample(self, hp: Any) -> GANArchitecture:
        return _architecture(hp.Int("units", 2, 6))


class WithScope:
    def sample(self, hp: Any) -> GANArchitecture:
        kind = hp.Choice("kind", ["small", "large"])
        with hp.conditional_scope("kind", ["large"]):
            if kind == "large":
                return _architecture(hp.Int("units", 8, 16))
        return _architecture()


@pytest.mark.parametrize("shape", [(8, 8, 1), (28, 28, 1), (9, 13, 3)], ids=str)
@pytest.mark.parametrize("name", SPACES)
def test_built_in_spaces_pass(name: str, shape: tuple[int, int, int]) -> None:
    check_search_space(make_space(name, shape), shape)


@pytest.mark.parametrize("space", [Good(), WithScope()])
def test_a_user_s_space_passes(space: SearchSpace) -> None:
    check_search_space(space)
    check_search_space(space, SHAPE)


class NoSample:
    pass


class SampleIsNoMethod:
    sample = 3


@pytest.mark.parametrize("space", [NoSample(), SampleIsNoMethod(), None, "dcgan", lambda hp: _architecture()])
def test_what_cannot_sample_is_refused(space: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        check_search_space(space)
    assert str(caught.value) == f"A search space is an object with a method sample(hp), but got {space!r}."


def test_a_class_is_no_space() -> None:
    with pytest.raises(ConfigError, match=r"sample\(hp\), but got <class '.*Good'>: pass an instance of it\.$"):
        check_search_space(Good)


class Untyped:
    def __init__(self, value: Any) -> None:
        self.value = value

    def sample(self, hp: Any) -> Any:
        hp.Int("units", 2, 6)
        return self.value


@pytest.mark.parametrize("value", [None, {"generator": 3}, (8, 8, 1)])
def test_something_else_than_an_architecture_is_refused(value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        check_search_space(Untyped(value))
    assert str(caught.value) == f"Untyped.sample must return a GANArchitecture, but it returned {value!r}."


class SometimesNone:
    def sample(self, hp: Any) -> Any:
        return _architecture() if hp.Int("units", 2, 6) < 5 else None


def test_a_fault_at_some_points_only_is_found() -> None:
    with pytest.raises(ConfigError, match=r"SometimesNone\.sample must return a GANArchitecture, but it returned None"):
        check_search_space(SometimesNone())


def test_images_of_another_shape_are_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        check_search_space(Good(), (28, 28, 1))
    assert str(caught.value) == "Good.sample makes images of shape (8, 8, 1), but the data have (28, 28, 1)."


class Dice:
    def sample(self, hp: Any) -> GANArchitecture:
        hp.Int("units", 2, 6)
        return _architecture(random.randint(1, 10**6))  # drawn, not built


class Counting:
    def __init__(self) -> None:
        self.calls = itertools.count(1)

    def sample(self, hp: Any) -> GANArchitecture:
        hp.Int("units", 2, 6)
        return _architecture(next(self.calls))


@pytest.mark.parametrize("space", [Dice(), Counting()])
def test_chance_and_state_are_found(space: SearchSpace) -> None:
    with pytest.raises(ConfigError) as caught:
        check_search_space(space)
    message = str(caught.value)
    assert message.startswith(f"{type(space).__name__}.sample gives different architectures for the same values")
    assert "{'units': " in message
    assert message.endswith("take every choice from hp, none from random or from state.")


class Raising:
    def sample(self, hp: Any) -> GANArchitecture:
        if hp.Int("units", 2, 6) == self.limit():
            raise KeyError("width")
        return _architecture()

    def limit(self) -> int:
        return 5


class RaisingAtOnce(Raising):
    def limit(self) -> int:
        return 2


class RaisingInAScope:
    def sample(self, hp: Any) -> GANArchitecture:
        kind = hp.Choice("kind", ["small", "large"])
        with hp.conditional_scope("kind", ["large"]):
            if kind == "large":
                raise KeyError("width")
        return _architecture()


@pytest.mark.parametrize(
    ("space", "point"),
    [(Raising(), "{'units': 5}"), (RaisingAtOnce(), "{'units': 2}"), (RaisingInAScope(), "{'kind': 'large'}")],
)
def test_an_exception_is_told_with_the_point(space: SearchSpace, point: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_search_space(space)
    assert str(caught.value) == f"{type(space).__name__}.sample failed at {point}: KeyError: 'width'"
    assert isinstance(caught.value.__cause__, KeyError)


class RaisingBeforeAnything:
    def sample(self, hp: Any) -> GANArchitecture:
        raise ZeroDivisionError("nothing to divide")


def test_an_exception_before_any_hyperparameter() -> None:
    with pytest.raises(ConfigError, match="failed at the defaults: ZeroDivisionError: nothing to divide"):
        check_search_space(RaisingBeforeAnything())


class OutOfRange:
    def sample(self, hp: Any) -> GANArchitecture:
        return _architecture(4 - hp.Int("units", 2, 6))


class WidthsAsAList:
    def sample(self, hp: Any) -> GANArchitecture:
        widths: Any = [hp.Int("units", 2, 6)]
        return GANArchitecture(SHAPE, GeneratorSpec("dense", 4, widths), DiscriminatorSpec("dense", (4,)))


@pytest.mark.parametrize(
    ("space", "reason"),
    [
        (OutOfRange(), r"generator\.widths must hold at least one positive width, but got \(-?\d,\)"),
        (WidthsAsAList(), r"architecture\.generator\.widths must be tuple\[int, \.\.\.\], but got \[2\]"),
    ],
)
def test_an_architecture_that_is_not_valid_is_told_with_the_point(space: SearchSpace, reason: str) -> None:
    with pytest.raises(ConfigError, match=rf"{type(space).__name__}\.sample failed at \{{'units': \d\}}: {reason}"):
        check_search_space(space)


class TwoRanges:
    def sample(self, hp: Any) -> GANArchitecture:
        units = hp.Int("units", 2, 6)
        return GANArchitecture(
            SHAPE, GeneratorSpec("dense", 4, (units,)), DiscriminatorSpec("dense", (hp.Int("units", 16, 64),))
        )


class TwoKinds:
    def sample(self, hp: Any) -> GANArchitecture:
        units = hp.Int("units", 2, 6)
        hp.Choice("units", ["few", "many"])
        return _architecture(units)


class ARangeThatDependsOnAnother:
    def sample(self, hp: Any) -> GANArchitecture:
        most = hp.Int("most", 2, 6)
        return _architecture(hp.Int("units", 1, most))


@pytest.mark.parametrize(
    ("space", "ways"),
    [
        (TwoRanges(), r"Int \(2 to 6\) and as Int \(16 to 64\)"),
        (TwoKinds(), r"Int \(2 to 6\) and as Choice \(few, many\)"),
        (ARangeThatDependsOnAnother(), r"Int \(1 to 2\) and as Int \(1 to \d\)"),
    ],
)
def test_a_name_that_is_declared_in_two_ways_is_refused(space: SearchSpace, ways: str) -> None:
    message = rf"the hyperparameter 'units' is declared as {ways}, and .*: give each a name of its own\.$"
    with pytest.raises(ConfigError, match=rf"{type(space).__name__}\.sample failed at \{{.*\}}: {message}"):
        check_search_space(space)


class TheSameTwice:
    def sample(self, hp: Any) -> GANArchitecture:
        hp.Int("units", 2, 6)
        return _architecture(hp.Int("units", 2, 6))


def test_a_name_that_is_declared_twice_alike_is_one_hyperparameter() -> None:
    check_search_space(TheSameTwice())


class NothingToSearch:
    def sample(self, hp: Any) -> GANArchitecture:
        return _architecture()


def test_a_space_without_hyperparameters_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"NothingToSearch\.sample declares no hyperparameter, so there is nothing"):
        check_search_space(NothingToSearch())
