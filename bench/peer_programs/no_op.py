"""The job of those systems whose jobs are functions that a worker imports."""


def no_op(number: int) -> int:
    """Do next to nothing."""
    return abs(number)
