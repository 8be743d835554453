"""``field__in_url``: text within a URL, as a condition of the database, which finds nothing that
pages do not show: neither user and password (``redaction.masked``) nor what callers have typed or
said where it stands in a query. Else both could be guessed, letter by letter, by searching.
"""

from __future__ import annotations

import re
from typing import Any

from django.db.models import CharField
from django.db.models.lookups import Contains, IContains, IRegex, Lookup

_TYPED = r"[?&;](Digits|SpeechResult)="
# Of a URL with user or password: what stands after the last "@" before path, query or fragment.
_BEHIND_USER = r"://[^/?#]*@(?=[^/?#@]*([/?#]|$))"
_UNTYPED = rf"(?:(?!{_TYPED}).)*"


@CharField.register_lookup
class InUrl(Lookup):
    lookup_name = "in_url"

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        text = str(self.rhs)
        if re.search(_TYPED, text, re.IGNORECASE):
            return "1 = 0", ()
        found = re.escape(text)
        # Most rows are settled by the first condition, which is cheap.
        parts = [
            compiler.compile(condition)
            for condition in (
                IContains(self.lhs, text),
                Contains(self.lhs, "@"),
                IRegex(self.lhs, f"^{_UNTYPED}{found}"),
                IRegex(self.lhs, f"{_BEHIND_USER}{_UNTYPED}{found}"),
            )
        ]
        contains, at, plain, behind = (sql for sql, _ in parts)
        sql = f"({contains} AND ((NOT ({at}) AND {plain}) OR ({at} AND {behind})))"
        order = (parts[0], parts[1], parts[2], parts[1], parts[3])  # as they stand in it
        return sql, tuple(value for _, values in order for value in values)
