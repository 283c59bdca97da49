"""What the user wants converted: one JSON object, checked."""

from zblocks.config.config import Config, ListLocation
from zblocks.config.messages import MAX_BYTES, read_object
from zblocks.config.values import Canvas, Contrast, Region

__all__ = ["MAX_BYTES", "Canvas", "Config", "Contrast", "ListLocation", "Region", "read_object"]
