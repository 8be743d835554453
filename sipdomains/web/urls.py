"""URLs of the operators' pages. Include them at the root."""

from django.contrib.auth import views as auth
from django.urls import path, re_path

from sipdomains.login import LoginPage
from sipdomains.web import (
    bench,
    call_downloads,
    call_parts,
    calls,
    domains,
    export,
    filters,
    live,
    overview,
    recordings,
    repeats,
    security,
    stream,
    testcalls,
    waveforms,
)
from sipdomains.web.pages import page

app_name = "web"

urlpatterns = [
    path("", overview.overview_page, name="home"),
    path("live/", live.live_list, name="live"),
    path("calls/<str:sid>/control/", live.control, name="control"),
    path("calls/", calls.call_list, name="calls"),
    path("calls/stream", stream.call_stream, name="call-stream"),
    re_path(r"^calls/export\.(?P<kind>csv|json)$", export.export_calls, name="call-export"),
    path("calls/export/progress", export.export_progress, name="export-progress"),
    path("calls/filters/", filters.save_filter, name="save-filter"),
    path("calls/filters/<int:pk>/delete/", filters.delete_filter, name="delete-filter"),
    path("calls/<str:sid>/", calls.call_detail, name="call"),
    path("calls/<str:sid>/call.json", call_downloads.as_json, name="call-json"),
    path("calls/<str:sid>/ladder.txt", call_downloads.as_ladder, name="call-ladder"),
    path("calls/<str:sid>/messages.pcap", call_downloads.as_pcap, name="call-pcap"),
    path("calls/<str:sid>/documents/<int:number>/", call_parts.document, name="call-document"),
    path("calls/<str:sid>/events/<int:seq>/", call_parts.event, name="call-event"),
    path(
        "calls/<str:sid>/requests/<int:number>/<str:part>/", call_parts.request, name="call-request"
    ),
    path("calls/<str:sid>/requests/<int:number>/repeat", repeats.repeat, name="call-repeat"),
    path("calls/<str:sid>/repeats/<str:request_id>/", repeats.outcome, name="call-repeated"),
    path("domains/", domains.domain_list, name="domains"),
    path("domains/<str:sid>/", domains.domain_detail, name="domain"),
    path("domains/<str:sid>/allow/", domains.allow_address, name="allow-address"),
    path("domains/<str:sid>/test/", testcalls.start_test_call, name="start-test-call"),
    path("domains/<str:sid>/test/<str:id_>/", testcalls.test_call, name="test-call"),
    path("bench/", bench.bench, name="bench"),
    path("bench/<str:id_>/", bench.run, name="bench-run"),
    path("recordings/<str:account_sid>/<str:sid>/waveform/", waveforms.picture, name="waveform"),
    path("recordings/", recordings.recording_list, name="recordings"),
    path("account/security/", security.security, name="security"),
    path("account/security/begin", security.begin, name="security-begin"),
    path("account/security/confirm", security.confirm, name="security-confirm"),
    path("account/security/off", security.turn_off, name="security-off"),
    path("login/", page(LoginPage.as_view()), name="login"),
    path("logout/", page(auth.LogoutView.as_view(next_page="web:login")), name="logout"),
]
