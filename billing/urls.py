from django.urls import path

from . import views

urlpatterns = [
    path("plans", views.PlansView.as_view(), name="plans"),
    path("quote/<str:tier>", views.QuoteView.as_view(), name="quote"),
    path("subscribe/<str:tier>", views.SubscribeView.as_view(), name="subscribe"),
    path("checkouts/<str:checkout_id>", views.PaymentView.as_view(), name="payment"),
    path("transactions", views.PaymentsView.as_view(), name="payments"),
    path("subscription/status", views.SubscriptionView.as_view(), name="subscription"),
    path("subscription/cancel", views.CancelView.as_view(), name="subscription-cancel"),
    path("webhook/chargily", views.WebhookView.as_view(), name="chargily-webhook"),
]
