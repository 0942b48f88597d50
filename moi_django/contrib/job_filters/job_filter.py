"""Which jobs of a tree a page wants to see, as its address says."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

from moi_django.models import BAR_PARTS, Info

STATE, NAME, ORDER, ROWS = "moi_state", "moi_name", "moi_order", "moi_rows"
RUNNING = "running"


@dataclass(frozen=True, slots=True)
class JobFilter:
    """What the address of a page says; false when all is to be shown as it is."""

    # A part of the bar; part of a name, or beginning of an id; whether what runs comes first.
    part: str = ""
    text: str = ""
    running_first: bool = False
    # Maximum number of rows; 0 where the address does not say.
    rows: int = 0
    # What else is in the address, and belongs to the site.
    others: tuple[tuple[str, str], ...] = ()
    # Group -> whether its name has the text.
    named: dict[str, bool] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.part or self.text or self.running_first)

    def fits(self, info: Info) -> bool:
        """Tell whether a job is to be shown: by its name, or that of a group around it."""
        if info.is_group or (self.part and info.counted_as not in BAR_PARTS[self.part]):
            return False
        text = self.text.casefold()
        is_named = text in info.name.casefold() or info.id.startswith(text)
        return is_named or any(self.named.get(group) for group in info.ancestors)

    def note_group(self, info: Info) -> None:
        """Take in how a group is called, unless it is the one that is shown, or above that."""
        has_text = bool(self.text) and self.text.casefold() in info.name.casefold()
        self.named.setdefault(info.id, has_text)

    @property
    def may_clear(self) -> bool:
        """Tell whether no job would be cancelled or removed with others that is not shown."""
        return not self.text and self.part in ("", "queued")

    # Addresses, for the templates

    @property
    def query(self) -> str:
        """What tells the websocket the same."""
        return urlencode(self._given())

    @property
    def without_state(self) -> str:
        """The rest of the address of another state."""
        return self._rest(STATE)

    @property
    def without_order(self) -> str:
        """The rest of the address of another order."""
        return self._rest(ORDER)

    @property
    def without_rows(self) -> str:
        """The rest of the address of more rows."""
        return self._rest()

    @property
    def site_query(self) -> str:
        """The address without any of it."""
        return urlencode(self.others)

    @property
    def kept(self) -> list[tuple[str, str]]:
        """What the form of the name leaves as it is."""
        return [*self.others, *((key, it) for key, it in self._given().items() if key != NAME)]

    def _given(self) -> Mapping[str, str]:
        order = RUNNING if self.running_first else ""
        given = {STATE: self.part, NAME: self.text, ORDER: order}
        return {name: value for name, value in given.items() if value}

    def _rest(self, *left_out: str) -> str:
        given = [each for each in self._given().items() if each[0] not in left_out]
        query = urlencode([*given, *self.others])
        return f"&{query}" if query else ""
