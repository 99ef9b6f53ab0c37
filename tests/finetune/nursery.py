"""A process that has imported the trainer and forks one child per run, so that killing fifty of them takes no hour.

Reads lines of FOLDER, HOME and MODELS, separated by tabs; answers with the id of the process that trains. It computes
nothing itself, so that there is no thread that a fork could lose.
"""

from __future__ import annotations

import os
import signal
import sys

import accelerate  # noqa: F401 - all that a child would otherwise import first
import peft.tuners.lora  # noqa: F401
import torch
from diffusers import AutoencoderKLFlux2, FlowMatchEulerDiscreteScheduler, Flux2Transformer2DModel  # noqa: F401
from transformers import Qwen2Tokenizer, Qwen3Config, Qwen3Model  # noqa: F401

import finetune.card
import finetune.execute
import finetune.finish
import finetune.formats.save
import finetune.run
import workbench.engine.conditions
import workbench.engine.text
import workbench.models.loading  # noqa: F401


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
