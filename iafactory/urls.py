from django.contrib import admin
from django.urls import include, path

from . import openapi, staff_login, views

urlpatterns = [
    path("health", views.health, name="health"),
    path("api/auth/", include("accounts.urls")),
    path("api/auth/me", views.MeView.as_view(), name="me"),
    path("api/v2/usage", views.UsageView.as_view(), name="usage"),
    path("api/v2/usage/today", views.UsageTodayView.as_view(), name="usage-today"),
    path("payment/", include("billing.urls")),
    path("api/v2/", include("llmrouter.urls")),
    path("v1/", include("llmrouter.v1.urls")),
    path("api/schema", openapi.schema, name="schema"),
    path("api/docs", openapi.docs, name="docs"),
    path("", include("iafactory.pages.urls")),
    path("admin/", include("iafactory.dashboard.urls")),
    path("admin/login/", staff_login.limited_admin_login),
    path("admin/second-factor", staff_login.second_factor_page, name="second-factor"),
    path("admin/", admin.site.urls),
    path("i18n/", include("django.conf.urls.i18n")),
]
handler400 = "iafactory.errors.bad_request"
handler404 = "iafactory.pages.shown.not_found"
handler500 = "iafactory.errors.server_error"
