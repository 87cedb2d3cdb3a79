"""The shape of the challenge's images."""

IMAGE_SHAPE = (64, 64, 3)
"""Height, width and channels, as datasets hold an image."""

CHANNELS_FIRST = (IMAGE_SHAPE[2], *IMAGE_SHAPE[:2])
"""The same as PyTorch takes it."""
