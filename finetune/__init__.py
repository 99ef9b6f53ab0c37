"""LoRA training for FLUX models. For now: reading what an adapter file holds; the trainer is not here yet."""

from finetune.adapter_info import AdapterInfo, ModuleInfo, read_info

__all__ = ["AdapterInfo", "ModuleInfo", "read_info"]
