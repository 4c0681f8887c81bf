"""Decoders as people write them by hand, with known states: each pass notes its own.

Every model keeps in `noted` what the streams of its last forward pass were, by name, in the order
in which they ran.
"""

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput

VOCABULARY, WIDTH = 97, 16


class Norm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(WIDTH) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * self.weight


class Mixer(nn.Module):
    """A causal running mean: tokens read those before them."""

    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        steps = torch.arange(1, x.shape[1] + 1, dtype=x.dtype)[:, None]
        return self.proj(x.cumsum(1) / steps).tanh()


class Mlp(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(WIDTH, 32), nn.Linear(32, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.up(x).relu())


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = Norm(), Norm()
        self.mixer, self.mlp = Mixer(), Mlp()

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.mixer(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Config(PretrainedConfig):
    model_type = "handmade"

    def __init__(self, **settings) -> None:
        super().__init__(**settings)


class Decoder(PreTrainedModel):
    """Embedding, whatever `make` and `blocks` say, norm and head in one module, as in nanoGPT."""

    config_class = Config

    def __init__(self, seed: int = 0) -> None:
        super().__init__(Config())
        torch.manual_seed(seed)
        self.wte = nn.Embedding(VOCABULARY, WIDTH)
        self.noted: dict[str, Tensor] = {}
        self.make()
        self.ln_f = Norm()
        self.head = nn.Linear(WIDTH, VOCABULARY, bias=False)
        self.eval()

    def make(self) -> None:
        raise NotImplementedError

    def blocks(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def note(self, name: str, x: Tensor) -> Tensor:
        self.noted[name] = x.detach().clone()
        return x

    def forward(self, input_ids: Tensor):
        self.noted = {}
        x = self.note("embed", self.wte(input_ids))
        x = self.note("final_norm", self.ln_f(self.blocks(x)))
        return CausalLMOutput(logits=self.head(x))


def several(count: int) -> nn.ModuleList:
    return nn.ModuleList([Block() for _ in range(count)])


class OneList(Decoder):
    def make(self) -> None:
        self.h = several(3)

    def blocks(self, x: Tensor) -> Tensor:
        for k, block in enumerate(self.h):
            x = self.note(f"block.{k}", block(x))
        return x


class PreludeCoreCoda(Decoder):
    """The core runs four times, each time with the prelude's result beside its own."""

    def make(self) -> None:
        self.prelude, self.core, self.coda = several(2), several(2), several(1)
        self.adapter = nn.Linear(2 * WIDTH, WIDTH)

    def blocks(self, x: Tensor) -> Tensor:
        for k, block in enumerate(self.prelude):
            x = self.note(f"prelude.block.{k}", block(x))
        before, x = x, torch.zeros_like(x)
        for turn in range(4):
            x = self.adapter(torch.cat([x, before], -1))
            for k, block in enumerate(self.core):
                x = self.note(f"core.block.{k}.pass.{turn}", block(x))
        return self.note("coda.block.0", self.coda[0](x))


class LoopedMiddle(Decoder):
    """One list, whose middle runs twice."""

    def make(self) -> None:
        self.layers = several(4)

    def blocks(self, x: Tensor) -> Tensor:
        x = self.note("block.0", self.layers[0](x))
        for turn in range(2):
            for k in (1, 2):
                x = self.note(f"block.{k}.pass.{turn}", self.layers[k](x))
        return self.note("block.3", self.layers[3](x))


class SharedBlock(Decoder):
    """One block that runs again and again, as in ALBERT and universal transformers."""

    def make(self) -> None:
        self.block = Block()

    def blocks(self, x: Tensor) -> Tensor:
        for turn in range(3):
            x = self.note(f"block.0.pass.{turn}", self.block(x))
        return x


class SharedInList(SharedBlock):
    """The same block at every place of a list."""

    def make(self) -> None:
        self.layers = nn.ModuleList([Block()] * 3)

    def blocks(self, x: Tensor) -> Tensor:
        for turn, block in enumerate(self.layers):
            x = self.note(f"block.0.pass.{turn}", block(x))
        return x


class Sequence(Decoder):
    def make(self) -> None:
        self.stack = nn.Sequential(Block(), Block(), nn.Dropout(0.1), Norm())

    def blocks(self, x: Tensor) -> Tensor:
        for k in range(2):
            x = self.note(f"block.{k}", self.stack[k](x))
        return self.stack[3](x)


class Dictionary(Decoder):
    def make(self) -> None:
        self.stack = nn.ModuleDict({"first": Block(), "second": Block()})

    def blocks(self, x: Tensor) -> Tensor:
        for k, name in enumerate(("first", "second")):
            x = self.note(f"block.{k}", self.stack[name](x))
        return x


class Numbered(Decoder):
    def make(self) -> None:
        self.layer1, self.layer2, self.norm1 = Block(), Block(), Norm()

    def blocks(self, x: Tensor) -> Tensor:
        x = self.note("block.0", self.layer1(x))
        return self.norm1(self.note("block.1", self.layer2(x)))


class Stages(Decoder):
    """Lists in a list, whose outer members never run themselves."""

    def make(self) -> None:
        self.stages = nn.ModuleList([several(2), several(1)])

    def blocks(self, x: Tensor) -> Tensor:
        for s, stage in enumerate(self.stages):
            for k, block in enumerate(stage):
                x = self.note(f"{s}.block.{k}", block(x))
        return x


class Chained(nn.Module):
    """A stage that hands states through blocks of its own."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.inner = several(count)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.inner:
            x = block(x)
        return x


class Stage(nn.Module):
    """Hands states through blocks of its own, and does nothing else."""

    def __init__(self, place: int, count: int, note) -> None:
        super().__init__()
        self.place, self.note, self.inner = place, note, several(count)

    def forward(self, x: Tensor) -> Tensor:
        for k, block in enumerate(self.inner):
            x = self.note(f"{self.place}.block.{k}", block(x))
        return x


class RunningStages(Decoder):
    def make(self) -> None:
        self.stages = nn.ModuleList([Stage(k, 2 - k, self.note) for k in range(2)])

    def blocks(self, x: Tensor) -> Tensor:
        for stage in self.stages:
            x = stage(x)
        return x


class Halves(nn.Module):
    """A block made of two lists, which are none of the model's blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = nn.ModuleList([Mixer(), Mlp()])
        self.norms = nn.ModuleList([Norm(), Norm()])

    def forward(self, x: Tensor) -> Tensor:
        for norm, step in zip(self.norms, self.steps, strict=True):
            x = x + step(norm(x))
        return x


class ListsInBlocks(Decoder):
    def make(self) -> None:
        self.h = nn.ModuleList([Halves(), Halves()])
        self.mlps = nn.ModuleList([Mlp(), Mlp()])

    def blocks(self, x: Tensor) -> Tensor:
        for k, (block, mlp) in enumerate(zip(self.h, self.mlps, strict=True)):
            x = x + mlp(x)
            if k == 0:  # embed is what goes into the first block
                self.note("embed", x)
            x = self.note(f"block.{k}", block(x))
        return x


class Parallel(nn.Module):
    """Mixes several residual streams; `axis` is where they are."""

    def __init__(self, axis: int, count: int) -> None:
        super().__init__()
        self.axis = axis
        self.into = nn.Parameter(torch.rand(count))
        self.back = nn.Parameter(torch.rand(count))
        self.block = Block()

    def forward(self, streams: Tensor, mask: Tensor) -> Tensor:
        shape = [1, 1, 1, 1]
        streams = streams + mask
        shape[self.axis] = -1
        step = self.block((streams * self.into.view(shape)).sum(self.axis))
        return streams + step.unsqueeze(self.axis) * self.back.view(shape)


class Residuals(Decoder):
    """Four residual streams beside each other, at first copies of the embedding."""

    axis, count = 2, 4

    def make(self) -> None:
        self.layers = nn.ModuleList([Parallel(self.axis, self.count) for _ in range(2)])

    def blocks(self, x: Tensor) -> Tensor:
        shape = [*x.shape]
        shape.insert(self.axis, self.count)
        x = self.first(x.unsqueeze(self.axis).expand(shape))
        for k, layer in enumerate(self.layers):
            x = layer(mask=torch.zeros(1), streams=x)
            for s, part in enumerate(x.unbind(self.axis)):
                self.note(f"block.{k}.residual.{s}", part)
        return x.mean(self.axis)

    def first(self, x: Tensor) -> Tensor:
        return x


class ResidualsFirst(Residuals):
    axis = 0


class ResidualsScaled(Residuals):
    """Its residual streams differ from the first on."""

    axis, count = 1, 3

    def first(self, x: Tensor) -> Tensor:
        x = x * torch.arange(1, self.count + 1).view(1, -1, 1, 1)
        for s, part in enumerate(x.unbind(1)):
            self.note("embed" if s == 0 else f"embed.residual.{s}", part)
        return x


class TokensFirst(Decoder):
    """States are [token, row, width], as in older code."""

    def make(self) -> None:
        self.layers = nn.ModuleList([Flipped(), Flipped()])

    def blocks(self, x: Tensor) -> Tensor:
        x = x.transpose(0, 1)
        for k, layer in enumerate(self.layers):
            x = layer(x)
            self.note(f"block.{k}", x.transpose(0, 1))
        return x.transpose(0, 1)


class Flipped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block = Block()

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x.transpose(0, 1)).transpose(0, 1)


class Boxed(nn.Module):
    """Returns its states in something else."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.block, self.kind = Block(), kind

    def forward(self, x: Tensor) -> dict | tuple:
        x = self.block(x)
        weights = torch.zeros(len(x), 2, x.shape[1], x.shape[1])
        return {"weights": weights, "states": x} if self.kind == "dict" else (weights, (x, None))


class BoxedStates(Decoder):
    kind = "dict"

    def make(self) -> None:
        self.layers = nn.ModuleList([Boxed(self.kind), Boxed(self.kind)])

    def blocks(self, x: Tensor) -> Tensor:
        for k, layer in enumerate(self.layers):
            out = layer(x=x)
            x = self.note(f"block.{k}", out["states"] if self.kind == "dict" else out[1][0])
        return x


class NestedStates(BoxedStates):
    kind = "tuple"


class Partly(Decoder):
    """Only the first blocks of its list run."""

    def make(self) -> None:
        self.layers = several(4)

    def blocks(self, x: Tensor) -> Tensor:
        for k in (0, 1, 3):
            x = self.note(f"block.{k}", self.layers[k](x))
        return x


class Body(nn.Module):
    """A body that returns bare states, without the norm."""

    def __init__(self, note) -> None:
        super().__init__()
        self.note, self.layers = note, several(2)

    def forward(self, x: Tensor) -> Tensor:
        for k, layer in enumerate(self.layers):
            x = self.note(f"block.{k}", layer(x))
        return x


class NormOutside(Decoder):
    def make(self) -> None:
        self.body = Body(self.note)

    def blocks(self, x: Tensor) -> Tensor:
        return self.body(x)


class Plain(nn.Module):
    """No model of transformers: its forward pass has another argument and returns a tuple."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = OneList()
        self.eval()

    def forward(self, idx: Tensor):
        return self.inner(idx).logits, None

    @property
    def noted(self) -> dict[str, Tensor]:
        return self.inner.noted


class Unnumbered(Decoder):
    """Blocks that nothing but their names tells apart."""

    def make(self) -> None:
        self.lower, self.upper = Block(), Block()

    def blocks(self, x: Tensor) -> Tensor:
        x = self.note("block.0", self.lower(x))
        return self.note("block.1", self.upper(x))


class Widening(Decoder):
    def make(self) -> None:
        self.layers = several(2)
        self.wide = nn.Linear(WIDTH, 2 * WIDTH)
        self.more = nn.ModuleList([nn.TransformerEncoderLayer(2 * WIDTH, 2, 8, batch_first=True)])
        self.narrow = nn.Linear(2 * WIDTH, WIDTH)

    def blocks(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1])
        return self.narrow(self.more[0](self.wide(x), mask, is_causal=True))


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block = Block()

    def forward(self, step: Tensor, residual: Tensor | None) -> tuple[Tensor, Tensor]:
        residual = step if residual is None else step + residual
        return self.block(residual), residual


class TwoTensors(Decoder):
    """Blocks hand on a step and a residual: neither alone is the stream."""

    def make(self) -> None:
        self.layers = nn.ModuleList([Pair(), Pair(), Pair()])

    def blocks(self, x: Tensor) -> Tensor:
        residual = None
        for layer in self.layers:
            x, residual = layer(x, residual)
        return x + residual


class Halting(Decoder):
    """How often its block runs depends on the tokens."""

    def make(self) -> None:
        self.block = Block()

    def blocks(self, x: Tensor) -> Tensor:
        for _ in range(2 + x.shape[1] // 10):
            x = self.block(x)
        return x


class Merged(Decoder):
    """Rows and tokens share an axis."""

    def make(self) -> None:
        self.layers = nn.ModuleList([Unmerging(), Unmerging()])

    def blocks(self, x: Tensor) -> Tensor:
        shape = x.shape
        x = x.flatten(0, 1)
        for layer in self.layers:
            x = layer(x, shape)
        return x.view(shape)


class Unmerging(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block = Block()

    def forward(self, x: Tensor, shape: torch.Size) -> Tensor:
        return self.block(x.view(shape)).flatten(0, 1)


class Backwards(Decoder):
    """Reads from right to left: no decoder."""

    def make(self) -> None:
        self.h = several(2)

    def blocks(self, x: Tensor) -> Tensor:
        return self.h[1](self.h[0](x.flip(1)).flip(1))


KNOWN = [
    OneList, PreludeCoreCoda, LoopedMiddle, SharedBlock, SharedInList, Sequence, Dictionary,
    Numbered, Stages, RunningStages, ListsInBlocks, Residuals, ResidualsFirst, ResidualsScaled,
    TokensFirst, BoxedStates, NestedStates, Partly, NormOutside, Plain,
]  # fmt: skip
