"""What the layer of a task head does: base classes for layers of one's own."""

from mtkit.heads.base import Candidates, PredictionHead, RetrievalHead, SelfSupervisedHead

__all__ = ["Candidates", "PredictionHead", "RetrievalHead", "SelfSupervisedHead"]
