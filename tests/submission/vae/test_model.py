"""The networks: their layout, their likelihoods, their initialisation, and the codes they give."""

import gin
import pytest
import torch
from torch import nn

from evaluation.common.errors import KitError
from submission.vae.likelihoods import GaussianLikelihood, GaussianLikelihood2d
from submission.vae.model import VAE, Decoder, Encoder, get_representation_extractor


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_sizes_of_stage_1() -> None:
    # 512-256-128-64 with two numbers of batch norm a hidden value, then two heads of 18.
    encoder = Encoder((512,), 18, [256, 128, 64], batch_norm=True)
    hidden = 512 * 256 + 256 * 128 + 128 * 64 + 2 * (256 + 128 + 64)
    assert parameters(encoder) == hidden + 2 * (64 + 1) * 18 == 175_268
    decoder = Decoder((512,), 18, [64, 128, 256], batch_norm=True)
    hidden = 18 * 64 + 64 * 128 + 128 * 256 + 2 * (64 + 128 + 256)
    assert parameters(decoder) == hidden + 257 * 512 == 174_592


def test_sizes_of_stage_2() -> None:
    encoder = Encoder((512,), 18, [4096], batch_norm=True)
    assert parameters(encoder) == 514 * 4096 + 2 * 4097 * 18 == 2_252_836
    decoder = Decoder((512,), 18, [4096] * 4, batch_norm=True)
    assert parameters(decoder) == 20 * 4096 + 3 * 4098 * 4096 + 4097 * 512 == 52_535_808


def test_order_of_layers() -> None:
    layers = Encoder((8,), 2, [5], batch_norm=True, dropout=0.5).tail
    assert [type(layer) for layer in layers] == [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Dropout]
    assert layers[0].bias is None
    layers = Encoder((8,), 2, [5]).tail
    assert [type(layer) for layer in layers] == [nn.Linear, nn.ReLU]
    assert layers[0].bias is not None


def test_orthogonal_initialisation() -> None:
    encoder = Encoder((8,), 3, [5], init="orthogonal")
    for layer in (encoder.tail[0], encoder.head_mu, encoder.head_logvar):
        torch.testing.assert_close(layer.weight @ layer.weight.T, torch.eye(len(layer.weight)))
        assert not layer.bias.any()


def test_losses_of_vectors() -> None:
    mean, features = torch.tensor([[0.0, 1.0], [2.0, 0.0]]), torch.tensor([[1.0, 1.0], [0.0, 0.0]])
    assert GaussianLikelihood(1, 2, scale_loss_by_batch=False).loss(mean, features) == 5.0
    assert GaussianLikelihood(1, 2).loss(mean, features) == 2.5
    assert GaussianLikelihood(1, 2, scale_loss_by_dims=True).loss(mean, features) == 1.25


def test_losses_of_maps_count_every_place() -> None:
    mean, features = torch.zeros(2, 3, 4, 5), torch.ones(2, 3, 4, 5)
    assert GaussianLikelihood2d(1, 3).loss(mean, features) == 60.0
    assert GaussianLikelihood2d(1, 3, scale_loss_by_dims=True).loss(mean, features) == 1.0


@pytest.mark.parametrize("likelihood", [GaussianLikelihood, GaussianLikelihood2d])
@pytest.mark.parametrize("squashed", [True, False])
def test_the_sigmoid_is_optional(likelihood: type, squashed: bool) -> None:
    layer = likelihood(4, 3, scale_mean_zero_one=squashed)
    hidden = 9 * torch.randn(50, 4, 1, 1) if likelihood.on_maps else 9 * torch.randn(50, 4)
    mean = layer(hidden)
    assert bool(((mean >= 0) & (mean <= 1)).all()) is squashed


@pytest.mark.usefixtures("one_thread")
def test_the_decoder_of_maps_can_tell_places_apart() -> None:
    """A VAE of maps learns maps that differ from place to place."""
    torch.manual_seed(0)
    gin.bind_parameter("GaussianLikelihood2d.scale_mean_zero_one", False)
    encoder = Encoder((2, 3, 4), 4, [16])
    decoder = Decoder((2, 3, 4), 4, [32, 32], likelihood_class=GaussianLikelihood2d)
    vae = VAE(encoder, decoder, 4)
    target = torch.randn(1, 2, 3, 4).expand(8, -1, -1, -1)
    optimizer = torch.optim.Adam(vae.parameters(), lr=2e-2)
    for _ in range(150):
        outputs = vae(target, torch.randn(8, 4))
        assert outputs[0].shape == target.shape
        optimizer.zero_grad()
        losses = vae.losses(target, *outputs)
        losses["MSE"].backward()
        optimizer.step()
    without_places = (target[0] - target[0].mean((1, 2), keepdim=True)).square().sum()
    assert losses["MSE"] < 0.1 * without_places


def test_maps_need_maps() -> None:
    with pytest.raises(KitError, match="vectors of 512"):
        Decoder((512,), 18, likelihood_class=GaussianLikelihood2d)


def test_latents_are_drawn_with_the_noise_given() -> None:
    vae = VAE(Encoder((6,), 3), Decoder((6,), 3), 3)
    features, noise = torch.randn(5, 6), torch.randn(5, 3)
    reconstruction, latents, mean, logvar = vae(features, noise)
    torch.testing.assert_close(latents, mean + noise * (logvar / 2).exp())
    torch.testing.assert_close(reconstruction, vae.decoder(latents))


def test_the_representation_is_the_posterior_mean() -> None:
    vae = VAE(Encoder((6,), 3), Decoder((6,), 3), 3)
    features = torch.randn(5, 6)
    codes = get_representation_extractor(vae)(features)
    torch.testing.assert_close(codes, vae.encoder(features)[0])


def test_dims_of_the_largest_prior_variance_first() -> None:
    gin.bind_parameter("RegularizationLoss.use_bayes_factor_vae0_loss", True)
    vae = VAE(Encoder((6,), 4), Decoder((6,), 4), 4)
    vae.reg_loss.log_precision.data[0] = torch.tensor([0.0, -2.0, 1.0, -1.0])
    features = torch.randn(5, 6)
    mean = vae.encoder(features)[0]
    assert torch.equal(get_representation_extractor(vae, 2)(features), mean[:, [1, 3]])
    assert torch.equal(get_representation_extractor(vae, 1)(features), mean[:, [1]])
    with pytest.raises(KitError, match="is 5"):
        get_representation_extractor(vae, 5)
