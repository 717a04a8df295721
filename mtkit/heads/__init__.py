"""What the layer of a task head does: base classes for layers of one's own."""

from mtkit.evaluation.user_sums import Measured, UserSums
from mtkit.feed.batch import Batch, Lists, SharedValues
from mtkit.heads.base import Head, Question, TaskEvaluation, TaskPass, TaskServing, Tensors
from mtkit.heads.prediction import PredictionHead
from mtkit.heads.retrieval import Candidates, RetrievalHead
from mtkit.heads.self_supervised import SelfSupervisedHead

__all__ = [
    "Batch",
    "Candidates",
    "Head",
    "Lists",
    "Measured",
    "PredictionHead",
    "Question",
    "RetrievalHead",
    "SelfSupervisedHead",
    "SharedValues",
    "TaskEvaluation",
    "TaskPass",
    "TaskServing",
    "Tensors",
    "UserSums",
]
