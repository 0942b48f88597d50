"""What pages that take lists are sent of a tick."""

import json

from moi_django.bridge.frame_batch import FrameBatch

BATCH = [
    ("remove", "a", '{"id":"a"}', ""),
    ("add", "b", '{"id":"b"}', ""),
    ("add", "c", '{"id":"c"}', ""),
    ("update", "d", '{"id":"d","all":1}', '{"id":"d"}'),
    ("count", "e", '{"id":"e"}', ""),
]


def test_each_verb_is_a_frame_and_what_has_changed_is_enough():
    assert list(map(json.loads, FrameBatch(BATCH).texts_of(set("abcde")))) == [
        {"remove": [{"id": "a"}]},
        {"add": [{"id": "b"}, {"id": "c"}]},
        {"update": [{"id": "d"}, {"id": "e"}]},
    ]


def test_a_page_hears_of_what_it_shows():
    batch = FrameBatch(BATCH)
    assert batch.texts_of({"d", "elsewhere"}) == ['{"update": [{"id":"d"}]}']
    assert batch.texts_of(set()) == []


def test_what_is_the_same_for_two_pages_is_encoded_once():
    batch = FrameBatch(BATCH)
    assert batch.texts_of({"c", "d"}) is batch.texts_of({"d", "c"})
