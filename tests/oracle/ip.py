"""IP addresses and CIDRs (operators.md, Formats)."""

_DIGITS = frozenset("0123456789")
_HEX = frozenset("0123456789abcdefABCDEF")


def _decimal(text: str, most: int):
    if not 1 <= len(text) <= 3 or not all(c in _DIGITS for c in text) or (len(text) > 1 and text[0] == "0"):
        return None
    return int(text) if int(text) <= most else None


def _ipv4(text: str):
    parts = text.split(".")
    numbers = [_decimal(part, 255) for part in parts]
    if len(parts) != 4 or None in numbers:
        return None
    return (numbers[0] << 24) | (numbers[1] << 16) | (numbers[2] << 8) | numbers[3]


def _groups(text: str, tail_allowed: bool):
    """The 16-bit groups of `a:b:c`; a last one in IPv4 form gives two. None when malformed."""
    if text == "":
        return []
    groups = []
    parts = text.split(":")
    for index, part in enumerate(parts):
        if tail_allowed and index == len(parts) - 1 and "." in part:
            tail = _ipv4(part)
            if tail is None:
                return None
            groups += [tail >> 16, tail & 0xFFFF]
        elif 1 <= len(part) <= 4 and all(c in _HEX for c in part):
            groups.append(int(part, 16))
        else:
            return None
    return groups


def _ipv6(text: str):
    pieces = text.split("::")
    if len(pieces) > 2:
        return None
    if len(pieces) == 1:
        groups = _groups(text, True)
        if groups is None or len(groups) != 8:
            return None
    else:
        head, tail = _groups(pieces[0], False), _groups(pieces[1], True)
        if head is None or tail is None or len(head) + len(tail) > 7:
            return None
        groups = head + [0] * (8 - len(head) - len(tail)) + tail
    value = 0
    for group in groups:
        value = (value << 16) | group
    return value


def _read(text: str):
    """(version, number, was IPv4-mapped) or None."""
    if ":" not in text:
        value = _ipv4(text)
        return None if value is None else (4, value, False)
    value = _ipv6(text)
    if value is None:
        return None
    if value >> 32 == 0xFFFF:
        return (4, value & 0xFFFFFFFF, True)
    return (6, value, False)


def parse(text: str):
    """(4 or 6, number) of an address, or None. An IPv4-mapped address is the IPv4 address."""
    read = _read(text)
    return None if read is None else read[:2]


def parse_cidr(text: str):
    """(4 or 6, bits of the network, prefix length) or None."""
    address, slash, length = text.partition("/")
    read = _read(address)
    if not slash or read is None or read[2]:
        return None
    version, value, _ = read
    width = 32 if version == 4 else 128
    prefix = _decimal(length, width)
    if prefix is None:
        return None
    return (version, value >> (width - prefix), prefix)


def lies_in(address, cidr) -> bool:
    width = 32 if cidr[0] == 4 else 128
    return address[0] == cidr[0] and address[1] >> (width - cidr[2]) == cidr[1]
