"""KuaiRand-Pure: what people did with short videos, 2022 (Kuaishou)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from mtkit.schema import Column, Schema
from mtkit.spec import PublishedData
from mtkit.types import Dataset
from mtkit_datasets.files import Published, renamed

if TYPE_CHECKING:
    import pyarrow as pa

#: What a viewer does is known once the video was shown, and never a feature.
_SIGNALS = {
    "is_click": "click",
    "is_like": "like",
    "is_follow": "follow",
    "is_comment": "comment",
    "is_forward": "forward",
    "is_hate": "hate",
    "is_profile_enter": "profile_enter",
}
_PLAYED = ("play_time_ms", "duration_ms")
_USER_NUMBERS = ("follow_user_num", "fans_user_num", "friend_user_num", "register_days")
_USER_CLASSES = (
    "user_active_degree", "is_live_streamer", "is_video_author", "follow_user_num_range", "fans_user_num_range",
    "friend_user_num_range", "register_days_range", *(f"onehot_feat{number}" for number in range(18)),
)  # fmt: skip
_VIDEO_NUMBERS = ("video_duration", "server_width", "server_height")
_VIDEO_CLASSES = ("author_id", "video_type", "upload_type", "upload_dt", "music_id", "music_type", "tag")


class KuairandPure(Published):
    """Videos shown from 2022-04-25 to 2022-05-08 (China): 228,329 rows, 25,156 users, 6,361 videos.

    Reads `interactions.parquet` (rows of `log_standard_4_22_to_5_08_pure.csv`), `users.parquet`
    (`user_features_pure.csv`) and `videos.parquet` (`video_features_basic_pure.csv`), with the columns of the published
    files (folder `kuairand-pure-slice`). Labels of a row, given that the video was shown: `click`, `like`, `follow`,
    `comment`, `forward`, `hate`, `profile_enter`, and `long_view`, which follows from the time played. Context: the
    tab of the app, and the hour of the day (China). How many followed, or how active a user was, is a snapshot whose moment
    is not published.

    License: CC BY-SA 4.0. Files: https://kuairand.com. Source: Gao et al., "KuaiRand: an unbiased sequential
    recommendation dataset with randomly exposed videos", 2022.
    """

    published: ClassVar[PublishedData] = PublishedData(
        name="kuairand_pure",
        folder="kuairand-pure-slice",
        license="CC BY-SA 4.0",
        page="https://kuairand.com",
        like="media",
    )

    def schema(self) -> Schema:
        """The declared columns."""
        categorical, numeric = Column(kind="categorical"), Column(kind="numeric")
        return Schema(
            interactions={
                "user": Column(kind="id", entity="user"),
                "item": Column(kind="id", entity="item"),
                "time": Column(kind="time"),
                "tab": categorical,
                "hour": categorical,
                **dict.fromkeys(_PLAYED, numeric),
                **dict.fromkeys(_SIGNALS.values(), Column(kind="label")),
                "long_view": Column(kind="label", sources=_PLAYED),
            },
            entities={
                "user": dict.fromkeys(_USER_NUMBERS, numeric) | dict.fromkeys(_USER_CLASSES, categorical),
                "item": dict.fromkeys(_VIDEO_NUMBERS, numeric) | dict.fromkeys(_VIDEO_CLASSES, categorical),
            },
        )

    def load(self) -> Dataset:
        """Reads three files."""
        import pyarrow as pa
        import pyarrow.compute as pc

        names = {"user_id": "user", "video_id": "item", "time_ms": "time", "tab": "tab", "hourmin": "hour"}
        names |= {name: name for name in (*_PLAYED, "long_view")} | _SIGNALS
        shown = self._read("interactions", names)
        shown = shown.set_column(2, "time", shown["time"].cast(pa.timestamp("ms")))
        shown = shown.set_column(4, "hour", pc.divide(shown["hour"], 100))  # 2359 is a minute before midnight
        users = self._read("users", {"user_id": "id"} | {name: name for name in (*_USER_NUMBERS, *_USER_CLASSES)})
        videos = self._read("videos", {"video_id": "id"} | {name: name for name in (*_VIDEO_NUMBERS, *_VIDEO_CLASSES)})
        self.check(
            {"rows": len(shown), "users": len(users), "videos": len(videos)},
            {"rows": 228_329, "users": 25_156, "videos": 6361},
        )
        return Dataset(shown, {"user": _whole(users), "item": _whole(videos)}, self.schema())

    def _read(self, name: str, columns: dict[str, str]) -> pa.Table:
        """Columns of a file by their new names."""
        import pyarrow.parquet

        path = self.file(f"{name}.parquet")
        return renamed(pyarrow.parquet.read_table(path), columns, path)


def _whole(table: pa.Table) -> pa.Table:
    """Categories that were stored as fractions, because some are null, as integers."""
    import pyarrow as pa

    for place, field in enumerate(table.schema):
        if pa.types.is_floating(field.type) and field.name in (*_USER_CLASSES, *_VIDEO_CLASSES):
            table = table.set_column(place, field.name, table[field.name].cast(pa.int64()))
    return table
