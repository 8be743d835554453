"""URLs of the operators' pages. Include them at the root."""

from django.contrib.auth import views as auth
from django.urls import path
from django.views.generic import RedirectView

from sipdomains.web import calls, recordings
from sipdomains.web.pages import page

app_name = "web"

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="web:calls"), name="home"),
    path("calls/", calls.call_list, name="calls"),
    path("calls/<str:sid>/", calls.call_detail, name="call"),
    path("recordings/", recordings.recording_list, name="recordings"),
    path(
        "login/",
        page(auth.LoginView.as_view(redirect_authenticated_user=True)),
        name="login",
    ),
    path("logout/", page(auth.LogoutView.as_view(next_page="web:login")), name="logout"),
]
