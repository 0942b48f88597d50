"""What the Redis of `moi up` keeps on disk."""

import stat
from threading import Timer

import pytest
from django.core.management import CommandError, call_command

from moi_django.contrib.services import embedded_redis
from moi_django.contrib.services.embedded_redis import EmbeddedRedis, forget
from moi_django.exceptions import ServiceError
from moi_django.store.redis_url import open_client
from tests.helpers.processes import wait_for


@pytest.fixture
def data(tmp_path):
    return tmp_path / 'a "private" place'


def ask(server, *command):
    with open_client(server.url) as client:
        return client.execute_command(*command)


def write_over(server):
    """Write 100,000 bytes of which a tenth stays."""
    with open_client(server.url) as client:
        return [client.set("one", "x" * 10_000) for _ in range(10)]


def size_of(data):
    return sum(path.stat().st_size for path in data.rglob("*.aof"))


def test_it_is_there_again_also_after_a_crash_and_for_its_user_alone(data):
    with EmbeddedRedis(data) as server:
        ask(server, "SET", "one", "1")
        server.kill()
        server.start()
        assert ask(server, "GET", "one") == b"1"
        [log] = data.glob("appendonlydir/*.incr.aof")
        password = server.url.split(":")[2].partition("@")[0]
        assert password.encode() not in b"".join(
            path.read_bytes() for path in data.rglob("*") if path.is_file()
        )
        paths = [data, *data.rglob("*")]
        assert [path for path in paths if stat.S_IMODE(path.stat().st_mode) & 0o077] == []
    with log.open("ab") as file:
        file.write(b"*3\r\n$3\r\nSET\r\n$3\r\ntw")  # as a crash of the machine cuts it off
    with EmbeddedRedis(data) as server:
        assert ask(server, "KEYS", "*") == [b"one"]


def test_it_does_not_grow_with_what_is_written_over(data, monkeypatch):
    with EmbeddedRedis(data) as server:
        for _ in range(50):
            write_over(server)
    assert size_of(data) > 1_000_000
    monkeypatch.setattr(embedded_redis, "REWRITE_SIZE", "200kb")
    with EmbeddedRedis(data) as server:
        # It is written anew beside what is written meanwhile.
        wait_for(lambda: write_over(server) and size_of(data) < 1_000_000)


def test_no_two_servers_write_it(data, monkeypatch):
    monkeypatch.setattr(embedded_redis, "RELEASED_WITHIN", 0.2)
    with EmbeddedRedis(data) as server:
        for use in (lambda: EmbeddedRedis(data).start(), lambda: forget(data)):
            with pytest.raises(ServiceError, match="Another Redis still uses"):
                use()
        ask(server, "SET", "one", "1")
        # One that is about to end is waited for.
        monkeypatch.setattr(embedded_redis, "RELEASED_WITHIN", 10)
        Timer(0.2, server.kill).start()
        with EmbeddedRedis(data) as second:
            assert ask(second, "GET", "one") == b"1"


def test_what_cannot_be_read_is_said_and_can_be_forgotten(data):
    with EmbeddedRedis(data) as server:
        ask(server, "SET", "one", "1")
    [log] = data.glob("appendonlydir/*.incr.aof")
    log.write_bytes(b"nonsense" + log.read_bytes())
    with pytest.raises(ServiceError, match="`moi up --fresh` forgets what is kept in"):
        EmbeddedRedis(data).start()
    forget(data)
    with EmbeddedRedis(data) as server:
        assert ask(server, "KEYS", "*") == []


@pytest.mark.django_db
def test_what_cannot_be_written_is_told_in_one_line(moi):
    moi["STATE_DIR"] = "/sys/moi"
    with pytest.raises(CommandError, match="What is kept cannot be written: "):
        call_command("moi", "up", "--no-server", "--skip-checks")
