"""Ctrl-C and SIGTERM: what runs comes to a good end first, and the process says so in its exit code."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Self

GRACE_SECONDS = 10.0
"""How long a signal waits for work that is not to be cut short."""

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(BaseException):
    """The process was asked to stop. Like KeyboardInterrupt no `Exception`, so that nobody takes it for a mistake.

    Args:
        number: the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number

    @property
    def exit_code(self) -> int:
        """The shell's code for the signal: 130 or 143."""
        return 128 + self.number


class Signals:
    """While entered, the first signal raises `Interrupted` where the program stands, or, in `deferred`, where it asks.

    A second signal is not deferred. Python runs no handler while a compiled program runs, so a thread of its own ends
    the process if that takes longer than the grace. Does nothing outside of the main thread.

    Args:
        grace: seconds that deferred work may take.
    """

    def __init__(self, grace: float = GRACE_SECONDS) -> None:
        self._grace = grace
        self._received = 0
        self._deferred = False
        self._asked = threading.Event()
        self._restore = contextlib.ExitStack()

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._watch()
            for number in SIGNALS:
                self._restore.callback(signal.signal, number, signal.signal(number, self._handle))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._restore.close()

    @property
    def pending(self) -> bool:
        """Whether a signal has come that was deferred."""
        return self._received > 0

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """Holds signals back until `raise_pending`, or the end of the block."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False
        self.raise_pending()

    @contextlib.contextmanager
    def allowed(self) -> Iterator[None]:
        """Within `deferred`, lets signals through: what is done here can be done again."""
        self.raise_pending()
        deferred, self._deferred = self._deferred, False
        try:
            yield
        finally:
            self._deferred = deferred

    def raise_pending(self) -> None:
        """Raises what was held back.

        Raises:
            Interrupted: a signal has come.
        """
        if self.pending:
            self._asked.set()
            raise Interrupted(self._received)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        again, self._received = self.pending, number
        if again or not self._deferred:
            self._asked.set()
            raise Interrupted(number)

    def _watch(self) -> None:
        """Starts the thread that sees signals even while a compiled program keeps Python from handling them."""
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        before = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._wait, args=(ours,), daemon=True).start()
        self._restore.callback(theirs.close)  # which ends the thread
        self._restore.callback(signal.set_wakeup_fd, before)

    def _wait(self, wakeup: socket.socket) -> None:
        with wakeup:
            while number := wakeup.recv(1):
                if number[0] in SIGNALS and self._deferred and not self._asked.wait(self._grace):
                    text = (
                        f"stopped amid a block of training steps, after {self._grace:g} s; --resume goes on before it"
                    )
                    cursor = "\x1b[?25h" if os.isatty(2) else ""  # which a bar has hidden
                    os.write(2, f"{cursor}\n{text}\n".encode())
                    os._exit(128 + number[0])
