"""What a job prints is kept in part, and told of."""

import pytest

from moi_django.engine.log_writer import LogWriter
from moi_django.exceptions import StoreUnavailable
from moi_django.site_store import get_store as site_store
from moi_django.store.logs import MAX_PIECE, OutputPiece
from tests.helpers.processes import threads_of, wait_for


def text_of(log):
    return "".join(entry.piece.text for entry in log.read_all())


@pytest.fixture
def log(store):
    return store.logs.open("a-job")


def test_pieces_are_kept_in_order_and_in_place(log, store):
    log.append(
        [OutputPiece("stdout", "a"), OutputPiece("stdout", "é\n"), OutputPiece("stderr", "c")], 1000
    )
    log.append([OutputPiece("stdout", "d")], 1000)
    first, second, third = log.read_after()
    assert [entry.piece for entry in (first, second, third)] == [
        ("stdout", "aé\n"),
        ("stderr", "c"),
        ("stdout", "d"),
    ]
    assert [entry.at for entry in (first, second, third)] == [0, 4, 5]
    assert log.read_after(second.id) == [third]
    assert log.read_last(2) == [second, third]
    assert log.read_last(99) == log.read_after()
    assert 0 < store.connection.redis.ttl(store.keys.log("a-job")) <= store.config.expire


def test_the_oldest_is_dropped_beyond_the_limit(log):
    for number in range(100):
        log.append([OutputPiece("stdout", f"{number:09}\n")], 200)
    entries = log.read_after()
    assert 190 <= sum(len(entry.piece.text) for entry in entries) <= 210
    assert entries[-1].piece.text == "000000099\n"
    assert entries[-1].end == 1000
    assert entries[0].at >= 790


def test_a_long_text_comes_in_bounded_pieces(log):
    log.append([OutputPiece("stdout", "é" * 50_000)], 1_000_000)
    assert text_of(log) == "é" * 50_000
    assert all(len(entry.piece.text.encode()) <= MAX_PIECE for entry in log.read_after())


@pytest.mark.parametrize(
    "whole", ["\x1b[38;5;196m", "\x1b[0m", "\r\n", "\x1b]8;;http://x/\x1b\\", "\x1b]0;x\x07"]
)
def test_what_belongs_together_is_never_cut(log, whole):
    for before in range(MAX_PIECE // 4 - len(whole) - 1, MAX_PIECE // 4 + 2):
        text = "z" * before + whole + "RED"
        log.append([OutputPiece("stdout", text)], 1_000_000)
    assert text_of(log).count(whole) == len(whole) + 3
    assert sum(entry.piece.text.count(whole) for entry in log.read_all()) == len(whole) + 3


def test_text_that_never_ends_a_sequence_is_cut_all_the_same(log):
    text = "\x1b[" + "1;" * MAX_PIECE + "\r" * MAX_PIECE
    log.append([OutputPiece("stdout", text)], 1_000_000)
    assert text_of(log) == text
    assert all(len(entry.piece.text.encode()) <= MAX_PIECE for entry in log.read_after())


def test_a_reporter_waits_for_the_other_half(log):
    log_writer = LogWriter(log, 10_000)
    for text in ("50 %\r", "\n\x1b[3", "1mred\x1b"):
        seen = len(text_of(log))
        log_writer.note_output("stdout", text)
        wait_for(lambda seen=seen: len(text_of(log)) > seen)
    assert [entry.piece.text for entry in log.read_all()] == ["50 %", "\r\n", "\x1b[31mred"]
    log_writer.close()
    assert text_of(log) == "50 %\r\n\x1b[31mred\x1b"


def test_a_reporter_joins_what_comes_in_crumbs(log):
    log_writer = LogWriter(log, 1_000_000)
    text = "\x1b[31mx\r\n" * 5000
    for character in text:
        log_writer.note_output("stdout", character)
    log_writer.close()
    assert text_of(log) == text
    assert sum(entry.piece.text.count("\x1b[31m") for entry in log.read_all()) == 5000
    assert sum(entry.piece.text.count("\r\n") for entry in log.read_all()) == 5000


def test_who_listens_is_told(log, store):
    with store.connection.redis.pubsub() as pubsub:
        pubsub.subscribe(store.keys.log("a-job"))
        assert pubsub.get_message(timeout=30)["type"] == "subscribe"
        log.append([OutputPiece("stdout", "x")], 10)
        assert pubsub.get_message(timeout=30)["type"] == "message"


def test_a_reporter_writes_from_its_own_thread_and_closes_with_the_rest(log):
    measures = []
    log_writer = LogWriter(log, 10_000)
    before = threads_of("moi-log-writer")
    log_writer.close()  # nobody has said anything, so there is no thread
    assert threads_of("moi-log-writer") == before
    log_writer = LogWriter(log, 10_000)
    log_writer.note_output("stdout", "first\n")
    wait_for(lambda: text_of(log) == "first\n")
    for number in range(1000):
        log_writer.note_output("stdout", f"{number}\n")
        log_writer.note_latest("progress", measures.append, number)
    log_writer.close()
    assert text_of(log).endswith("\n999\n")
    assert measures[-1] == 999
    assert len(measures) < 50
    assert len(log.read_after()) < 50


def test_progress_that_cannot_be_written_leaves_the_output_alone(log, caplog):
    def refuse(measure):
        log_writer.note_latest("progress", refuse, measure)
        raise ValueError("no JSON")

    log_writer = LogWriter(log, 10_000)
    log_writer.note_latest("progress", refuse, 1)
    log_writer.note_output("stdout", "line\n")
    log_writer.close()
    assert text_of(log) == "line\n"
    assert "Cannot write what a job says" in caplog.text


def test_what_cannot_be_written_is_tried_again_with_no_more_words(log, caplog):
    answers = [StoreUnavailable("away"), StoreUnavailable("away")]
    written = []

    def write(value):
        if answers:
            raise answers.pop()
        written.append(value)

    log_writer = LogWriter(log, 100)
    log_writer.note_latest("checkpoint", write, "first")
    wait_for(lambda: written == ["first"])
    log_writer.write_latest("checkpoint")  # is done
    log_writer.close()
    assert written == ["first"] and caplog.text.count("away") == 2


def test_output_that_cannot_be_written_waits_but_not_without_end(own_redis, caplog):
    log = site_store().logs.open("a-job")
    log_writer = LogWriter(log, 100)
    own_redis.kill()
    with pytest.raises(StoreUnavailable):
        log.read_after()
    for number in range(100):
        log_writer.note_output("stdout", f"{number:09}\n")
    own_redis.start()
    log_writer.close()
    entries = log.read_after()
    assert text_of(log).endswith("000000099\n")
    assert sum(len(entry.piece.text) for entry in entries) <= 110
    assert entries[-1].end == 1000
