"""Training data: reading, checking and cutting pictures, and saying which of them a step sees."""

from finetune.data.batches import Batch, Item, batch_plan, steps_per_epoch
from finetune.data.buckets import Bucket
from finetune.data.config import DataConfig, Source
from finetune.data.dataset import Dataset, read_dataset
from finetune.data.errors import DataConfigError, DataError, PictureError
from finetune.data.example import Example
from finetune.data.manifest import describe_difference

__all__ = [
    "Batch",
    "Bucket",
    "DataConfig",
    "DataConfigError",
    "DataError",
    "Dataset",
    "Example",
    "Item",
    "PictureError",
    "Source",
    "batch_plan",
    "describe_difference",
    "read_dataset",
    "steps_per_epoch",
]
