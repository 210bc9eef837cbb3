"""Ctrl-C and SIGTERM are held back until they can do no harm, and never lost."""

from __future__ import annotations

import signal
import threading

import pytest

from tuner_gan.search.interrupts import InterruptGuard, Terminated


def test_ctrl_c_waits_for_the_check() -> None:
    before = signal.getsignal(signal.SIGINT)
    with InterruptGuard() as guard:
        guard.check()
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            guard.check()
    assert signal.getsignal(signal.SIGINT) is before


def test_sigterm_waits_for_the_check_and_says_that_it_was_not_ctrl_c() -> None:
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    with InterruptGuard() as guard:
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Terminated):
            guard.check()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.parametrize(("first", "second"), [(signal.SIGINT, signal.SIGTERM), (signal.SIGTERM, signal.SIGINT)])
def test_a_second_signal_of_the_other_kind_does_not_wait(first: signal.Signals, second: signal.Signals) -> None:
    with InterruptGuard():
        signal.raise_signal(first)
        with pytest.raises(KeyboardInterrupt) as caught:
            signal.raise_signal(second)
    assert (caught.type is Terminated) == (second == signal.SIGTERM)


def test_sigterm_alone_has_another_handler() -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    try:
        with InterruptGuard() as guard:
            signal.raise_signal(signal.SIGTERM)
            guard.check()
            signal.raise_signal(signal.SIGINT)
            with pytest.raises(KeyboardInterrupt):
                guard.check()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [signal.SIGTERM]


def test_inside_a_destructor_it_is_not_lost() -> None:
    class Destroyed:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGINT)

    with InterruptGuard() as guard:
        Destroyed()
        with pytest.raises(KeyboardInterrupt):
            guard.check()


def test_a_second_ctrl_c_does_not_wait() -> None:
    with InterruptGuard():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_a_guard_serves_again() -> None:
    guard = InterruptGuard()
    with guard:
        signal.raise_signal(signal.SIGINT)
    with guard:
        guard.check()


def test_a_guard_serves_again_in_another_thread() -> None:
    guard = InterruptGuard()
    with guard:
        guard.check()
    failures: list[BaseException] = []

    def run() -> None:
        try:
            with guard:
                guard.check()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert failures == []


def test_another_handler_stays() -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: heard.append(number))
    try:
        with InterruptGuard() as guard:
            signal.raise_signal(signal.SIGINT)
            guard.check()
    finally:
        signal.signal(signal.SIGINT, before)
    assert heard == [signal.SIGINT]


def test_outside_the_main_thread_nothing_changes() -> None:
    seen: list[object] = []

    def run() -> None:
        with InterruptGuard():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]
