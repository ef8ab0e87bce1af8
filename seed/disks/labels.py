"""Labels to stick onto disks, as SVG, and a packing slip for their parcel, as a page to print.

A label shows nothing that is not on the disk in the clear already. The slip also shows where the vault is.
The command `importer receive` reads the QR code.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import segno

from formats.ids import MachineId, SetId, fingerprint
from formats.rules.disk_code import code_of
from formats.words import counted, instant, size
from seed.disks.text_fitting import lines

WIDTH, HEIGHT = 105, 74  # millimetres: A7, a quarter of A5
QR = 38  # millimetres
COLUMN = WIDTH - QR - 9  # the width beside the QR code
FOUND = (
    "All content is encrypted: nobody but its owner can read it.",
    "If you have found this, please do not change it, and",
)
STYLE = """
:root { color-scheme: light }
body { font: 11pt/1.4 system-ui, sans-serif; margin: 1.5cm; color: #000; background: #fff; overflow-wrap: anywhere }
h1 { font-size: 18pt; margin: 0 0 .3em } h2 { font-size: 12pt; margin: 1.4em 0 .3em }
table { border-collapse: collapse; width: 100% } td, th { border-bottom: 1px solid #999; padding: .25em .5em; text-align: left; vertical-align: middle }
td.number { text-align: right } td svg { width: 2.2cm; height: 2.2cm; display: block }
td.number, td code, th, .whole { white-space: nowrap } .whole { display: inline-block } td.whole { display: table-cell }
.write { border-bottom: 1px solid #000; height: 3em; max-width: 16cm } code { font: 10pt ui-monospace, monospace; overflow-wrap: anywhere } .box { display: inline-block; width: .8em; height: .8em; border: 1px solid #000 }
.labels { display: flex; flex-wrap: wrap; gap: 4mm } .labels svg { width: 105mm; max-width: 100%; height: auto; break-inside: avoid }
@media screen and (max-width: 40rem) { body { margin: 1rem } th { display: none } tr { display: flex; flex-wrap: wrap; gap: 0 1.2em;
  align-items: center; border-bottom: 1px solid #999; padding: .5em 0 } td, td.whole { border: 0; padding: 0; display: block } td[data-k]::before { content: attr(data-k) " "; color: #666 } }
@media print { body { margin: 0 } @page { margin: 1.2cm } }
"""


@dataclass(frozen=True)
class PrintedLabel:
    """One disk of a set, as its label shows it; `of` is the number of disks in a finished set, else 0."""

    number: int
    of: int
    archives: int
    bytes: int
    closed_at: int
    verified_at: int

    @property
    def words(self) -> str:
        return f"Disk {self.number} of {self.of}" if self.of else f"Disk {self.number}"


@dataclass(frozen=True)
class Sender:
    """The machine that the disks belong to, its vault, and the contact for a finder."""

    machine: MachineId
    name: str
    vault: str
    address: str
    set: SetId
    contact: str | None = None

    @property
    def finder(self) -> tuple[str, ...]:
        """The instructions to a finder."""
        return (
            *FOUND,
            f"hand it to: {self.contact}"
            if self.contact
            else "hand it to its courier, or to the police as lost property.",
        )


def label(sender: Sender, disk: PrintedLabel) -> str:
    """Return the label of a disk, a whole SVG file of 105 × 74 mm."""
    heads = (
        (8, 4.2, "offseed: encrypted backup"),
        (20, 10.0, disk.words),
    )
    texts = "".join(lines(y, height, text, COLUMN, bold=True)[0] for y, height, text in heads)
    y = 28.0
    for height, most, text in (
        (4.6, 1, f"set {sender.set[:8]}"),
        (3.6, 2, f"of {sender.name}"),
        (3.6, 2, f"for vault {sender.vault}"),
        (3.0, 1, f"closed {instant(disk.closed_at)}" if disk.closed_at else "not closed yet"),
        (3.0, 1, fingerprint(sender.machine)),
    ):
        shown, y = lines(y, height, text, COLUMN, most)
        texts += shown
    y = 58.0
    for text in sender.finder:
        shown, y = lines(y, 2.9, text, WIDTH - 8, 2)
        texts += shown
    short = f"{sender.set[:8]}/{disk.number}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}mm" height="{HEIGHT}mm" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="Helvetica, Arial, sans-serif" role="img">'
        f"<title>{escape(disk.words)} of set {sender.set[:8]}</title>"
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>'
        f'<rect x="1" y="1" width="{WIDTH - 2}" height="{HEIGHT - 2}" rx="2" fill="none" stroke="#000" stroke-width=".4"/>'
        f"{texts}{_placed(qr_svg(sender, disk.number), WIDTH - QR - 3, 6)}"
        f'<text x="{WIDTH - 3 - QR / 2}" y="{QR + 11}" font-size="4" text-anchor="middle" font-family="monospace">{short}</text>'
        "</svg>"
    )


def page(sender: Sender, disks: Sequence[PrintedLabel]) -> str:
    """Return a page with all labels, to print and cut out."""
    return _page("Disk labels", f'<div class="labels">{"".join(label(sender, disk) for disk in disks)}</div>')


def slip(sender: Sender, disks: Sequence[PrintedLabel]) -> str:
    """Return the page that lies in the parcel, for the datacenter and for any finder."""
    rows = "".join(
        f'<tr><td><span class="box"></span><td class="whole">{escape(disk.words)}<td class="number" data-k="archives">{disk.archives:,}'
        f'<td class="number">{size(disk.bytes)}<td data-k="closed">{_when(disk.closed_at, "not yet")}'
        f'<td data-k="read back">{_when(disk.verified_at, "not read back")}'
        f"<td><code>{sender.set[:8]}/{disk.number}</code><td>{qr_svg(sender, disk.number)}"
        for disk in disks
    )
    found = " ".join(sender.finder) if sender.contact else f"{' '.join(FOUND)} hand it to its owner:"
    owner = "" if sender.contact else '<p class="write">Name, telephone:</p>'
    return _page(
        "Packing slip",
        f"<h1>Packing slip: {counted(len(disks), 'backup disk')}</h1>"
        f"<p>Set <b>{sender.set[:8]}</b> of machine <b>{escape(sender.name)}</b>, for vault <b>{escape(sender.vault)}</b>.<br>"
        f'Fingerprint of the machine: <code class="whole">{fingerprint(sender.machine)}</code></p>'
        "<table><tr><th><th>disk<th>archives<th>size<th>closed<th>read back<th>code<th>"
        f"{rows}</table>"
        "<h2>At the datacenter</h2><p>Book each disk in by its code, mount it, read-only will do, and import it, in any order. "
        "No passphrase is needed, and none is in this parcel.</p>"
        f"<p><code>importer receive {sender.set[:8]}/{disks[0].number if disks else 1} --vault {escape(shlex.quote(sender.address))}</code><br>"
        f"<code>importer import &lt;where it is mounted&gt; --vault {escape(shlex.quote(sender.address))}</code></p>"
        f"<h2>If you have found this parcel</h2><p>{escape(found)}</p>{owner}",
    )


def qr_svg(sender: Sender, number: int) -> str:
    """Return the disk's code as an SVG element without a size of its own."""
    return str(qr(sender, number).svg_inline(omitsize=True, border=2))


def qr(sender: Sender, number: int) -> segno.QRCode:
    return segno.make(code_of(sender.machine, sender.set, number), error="m", micro=False)


def _placed(element: str, x: float, y: float) -> str:
    return element.replace("<svg", f'<svg x="{x}" y="{y}" width="{QR}" height="{QR}"', 1)


def _when(seconds: int, otherwise: str) -> str:
    """Return a time that breaks between day and time, and nowhere else; `otherwise` if it is 0."""
    day, _, rest = instant(seconds).partition(" ")
    return f'<span class="whole">{day}</span> <span class="whole">{rest}</span>' if seconds else otherwise


def _page(title: str, body: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>{STYLE}</style></head><body>{body}</body></html>\n"
    )
