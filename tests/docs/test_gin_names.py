"""The reference of configs: every name, with its meaning, its default and the reports' values."""

import pytest

pytest.importorskip("griffe", reason="griffe is missing: ./local_eval.sh docs --build")

from docs.made import gin_names


def test_every_parameter_has_a_meaning() -> None:
    without = [
        f"{name}.{parameter}"
        for name, target in gin_names.configurables().items()
        for parameter in gin_names.parameters_of(name)
        if not gin_names.meanings_of(target).get(parameter)
    ]
    assert without == []


def test_a_parameter_has_its_default_and_what_the_reports_used() -> None:
    page = gin_names.by_configurable()
    assert "| `latent_dims` | Number of latents. | `16` | `18` | `18` |" in page
    assert "`'VGG19'`, then `'AggVGG19'`" in page
    assert "`whitening`" not in page, "no config can set it"
