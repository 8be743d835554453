"""The configuration by keyboard alone, at desk and at phone width."""

from __future__ import annotations

import pytest
from django.urls import reverse
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from sipdomains.models import ApiKey, CredentialList, SipDomain
from tests.sipdomains.web import test_in_browser
from tests.sipdomains.web.scenes import place  # noqa: F401 - a fixture
from tests.sipdomains.web.test_desk_by_keyboard import (  # noqa: F401 - fixtures
    browser,
    folder,
    walker,
)

pytestmark = [*test_in_browser.pytestmark, pytest.mark.django_db(transaction=True)]


def choose(walker, select, text):  # noqa: F811 - the fixture's value
    """In a list that is searched as one types."""
    walker.to(f"#{select}-box")
    walker.press(Keys.SPACE)
    walker.until("return document.activeElement.matches('.select2-search__field')")
    walker.press(text)
    found = "return document.querySelector('.select2-results__option--highlighted')?.innerText"
    walker.until(f"return ({found.removeprefix('return ')}) === arguments[0]", text)
    walker.press(Keys.ENTER)
    walker.until(
        "return document.querySelector(arguments[0]).selectedOptions[0]?.text === arguments[1]",
        f"#{select}", text,
    )  # fmt: skip


def open_page(walker, name, *args):  # noqa: F811 - the fixture's value
    walker.open(reverse(f"admin:sipdomains_{name}", args=args), "#content-start")
    walker.skip()


def test_a_domain_is_added(walker, place):  # noqa: F811 - fixtures
    open_page(walker, "sipdomain_changelist")
    walker.follow(".addlink", "#id_domain_name")
    walker.skip()
    for field, text in (
        ("#id_domain_name", "new.example.net"),
        ("#id_voice_url", "https://app.example/voice"),
    ):
        if field == "#id_voice_url":
            choose(walker, "id_account", "Acme")
        walker.to(field)
        walker.press(text)
    walker.follow("[name=_save]", ".messagelist .success")
    made = SipDomain.objects.get(domain_name="new.example.net")
    assert (made.account, made.voice_url) == (place.account, "https://app.example/voice")


def test_users_are_imported(walker, place, tmp_path):  # noqa: F811 - fixtures
    phones = CredentialList.objects.get()
    open_page(walker, "credentiallist_changelist")
    walker.follow("#result_list tbody th a", "#id_friendly_name")
    walker.follow("a[href$='/import/']", "#id_file")
    walker.skip()
    file = tmp_path / "users.csv"
    file.write_text("alice,Correct9HorseX\nbob,short\n")
    walker.to("#id_file")
    # What follows Enter here is the window of the operating system that chooses a file.
    walker.browser.find_element(By.ID, "id_file").send_keys(str(file))
    walker.follow("#import [type=submit]", "#report")
    assert "Nothing was imported" in walker.text("#report")
    walker.skip()
    walker.to("#id_file")
    walker.browser.find_element(By.ID, "id_file").send_keys(str(file))
    walker.to("#import [type=checkbox]")
    walker.press(Keys.SPACE)
    walker.follow("#import [type=submit]", "#report strong")
    assert [user.username for user in phones.credentials.all()] == ["alice"]


def test_a_key_is_made_and_revoked_and_a_token_exchanged(walker, place):  # noqa: F811 - fixtures
    account = place.account
    open_page(walker, "apikey_add")
    walker.to("#id_friendly_name")
    walker.press("Billing")
    choose(walker, "id_account", "Acme")
    walker.follow("[name=_save]", "#secret")
    key = ApiKey.objects.get(friendly_name="Billing")
    assert key.opens(walker.text("#secret"))

    walker.skip()
    walker.follow("#content-main a.button", "#result_list")
    walker.skip()
    walker.to(f".action-select[value='{key.pk}']")
    walker.press(Keys.SPACE)
    walker.to("[name=action]", Keys.SHIFT + Keys.TAB)
    walker.press("Revoke")
    walker.until("return document.querySelector('[name=action]').value === 'revoke'")
    walker.follow("[name=index]", "[name=sure]")
    walker.skip()
    walker.follow("#content [type=submit]", ".messagelist .success")
    key.refresh_from_db()
    assert key.revoked_at

    old = account.auth_token
    open_page(walker, "account_changelist")
    walker.follow("#result_list tbody th a", "#id_friendly_name")
    walker.follow(".object-tools a[href$='/tokens/']", "[value=make]")
    walker.follow("[value=make]", "[value=promote]")
    walker.follow("[value=promote]", "[name=sure]")
    walker.follow("[value=promote]", "[value=make]")
    account.refresh_from_db()
    assert account.auth_token != old

    open_page(walker, "account_change", account.sid)
    walker.follow(".historylink", "#change-history")
    walker.skip()
    walker.to("#change-history")
    assert "auth_token: (hidden)" in walker.text("#change-history")
