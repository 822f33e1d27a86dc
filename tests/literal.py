"""The network computed word for word as published: the oracle of the tests, the yardstick of the benchmarks.

Nothing is rearranged here: every convolution is the grouped one that the checkpoint's tensor stands for,
every attention makes its four products, every concatenation is made. Eager, (B, C, H, W), in the tensors'
own dtype. It shares only the reading of hyper-parameters with the package.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from drsformer_cli.model.config import DRSformerConfig

#: Fractions of its C entries that each row of attention keeps, rounded down.
KEPT = ((1, 2), (2, 3), (3, 4), (4, 5))
#: Steps in a row in a compensator, and experts in a step.
STEPS, EXPERTS = 4, 8


class LiteralDRSformer(nn.Module):
    """A DRSformer from the tensors of a checkpoint, by their published names.

    Attributes:
        config: the hyper-parameters that were read off the tensors.
        watch: called with each attention's (B, heads, C, C) similarities before any is dropped, if set.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.tensors = dict(tensors)
        self.config = DRSformerConfig.from_shapes({name: tuple(t.shape) for name, t in tensors.items()})
        self.watch: Callable[[Tensor], None] | None = None

    def forward(self, rainy: Tensor) -> Tensor:
        """Restore (B, 3, H, W) in [0, 1], H and W multiples of 8, to the same shape, not clamped."""
        x = self.conv("patch_embed.proj", rainy, padding=1)
        if self.config.mefc:
            x = self.compensator("encoder_level0", x)
        encoded1 = self.level("encoder_level1", x, 0)
        encoded2 = self.level("encoder_level2", self.down("down1_2", encoded1), 1)
        encoded3 = self.level("encoder_level3", self.down("down2_3", encoded2), 2)
        x = self.level("latent", self.down("down3_4", encoded3), 3)
        x = self.conv("reduce_chan_level3", torch.cat((self.up("up4_3", x), encoded3), dim=1))
        x = self.level("decoder_level3", x, 2)
        x = self.conv("reduce_chan_level2", torch.cat((self.up("up3_2", x), encoded2), dim=1))
        x = self.level("decoder_level2", x, 1)
        x = self.level("decoder_level1", torch.cat((self.up("up2_1", x), encoded1), dim=1), 0)
        if self.config.mefc:
            x = self.compensator("refinement", x)
        return self.conv("output", x, padding=1) + rainy

    def conv(self, name: str, x: Tensor, *, padding: int = 0, groups: int = 1, dilation: int = 1) -> Tensor:
        """Run the convolution whose parameters stand under `name`."""
        weight, bias = self.tensors[f"{name}.weight"], self.tensors.get(f"{name}.bias")
        return F.conv2d(x, weight, bias, padding=padding, groups=groups, dilation=dilation)

    def depthwise(self, name: str, x: Tensor, *, dilation: int = 1) -> Tensor:
        """Run a convolution of each channel by itself that keeps the size."""
        channels, _, kernel, _ = self.tensors[f"{name}.weight"].shape
        return self.conv(name, x, padding=dilation * (kernel // 2), groups=channels, dilation=dilation)

    def down(self, name: str, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, 2C, H / 2, W / 2)."""
        return F.pixel_unshuffle(self.conv(f"{name}.body.0", x, padding=1), 2)

    def up(self, name: str, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C / 2, 2H, 2W)."""
        return F.pixel_shuffle(self.conv(f"{name}.body.0", x, padding=1), 2)

    def level(self, name: str, x: Tensor, index: int) -> Tensor:
        """Run the sparse transformer blocks of a level."""
        for block in range(self.config.blocks[index]):
            here = f"{name}.{block}"
            x = x + self.attention(f"{here}.attn", self.norm(f"{here}.norm1", x), self.config.heads[index])
            x = x + self.feed_forward(f"{here}.ffn", self.norm(f"{here}.norm2", x))
        return x

    def norm(self, name: str, x: Tensor) -> Tensor:
        """Normalise the channels at each pixel; the bias-free kind does not subtract their mean."""
        weight, bias = self.tensors[f"{name}.body.weight"], self.tensors.get(f"{name}.body.bias")
        pixels = x.permute(0, 2, 3, 1)
        if bias is not None:
            normed = F.layer_norm(pixels, weight.shape, weight, bias, 1e-5)
        else:
            variance = pixels.var(dim=-1, keepdim=True, correction=0)
            normed = pixels / torch.sqrt(variance + 1e-5) * weight
        return normed.permute(0, 3, 1, 2)

    def attention(self, name: str, x: Tensor, heads: int) -> Tensor:
        """TKSA: four sparse attentions, each applied to the values by itself, then their weighted sum."""
        b, c, h, w = x.shape
        qkv = self.depthwise(f"{name}.qkv_dwconv", self.conv(f"{name}.qkv", x))
        q, k, v = (part.reshape(b, heads, c // heads, h * w) for part in qkv.chunk(3, dim=1))
        q, k = F.normalize(q, dim=-1, eps=1e-12), F.normalize(k, dim=-1, eps=1e-12)
        similarity = (q @ k.transpose(-2, -1)) * self.tensors[f"{name}.temperature"]
        if self.watch is not None:
            self.watch(similarity)
        total = torch.zeros_like(v)
        for number, (numerator, denominator) in enumerate(KEPT, start=1):
            largest = similarity.topk(c // heads * numerator // denominator, dim=-1).indices
            kept = torch.zeros_like(similarity).scatter(-1, largest, 1.0)
            sparse = torch.where(kept > 0, similarity, torch.full_like(similarity, float("-inf")))
            total = total + (sparse.softmax(dim=-1) @ v) * self.tensors[f"{name}.attn{number}"]
        return self.conv(f"{name}.project_out", total.reshape(b, c, h, w))

    def feed_forward(self, name: str, x: Tensor) -> Tensor:
        """MSFN: two scales that exchange halves, then grouped convolutions of neighbouring channels."""
        x = self.conv(f"{name}.project_in", x)
        hidden = x.shape[1] // 2
        a3, b3 = self.depthwise(f"{name}.dwconv3x3", x).relu().chunk(2, dim=1)
        a5, b5 = self.depthwise(f"{name}.dwconv5x5", x).relu().chunk(2, dim=1)
        x3 = self.conv(f"{name}.dwconv3x3_1", torch.cat((a3, a5), dim=1), padding=1, groups=hidden).relu()
        x5 = self.conv(f"{name}.dwconv5x5_1", torch.cat((b3, b5), dim=1), padding=2, groups=hidden).relu()
        return self.conv(f"{name}.project_out", torch.cat((x3, x5), dim=1))

    def compensator(self, name: str, x: Tensor) -> Tensor:
        """MEFC: four steps, each the concatenation of eight experts, weighted by what the mean pixel says."""
        gate, experts = f"{name}.layers.0.ca_fc", f"{name}.layers.1"
        weights = self.linear(f"{gate}.2", self.linear(f"{gate}.0", x.mean(dim=(2, 3))).relu())
        weights = weights.view(-1, STEPS, EXPERTS).softmax(dim=-1)
        x = self.conv(f"{experts}.preprocess.op.0", x).relu()
        for step in range(STEPS):
            here = f"{experts}._ops.{step}"
            results = [
                self.expert(f"{here}._ops.{number}.op", x, number)
                * weights[:, step, number, None, None, None]
                for number in range(EXPERTS)
            ]
            x = F.relu(self.conv(f"{here}._out.0", torch.cat(results, dim=1)).relu() + x)
        return x

    def expert(self, name: str, x: Tensor, number: int) -> Tensor:
        """Run an expert: four separable ones, three dilated ones, a mean of 3 x 3 pixels."""
        if number < 4:
            x = self.conv(f"{name}.1", self.depthwise(f"{name}.0", x)).relu()
            return self.conv(f"{name}.4", self.depthwise(f"{name}.3", x))
        if number < 7:
            return self.conv(f"{name}.1", self.depthwise(f"{name}.0", x, dilation=2))
        return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)

    def linear(self, name: str, x: Tensor) -> Tensor:
        """(B, I) to (B, O)."""
        return F.linear(x, self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"])
