"""What a recipe says about training a language model on its own texts, and about what becomes of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field

from mtkit.errors import DataError
from mtkit.spec import BuildContext, Contributions, Encoder, Exporter, Name, SelfSupervisedTask, Trained
from mtkit_bert.spec import Bert


class MaskedLanguageModel(SelfSupervisedTask):
    """Trains a `bert` encoder to predict hidden tokens of its texts; `unigram` beside it knows how frequent tokens are."""

    metrics: ClassVar[Mapping[str, bool]] = {"perplexity": True, "cross_entropy": True, "accuracy": False}

    share: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.15, description="how many of a text's tokens are predicted, special ones aside; at least one"
    )

    def refusal(self, encoder: Encoder) -> str:
        """Why an encoder has no network that trains; empty if it has one."""
        return _untrained(self.encoder, encoder)

    def values(self, means: Mapping[str, Contributions]) -> dict[str, float]:
        """Cross-entropy in nats per hidden token, its exponential, and how many are predicted first."""
        values = super().values(means)
        return {"perplexity": math.exp(values["cross_entropy"]), **values}

    def build(self, context: BuildContext) -> Any:
        """A `mtkit_bert.masked_language_model.MaskedLanguageModelHead` with the checkpoint's weights, or new ones.

        Raises:
            DataError: the encoder's checkpoint is of a family without such a head, its tokenizer has no mask token, or all
                texts are empty or missing.
        """
        from mtkit_bert.checkpoint import locate
        from mtkit_bert.hugging_face import load_head

        encoder = context.encoders[self.encoder]
        assert isinstance(encoder, Bert)
        if not encoder.has_texts(context):
            raise DataError(
                f"task {context.name}, encoder {self.encoder}: all texts of {', '.join(encoder.reads)} are empty or missing, so "
                "there is nothing to learn; name a column with texts, or leave the task out"
            )
        try:
            return load_head(locate(encoder.checkpoint), self.share, context.name)
        except DataError as error:
            raise DataError(f"task {context.name}, encoder {self.encoder}: {error}") from error


class HuggingFace(Exporter):
    """Writes the trained network of a `bert` encoder as a checkpoint directory, which `checkpoint` reads again.

    It holds `config.json`, `model.safetensors` and the tokenizer, and is read by transformers, too. There is no servable.
    """

    servable: ClassVar[bool] = False

    encoder: Name = Field(
        description="the encoder whose network is written, with a head that trains it, if there is one"
    )

    def refusal(self, encoders: Mapping[str, Encoder | None]) -> str:
        """Why there is nothing to write; empty if there is."""
        encoder = encoders.get(self.encoder)
        if self.encoder not in encoders:
            return f"no encoder is called {self.encoder!r}; there are {', '.join(encoders)}"
        return _untrained(self.encoder, encoder) if encoder else ""

    def export(self, trained: Trained, directory: Path) -> Path:
        """Writes into a new version directory under `directory`, whole or not at all, and returns it.

        Raises:
            RunError: the directory cannot be written.
        """
        from mtkit_bert.checkpoint import locate
        from mtkit_bert.hugging_face import write_trained

        return write_trained(trained, self.encoder, locate(trained.plan.encoders[self.encoder].checkpoint), directory)


def _untrained(name: str, encoder: Encoder) -> str:
    if not isinstance(encoder, Bert):
        return f"{name!r} is no encoder `bert`; expected one whose network trains"
    if encoder.mode == "frozen":
        return f"{name!r} is frozen; expected mode = 'full', 'last_n' or 'lora'"
    return ""
