"""The packages that only some features need, by the extra of the wheel that brings them."""

KIT = "disentanglement-submission-kit"

EXTRA_OF = {
    "PIL": "images",
    "aicrowd_api": "aicrowd",
    "dill": "dill",
    "disentanglement_lib": "reference",
    "gin": "gin",
    "h5py": "data",
    "huggingface_hub": "data",
    "jinja2": "page",
    "matplotlib": "page",
    "lightning": "lightning",
    "pyarrow": "tables",
    "redis": "aicrowd",
    "requests": "data",
    "tensorboard": "train",
    "tensorflow": "reference",
    "torch": "torch",
    "torchvision": "train",
}
"""The smallest extra by the name of the module that is imported."""
