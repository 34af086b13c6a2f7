"""STC connector v3.5: maps the patch tokens of a video to visual tokens of the language model.

Follows VideoLLaMA 2 (arXiv:2406.07476) with a 3-d convolution without padding. The blocks are RegNet
bottlenecks (arXiv:2003.13678) as timm builds them: bottleneck ratio 1, depth-wise 3x3 convolution,
squeeze-excite, activation after the residual sum. Attribute names follow the published checkpoint.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn
from torch.nn import functional as F
from transformers.modeling_layers import GradientCheckpointingLayer

from pipeline.plan.model import ConnectorConfig

# timm turns LayerNorm2d inside a conv-norm-act layer into LayerNormAct2d, whose default is 1e-5, not 1e-6;
# the reference's numbers agree with this value only.
_EPS = 1e-5


class LayerNorm2d(nn.LayerNorm):
    """Layer norm over the channels of [F, C, h, w]."""

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 2, 3, 1)
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps).permute(0, 3, 1, 2)


class ConvNorm(nn.Module):
    """Convolution, channel norm, and SiLU unless it ends a branch."""

    def __init__(self, inner: int, outer: int, kernel: int = 1, groups: int = 1, act: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inner, outer, kernel, padding=kernel // 2, groups=groups, bias=False)
        self.bn = LayerNorm2d(outer, eps=_EPS)
        self.act = nn.SiLU() if act else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.bn(self.conv(x)))


class SqueezeExcite(nn.Module):
    """Gates channels by their mean over the frame."""

    def __init__(self, width: int, squeezed: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(width, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.fc2(F.silu(self.fc1(x.mean((2, 3), keepdim=True)))).sigmoid()


class Bottleneck(GradientCheckpointingLayer):
    """1x1, depth-wise 3x3, squeeze-excite, 1x1; the squeeze is a share of the block's INPUT width."""

    def __init__(self, inner: int, outer: int, squeeze_ratio: float) -> None:
        super().__init__()
        self.conv1 = ConvNorm(inner, outer)
        self.conv2 = ConvNorm(outer, outer, kernel=3, groups=outer)
        self.se = SqueezeExcite(outer, round(inner * squeeze_ratio))
        self.conv3 = ConvNorm(outer, outer, act=False)
        self.downsample = ConvNorm(inner, outer, act=False) if inner != outer else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(self.conv3(self.se(self.conv2(self.conv1(x)))) + self.downsample(x))


def _stage(inner: int, outer: int, config: ConnectorConfig) -> nn.Sequential:
    blocks = [
        Bottleneck(inner if i == 0 else outer, outer, config.squeeze_ratio) for i in range(config.depth)
    ]
    return nn.Sequential(OrderedDict((f"b{i}", block) for i, block in enumerate(blocks, 1)))


class Connector(nn.Module):
    """Patches [B, T, N, Dv], a square grid per frame, to tokens [B, V, D] ordered by time, row, column."""

    def __init__(self, vision_width: int, width: int, config: ConnectorConfig) -> None:
        super().__init__()
        self.s1 = _stage(vision_width, width, config)
        self.sampler = nn.Sequential(nn.Conv3d(width, width, config.downsample, config.downsample), nn.SiLU())
        self.s2 = _stage(width, width, config)
        self.readout = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))

    def forward(self, patches_BTND: Tensor) -> Tensor:
        batch, frames, patches, _ = patches_BTND.shape
        grid = int(patches**0.5)
        assert grid * grid == patches, f"{patches} patches do not form a square"
        x = patches_BTND.flatten(0, 1).unflatten(1, (grid, grid)).permute(0, 3, 1, 2)
        x = self.s1(x).unflatten(0, (batch, frames)).transpose(1, 2)
        x = self.sampler(x)
        times = x.shape[2]
        x = self.s2(x.transpose(1, 2).flatten(0, 1))
        x = x.flatten(2).transpose(1, 2).unflatten(0, (batch, times)).flatten(1, 2)
        return self.readout(x)
