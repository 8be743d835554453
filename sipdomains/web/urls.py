"""URLs of the operators' pages. Include them at the root."""

from django.contrib.auth import views as auth
from django.urls import path
from django.views.generic import RedirectView

from sipdomains.web import (
    bench,
    call_downloads,
    call_parts,
    calls,
    domains,
    recordings,
    repeats,
    testcalls,
    waveforms,
)
from sipdomains.web.pages import page

app_name = "web"

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="web:calls"), name="home"),
    path("calls/", calls.call_list, name="calls"),
    path("calls/<str:sid>/", calls.call_detail, name="call"),
    path("calls/<str:sid>/call.json", call_downloads.as_json, name="call-json"),
    path("calls/<str:sid>/ladder.txt", call_downloads.as_ladder, name="call-ladder"),
    path("calls/<str:sid>/messages.pcap", call_downloads.as_pcap, name="call-pcap"),
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
    path(
        "login/",
        page(auth.LoginView.as_view(redirect_authenticated_user=True)),
        name="login",
    ),
    path("logout/", page(auth.LogoutView.as_view(next_page="web:login")), name="logout"),
]
