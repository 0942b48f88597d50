"""Write numbers as the language of the page has them."""

from decimal import Decimal

from django.utils.formats import number_format


def localized(number: float, decimals: int) -> str:
    """Write a number with so many decimals, rounded: Django cuts what is too much off."""
    return number_format(Decimal(f"{number:.{decimals}f}"), decimals)
