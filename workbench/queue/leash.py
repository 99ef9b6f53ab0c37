"""`python -m workbench.queue.leash LOCK PROGRAM ...`: runs a program that ends when whoever started it ends.

It holds the reading end of a pipe whose writing end only the starter has. However the starter dies, kill -9 included,
the system closes the pipe; then the program is interrupted, as by Ctrl-C, and ended when it takes longer than `PATIENCE`.

The file LOCK is held as long as the program lives, so that the next attempt at the same job begins when the last one has
saved its checkpoint and is gone. The program inherits the lock: it stays held even when this process is killed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

INTERRUPTED = 130
LOOK = 0.2  # seconds between two tries to take the lock
PATIENCE = 60.0  # seconds for a checkpoint


def main(lock: Path, words: list[str]) -> int:
    """Run `words` until it ends or stdin does. Returns its exit code."""
    # A starter that runs in a shell's background ignores SIGINT, and so would the program, which could then never save.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if os.name != "posix":  # no lock that a child inherits
        return _run(words, ())
    import fcntl
    import select

    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a", encoding="ascii") as file:
        while True:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return _run(words, (file.fileno(),))
            if select.select([0], [], [], LOOK)[0] and not os.read(0, 1):
                return INTERRUPTED


def _run(words: list[str], kept: tuple[int, ...]) -> int:
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, pass_fds=kept)  # noqa: S603 - our own caller's words
    threading.Thread(target=_hold, args=(process,), daemon=True).start()
    return process.wait()


def _hold(process: subprocess.Popen[bytes]) -> None:
    while os.read(0, 1024):
        pass
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGINT if os.name == "posix" else signal.SIGTERM)
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
