"""What a HID Point of Sale scanner says of itself, and how it reports a code.

Source: USB HID Point of Sale Usage Tables 1.02, section 4 (bar code scanner).
"""

REPORT_ID = 2
DATA_BYTES = 56
DESCRIPTOR = bytes.fromhex(
    "058c 0902 a101"  # usage page and usage: bar code scanner; an application
    "0912 a102 8502"  # scanned data report, with id 2
    "1500 26ff00 7508"  # of bytes
    "9501 0501 093b 8102"  # how many of the data count (Generic Desktop, byte count)
    "058c 9503 09fb 09fc 09fd 8102"  # the AIM symbology identifier
    "9538 09fe 820201"  # 56 bytes of decoded data, as a buffer
    "2501 7501 9501 09ff 8102"  # one bit: the next report goes on with this code
    "7507 8103"  # and seven to fill the byte
    "c0 c0"
)


def reports(code: bytes, symbology: str) -> list[bytes]:
    """Return the reports that make up one code."""
    pieces = [code[at : at + DATA_BYTES] for at in range(0, max(len(code), 1), DATA_BYTES)]
    return [
        bytes([REPORT_ID, len(piece)])
        + symbology.encode().ljust(3, b"\0")
        + piece.ljust(DATA_BYTES, b"\0")
        + bytes([number < len(pieces)])
        for number, piece in enumerate(pieces, 1)
    ]
