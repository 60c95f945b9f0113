import os
import signal
import threading
import time

import pytest

from headstart.training.signals import SECOND, noted_signals


def send(number):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize(
    ("number", "name"), [(signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "SIGTERM")]
)
def test_the_first_is_noted_and_the_handlers_are_back_afterwards(number, name):
    before = signal.getsignal(number)
    with noted_signals() as signals:
        send(number)
        assert signals.received == [name]
        assert signal.getsignal(number) is before
    assert signal.getsignal(number) is before


def test_the_second_acts_as_ever_and_says_that_it_is_the_second():
    with pytest.raises(KeyboardInterrupt) as stopped, noted_signals():  # noqa: PT012
        send(signal.SIGTERM)
        send(signal.SIGINT)
    assert stopped.value.__notes__ == [SECOND]


def test_an_interrupt_of_its_own_is_not_the_second():
    with pytest.raises(KeyboardInterrupt) as stopped, noted_signals():
        raise KeyboardInterrupt
    assert not hasattr(stopped.value, "__notes__")


def test_one_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with noted_signals() as signals:
            send(signal.SIGHUP)
        assert signals.received == []
    finally:
        signal.signal(signal.SIGHUP, before)


def test_other_threads_and_inactive_ones_note_nothing():
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def look():
        with noted_signals():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    with noted_signals(active=False):
        seen.append(signal.getsignal(signal.SIGINT))
    assert seen == [before, before]


def test_what_may_be_cut_short_is():
    def long():
        send(signal.SIGTERM)
        time.sleep(60)

    with noted_signals() as signals:
        assert signals.unless_stopped(lambda: 3) == 3
        assert signals.unless_stopped(long) is None
        assert signals.unless_stopped(lambda: 3) is None  # one has come before
        assert signals.received == ["SIGTERM"]
