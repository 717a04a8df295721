"""Texts that say what an item is: templates over a vocabulary, a part of which says nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

#: How often an item has a tag of its own topic, and one of another.
TAGGED, STRAY = 0.6, 0.02
#: How often a text mentions a tag that the item has.
MENTIONED = 0.7


@dataclass(frozen=True)
class Vocabulary:
    """The words of a domain.

    Attributes:
        topics: topic -> words that say it; `mtkit.synthetic.world.TOPICS` of them, with equally many words.
        styles: words of each style.
        templates: sentences with `{style}`, `{0}`, `{1}`, ... for words, and `{tags}`.
        filler: words that say nothing.
    """

    topics: Mapping[str, Sequence[str]]
    styles: Sequence[Sequence[str]]
    templates: Sequence[str]
    filler: Sequence[str]

    @property
    def tags(self) -> tuple[str, ...]:
        """All tags: two of each topic."""
        return tuple(f"{topic.split()[0]}-{end}" for topic in self.topics for end in ("basics", "extra"))


@dataclass(frozen=True)
class Written:
    """Texts of items, and what they are written from.

    Attributes:
        texts: `[items]`.
        tags: bool `[items, tags]`: which tags an item has.
        topics: float64 `[items, topics]`: the probability of each topic, given the words of the text.
        tag_chances: float64 `[items, tags]`: the probability of each tag, given the topic and what the text mentions.
    """

    texts: list[str]
    tags: np.ndarray
    topics: np.ndarray
    tag_chances: np.ndarray


def written(
    rng: np.random.Generator, vocabulary: Vocabulary, topic: np.ndarray, style: np.ndarray, noise: float
) -> Written:
    """Texts of items.

    Args:
        rng: draws.
        vocabulary: the words.
        topic: int64 `[items]`.
        style: int64 `[items]`.
        noise: share of the words that are of any topic, or fillers.
    """
    items, topics = len(topic), len(vocabulary.topics)
    slots = max(template.count("{") for template in vocabulary.templates)
    said = np.where(rng.random((items, slots)) < noise, rng.integers(0, topics + 1, (items, slots)), topic[:, None])
    words = [*vocabulary.topics.values(), list(vocabulary.filler)]
    which = rng.integers(0, 1 << 16, (items, slots + 2))
    has = rng.random((items, 2 * topics)) < np.where(np.arange(2 * topics) // 2 == topic[:, None], TAGGED, STRAY)
    told = has & (rng.random(has.shape) < MENTIONED)
    names = np.array(vocabulary.tags, object)
    texts, used = [], np.zeros((items, slots), bool)
    for i in range(items):
        template = vocabulary.templates[which[i, -1] % len(vocabulary.templates)]
        chosen = [words[t][which[i, s] % len(words[t])] for s, t in enumerate(said[i])]
        spoken = vocabulary.styles[style[i]]
        text = template.format(*chosen, style=spoken[which[i, -2] % len(spoken)], tags=" ".join(names[told[i]]))
        used[i] = [f"{{{s}}}" in template for s in range(slots)]
        texts.append(" ".join(text.split()))
    return Written(texts, has, _topics(said, used, told, noise, topics), _tags(told, topic))


def _topics(said: np.ndarray, used: np.ndarray, told: np.ndarray, noise: float, topics: int) -> np.ndarray:
    """Naive Bayes, which is exact here: words and tags are drawn for themselves, given the topic."""
    stray = noise / (topics + 1)
    same = (said[:, :, None] == np.arange(topics)) & used[:, :, None]
    score = same.sum(1) * np.log((1 - noise + stray) / max(stray, 1e-9))
    own, other = TAGGED * MENTIONED, STRAY * MENTIONED
    tags = told.reshape(len(told), topics, 2)
    score += (tags * np.log(own / other) + ~tags * np.log((1 - own) / (1 - other))).sum(2)
    shares = np.exp(score - score.max(1, keepdims=True))
    return np.asarray(shares / shares.sum(1, keepdims=True))


def _tags(told: np.ndarray, topic: np.ndarray) -> np.ndarray:
    prior = np.where(np.arange(told.shape[1]) // 2 == topic[:, None], TAGGED, STRAY)
    silent = prior * (1 - MENTIONED) / (1 - prior * MENTIONED)
    return np.asarray(np.where(told, 1.0, silent))
