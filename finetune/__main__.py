"""`python -m finetune`: the same as the console script."""

from finetune.cli import main

main()
