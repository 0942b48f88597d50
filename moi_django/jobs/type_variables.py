"""What the types of the Python API are made of: a function, its arguments, and its result."""

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVarTuple

if TYPE_CHECKING:
    # With a default, which Python has from 3.13 on, `Job` alone is one of anything.
    from typing_extensions import TypeVar

    T_co = TypeVar("T_co", covariant=True, default=Any)
else:
    from typing import TypeVar

    T_co = TypeVar("T_co", covariant=True)
A = TypeVar("A")
R = TypeVar("R")
T = TypeVar("T")
P = ParamSpec("P")
Q = ParamSpec("Q")
Ts = TypeVarTuple("Ts")
Coro = Coroutine[Any, Any, R]
Url = str | None
Func = Callable[P, R]
Async = Callable[P, Coroutine[Any, Any, R]]


class Offered(Protocol):
    """What a function may ask for that shows how its job is doing, such as `status_update`."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...


# Types cannot leave out a keyword that has no default, but they can the last argument.
AsksForOne = Callable[[*Ts, Offered], Any]
