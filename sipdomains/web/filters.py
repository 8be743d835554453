"""Saved filters of the call log: kept under a name, for oneself or for colleagues too."""

from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.urls import reverse
from django.views.decorators.http import require_POST

from sipdomains.services import filters
from sipdomains.web.forms import CallFilterForm
from sipdomains.web.pages import operator_page


@operator_page
@require_POST
def save_filter(request: HttpRequest) -> HttpResponse:
    form = CallFilterForm(QueryDict(request.POST.get("query", "")[:10_000]))
    query = form.query()
    try:
        row = filters.save(
            request.user, request.POST.get("name", ""), query, bool(request.POST.get("shared"))
        )
        messages.success(request, f"The filter “{row.name}” is saved.")
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    return HttpResponseRedirect(f"{reverse('web:calls')}?{query}")


@operator_page
@require_POST
def delete_filter(request: HttpRequest, pk: int) -> HttpResponse:
    if not filters.delete(request.user, pk):
        raise Http404("There is no such filter of yours.")
    messages.success(request, "The filter is deleted.")
    return HttpResponseRedirect(reverse("web:calls"))
