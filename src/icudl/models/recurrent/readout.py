"""Read-outs: from one vector per hour to one vector per stay."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from icudl.models.base import within_length


def last_hour(outputs: Tensor, lengths: Tensor) -> Tensor:
    """Return the (B, H) outputs at each stay's last hour, from (B, T, H)."""
    return outputs[torch.arange(outputs.shape[0], device=outputs.device), lengths - 1]


def mean_over_hours(outputs: Tensor, lengths: Tensor) -> Tensor:
    """Return the (B, H) mean over each stay's hours, from (B, T, H)."""
    inside = within_length(lengths, outputs.shape[1])[:, :, None]
    return outputs.masked_fill(~inside, 0.0).sum(dim=1) / lengths[:, None]


def max_over_hours(outputs: Tensor, lengths: Tensor) -> Tensor:
    """Return the (B, H) largest value over each stay's hours, from (B, T, H)."""
    inside = within_length(lengths, outputs.shape[1])[:, :, None]
    return outputs.masked_fill(~inside, -torch.inf).amax(dim=1)


class AttentionReadout(nn.Module):
    """Weighted mean over hours; the weights are a softmax of w2 tanh(W1 h) (Bahdanau et al. 2015, without a query).

    Attributes:
        project: W1, (H -> H).
        score: w2, (H -> 1).
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.project = nn.Linear(size, size)
        self.score = nn.Linear(size, 1, bias=False)

    def forward(self, outputs: Tensor, lengths: Tensor) -> Tensor:
        """Return (B, H) from (B, T, H)."""
        scores = self.score(torch.tanh(self.project(outputs))).squeeze(-1)
        inside = within_length(lengths, outputs.shape[1])
        weights = torch.softmax(scores.masked_fill(~inside, -torch.inf), dim=1)
        return (weights[:, :, None] * outputs.masked_fill(~inside[:, :, None], 0.0)).sum(dim=1)


class Head(nn.Module):
    """Activation, dropout, fully connected layer with its activation, and two logits.

    Attributes:
        activation: Applied to the read-out.
        dropout: Between the two.
        fc: Fully connected layer, or None where ``fc_size`` is 0.
        fc_activation: Applied to the fully connected layer.
        out: The last linear layer, to two logits.
    """

    def __init__(self, size: int, activation: nn.Module, dropout: float, fc_size: int, fc_activation: nn.Module):
        super().__init__()
        self.activation = activation
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(size, fc_size) if fc_size else None
        self.fc_activation = fc_activation
        self.out = nn.Linear(fc_size or size, 2)

    def forward(self, summary: Tensor) -> Tensor:
        """Return (B, 2) logits of (B, H) summaries."""
        hidden = self.dropout(self.activation(summary))
        if self.fc is not None:
            hidden = self.fc_activation(self.fc(hidden))
        logits: Tensor = self.out(hidden)
        return logits

    def absorb(self, scale: float, shift: float) -> None:
        """Make the logit difference z of the last layer ``scale`` z + ``shift``."""
        with torch.no_grad():
            self.out.weight.mul_(scale)
            self.out.bias.mul_(scale)
            self.out.bias.add_(torch.tensor([-shift / 2, shift / 2]).to(self.out.bias))
