"""Some footers end the process in Parquet's own reader: none of them reaches it. Tested in a separate process."""

import subprocess
import sys

SPOIL = """
from formats.errors import FormatError
from tests.parsers import PARSERS

whole, parse = PARSERS["catalog's Parquet"]
footer = int.from_bytes(whole[-8:-4], "little")
refused = 0
for at in range(len(whole) - 8 - footer, len(whole)):
    for value in (0, 1, 9, 0x76, 0x7F, 0xFF, whole[at] ^ 1, whole[at] ^ 0x80):
        try:
            parse(whole[:at] + bytes([value]) + whole[at + 1 :])
        except FormatError as error:
            refused += error.code == "CAT-2"
print(footer, refused)
"""


def test_no_byte_of_a_footer_ends_the_process() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SPOIL], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    footer, refused = map(int, done.stdout.split())
    assert refused > footer
