import numpy as np
import pytest

from mtkit.synthetic.texts import TAGGED, written
from mtkit.synthetic.words import FINANCE, MEDIA, SHOP, SOCIAL
from mtkit.synthetic.world import STYLES, TOPICS

ITEMS = 3000


def texts(noise, vocabulary=MEDIA):
    rng = np.random.default_rng(0)
    topic = rng.integers(0, TOPICS, ITEMS)
    return topic, written(rng, vocabulary, topic, rng.integers(0, STYLES, ITEMS), noise)


@pytest.mark.parametrize("vocabulary", [SHOP, MEDIA, SOCIAL, FINANCE])
def test_vocabularies_are_whole(vocabulary):
    assert len(vocabulary.topics) == TOPICS
    assert len(vocabulary.styles) == STYLES
    assert {len(words) for words in vocabulary.topics.values()} == {6}
    assert all("{style}" in template and "{tags}" in template for template in vocabulary.templates)


def test_texts_tell_the_topic_as_far_as_is_said():
    topic, found = texts(0.5)
    sure = found.topics.max(1)
    right = found.topics.argmax(1) == topic
    for low, high in ((0.3, 0.6), (0.6, 0.9), (0.9, 1.01)):
        part = (sure >= low) & (sure < high)
        assert right[part].mean() == pytest.approx(sure[part].mean(), abs=0.06)


def test_noise_says_nothing():
    topic, found = texts(1.0)
    named = [
        any(word in text for word in list(MEDIA.topics.values())[t]) for t, text in zip(topic, found.texts, strict=True)
    ]
    assert np.mean(named) < 0.4
    assert (texts(0.0)[1].topics.argmax(1) == texts(0.0)[0]).all()


def test_tags_belong_to_topics_and_are_mentioned():
    topic, found = texts(0.2)
    own = found.tags[np.arange(ITEMS), 2 * topic]
    assert own.mean() == pytest.approx(TAGGED, abs=0.03)
    mentioned = np.array([MEDIA.tags[2 * t] in text for t, text in zip(topic, found.texts, strict=True)])
    assert not mentioned[~own].any()
    assert found.tag_chances[np.arange(ITEMS), 2 * topic][mentioned].min() == 1
    silent = found.tag_chances[np.arange(ITEMS), 2 * topic][~mentioned]
    assert own[~mentioned].mean() == pytest.approx(silent.mean(), abs=0.04)
