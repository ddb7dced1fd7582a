"""Signals that wait for the end of a step."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from squeeze3d.training.interrupts import held_back


def test_a_signal_waits_until_it_is_delivered() -> None:
    before = signal.getsignal(signal.SIGINT)
    with held_back() as interrupt:
        assert not interrupt.requested
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupt.requested
        with pytest.raises(KeyboardInterrupt):
            interrupt.deliver()
        interrupt.deliver()
    assert signal.getsignal(signal.SIGINT) is before


def test_the_second_signal_does_not_wait() -> None:
    with held_back() as interrupt:
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        assert not interrupt.requested


def test_delivery_does_what_the_handler_before_would_have_done() -> None:
    seen: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number))
    try:
        with held_back() as interrupt:
            os.kill(os.getpid(), signal.SIGTERM)
            assert not seen
            with pytest.raises(KeyboardInterrupt):
                interrupt.deliver()
        assert seen == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_ignored_signals_stay_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with held_back() as interrupt:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not interrupt.requested
    finally:
        signal.signal(signal.SIGHUP, before)


def test_other_threads_train_without_signals() -> None:
    asked: list[bool] = []

    def work() -> None:
        with held_back() as interrupt:
            asked.append(interrupt.requested)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert asked == [False]
