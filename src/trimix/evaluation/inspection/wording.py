"""Numbers as people read them."""


def grouped(value: float) -> str:
    """A whole number in groups of three digits.

    >>> grouped(-1234567.8).replace(chr(0x202F), " ")
    '−1 234 568'
    """
    return f"{round(value):,}".replace(",", "\u202f").replace("-", "−")


def fixed(value: float, decimals: int) -> str:
    """A number with so many decimals; never a zero below zero.

    >>> fixed(-0.00001, 4)
    '0.0000'
    """
    return f"{round(value, decimals) + 0.0:.{decimals}f}".replace("-", "−")


def percent(share: float, decimals: int = 0) -> str:
    """A share in percent.

    >>> percent(0.1234).replace(chr(0xA0), " ")
    '12 %'
    """
    return f"{fixed(100 * share, decimals)}\u00a0%"
