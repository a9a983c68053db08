from django.urls import path

from . import views

urlpatterns = [
    path("chat", views.chat_v2, name="chat"),
    path("models", views.ModelsView.as_view(), name="models"),
]
