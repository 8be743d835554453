"""Tags and filters of the operators' pages."""

from __future__ import annotations

from datetime import UTC, datetime

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from sipdomains import redaction
from sipdomains.web import formatting
from sipdomains.web.errorcodes import explain

register = template.Library()

register.filter("clock", formatting.clock)
register.filter("direction_words", formatting.direction_words)
register.filter("ended_by", formatting.ended_by)
register.filter("explain", explain)
register.filter("file_size", formatting.file_size)
register.filter("masked", redaction.masked)
register.filter("masked_pairs", redaction.masked_pairs)
register.filter("party", formatting.party)
register.filter("refer_end", formatting.refer_end)
register.filter("short_uri", formatting.short_uri)
register.filter("status_word", formatting.status_word)


@register.filter
def dotted(name: str) -> SafeString:
    """A host name that breaks, where it must, behind a dot."""
    return format_html_join(mark_safe(".<wbr>"), "{}", ((label,) for label in name.split(".")))


@register.simple_tag
def when(at: datetime) -> SafeString:
    """A time that the page's script shows in the viewer's zone; of the same width either way."""
    utc = at.astimezone(UTC)
    shown = utc.strftime("%Y-%m-%d %H:%M:%S")
    return format_html(
        '<time datetime="{}" title="{} UTC">{}</time>',
        utc.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        shown,
        shown,
    )
