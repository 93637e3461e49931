"""The house's addresses with the set-up link among them."""

from __future__ import annotations

from django.urls import include, path

from config.urls import urlpatterns as of_the_house

urlpatterns = [*of_the_house, path("", include("config.setup"))]
