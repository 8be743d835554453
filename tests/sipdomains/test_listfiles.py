"""CSV of users and addresses: whole or not at all, bad lines named, nothing secret goes out."""

from __future__ import annotations

import csv
import io

import pytest
from auditlog.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from sipdomains import access
from sipdomains.models import Credential, CredentialList, IpAddress
from sipdomains.services import listfiles
from sipdomains.services.domains import config_version
from sipdomains.services.listfiles import (
    UnusableFile,
    export_addresses,
    export_credentials,
    import_addresses,
    import_credentials,
)
from tests.sipdomains.conftest import PASSWORD, saved

GOOD = "Correct9HorseX"


def names(users: CredentialList) -> set[str]:
    return set(users.credentials.values_list("username", flat=True))


# --- users ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        f"bob,{GOOD}\ncarol,{GOOD}\n",
        f"username,password\r\nbob,{GOOD}\r\n\r\ncarol,{GOOD}",
        f"Username;Password\nbob;{GOOD}\ncarol;{GOOD}\n",
        f"bob\t{GOOD}\ncarol\t{GOOD}\n",
        f'\ufeff"bob","{GOOD}",\n"carol","{GOOD}",\n',
    ],
)
def test_users_are_imported_as_spreadsheets_write_them(phones, text) -> None:
    before = config_version()
    report = import_credentials(phones, text.encode())
    assert (report.good, report.bad, report.done) == (2, (), True)
    assert names(phones) == {"alice", "bob", "carol"}
    bob = phones.credentials.get(username="bob")
    assert bob.has_password(GOOD)
    assert config_version() > before
    assert LogEntry.objects.get_for_object(bob).exists()


BAD = (
    f"bob,{GOOD}\n"  # good
    "carol,short\n"
    f"alice,{GOOD}\n"  # there already
    "dave,\n"
    f'"x y",{GOOD}\n'
    f"bob,{GOOD}\n"  # twice
    "erin\n"
    f"frank,{GOOD},more,and more\n"
    f"{'u' * 40},{GOOD}\n"
)
REASONS = [
    (2, "at least 12 characters"), (3, "already"), (4, "password is missing"), (5, "blanks"),
    (6, "already"), (7, "1 columns where username, password"), (8, "4 columns"), (9, "at most 32"),
]  # fmt: skip


def test_bad_lines_are_named_and_nothing_is_half_done(phones) -> None:
    before, entries = config_version(), LogEntry.objects.count()
    report = import_credentials(phones, BAD.encode())
    assert (report.good, report.done) == (1, False)
    assert [line.number for line in report.bad] == [number for number, _ in REASONS]
    for line, (_, words) in zip(report.bad, REASONS, strict=True):
        assert words in line.reason
        assert "short" not in line.reason  # no password is repeated
    assert names(phones) == {"alice"}
    assert (config_version(), LogEntry.objects.count()) == (before, entries)


def test_the_good_lines_are_imported_when_that_is_wanted(phones) -> None:
    report = import_credentials(phones, BAD.encode(), leave_out_bad=True)
    assert (report.good, len(report.bad), report.done) == (1, 8, True)
    assert names(phones) == {"alice", "bob"}
    assert phones.credentials.get(username="alice").has_password(PASSWORD)


def test_a_full_list_takes_no_more(phones, monkeypatch) -> None:
    monkeypatch.setattr("sipdomains.models.credentials.MAX_CREDENTIALS_PER_LIST", 2)
    report = import_credentials(phones, f"bob,{GOOD}\ncarol,{GOOD}\n".encode())
    assert [(line.number, "limit" in line.reason) for line in report.bad] == [(2, True)]
    assert names(phones) == {"alice"}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no line"),
        (b"username,password\n", "no line"),
        (b"\xff\xfe\x00", "UTF-8"),
        (b"a\x00b,c", "no text"),
        (b'bob,"open', "no CSV"),
        (b'bob,"a"b\n', "Line 1 is no CSV"),
        (b"x" * (listfiles.MAX_BYTES + 1), "larger"),
        (b"a,b\n" * (listfiles.MAX_LINES + 1), "more than"),
    ],
)
def test_a_file_that_is_none_is_refused(phones, data, words, monkeypatch) -> None:
    monkeypatch.setattr(listfiles, "write", lambda row, values: None)
    with pytest.raises(UnusableFile, match=words):
        import_credentials(phones, data, leave_out_bad=True)
    assert names(phones) == {"alice"}


def test_an_error_late_in_the_file_undoes_what_came_before(phones) -> None:
    with pytest.raises(UnusableFile):
        import_credentials(phones, f'bob,{GOOD}\n"open'.encode())
    assert names(phones) == {"alice"}


# --- addresses ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "stored", "description"),
    [
        ("198.51.100.7", "198.51.100.7/32", ""),
        ("198.51.100.0,24,Branch", "198.51.100.0/24", "Branch"),
        ("198.51.100.0/24,,Branch", "198.51.100.0/24", "Branch"),
        ("198.51.100.9,24", "198.51.100.0/24", ""),
        ("2001:db9::1,,'=SUM(A1)", "2001:db9::1/128", "=SUM(A1)"),
    ],
)
def test_addresses_are_imported(office, line, stored, description) -> None:
    report = import_addresses(office, f"address,prefix,description\n{line}\n".encode())
    assert report.done, report.bad
    (row,) = office.addresses.exclude(friendly_name="", ip_address__in=("192.0.2.0", "2001:db8::"))
    assert (str(row), row.friendly_name) == (stored, description)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("192.0.2.0/24", "already"),
        ("198.51.100.7,33", "At most 32"),
        ("198.51.100.7,x", "no number of bits"),
        ("198.51.100.7,٣", "no number of bits"),
        ("pbx.example.net", "IPv4 or IPv6"),
        ("fe80::1%eth0", "zone"),
        (",24", "This field cannot be blank"),
    ],
)
def test_bad_addresses_are_named(office, line, words) -> None:
    report = import_addresses(office, line.encode())
    assert not report.done
    assert words in report.bad[0].reason
    assert office.addresses.count() == 2


# --- out ------------------------------------------------------------------------------------------


def test_no_secret_goes_out(phones) -> None:
    user = phones.credentials.get()
    text = export_credentials(phones)
    assert text == "username\r\nalice\r\n"
    assert user.ha1_md5 not in text


@pytest.mark.parametrize("start", ["=", "+", "-", "@"])
def test_nothing_that_goes_out_is_a_formula(phones, office, start) -> None:
    user = Credential(credential_list=phones, username=f"{start}cmd")
    user.set_password(GOOD)
    saved(user)
    saved(IpAddress(acl=office, ip_address="198.51.100.1", friendly_name=f'{start}HYPERLINK("x")'))
    cells = [
        cell
        for text in (export_credentials(phones), export_addresses(office))
        for row in csv.reader(io.StringIO(text))
        for cell in row
    ]
    assert f"'{start}cmd" in cells
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]


def test_what_goes_out_comes_in_again(office, alice, bob) -> None:
    saved(IpAddress(acl=office, ip_address="198.51.100.1", friendly_name='=A1, "quoted"\nline'))
    text = export_addresses(office)
    from sipdomains.models import IpAccessControlList

    other = saved(IpAccessControlList(account=bob, friendly_name="Copy"))
    assert import_addresses(other, text.encode()).done
    assert export_addresses(other) == text


# --- the admin's pages ----------------------------------------------------------------------------


@pytest.fixture
def staff(client, db):
    client.force_login(get_user_model().objects.create_superuser("root", password="x"))
    return client


def url(model: str, page: str, row) -> str:
    return reverse(f"admin:sipdomains_{model}_{page}", args=[row.pk])


def upload(text: str, **fields: str) -> dict[str, object]:
    return {"file": SimpleUploadedFile("users.csv", text.encode()), **fields}


def test_a_list_is_filled_from_its_page(staff, phones) -> None:
    assert (
        url("credentiallist", "import", phones)
        in staff.get(url("credentiallist", "change", phones)).content.decode()
    )
    answer = staff.post(url("credentiallist", "import", phones), upload(f"bob,{GOOD}"), follow=True)
    assert "Imported 1 users from a CSV file." in answer.content.decode()
    bob = phones.credentials.get(username="bob")
    assert LogEntry.objects.get_for_object(bob).get().actor.get_username() == "root"


def test_the_page_reports_bad_lines_and_takes_the_good_ones_on_request(staff, phones) -> None:
    place = url("credentiallist", "import", phones)
    shown = staff.post(place, upload(BAD)).content.decode()
    assert "Nothing was imported: 8 lines cannot be used, 1 could." in shown
    assert "<td>2</td>" in shown
    assert GOOD not in shown
    assert names(phones) == {"alice"}
    shown = staff.post(place, upload(BAD, leave_out_bad="on")).content.decode()
    assert "1 users imported" in shown
    assert names(phones) == {"alice", "bob"}


def test_the_page_explains_a_file_that_is_none(staff, phones) -> None:
    place = url("credentiallist", "import", phones)
    assert staff.get(place).status_code == 200
    for data, words in (("", "no line"), ("x" * (listfiles.MAX_BYTES + 1), "larger")):
        answer = staff.post(place, upload(data))
        assert answer.status_code == 400
        assert words in answer.content.decode()
    assert staff.post(place, {}).status_code == 400


def test_a_list_is_downloaded_from_its_page(staff, office) -> None:
    office.friendly_name = 'Office "north"\r\nX: y'
    office.save()
    answer = staff.get(url("ipaccesscontrollist", "export", office))
    assert answer["Content-Disposition"] == 'attachment; filename="addresses-Office-north-X-y.csv"'
    assert answer.content.decode().splitlines()[:2] == [
        "address,prefix,description", "192.0.2.0,24,",
    ]  # fmt: skip


def member(name: str, account, *groups: str):
    from django.contrib.auth.models import Group

    user = get_user_model().objects.create_user(name, password="x", is_staff=True)
    user.groups.set(Group.objects.filter(name__in=groups))
    user.account_members.create(account=account)
    return user


def test_who_may_not_add_users_imports_none(client, phones, alice) -> None:
    user = member("vera", alice, access.VIEWER)
    client.force_login(user)
    place = url("credentiallist", "import", phones)
    assert client.post(place, upload(f"bob,{GOOD}")).status_code == 403
    assert place not in client.get(url("credentiallist", "change", phones)).content.decode()
    assert client.get(url("credentiallist", "export", phones)).status_code == 200
    user.user_permissions.add(
        Permission.objects.get(
            content_type__app_label="sipdomains", codename="change_credentiallist"
        )
    )
    assert client.post(place, upload(f"bob,{GOOD}")).status_code == 403  # adds no users
    assert names(phones) == {"alice"}


def test_the_lists_of_another_account_are_not_there(client, phones, bob) -> None:
    client.force_login(member("bob", bob, access.ADMINISTRATOR))
    for page in ("import", "export"):
        assert client.get(url("credentiallist", page, phones)).status_code == 404
