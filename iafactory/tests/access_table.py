"""Who may call what: a line for each route and method. `test_access.py` fails on a route that has no line here, and
calls each as each of the cast.

A new route: add a line with its pattern as the resolver writes it, the method, who may, and what is needed to call it.
A new page of the admin: add its model to `MODELS`.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Who(Enum):
    """Who is let in. Everyone else gets what `test_access.py` says of that kind."""

    ANYONE = "anyone"
    # A JWT or an API key.
    CALLERS = "callers"
    # A login; an API key is not enough.
    LOGGED_IN = "logged in"
    # Alice, whose it is. To others it does not exist.
    OWNER = "owner"
    # A page of one's own account; whoever has no session is led to /sign-in.
    ACCOUNT = "account"
    # Such a page about something of Alice's. To others it does not exist.
    ACCOUNT_OWNER = "account of the owner"
    # A staff JWT; a customer is refused.
    STAFF = "staff"
    # A page of staff sessions; others are led to the login.
    STAFF_PAGE = "staff page"


@dataclass(frozen=True)
class Line:
    """`path` may name what `test_access.scene` made: {key}. `ok` is the status for those who are let in."""

    pattern: str
    method: str
    who: Who
    ok: int = 200
    path: str = ""
    body: dict[str, Any] | None = None
    # Where one of the cast gets something else: {"anonymous": 400}.
    instead: dict[str, int] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return self.path or f"/{self.pattern}"


CHAT = {"model": "gpt-oss-20b", "messages": [{"role": "user", "content": "Bonjour"}]}

LINES = [
    Line("health", "GET", Who.ANYONE),
    # accounts
    Line(
        "api/auth/register",
        "POST",
        Who.ANYONE,
        ok=201,
        body={"email": "new-{person}@example.dz", "password": "correct horse battery"},
    ),
    Line("api/auth/login", "POST", Who.ANYONE, ok=401, body={"email": "alice@example.dz", "password": "wrong"}),
    Line("api/auth/refresh", "POST", Who.ANYONE, ok=401, body={"refresh_token": "garbage"}),
    Line("api/auth/logout", "POST", Who.ANYONE, ok=401, body={"refresh_token": "garbage"}),
    Line("api/auth/me", "GET", Who.CALLERS),
    Line("api/auth/keys", "GET", Who.LOGGED_IN),
    Line("api/auth/keys", "POST", Who.LOGGED_IN, ok=201, body={"name": "laptop"}),
    Line("api/auth/keys/<int:key_id>", "DELETE", Who.OWNER, ok=204, path="/api/auth/keys/{key}"),
    # usage
    Line("api/v2/usage", "GET", Who.CALLERS),
    Line("api/v2/usage/today", "GET", Who.CALLERS),
    # llmrouter
    Line("api/v2/models", "GET", Who.CALLERS),
    Line("api/v2/chat", "POST", Who.CALLERS, body=CHAT),
    Line("v1/chat/completions", "POST", Who.CALLERS, body=CHAT),
    Line("v1/models", "GET", Who.CALLERS),
    Line("v1/models/<path:name>", "GET", Who.CALLERS, path="/v1/models/gpt-4o"),
    # billing
    Line("payment/plans", "GET", Who.ANYONE),
    Line("payment/quote/<str:tier>", "GET", Who.LOGGED_IN, path="/payment/quote/student"),
    # Payments are not configured here; who may not is told so first.
    Line("payment/subscribe/<str:tier>", "POST", Who.LOGGED_IN, ok=503, path="/payment/subscribe/student"),
    Line("payment/checkouts/<str:checkout_id>", "GET", Who.LOGGED_IN, ok=404, path="/payment/checkouts/nobodys"),
    Line("payment/transactions", "GET", Who.LOGGED_IN),
    Line("payment/subscription/status", "GET", Who.LOGGED_IN),
    # Who has no subscription has none to cancel.
    Line(
        "payment/subscription/cancel",
        "POST",
        Who.LOGGED_IN,
        instead={"clerk": 400, "sara": 400},
    ),
    Line("payment/webhook/chargily", "POST", Who.ANYONE, ok=503),
    # The description of all this
    Line("api/schema", "GET", Who.ANYONE),
    Line("api/docs", "GET", Who.ANYONE),
    # The pages. Without a field a form is shown again: 400. Who is signed in needs no door.
    Line("", "GET", Who.ANYONE),
    Line("favicon.ico", "GET", Who.ANYONE, ok=301),
    Line("language", "POST", Who.ANYONE, ok=302),
    *(
        Line(door, method, Who.ANYONE, ok=ok, instead=dict.fromkeys(("alice", "bob", "clerk", "sara"), 302))
        for door in ("sign-up", "sign-in")
        for method, ok in (("GET", 200), ("POST", 400))
    ),
    Line("account", "GET", Who.ACCOUNT),
    Line("account/keys", "POST", Who.ACCOUNT, ok=400),
    Line("account/keys/<int:key_id>/revoke", "POST", Who.ACCOUNT_OWNER, ok=302, path="/account/keys/{key}/revoke"),
    Line("account/buy/<slug:tier>", "GET", Who.ACCOUNT, path="/account/buy/student"),
    # The price that was shown is missing.
    Line("account/buy/<slug:tier>", "POST", Who.ACCOUNT, ok=409, path="/account/buy/student"),
    Line("account/reminders/cancel", "POST", Who.ACCOUNT, ok=302),
    # That alice and staff see hers and bob does not: billing/tests/test_papers.py.
    Line("account/invoices/<str:reference>", "GET", Who.ACCOUNT, ok=404, path="/account/invoices/F-2026-000001"),
    Line(
        "account/invoices/<str:reference>.pdf", "GET", Who.ACCOUNT, ok=404, path="/account/invoices/F-2026-000001.pdf"
    ),
    Line("account/payment-state", "GET", Who.ANYONE, ok=404),
    Line("payment/success", "GET", Who.ANYONE),
    Line("payment/failure", "GET", Who.ANYONE),
    Line("renew/<str:token>", "GET", Who.ANYONE, ok=410, path="/renew/garbage"),
    Line("renew/<str:token>", "POST", Who.ANYONE, ok=410, path="/renew/garbage"),
    Line("sign-out", "POST", Who.ANYONE, ok=302),
    # The admin, but for its models
    Line("admin/login/", "GET", Who.ANYONE, instead={"sara": 302, "clerk": 302}),
    Line("admin/login/", "POST", Who.ANYONE),
    Line("i18n/setlang/", "POST", Who.ANYONE, ok=302),
    Line("admin/second-factor", "GET", Who.STAFF_PAGE),
    Line("admin/second-factor", "POST", Who.STAFF_PAGE, ok=400),
    Line("admin/", "GET", Who.STAFF_PAGE, ok=302),
    Line("admin/dashboard", "GET", Who.STAFF),
    Line("admin/dashboard/ban", "POST", Who.STAFF_PAGE, ok=302),
    Line("admin/dashboard/lift", "POST", Who.STAFF_PAGE, ok=404),
    Line("admin/users/abusive", "GET", Who.STAFF),
    Line("admin/costs/breakdown", "GET", Who.STAFF),
    Line(
        "admin/users/<int:user_id>/soft-ban",
        "POST",
        Who.STAFF,
        path="/admin/users/{alice}/soft-ban",
        body={"reason": "300 messages"},
    ),
    Line("admin/users/<int:user_id>/soft-ban", "DELETE", Who.STAFF, ok=404, path="/admin/users/{alice}/soft-ban"),
    Line("admin/colors.css", "GET", Who.ANYONE),
    Line("admin/search/", "GET", Who.STAFF_PAGE),
    Line("admin/logout/", "POST", Who.STAFF_PAGE),
    Line("admin/password_change/", "GET", Who.STAFF_PAGE),
    Line("admin/password_change/done/", "GET", Who.STAFF_PAGE),
    Line("admin/autocomplete/", "GET", Who.STAFF_PAGE, ok=403),
    Line("admin/jsi18n/", "GET", Who.STAFF_PAGE),
    Line("admin/r/<path:content_type_id>/<path:object_id>/", "GET", Who.STAFF_PAGE, ok=404, path="/admin/r/1/1/"),
    Line("admin/(?P<url>.*)$", "GET", Who.STAFF_PAGE, ok=404, path="/admin/nothing/here"),
    Line("admin/^(?P<app_label>…)/$", "GET", Who.STAFF_PAGE, path="/admin/billing/", instead={"clerk": 404}),
    Line(
        "admin/accounts/user/<id>/password/",
        "GET",
        Who.STAFF_PAGE,
        path="/admin/accounts/user/{alice}/password/",
        instead={"clerk": 403},
    ),
]

# The models of the admin: what staff with all rights may do besides seeing them. Without rights they see none.
MODELS: dict[str, set[str]] = {
    "accounts.user": {"add", "change"},
    "accounts.softban": set(),
    "accounts.staffaction": set(),
    "accounts.signup": set(),
    "billing.tier": {"add", "change", "delete"},
    "billing.usertier": {"add", "change", "delete"},
    "usage.usagelog": set(),
    "usage.budgetreset": set(),
    "usage.deadletter": set(),
    "llmrouter.model": {"add", "change", "delete"},
    "billing.paymenttransaction": set(),
    "billing.webhookevent": set(),
    "billing.invoice": set(),
    "billing.letter": set(),
    "alerts.incident": set(),
    "alerts.message": set(),
    "keys.keycheck": set(),
    "llmrouter.route": {"add", "change", "delete"},
}
