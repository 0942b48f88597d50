"""Read what a job itself says of who is to be told: the words of `Options.notify`.

"never", "failures" and "always" say of which ends. The others say who: "owner", e-mail addresses,
names of webhooks in the settings, and addresses of webhooks; the owner if there are none of these.
"""

from dataclasses import dataclass

from moi_django.contrib.notify.models import When

OWNER = "owner"


@dataclass(frozen=True, slots=True)
class Wish:
    """Who is to be told of a job, besides those who have said so themselves."""

    when: When
    has_owner: bool
    addresses: tuple[str, ...] = ()
    # Names, and addresses.
    webhooks: tuple[str, ...] = ()

    @property
    def silences_owner(self) -> bool:
        """True when the owner is not told whatever the owner has chosen."""
        return self.when is When.NEVER


def parse_wish(words: str | None) -> Wish | None:
    """Return what the words say; None for none."""
    given = [word for word in dict.fromkeys((words or "").split()) if word.isprintable()]
    if not given:
        return None
    when = When.ALWAYS
    who: list[str] = []
    for word in given:
        if word in When.values:
            when = When(word)
        else:
            who.append(word)
    webhooks = tuple(word for word in who if is_url(word) or ("@" not in word and word != OWNER))
    addresses = tuple(word for word in who if "@" in word and word not in webhooks)
    return Wish(when, OWNER in who or not who, addresses, webhooks)


def is_url(word: str) -> bool:
    """Tell whether a webhook is given by its address and not by name."""
    return word.startswith(("http://", "https://"))
