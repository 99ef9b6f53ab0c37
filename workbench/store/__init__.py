"""Pictures by digest, with everything needed to make them again."""

from workbench.store.files import check_writable, write_atomically
from workbench.store.png import pixel_sha256, read_picture, write_picture
from workbench.store.store import Store, Stored, work_units

__all__ = [
    "Store",
    "Stored",
    "check_writable",
    "pixel_sha256",
    "read_picture",
    "work_units",
    "write_atomically",
    "write_picture",
]
