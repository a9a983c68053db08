from django.urls import path

from . import views

urlpatterns = [
    path("chat/completions", views.chat_completions, name="chat-completions"),
    path("models", views.ModelsView.as_view(), name="openai-models"),
    path("models/<path:name>", views.ModelView.as_view(), name="openai-model"),
]
