from django.urls import path

from . import account, buying, door, home, invoices

urlpatterns = [
    path("", home.home, name="home"),
    path("favicon.ico", home.favicon),
    path("sign-up", door.sign_up_page, name="sign-up"),
    path("sign-in", door.sign_in_page, name="sign-in"),
    path("sign-out", door.sign_out, name="sign-out"),
    path("language", door.choose_language, name="choose-language"),
    path("account", account.account, name="account"),
    path("account/keys", account.create_key, name="create-key"),
    path("account/keys/<int:key_id>/revoke", account.revoke, name="revoke-key"),
    path("account/reminders/cancel", buying.cancel_reminders, name="cancel-reminders"),
    path("account/buy/<slug:tier>", buying.buy, name="buy"),
    path("account/invoices/<str:reference>.pdf", invoices.invoice_file, name="invoice-file"),
    path("account/invoices/<str:reference>", invoices.invoice_page, name="invoice"),
    path("account/payment-state", buying.payment_state, name="payment-state"),
    path("renew/<str:token>", buying.renew, name="renew"),
    path("payment/success", buying.back_from_chargily, name="payment-success"),
    path("payment/failure", buying.back_from_chargily, name="payment-failure"),
]
