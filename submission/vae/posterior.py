"""What the codes of a VAE do while it trains, from the posterior of some rows."""

import torch
from torch import Tensor

from submission.vae.model import VAE
from submission.vae.objectives import divergences

_ACTIVE_VARIANCE = 0.01


@torch.no_grad()
def code_columns(vae: VAE, features: Tensor) -> dict[str, float]:
    """The divergence of each code from the prior, and how many codes are active.

    `KLD_code_0` and so on are in nats, means over the rows. A code is active if its posterior mean
    has a variance above 0.01, as Burda et al. define it (arXiv 1509.00519). The VAE is evaluated as
    its export will be: without dropout, and with the running statistics of its batch norms. So it
    does not change, and no random number is drawn.

    Args:
        vae: The VAE, in training mode before and after.
        features: (n, *feature_shape).
    """
    vae.eval()
    mean, logvar = vae.encoder(features)
    vae.train()
    by_code = divergences(mean, logvar, vae.reg_loss.log_precision).mean(0)
    active = (mean.var(0, correction=0) > _ACTIVE_VARIANCE).sum()
    columns = {f"KLD_code_{code}": value for code, value in enumerate(by_code.tolist())}
    return {**columns, "active_codes": float(active)}
