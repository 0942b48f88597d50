"""Take visitors out of the map of users whose jobs have expired: they come and never come back."""

from moi_django.owners import USER, VISITOR
from moi_django.site_store import get_store
from moi_django.validation import is_uuid, text_of

# How many entries are looked at whenever there is a new visitor, who makes two: enough that those
# of visitors who are gone stay few.
SAMPLE = 20


def drop_expired_visitors() -> None:
    """Look at some entries of the map, and drop those of visitors without a group."""
    connection = get_store().connection
    users = connection.keys.users
    with connection.translated_errors():
        raw = connection.redis.hrandfield(users, SAMPLE, withvalues=True) or []
        texts = list(map(text_of, raw))  # type: ignore[arg-type]
        pairs = dict(zip(texts[::2], texts[1::2], strict=True))
        # Group to its visitor, or to the user who has taken it over.
        roots = {group: name for name, group in pairs.items() if name.startswith(VISITOR)}
        roots |= {
            group: owner
            for group, owner in pairs.items()
            if is_uuid(group) and owner.startswith((VISITOR, USER))
        }
        pipeline = connection.redis.pipeline(transaction=False)
        for group, owner in roots.items():
            pipeline.exists(connection.keys.info(group))
            pipeline.hget(users, owner)
        answers = pipeline.execute()
        for (group, owner), is_there, own in zip(
            roots.items(), answers[::2], answers[1::2], strict=True
        ):
            is_own = own is not None and text_of(own) == group
            if not is_there and (owner.startswith(VISITOR) or not is_own):
                connection.redis.hdel(users, group, *([owner] if is_own else []))
