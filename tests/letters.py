"""An encoder of texts by their letters, of which the export takes strings."""

from __future__ import annotations

from typing import Any, ClassVar

from mtkit.spec import Address, BuildContext, Encoder


class Letters(Encoder):
    """How often some characters occur in a text, mapped to `dim`."""

    reads_kinds: ClassVar[tuple[str, ...]] = ("text",)

    reads: tuple[Address]

    def derive(self, context: BuildContext) -> dict[str, Any]:
        (name,) = self.derivation(context).inputs
        texts = [text or "" for text in context.column(self.reads[0].scope, self.reads[0].column)]
        return {address: column.numpy() for address, column in self.derivation(context)({name: texts}).items()}

    def derivation(self, context: BuildContext) -> Any:
        from mtkit.backend import tf
        from mtkit.spec import ServingInput

        text, address = self.reads[0], f"{self.reads[0]}/{context.name}"

        class Counts(tf.Module):
            inputs: ClassVar = {text.replace(".", "_"): ServingInput("string", about="a text")}

            def __call__(self, inputs):
                (texts,) = inputs.values()
                codes = tf.strings.unicode_decode(texts, "UTF-8").to_tensor()
                counts = [tf.reduce_sum(tf.cast(codes == ord(c), tf.float32), 1) for c in "abcdefghR<& "]
                return {address: tf.stack(counts, 1)}

        return Counts()

    def build(self, context: BuildContext) -> Any:
        from mtkit.layers.vectors import VectorProjection

        return VectorProjection(f"{self.reads[0]}/{context.name}", self.dim, name=context.name)
