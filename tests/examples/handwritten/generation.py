"""Nets that make pictures, from their papers."""

from __future__ import annotations

import torch
import torch.nn.functional as f
from equality import Case
from torch import Tensor, nn


class Autoencoder(nn.Module):
    """Two strided convolutions, a code, and the same way back."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Sequential(
            *(nn.Conv2d(1, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU()),
            *(nn.Flatten(), nn.Linear(32 * 7 * 7, 32)),
        )
        self.decode = nn.Sequential(
            *(nn.Linear(32, 32 * 7 * 7), nn.ReLU(), nn.Unflatten(1, (32, 7, 7))),
            *(nn.ConvTranspose2d(32, 16, 3, 2, 1, 1), nn.ReLU(), nn.ConvTranspose2d(16, 1, 3, 2, 1, 1), nn.Sigmoid()),
        )

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        code = self.encode(image)
        return self.decode(code), code


def vae_encoder() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 32, 4, 2, 1), nn.ReLU(), nn.Conv2d(32, 64, 4, 2, 1), nn.ReLU(), nn.Flatten()),
        *(nn.Linear(64 * 7 * 7, 256), nn.ReLU(), nn.Linear(256, 40)),
    )


def vae_decoder() -> nn.Module:
    return nn.Sequential(
        *(nn.Linear(20, 256), nn.ReLU(), nn.Linear(256, 64 * 7 * 7), nn.ReLU(), nn.Unflatten(1, (64, 7, 7))),
        *(nn.ConvTranspose2d(64, 32, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(32, 1, 4, 2, 1), nn.Sigmoid()),
    )


class VAEEncoder(nn.Module):
    """Kingma & Welling 2013, appendix C: one network, two heads."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = vae_encoder()

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        mean, logvar = self.layers(image).chunk(2, 1)
        return mean, logvar


class VAE(nn.Module):
    """Ibid., section 2.4: z = mu + sigma * epsilon."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = vae_encoder(), vae_decoder()

    def forward(self, image: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, logvar = self.encoder(image).chunk(2, 1)
        return self.decoder(mean + (0.5 * logvar).exp() * noise), mean, logvar


class Project(nn.Module):
    """A vector as a map of one pixel."""

    def forward(self, z: Tensor) -> Tensor:
        return z[:, :, None, None]


def dcgan_generator(width: int = 64) -> nn.Module:
    """Radford et al. 2015, figure 1, with the kernels of PyTorch's example."""
    layers: list[nn.Module] = [Project(), nn.ConvTranspose2d(100, 8 * width, 4, bias=False)]
    for inner, out in ((8, 4), (4, 2), (2, 1)):
        layers += [nn.BatchNorm2d(inner * width), nn.ReLU()]
        layers.append(nn.ConvTranspose2d(inner * width, out * width, 4, 2, 1, bias=False))
    layers += [nn.BatchNorm2d(width), nn.ReLU(), nn.ConvTranspose2d(width, 3, 4, 2, 1, bias=False), nn.Tanh()]
    return nn.Sequential(*layers)


def dcgan_discriminator(width: int = 64) -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(3, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
    for inner, out in ((1, 2), (2, 4), (4, 8)):
        layers += [nn.Conv2d(inner * width, out * width, 4, 2, 1, bias=False)]
        layers += [nn.BatchNorm2d(out * width), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Conv2d(8 * width, 1, 4, bias=False), nn.Flatten(), nn.Sigmoid())


class Style(nn.Module):
    """Gatys et al. 2015: torchvision's VGG-19 up to `conv5_1`, averages for its maxima, every Gram matrix by einsum."""

    STYLE = (1, 6, 11, 20, 29)
    CONTENT = 22

    def __init__(self) -> None:
        super().__init__()
        from torchvision.models import vgg19

        self.features = vgg19(weights=None).features[:30]

    def forward(self, x: Tensor) -> list[Tensor]:
        grams, content = [], x
        for place, layer in enumerate(self.features):
            x = f.avg_pool2d(x, 2) if isinstance(layer, nn.MaxPool2d) else layer(x).clone()
            if place in self.STYLE:
                grams.append(torch.einsum("nihw,njhw->nij", x, x) / x[0].numel())
            if place == self.CONTENT:
                content = x
        return [*grams, content]


CASES = {
    "ConvAutoencoder": Case(Autoencoder, (1, 28, 28)),
    "VAE": Case(VAE, {"image": (1, 28, 28), "noise": (20,)}),
    "VAEEncoder": Case(VAEEncoder, (1, 28, 28)),
    "VAEDecoder": Case(vae_decoder, {"z": (20,)}),
    "DCGANGenerator": Case(lambda: dcgan_generator(8), {"z": (100,)}, settings={"width": 8}, full=dcgan_generator),
    "DCGANDiscriminator": Case(
        lambda: dcgan_discriminator(8), (3, 64, 64), settings={"width": 8}, full=dcgan_discriminator
    ),
    "NeuralStyle": Case(Style, (3, 37, 45)),
}
