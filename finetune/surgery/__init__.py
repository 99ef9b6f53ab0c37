"""Work on finished adapters: merge, extract, resize, convert, compare. See `finetune.surgery.cli` for the commands."""
