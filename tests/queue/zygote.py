"""A process that has imported everything and forks workers, so that a killed one is replaced in milliseconds.

    python -m tests.queue.zygote HOME DATABASE MODULE:FUNCTION

Reads `fork ARGUMENTS` and `wait PID` from stdin and answers with a process id and an exit code. `FUNCTION(home, database,
arguments)` is what a forked process runs.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import traceback
from importlib import import_module
from pathlib import Path
from typing import Self

ROOT = Path(__file__).parents[2]


class Zygote:
    """The side that gives orders; a context manager."""

    def __init__(self, home: Path, function: str, database: str = "") -> None:
        words = [sys.executable, "-m", "tests.queue.zygote", str(home), database, function]
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        self._process = subprocess.Popen(
            words,
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._running: set[int] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for each in list(self._running):
            self.kill(each)
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def fork(self, *arguments: object) -> int:
        """Start a process. Returns its number."""
        number = int(self._ask(" ".join(["fork", *map(str, arguments)])))
        self._running.add(number)
        return number

    def wait(self, number: int) -> int:
        """The exit code of a process, negative for a signal."""
        self._running.discard(number)
        return int(self._ask(f"wait {number}"))

    def kill(self, number: int) -> int:
        """End a process as nothing can prevent."""
        os.kill(number, signal.SIGKILL)
        return self.wait(number)

    def _ask(self, line: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the zygote ended"
        return answer


def main(home: str, database: str, function: str) -> None:
    module, _, name = function.partition(":")
    run = getattr(import_module(module), name)
    for line in sys.stdin:
        order, *arguments = line.split()
        if order == "wait":
            answer = os.waitstatus_to_exitcode(os.waitpid(int(arguments[0]), 0)[1])
        elif (answer := os.fork()) == 0:
            try:
                run(Path(home), database or None, arguments)
            except BaseException:  # noqa: BLE001 - a forked process ends here, whatever it met
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        print(answer, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
