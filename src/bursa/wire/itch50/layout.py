"""The 23 messages of Nasdaq TotalView-ITCH 5.0 as one table: type, field, offset, width, kind.

Source: Nasdaq's interface specification "TotalView-ITCH 5.0" (its section on message formats), as
the lengths and offsets below. All integers are big-endian and unsigned. A price is u32 with four
decimals, the three levels of the market-wide circuit breaker are u64 with eight. Every message
begins with type (1), stock locate (2), tracking number (2) and ns since midnight in New York (6).

`fields` reads any message by the table, for tools and tests; the kernels (walk.py) read the
offsets that they need by name from `AT`.
"""

from bursa.model.errors import Reject

# Kinds of a field: u big-endian integer; p4 and p8 prices with so many decimals; a ASCII text,
# padded with blanks.
U, P4, P8, A = "u", "p4", "p8", "a"
DECIMALS = {P4: 4, P8: 8}

HEADER = (("stock_locate", 1, 2, U), ("tracking_number", 3, 2, U), ("timestamp", 5, 6, U))

Table = tuple[tuple[str, int, int, str], ...]

_ADD: Table = (
    ("order_reference", 11, 8, U),
    ("side", 19, 1, A),
    ("shares", 20, 4, U),
    ("stock", 24, 8, A),
    ("price", 32, 4, P4),
)
_EXECUTED: Table = (
    ("order_reference", 11, 8, U),
    ("shares", 19, 4, U),
    ("match_number", 23, 8, U),
)

MESSAGES: dict[str, tuple[str, int, Table]] = {
    "S": ("system_event", 12, (("event", 11, 1, A),)),
    "R": (
        "stock_directory",
        39,
        (
            ("stock", 11, 8, A),
            ("market_category", 19, 1, A),
            ("financial_status", 20, 1, A),
            ("round_lot", 21, 4, U),
            ("round_lots_only", 25, 1, A),
            ("classification", 26, 1, A),
            ("subtype", 27, 2, A),
            ("authenticity", 29, 1, A),
            ("short_sale_threshold", 30, 1, A),
            ("ipo", 31, 1, A),
            ("luld_tier", 32, 1, A),
            ("etp", 33, 1, A),
            ("etp_leverage", 34, 4, U),
            ("inverse", 38, 1, A),
        ),
    ),
    "H": (
        "trading_action",
        25,
        (
            ("stock", 11, 8, A),
            ("trading_state", 19, 1, A),
            ("reserved", 20, 1, A),
            ("reason", 21, 4, A),
        ),
    ),
    "Y": ("short_sale_test", 20, (("stock", 11, 8, A), ("action", 19, 1, A))),
    "L": (
        "participant_position",
        26,
        (
            ("participant", 11, 4, A),
            ("stock", 15, 8, A),
            ("primary", 23, 1, A),
            ("mode", 24, 1, A),
            ("state", 25, 1, A),
        ),
    ),
    "V": (
        "breaker_levels",
        35,
        (("level_1", 11, 8, P8), ("level_2", 19, 8, P8), ("level_3", 27, 8, P8)),
    ),
    "W": ("breaker_breached", 12, (("level", 11, 1, A),)),
    "K": (
        "ipo_quoting",
        28,
        (
            ("stock", 11, 8, A),
            ("release_time", 19, 4, U),
            ("qualifier", 23, 1, A),
            ("price", 24, 4, P4),
        ),
    ),
    "J": (
        "auction_collar",
        35,
        (
            ("stock", 11, 8, A),
            ("reference_price", 19, 4, P4),
            ("upper_price", 23, 4, P4),
            ("lower_price", 27, 4, P4),
            ("extension", 31, 4, U),
        ),
    ),
    "h": (
        "operational_halt",
        21,
        (("stock", 11, 8, A), ("market", 19, 1, A), ("action", 20, 1, A)),
    ),
    "A": ("add_order", 36, _ADD),
    "F": ("add_order_attributed", 40, (*_ADD, ("participant", 36, 4, A))),
    "E": ("order_executed", 31, _EXECUTED),
    "C": (
        "order_executed_at_price",
        36,
        (*_EXECUTED, ("printable", 31, 1, A), ("price", 32, 4, P4)),
    ),
    "X": ("order_cancelled", 23, (("order_reference", 11, 8, U), ("shares", 19, 4, U))),
    "D": ("order_deleted", 19, (("order_reference", 11, 8, U),)),
    "U": (
        "order_replaced",
        35,
        (
            ("order_reference", 11, 8, U),
            ("new_reference", 19, 8, U),
            ("shares", 27, 4, U),
            ("price", 31, 4, P4),
        ),
    ),
    "P": ("trade", 44, (*_ADD, ("match_number", 36, 8, U))),
    "Q": (
        "cross_trade",
        40,
        (
            ("shares", 11, 8, U),
            ("stock", 19, 8, A),
            ("price", 27, 4, P4),
            ("match_number", 31, 8, U),
            ("cross_type", 39, 1, A),
        ),
    ),
    "B": ("broken_trade", 19, (("match_number", 11, 8, U),)),
    "I": (
        "order_imbalance",
        50,
        (
            ("paired_shares", 11, 8, U),
            ("imbalance_shares", 19, 8, U),
            ("direction", 27, 1, A),
            ("stock", 28, 8, A),
            ("far_price", 36, 4, P4),
            ("near_price", 40, 4, P4),
            ("reference_price", 44, 4, P4),
            ("cross_type", 48, 1, A),
            ("variation", 49, 1, A),
        ),
    ),
    "N": ("retail_interest", 20, (("stock", 11, 8, A), ("interest", 19, 1, A))),
    "O": (
        "direct_listing",
        48,
        (
            ("stock", 11, 8, A),
            ("open_eligible", 19, 1, A),
            ("minimum_price", 20, 4, P4),
            ("maximum_price", 24, 4, P4),
            ("near_price", 28, 4, P4),
            ("near_time", 32, 8, U),
            ("lower_collar", 40, 4, P4),
            ("upper_collar", 44, 4, P4),
        ),
    ),
}
"""Type -> its name, its length in bytes, its fields past the header."""

AT = {(code, name): at for code, (_, _, table) in MESSAGES.items() for name, at, _, _ in table}
"""(type, field) -> offset."""

BLOCK_BYTES_MAX = 1024
"""Not of ITCH: a block longer than this means that framing is lost."""


def fields(message: bytes) -> dict[str, str | int | float]:
    """All fields of one message by name, `type` first: integers as they are, prices divided by
    their scale, texts without the blanks behind them. Reject `unknown_type` or `bad_length`."""
    code = message[:1].decode("latin-1")
    if code not in MESSAGES:
        raise Reject("unknown_type", f"{code!r} is no type of ITCH 5.0")
    _, length, table = MESSAGES[code]
    if len(message) != length:
        raise Reject("bad_length", f"{code} has {length} bytes, not {len(message)}")
    found: dict[str, str | int | float] = {"type": code}
    for name, at, width, kind in (*HEADER, *table):
        raw = message[at : at + width]
        if kind == A:
            found[name] = raw.decode("latin-1").rstrip(" ")
        else:
            number = int.from_bytes(raw, "big")
            found[name] = number / 10 ** DECIMALS[kind] if kind in DECIMALS else number
    return found
