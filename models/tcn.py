"""TCN: a stack of dilated causal convolutions whose receptive field covers the sequence.

    block_i(x) = ReLU(x W_s + c(c(x))),    c(x)_t = ReLU(Σ_{j<k} F_j x_{t − 2^i j})       (Bai et al. 2018, §3)

F is weight-normalised and has torch's initial values: the authors start it from N(0, 0.01²), which their normalisation
undoes. W_s starts from N(0, 0.01²), and is the identity where the widths agree. Each of n blocks holds two convolutions
of dilation 2^i, so that an output sees the last 1 + 2 (k − 1) (2ⁿ − 1) inputs.

Shapes: B batch, T time, D input, H channels, k kernel width, n blocks. State: none kept; a step needs the receptive
field. Time O(T n k H²), depth O(n).
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self, Unpack

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from models.shared.authors_weights import AuthorsWeights
from models.shared.contract import ModelConfig, Paper, Place, SequenceModel, resize

if TYPE_CHECKING:
    from optuna import Trial

SHORTCUT_STD = 0.01


class TCN(SequenceModel):
    """The temporal convolutional network."""

    paper = Paper(
        "An Empirical Evaluation of Generic Convolutional and Recurrent Networks for Sequence Modeling",
        2018,
        "https://arxiv.org/abs/1803.01271",
    )
    display_name = "TCN"
    family = "convolution"
    wrapper = "plain"
    golden = ("tcn", "tcn_init")

    @dataclass(frozen=True, kw_only=True)
    class Config(ModelConfig):
        """The default width and kernel are those of the authors' sMNIST experiment (locuslab/TCN, pmnist_test.py).

        `at_width` takes the smallest kernel of their experiments, 3 (char_cnn and word_cnn), so that channels are not
        few: at a length of 200, a layer of kernel 7 has twice as many weights.
        """

        units = ("hidden_size",)
        hidden_size: int = 25
        kernel_size: int = 7
        """k, the inputs that a single convolution sees."""
        blocks: int | None = None
        """n. None means as many as it takes to see the whole training length."""
        conv_dropout: float = 0.0
        """Dropout rate after each convolution and its ReLU."""

        def __post_init__(self) -> None:
            self.require_positive("hidden_size")
            if self.kernel_size < 2:
                raise ValueError(f"kernel_size={self.kernel_size} must be at least 2")
            if self.blocks is not None:
                self.require_positive("blocks")
            if not 0 <= self.conv_dropout < 1:
                raise ValueError(f"conv_dropout={self.conv_dropout} must be in [0, 1)")

        @classmethod
        def at_width(cls, width: int) -> Self:
            return cls(hidden_size=width, kernel_size=3)

        def depth(self, seq_len: int) -> int:
            """Return n for the training length `seq_len`."""
            if self.blocks is not None:
                return self.blocks
            return next(n for n in range(1, 64) if receptive_field(self.kernel_size, n) >= seq_len)

    def __init__(self, config: Config, **place: Unpack[Place]) -> None:
        super().__init__(config, **place)
        self.output_size = config.hidden_size
        sizes = [self.input_size] + [config.hidden_size] * config.depth(self.seq_len)
        blocks = [Block(d, h, config, dilation=2**i) for i, (d, h) in enumerate(pairwise(sizes))]
        self.blocks = nn.Sequential(*blocks)

    def forward(self, x_BTD: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        return self.blocks(x_BTD)

    def from_authors(self, authors: AuthorsWeights) -> dict[str, Tensor]:
        names, ours = {}, {}
        for i, block in enumerate(self.blocks):
            for j in (0, 1):
                conv, theirs = f"blocks.{i}.convs.{j}", f"network.{i}.conv{j + 1}"
                names[f"{conv}.bias"] = f"{theirs}.bias"
                names[f"{conv}.parametrizations.weight.original0"] = f"{theirs}.weight_g"
                names[f"{conv}.parametrizations.weight.original1"] = f"{theirs}.weight_v"
            if isinstance(block.shortcut, nn.Linear):  # theirs is a convolution of width 1
                names[f"blocks.{i}.shortcut.bias"] = f"network.{i}.downsample.bias"
                weight_HD1 = authors(f"network.{i}.downsample.weight", *block.shortcut.weight.shape, 1)
                ours[f"blocks.{i}.shortcut.weight"] = weight_HD1[..., 0]
        return ours | authors.renamed(self, names)

    @classmethod
    def search_space(cls, trial: "Trial") -> dict[str, Any]:
        return {"kernel_size": trial.suggest_categorical("kernel_size", [3, 5, 7])}


class Block(nn.Module):
    """Two dilated causal convolutions and a shortcut around them."""

    def __init__(self, input_size: int, size: int, config: TCN.Config, dilation: int) -> None:
        super().__init__()
        self.shortcut = resize(input_size, size)
        if isinstance(self.shortcut, nn.Linear):
            nn.init.normal_(self.shortcut.weight, std=SHORTCUT_STD)
        self.convs = nn.ModuleList(causal_conv(d, size, config.kernel_size, dilation) for d in (input_size, size))
        self.padding = (config.kernel_size - 1) * dilation
        self.dropout = nn.Dropout(config.conv_dropout)

    def forward(self, x_BTD: Tensor) -> Tensor:
        h_BHT = x_BTD.transpose(1, 2)
        for conv in self.convs:
            h_BHT = self.dropout(conv(F.pad(h_BHT, (self.padding, 0))).relu())
        return (self.shortcut(x_BTD) + h_BHT.transpose(1, 2)).relu()


def causal_conv(input_size: int, size: int, kernel_size: int, dilation: int) -> nn.Module:
    """Return the weight-normalised convolution. Its input must come padded on the left."""
    return weight_norm(nn.Conv1d(input_size, size, kernel_size, dilation=dilation))


def receptive_field(kernel_size: int, blocks: int) -> int:
    """Return how many inputs an output sees, the present one included."""
    return 1 + 2 * (kernel_size - 1) * (2**blocks - 1)
