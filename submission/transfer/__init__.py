"""The method that reads codes from the factor heads: labels of other domains, none of the target's.

Fine-tuning (`submission.finetuning`) trains an extractor with a head for each factor on the labels
of other datasets. Here both are adapted to the images of the target, without its labels.
"""

from evaluation.common import gin_config


def is_configured() -> bool:
    """Whether the current config describes this method: it binds a parameter of `adapt`."""
    return gin_config.sets("adapt")
