"""A process that has imported the trainer and forks one child per run, so that killing fifty of them takes no hour.

Reads lines of FOLDER, HOME and MODELS, separated by tabs; answers with the id of the process that trains. It computes
nothing itself, so that there is no thread that a fork could lose.
"""

from __future__ import annotations

import os
import signal
import sys

import diffusers.models  # noqa: F401 - what a child would import first
import peft  # noqa: F401
import torch
import transformers  # noqa: F401

import finetune.execute
import finetune.run


def main() -> None:
    torch.set_num_threads(1)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # ended children are collected by the system
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.setsid()
            code = 1
            try:
                code = finetune.run.main(line.rstrip("\n").split("\t"))
            finally:
                os._exit(code)
        print(child, flush=True)


if __name__ == "__main__":
    main()
