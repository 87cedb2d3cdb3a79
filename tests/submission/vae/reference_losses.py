"""One training step of disentanglement_lib's four VAEs, for test_pixel_losses.py.

    python tests/submission/vae/reference_losses.py OUTPUT.npz

It runs in a process of its own, since it replaces modules. disentanglement_lib's training code
needs TensorFlow 1: names that it imports, and that TensorFlow no longer has, are filled with what
this step needs of them. The noise and the permutation of a batch are fixed, and the optimisers keep
the gradients in place of a step: TensorFlow may change a weight in a step while others need it.
"""

import os
import sys
from types import ModuleType, SimpleNamespace

os.environ["TF_USE_LEGACY_KERAS"] = "1"  # `tf.layers` is a part of Keras 2

import gin
import numpy as np

sys.modules["gin.tf"] = gin
for name in ("tensorflow.contrib", "tensorflow_hub", "tensorflow_probability"):
    sys.modules[name] = ModuleType(name)
import tensorflow.compat.v1 as tf  # noqa: E402

tf.estimator = SimpleNamespace(ModeKeys=SimpleNamespace(TRAIN="train", EVAL="eval"))
sys.modules["tensorflow.contrib"].tpu = SimpleNamespace(TPUEstimatorSpec=SimpleNamespace)

from disentanglement_lib.methods.shared import architectures, losses  # noqa: E402
from disentanglement_lib.methods.unsupervised import gaussian_encoder_model, vae  # noqa: E402

ROWS, LATENTS = 6, 10
STEP = 30
"""Steps that AnnealedVAE made before this one."""
MODELS = {
    "beta_vae": lambda: vae.BetaVAE(beta=4.0),
    "beta_tcvae": lambda: vae.BetaTCVAE(beta=6.0),
    "factor_vae": lambda: vae.FactorVAE(gamma=10.0),
    "annealed_vae": lambda: vae.AnnealedVAE(gamma=1000.0, c_max=25.0, iteration_threshold=100),
}


class Gradients:
    """Takes the place of an optimiser."""

    def __init__(self) -> None:
        self.by_weight: dict[str, tf.Tensor] = {}

    def minimize(
        self, loss: tf.Tensor, global_step: tf.Variable, var_list: list | None = None
    ) -> tf.Operation:
        del global_step
        weights = tf.trainable_variables() if var_list is None else var_list
        for weight, gradient in zip(weights, tf.gradients(loss, weights), strict=True):
            self.by_weight[weight.name] = gradient
        return tf.no_op()


def main() -> None:
    random_state = np.random.RandomState(0)
    inputs = {
        "images": random_state.rand(ROWS, 64, 64, 3).astype(np.float32),
        "noise": random_state.randn(ROWS, LATENTS).astype(np.float32),
        "orders": np.stack([random_state.permutation(ROWS) for _ in range(LATENTS)], axis=1),
    }
    gaussian_encoder_model.GaussianEncoderModel.sample_from_latent_distribution = (
        lambda _, mean, logvar: mean + tf.exp(logvar / 2) * inputs["noise"]
    )
    vae.shuffle_codes = lambda latents: tf.stack(
        [tf.gather(latents[:, dim], inputs["orders"][:, dim]) for dim in range(LATENTS)], 1
    )
    gin.bind_parameter("encoder.num_latent", LATENTS)
    gin.bind_parameter("encoder.encoder_fn", architectures.conv_encoder)
    gin.bind_parameter("decoder.decoder_fn", architectures.deconv_decoder)
    gin.bind_parameter("discriminator.discriminator_fn", architectures.fc_discriminator)
    gin.bind_parameter("reconstruction_loss.loss_fn", losses.bernoulli_loss)
    found = dict(inputs)
    for name, build in MODELS.items():
        gradients = Gradients()
        for optimizer in ("vae_optimizer", "discriminator_optimizer"):
            gin.bind_parameter(f"{optimizer}.optimizer_fn", lambda kept=gradients: kept)
        with tf.Graph().as_default(), tf.Session() as session:
            tf.set_random_seed(0)
            step = tf.train.get_or_create_global_step()
            spec = build().model_fn(tf.constant(inputs["images"]), None, "train", {})
            session.run(tf.global_variables_initializer())
            # Biases are 0 at first, which would hide where one is missing.
            for variable in tf.trainable_variables():
                if "bias" in variable.name:
                    variable.load(0.1 * random_state.randn(*variable.shape), session)
            step.load(STEP, session)
            weights = {weight.name: weight for weight in tf.trainable_variables()}
            assert gradients.by_weight.keys() == weights.keys()
            results = {
                "loss": spec.loss,
                **{f"weight {weight}": tensor for weight, tensor in weights.items()},
                **{f"gradient {weight}": tensor for weight, tensor in gradients.by_weight.items()},
            }
            found |= {f"{name} {key}": value for key, value in session.run(results).items()}
    np.savez(sys.argv[1], **found)


if __name__ == "__main__":
    main()
