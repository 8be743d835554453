"""URLs of the demo voice application."""

from django.urls import path

from sipdomains.demo import views

urlpatterns = [
    path("voice", views.voice),
    path("goodbye", views.goodbye),
    path("tone.wav", views.tone),
]
