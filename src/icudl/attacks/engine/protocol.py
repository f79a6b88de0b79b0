"""The protocol of engines."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from icudl.attacks.engine.known import Known, Memory


class Engine(Protocol):
    """Scores features: (B,) logit of death minus logit of survival."""

    def remember(self, features: Tensor, lengths: Tensor, n_moving: int | None = None) -> Memory | None:
        """Read stays whose variants will be scored; return None if remembering them would not save time.

        Args:
            features: (B, T, C) features of B stays.
            lengths: (B,) hours of each.
            n_moving: K, the first features, which variants may change; None for all.
        """

    def difference(self, features: Tensor, lengths: Tensor, known: Known | None = None) -> Tensor:
        """Return the (B,) logit differences of stays.

        Args:
            features: (B, T, C) features of B stays; (B, T, K), those that move, of variants of known stays.
            lengths: (B,) hours of each.
            known: Stays read before, of the same lengths, of which these are variants. They save time and change no
                result.
        """

    def difference_and_gradient(
        self, features: Tensor, lengths: Tensor, known: Known | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the (B,) logit differences and their gradient by ``features``, followed back to ``known.reach``."""

    def survey(
        self, features: Tensor, lengths: Tensor, faint: float, known: Known | None = None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return differences, the whole gradient, and its reach (``Known``) if the engine has one.

        Args:
            features: See ``difference``.
            lengths: (B,) hours of each.
            faint: Share of a stay's steepest slope; later gradients may leave out slopes below it.
            known: See ``difference``; its reach is not used.
        """

    def anchor(self, features: Tensor, lengths: Tensor, known: Known) -> tuple[Tensor, Memory] | None:
        """Remember variants of known stays, from which other variants will differ less than from the known stays.

        Args:
            features: (B, T, K) features that move.
            lengths: (B,) hours of each.
            known: The stays of which these are variants.

        Returns:
            The (B,) logit differences, and what is remembered; None if that would not save time.
        """
