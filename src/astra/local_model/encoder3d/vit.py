"""The image backbone: a small convolutional stem and a vision transformer whose tokens know the rays they look along."""

from __future__ import annotations

from torch import Tensor, nn

from astra.local_model.lifting import RAY_CHANNELS

STEM = (24, 40, 64)  # channels at strides 2, 4, 8


class Stem(nn.Module):
    """Three strided convolutions: (N, 3, H, W) → (N, 64, H/8, W/8)."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in zip((3, *STEM), STEM):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.layers(images)
        return out


class Block(nn.Module):
    """Pre-norm transformer block: (N, T, C) → the same."""

    def __init__(self, width: int, heads: int, ratio: int = 3) -> None:
        super().__init__()
        self.norm_attention, self.norm_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, ratio * width), nn.GELU(approximate="tanh"), nn.Linear(ratio * width, width))
        self.heads = heads

    def forward(self, tokens: Tensor) -> Tensor:
        n, t, c = tokens.shape
        q, k, v = self.qkv(self.norm_attention(tokens)).view(n, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v)
        tokens = tokens + self.out(mixed.transpose(1, 2).reshape(n, t, c))
        out: Tensor = tokens + self.mlp(self.norm_mlp(tokens))
        return out


class ViT(nn.Module):
    """Images and rays → features at stride 8.

    Attention stays within each image: cost grows linearly with the cameras, and one that is missing changes nothing for the others. Where
    an image was taken from enters through its rays, so that no rig is special.
    """

    def __init__(self, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.stem = Stem()
        self.patch = nn.Conv2d(STEM[-1], width, 2, stride=2)
        self.rays = nn.Sequential(nn.Conv2d(RAY_CHANNELS, width, 2, stride=2), nn.GELU(approximate="tanh"), nn.Conv2d(width, width, 1))
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.up = nn.ConvTranspose2d(width, STEM[-1], 2, stride=2)
        self.fuse = nn.Sequential(nn.Conv2d(STEM[-1], STEM[-1], 3, padding=1, bias=False), nn.BatchNorm2d(STEM[-1]), nn.ReLU(inplace=True))

    def forward(self, images: Tensor, rays: Tensor) -> Tensor:
        """(N, 3, H, W) normalised and (N, RAY_CHANNELS, H/8, W/8) → (N, 64, H/8, W/8)."""
        fine = self.stem(images)
        grid = self.patch(fine) + self.rays(rays)
        n, c, h, w = grid.shape
        tokens = self.norm(self.blocks(grid.flatten(2).transpose(1, 2)))
        coarse = self.up(tokens.transpose(1, 2).reshape(n, c, h, w))
        out: Tensor = self.fuse(coarse + fine)
        return out
