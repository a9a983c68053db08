"""Below /admin/, before the pages of Django Admin."""

from django.contrib import admin
from django.urls import path
from django.views.generic import RedirectView

from . import api, page

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="dashboard")),
    path("dashboard", page.DashboardView.as_view(), name="dashboard"),
    path("dashboard/ban", admin.site.admin_view(page.ban), name="dashboard-ban"),
    path("dashboard/lift", admin.site.admin_view(page.lift), name="dashboard-lift"),
    path("users/abusive", api.AbusiveUsersView.as_view(), name="abusive-users"),
    path("users/<int:user_id>/soft-ban", api.SoftBanView.as_view(), name="soft-ban"),
    path("costs/breakdown", api.CostsBreakdownView.as_view(), name="costs-breakdown"),
]
