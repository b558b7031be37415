"""A minimal EchoJEPA encoder in PyTorch, with V-JEPA 2's rotary positions."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from weights import DIM, FRAMES, HEADS, HIDDEN, PATCH, SIDE, TUBELET


def tables():
    """Cosine and sine `[tokens, head]`; angles tiled over a segment, pairs interleaved."""
    head, grid = DIM // HEADS, SIDE // PATCH
    segment = 2 * (head // 3 // 2)
    ids = np.arange(FRAMES // TUBELET * grid * grid)
    places = (ids // (grid * grid), ids // grid % grid, ids % grid)
    frequency = np.tile(10_000.0 ** (-np.arange(segment // 2) / (segment / 2)), 2)
    angles = [place[:, None] * frequency for place in places]
    rest = np.zeros((len(ids), head - 3 * segment))
    angles = np.concatenate([*angles, rest], axis=1)
    return [torch.tensor(f(angles), dtype=torch.float32) for f in (np.cos, np.sin)]


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv, self.proj = nn.Linear(DIM, 3 * DIM), nn.Linear(DIM, DIM)
        cos, sin = tables()
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def turn(self, x):
        pairs = x.unflatten(-1, (-1, 2))
        swapped = torch.stack((-pairs[..., 1], pairs[..., 0]), dim=-1).flatten(-2)
        return x * self.cos + swapped * self.sin

    def forward(self, x):
        q, k, v = self.qkv(x).unflatten(-1, (3, HEADS, DIM // HEADS)).permute(2, 0, 3, 1, 4).unbind(0)
        x = functional.scaled_dot_product_attention(self.turn(q), self.turn(k), v)
        return self.proj(x.transpose(1, 2).flatten(-2))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(DIM, eps=1e-6), nn.LayerNorm(DIM, eps=1e-6)
        self.attn = Attention()
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(DIM, HIDDEN), "fc2": nn.Linear(HIDDEN, DIM)})

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp["fc2"](functional.gelu(self.mlp["fc1"](self.norm2(x))))


class Encoder(nn.Module):
    """Patch rows `[1, tokens, row]` to tokens: the first layer is a convolution whose strides are its size."""

    def __init__(self, weights, depth):
        super().__init__()
        self.patch = nn.Linear(3 * TUBELET * PATCH * PATCH, DIM)
        self.blocks = nn.ModuleList(Block() for _ in range(depth))
        self.norm = nn.LayerNorm(DIM, eps=1e-6)
        state = {key: torch.from_numpy(value) for key, value in weights.items()}
        state["patch.weight"] = state.pop("patch_embed.proj.weight").flatten(1)
        state["patch.bias"] = state.pop("patch_embed.proj.bias")
        self.load_state_dict(state)
        self.eval()

    def forward(self, rows):
        x = self.patch(rows)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)
