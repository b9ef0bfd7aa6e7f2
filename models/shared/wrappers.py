"""The network around a sequence mixer: embedding, depth, normalisation, pooling and readout, the same for every model.

There are two wrappers. `Residual` is the same block for every mixer: a linear encoder, pre-norm residual blocks with a
gated unit, the last step is read. `Plain` stacks the layers as they are, feeds continuous input raw and reads the last
step. The recurrent-network papers do this, and the FRU paper's parameter counts mean this.

Shapes: B batch, T time, D input, H output of a mixer, W width of the residual stream, V output vocabulary.
"""

from dataclasses import dataclass, field
from typing import ClassVar, Literal, Self, cast

import torch
from torch import Tensor, nn

from datamodules._spec import Label, TaskSpec, TokenPerStep, Tokens, Value, ValuePerStep
from models.kernels.backend import fuses
from models.shared.contract import ModelConfig, Place, SequenceModel, final_step, later, valid_steps
from models.shared.layer_norm import LayerNorm
from models.shared.linear import Linear

MAX_EMBED_SIZE = 128  # the FRU paper's, for 10,000 words. A small vocabulary needs no more than one number a token
MOST_BIASES = 256


class Wrapper(nn.Module):
    """A network for a task. The parameters of its parts `embedding`, `core` and `readout` are counted separately.

    Called with x (B, T, D) or tokens (B, T), and the sequences' lengths (B,) or None, it returns one vector per
    sequence (B, …), or per position (B, T, V).

    Args:
        model: the class of the mixers.
        model_config: their settings.
        spec: the task.
        config: the wrapper's settings, an instance of its `Config`.
    """

    name: ClassVar[str]
    Config: ClassVar[type[ModelConfig]]
    embedding: nn.Embedding | None
    core: nn.Module
    readout: nn.Module

    def __init__(
        self, model: type[SequenceModel], model_config: ModelConfig, spec: TaskSpec, config: ModelConfig
    ) -> None:
        super().__init__()

    def mixers(self) -> list[SequenceModel]:
        return [module for module in self.core.modules() if isinstance(module, SequenceModel)]


class Plain(Wrapper):
    """Layers stacked as they are. Continuous input enters raw, and the last step is read."""

    name = "plain"
    core: nn.ModuleList

    @dataclass(frozen=True, kw_only=True)
    class Config(ModelConfig):
        depth: int = 1
        embed_size: int | None = None
        dropout: float = field(default=0.0, metadata=later(0.0))
        """Dropout rate on the input of each layer and of the readout, as in the FRU paper's IMDB experiment."""

        def __post_init__(self) -> None:
            self.require_positive("depth")
            if self.embed_size is not None:
                self.require_positive("embed_size")
            require_share("dropout", self.dropout)

        @classmethod
        def at_width(cls, width: int) -> Self:
            return cls()

    def __init__(self, model: type[SequenceModel], model_config: ModelConfig, spec: TaskSpec, config: Config) -> None:
        super().__init__(model, model_config, spec, config)
        size = self.embed(spec, config.embed_size)
        layers = []
        for layer in range(config.depth):
            place = Place(input_size=size, seq_len=spec.seq_len, layer=layer, layers=config.depth)
            layers.append(model(model_config, **place))
            size = layers[-1].output_size
        self.core = nn.ModuleList(layers)
        self.drop = nn.Dropout(config.dropout) if config.dropout else nn.Identity()
        self.every_step = spec.per_step
        self.readout = build_readout(spec, size, self.embedding)

    def embed(self, spec: TaskSpec, embed_size: int | None) -> int:
        """Set `embedding`. Return the width of the first layer's input."""
        if isinstance(spec.input, Tokens):
            size = embed_size or min(MAX_EMBED_SIZE, spec.input.vocabulary)
            self.embedding = build_embedding(spec.input, size)
            return size
        self.embedding = None
        return spec.input.width

    def forward(self, x: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        h_BTD = self.drop(x if self.embedding is None else self.embedding(x))
        for layer in self.core[:-1]:
            h_BTD = self.drop(layer(h_BTD, lengths_B))
        top = cast(SequenceModel, self.core[-1])
        return self.readout(self.drop(top(h_BTD, lengths_B) if self.every_step else top.last(h_BTD, lengths_B)))


class Residual(Wrapper):
    """Linear encoder, pre-norm residual blocks with a gated unit. The last step is read."""

    name = "residual"
    core: nn.ModuleDict

    @dataclass(frozen=True, kw_only=True)
    class Config(ModelConfig):
        units = ("width",)
        width: int = 128
        depth: int = 2
        pooling: Literal["mean", "last"] = "last"
        """What is read of all steps. Averaged gated units solve some tasks without any mixer."""
        dropout: float = 0.0
        embed_size: int | None = field(default=None, metadata=later(None))
        """The width of the token table, which a linear map takes to the stream; None: the stream's, without a map."""

        def __post_init__(self) -> None:
            self.require_positive("width", "depth")
            if self.embed_size is not None:
                self.require_positive("embed_size")
            require_share("dropout", self.dropout)

        @classmethod
        def at_width(cls, width: int) -> Self:
            return cls(width=width)

    def __init__(self, model: type[SequenceModel], model_config: ModelConfig, spec: TaskSpec, config: Config) -> None:
        super().__init__(model, model_config, spec, config)
        self.every_step = spec.per_step
        self.pooling = config.pooling
        encoder = self.embed(spec, config)
        blocks = []
        for layer in range(config.depth):
            place = Place(input_size=config.width, seq_len=spec.seq_len, layer=layer, layers=config.depth)
            blocks.append(ResidualBlock(model(model_config, **place), config))
        self.core = nn.ModuleDict(
            {"encoder": encoder, "blocks": nn.ModuleList(blocks), "norm": LayerNorm(config.width)}
        )
        self.readout = build_readout(spec, config.width, self.embedding)

    def embed(self, spec: TaskSpec, config: Config) -> nn.Module:
        """Set `embedding`. Return the map to the stream."""
        if not isinstance(spec.input, Tokens):
            self.embedding = None
            return nn.Linear(spec.input.width, config.width)
        self.embedding = build_embedding(spec.input, config.embed_size or config.width)
        return nn.Identity() if config.embed_size is None else Linear(config.embed_size, config.width)

    def forward(self, x: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        h_BTW = self.core["encoder"](x if self.embedding is None else self.embedding(x))
        *below, top = cast(list[ResidualBlock], self.core["blocks"])
        for block in below:
            h_BTW = block(h_BTW, lengths_B)
        if self.every_step:
            return self.readout(self.core["norm"](top(h_BTW, lengths_B)))
        if self.pooling == "last":
            return self.readout(self.core["norm"](top.last(h_BTW, lengths_B)))
        return self.readout(mean(self.core["norm"](top(h_BTW, lengths_B)), lengths_B))


class ResidualBlock(nn.Module):
    """The block h + GLU(W mixer(norm(h)) + b), with dropout, (B, T, W) to (B, T, W)."""

    def __init__(self, mixer: SequenceModel, config: Residual.Config) -> None:
        super().__init__()
        self.norm = LayerNorm(config.width)
        self.mixer = mixer
        self.gated = nn.Sequential(Linear(mixer.output_size, 2 * config.width), GLU(), nn.Dropout(config.dropout))

    def forward(self, h_BTW: Tensor, lengths_B: Tensor | None) -> Tensor:
        return self.add_gated(h_BTW, self.mixer(self.norm(h_BTW), lengths_B))

    def last(self, h_BTW: Tensor, lengths_B: Tensor | None) -> Tensor:
        """Return the output at each sequence's final step, (B, W)."""
        return self.add_gated(final_step(h_BTW, lengths_B), self.mixer.last(self.norm(h_BTW), lengths_B))

    def add_gated(self, h_W: Tensor, y_H: Tensor) -> Tensor:
        map_, _, drop = cast(tuple[Linear, GLU, nn.Dropout], self.gated)
        if (drop.p and self.training) or not fuses(h_W, y_H, map_.weight):
            return h_W + self.gated(y_H)
        from models.kernels.cpu.residual import GatedResidual  # numba takes a second to import

        out_MW: Tensor = GatedResidual.apply(h_W.flatten(0, -2), y_H.flatten(0, -2), map_.weight, map_.bias)
        return out_MW.view_as(h_W)


class GLU(nn.GLU):
    """torch.nn.GLU over the last dimension. On a CPU, a kernel takes a third of torch's time at most widths."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # as torch names it
        if not fuses(input):
            return super().forward(input)
        from models.kernels.cpu.glu import GatedUnit  # numba takes a second to import

        y_MW: Tensor = GatedUnit.apply(input.flatten(0, -2))
        return y_MW.unflatten(0, input.shape[:-1])


def require_share(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise ValueError(f"{name}={value} must be in [0, 1)")


def mean(h_BTW: Tensor, lengths_B: Tensor | None) -> Tensor:
    """Return the mean over each sequence's steps, (B, W)."""
    if lengths_B is None:
        return h_BTW.mean(1)
    valid_BT1 = valid_steps(lengths_B, h_BTW.shape[1]).unsqueeze(-1)
    return torch.where(valid_BT1, h_BTW, 0).sum(1) / lengths_B[:, None]


class TiedReadout(nn.Module):
    """A readout whose weight is the input embedding's table, after a projection to the table's width.

    It has no bias for more than MOST_BIASES tokens. With 8,192, the bias was most of a network of 10,000 numbers.
    """

    def __init__(self, size: int, embedding: nn.Embedding) -> None:
        super().__init__()
        same = size == embedding.embedding_dim
        self.project = nn.Identity() if same else Linear(size, embedding.embedding_dim)
        self.weight = embedding.weight
        has_bias = embedding.num_embeddings <= MOST_BIASES
        self.bias = nn.Parameter(torch.zeros(embedding.num_embeddings)) if has_bias else None

    def forward(self, h_BTH: Tensor) -> Tensor:
        return nn.functional.linear(self.project(h_BTH), self.weight, self.bias)


def build_embedding(tokens: Tokens, size: int) -> nn.Embedding:
    """Return a table whose rows have norm 1 on average, so that a readout tied to it starts with moderate logits."""
    embedding = nn.Embedding(tokens.vocabulary, size)
    nn.init.normal_(embedding.weight, std=size**-0.5)
    return embedding


def build_readout(spec: TaskSpec, size: int, embedding: nn.Embedding | None) -> nn.Module:
    """Return a map from features (…, size) to one number for each class, value or token.

    Token outputs use the embedding's table where it has the same vocabulary.
    """
    match spec.output:
        case Label(classes):
            return nn.Linear(size, classes)
        case Value(width) | ValuePerStep(width):
            return nn.Linear(size, width)
        case TokenPerStep(vocabulary):
            if embedding is not None and embedding.num_embeddings == vocabulary:
                return TiedReadout(size, embedding)
            return nn.Linear(size, vocabulary)


WRAPPERS: dict[str, type[Wrapper]] = {wrapper.name: wrapper for wrapper in (Plain, Residual)}
