"""Users and addresses of a list as CSV: in with a report of bad lines, out without secrets.

A file is taken whole or not at all, unless whoever imports chooses to leave out its bad lines.
What is written goes through the models' own rules, one row after the other in one transaction.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from sipdomains.models import Credential, CredentialList, IpAccessControlList, IpAddress
from sipdomains.services.configuration import write

MAX_BYTES = 512 * 1024
MAX_LINES = 2000

CREDENTIAL_COLUMNS = ("username", "password")
ADDRESS_COLUMNS = ("address", "prefix", "description")

# What a spreadsheet takes for the beginning of a formula (OWASP, CSV injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_QUOTE = "'"


class UnusableFile(Exception):
    """Nothing of the file can be read. The words are for whoever sent it."""


@dataclass(frozen=True, slots=True)
class BadLine:
    """``number`` is that of the line in the file, from 1."""

    number: int
    reason: str


@dataclass(frozen=True, slots=True)
class Report:
    """``good`` lines; ``done`` when they have been imported: there were no bad ones, or those were
    to be left out."""

    good: int
    bad: tuple[BadLine, ...]
    done: bool


Cells = Sequence[str]
_Rows = Iterator[tuple[int, list[str]]]


def import_credentials(
    users: CredentialList, data: bytes, *, leave_out_bad: bool = False
) -> Report:
    """Lines of user name and password. Raises UnusableFile."""

    def add(cells: Cells) -> None:
        username, password = _columns(cells, CREDENTIAL_COLUMNS, 2)
        row = Credential(credential_list=users, username=_plain(username))
        if not password:
            raise ValidationError("The password is missing.")
        row.set_password(password)
        write(row, {})

    return _import(data, CREDENTIAL_COLUMNS, add, leave_out_bad)


def import_addresses(
    acl: IpAccessControlList, data: bytes, *, leave_out_bad: bool = False
) -> Report:
    """Lines of address (perhaps with /prefix), prefix and description; the last two may be left
    out. Raises UnusableFile."""

    def add(cells: Cells) -> None:
        address, prefix, description = _columns(cells, ADDRESS_COLUMNS, 1)
        address, slash, length = _plain(address).partition("/")
        prefix = length.strip() if slash else _plain(prefix)
        if prefix and not (prefix.isascii() and prefix.isdecimal() and len(prefix) <= 3):
            raise ValidationError("The prefix is no number of bits.")
        values = {
            "ip_address": address.strip(),
            "cidr_prefix_length": int(prefix) if prefix else None,
            "friendly_name": _plain(description),
        }
        write(IpAddress(acl=acl), values)

    return _import(data, ADDRESS_COLUMNS, add, leave_out_bad)


def export_credentials(users: CredentialList) -> str:
    """The user names; passwords are not known, and their hashes are nobody's business."""
    names = users.credentials.order_by("username").values_list("username", flat=True)
    return _written(CREDENTIAL_COLUMNS[:1], ([name] for name in names))


def export_addresses(acl: IpAccessControlList) -> str:
    rows = acl.addresses.order_by("ip_address", "cidr_prefix_length")
    return _written(
        ADDRESS_COLUMNS,
        ([row.ip_address, str(row.cidr_prefix_length), row.friendly_name] for row in rows),
    )


# --- in -------------------------------------------------------------------------------------------


def _import(
    data: bytes, columns: Cells, add: Callable[[Cells], None], leave_out_bad: bool
) -> Report:
    good = 0
    bad: list[BadLine] = []
    with transaction.atomic():
        for number, cells in _lines(data, columns):
            try:
                with transaction.atomic():
                    add(cells)
            except ValidationError as error:
                bad.append(BadLine(number, " ".join(error.messages)))
            else:
                good += 1
        done = bool(good) and (leave_out_bad or not bad)
        if not done:
            transaction.set_rollback(True)
    if not good and not bad:
        raise UnusableFile("The file holds no line to import.")
    return Report(good, tuple(bad), done)


def _lines(data: bytes, columns: Cells) -> _Rows:
    """(line number, cells) of the lines that are not empty, without the heading."""
    if len(data) > MAX_BYTES:
        raise UnusableFile(f"The file is larger than {MAX_BYTES // 1024} kB.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UnusableFile("The file is no text in UTF-8.") from None
    if "\0" in text:
        raise UnusableFile("The file is no text.")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    taken = 0
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells) or _is_heading(cells, columns, taken):
                continue
            taken += 1
            if taken > MAX_LINES:
                raise UnusableFile(f"The file has more than {MAX_LINES} lines.")
            yield reader.line_num, cells
    except csv.Error as error:
        raise UnusableFile(f"Line {reader.line_num} is no CSV: {error}.") from None


def _delimiter(text: str) -> str:
    """Comma; or semicolon or tab, as spreadsheets write them, where the first line has no comma."""
    first = text.lstrip().partition("\n")[0]
    return next((mark for mark in ",;\t" if mark in first), ",")


def _is_heading(cells: Cells, columns: Cells, taken: int) -> bool:
    named = tuple(cell.strip().lower() for cell in cells)
    return not taken and named == tuple(columns[: len(named)])


def _columns(cells: Cells, columns: Cells, least: int) -> list[str]:
    """As many cells as there are columns; what is left out is empty."""
    while len(cells) > len(columns) and not cells[-1].strip():
        cells = cells[:-1]
    if not least <= len(cells) <= len(columns):
        wanted = ", ".join(columns)
        raise ValidationError(f"There are {len(cells)} columns where {wanted} are wanted.")
    return [*cells, *[""] * (len(columns) - len(cells))]


def _plain(cell: str) -> str:
    """Without the quote that an export puts before what looks like a formula."""
    cell = cell.strip()
    return cell[1:] if cell.startswith(_QUOTE) and cell[1:].startswith(_FORMULA) else cell


# --- out ------------------------------------------------------------------------------------------


def _written(columns: Cells, rows: Iterable[Cells]) -> str:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_harmless(cell) for cell in row])
    return buffer.getvalue()


def _harmless(cell: str) -> str:
    """A spreadsheet shows it and computes nothing."""
    return _QUOTE + cell if cell.startswith(_FORMULA) else cell


IMPORTS: dict[type[Any], Callable[..., Report]] = {
    CredentialList: import_credentials,
    IpAccessControlList: import_addresses,
}
EXPORTS: dict[type[Any], Callable[[Any], str]] = {
    CredentialList: export_credentials,
    IpAccessControlList: export_addresses,
}
