"""What notebooks say in words: sentences with computed numbers, and amounts of money."""

import math
import re
from numbers import Integral, Real

from IPython.display import Markdown, display


def say(text: str) -> None:
    """Show a sentence with computed numbers as Markdown; a dollar sign in it means mathematics.

    Parameters
    ----------
    text : str
        Markdown.

    Examples
    --------
    >>> say(f"Frequency falls by **{0.3:.1f} Hz** in a second.")  # doctest: +ELLIPSIS
    <...Markdown...>
    """
    display(Markdown(text))


def money(amount: float, currency: str, digits: int = 2) -> str:
    """Write an amount behind the ISO code of its currency: USD 2.22, EUR 1,250, USD -3.43.

    A dollar sign always means mathematics in this course, so no amount carries a currency's sign.

    Parameters
    ----------
    amount : float
        Any finite number. It is rounded to `digits`, and what rounds to zero has no sign.
    currency : str
        Three capital letters, such as "USD"; a region's stands in `region.currency`.
    digits : int, optional
        Digits after the decimal point, 0 or more.

    Returns
    -------
    str
        The amount with its currency.

    Raises
    ------
    ValueError
        If the amount is not a finite number, the currency no code, or `digits` no whole number.

    Examples
    --------
    >>> money(1249.6, "EUR", 0)
    'EUR 1,250'
    """
    if not isinstance(amount, Real) or not math.isfinite(amount):
        raise ValueError(f"amount = {amount!r}: an amount of money is a finite number")
    if not isinstance(currency, str) or not re.fullmatch("[A-Z]{3}", currency):
        raise ValueError(f"currency = {currency!r}: write three capital letters, such as 'USD'")
    if not isinstance(digits, Integral) or digits < 0:
        raise ValueError(f"digits = {digits!r}: a whole number of at least 0 is wanted")
    return f"{currency} {float(amount):z,.{digits}f}"
