import os
import signal
import subprocess
import sys
import threading

import pytest

from mtkit.training.interrupt import Interrupted, Signals


def send(number):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_is_raised_where_the_program_stands(number, code):
    before = signal.getsignal(number)
    with Signals(), pytest.raises(Interrupted, match=number.name) as raised:
        send(number)
    assert raised.value.exit_code == code
    assert signal.getsignal(number) is before


def test_a_deferred_signal_is_raised_where_it_is_asked_for():
    done = []
    with Signals() as signals:
        with pytest.raises(Interrupted), signals.deferred():  # noqa: PT012
            signals.raise_pending()
            send(signal.SIGTERM)
            assert signals.pending
            done.append("block")
            signals.raise_pending()
            done.append("too far")
        with pytest.raises(Interrupted), signals.deferred():
            done.append("end")
    assert done == ["block", "end"]


def test_a_second_signal_is_not_deferred():
    with Signals() as signals, pytest.raises(Interrupted), signals.deferred():  # noqa: PT012
        send(signal.SIGINT)
        send(signal.SIGINT)
        pytest.fail("it was deferred")


def test_other_threads_are_left_alone():
    errors = []

    def work():
        try:
            with Signals() as signals, signals.deferred():
                pass
        except ValueError as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not errors


def test_what_takes_too_long_is_cut_short():
    code = """
import os, signal, time
from mtkit.training.interrupt import Signals
with Signals(grace=0.2) as signals, signals.deferred():
    os.kill(os.getpid(), signal.SIGTERM)
    end = time.monotonic() + 15
    while time.monotonic() < end:
        pass
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 143
    assert "stopped amid a block of training steps, after 0.2 s; --resume goes on before it" in done.stderr
