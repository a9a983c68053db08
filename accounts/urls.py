from django.urls import path

from . import views

urlpatterns = [
    path("register", views.RegisterView.as_view(), name="register"),
    path("login", views.LoginView.as_view(), name="login"),
    path("refresh", views.RefreshView.as_view(), name="refresh"),
    path("logout", views.LogoutView.as_view(), name="logout"),
    path("keys", views.ApiKeysView.as_view(), name="api-keys"),
    path("keys/<int:key_id>", views.ApiKeyView.as_view(), name="api-key"),
]
