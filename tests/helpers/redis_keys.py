"""What there is in Redis."""


def everything(store):
    """Return the keys there are, but for the statistics, which nobody removes."""
    found = {
        key.decode().removeprefix(store.config.prefix)
        for key in store.connection.redis.keys(f"{store.config.prefix}*")
    }
    return {key for key in found if not key.startswith(("ended:", "durations:", "usage:"))}


def lifetime(store, key, *known):
    """Return which of these lifetimes a key was given a moment ago, else what it has left."""
    left = store.connection.redis.ttl(key)
    return next((each for each in known if each - 30 <= left <= each), left)


def keys(store):
    """Return all keys, those of other prefixes too."""
    return set(store.connection.redis.keys("*"))
