"""The packages that only some features need, and the extra of the wheel that installs each."""

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
    "optuna": "search",
    "pyarrow": "tables",
    "pydantic": "search",
    "ray": "cluster",
    "redis": "aicrowd",
    "requests": "data",
    "tensorboard": "train",
    "tensorboardX": "search",
    "tensorflow": "reference",
    "torch": "torch",
    "torchvision": "train",
}
"""Name of the imported module -> the smallest extra that installs its package."""
