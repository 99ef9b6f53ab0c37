"""Low-rank adapters for FLUX models: data, training, and work on adapter files.

`finetune.data` reads and checks pictures, `finetune.run` starts a run in a process of its own, `finetune.pick` says which
checkpoint to keep, `finetune.surgery` merges, extracts, resizes and compares adapters. Importing any of them loads no torch.
"""

from finetune.adapter_info import AdapterInfo, ModuleInfo, read_info

__all__ = ["AdapterInfo", "ModuleInfo", "read_info"]
