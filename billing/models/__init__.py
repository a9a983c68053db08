"""What you bought: one file per subject."""

from .tiers import FREE, Tier, UserTier

__all__ = ["FREE", "Tier", "UserTier"]
