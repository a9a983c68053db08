"""The checkouts, and how the stand-in behaves about them. Times are Unix seconds, as in Chargily's API."""

import hashlib
import hmac
import json
import secrets
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

OPEN_SECONDS = 30 * 60
CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"
# The merchant's own data, which the real one puts into its answers: nothing of it may be found in our database.
ACCOUNT = {
    "id": "01hj0000000000000000000000",
    "name": "DECOY-MERCHANT",
    "trade_register": "DECOY-RC-16-00-1234567",
    "nif": "DECOY-NIF-000016001234567",
    "nis": "DECOY-NIS",
    "satim_credentials": {"terminal_id": "DECOY-TERMINAL", "password": "DECOY-PASSWORD"},
}


@dataclass
class Faults:
    """Switches. `api`: what the API does instead of answering: 429, 500, timeout, empty_401."""

    dropped: bool = False
    copies: int = 1
    delay: float = 0.0
    reordered: bool = False
    forged: bool = False
    # What the checkout says was paid, instead of what it was made for.
    amount: int | None = None
    metadata_as_list: bool = False
    api: str = ""
    retry_after: int = 7
    timeout: float = 20.0
    # As if another server made the page's address.
    page_address: str = ""


@dataclass
class Books:
    """`key` opens the API and signs the webhooks. `file` keeps the checkouts over a restart."""

    key: str
    address: str = ""
    file: Path | None = None
    faults: Faults = field(default_factory=Faults)
    checkouts: dict[str, dict[str, Any]] = field(default_factory=dict)
    # Every call that arrived: method and path; and every webhook sent: type and the status that it was answered with.
    calls: list[tuple[str, str]] = field(default_factory=list)
    deliveries: list[tuple[str, int | None]] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        if self.file is not None and self.file.exists():
            self.checkouts = json.loads(self.file.read_text())

    def reset(self) -> None:
        with self.lock:
            self.faults = Faults()
            self.checkouts.clear()
            self.calls.clear()
            self.deliveries.clear()

    def make(self, form: dict[str, Any], *, livemode: bool) -> dict[str, Any]:
        now = int(time.time())
        checkout_id = new_ulid(time.time())
        total, discount, before = discounted(form)
        mode = "" if livemode else "/test"
        checkout = {
            "id": checkout_id,
            "entity": "checkout",
            "livemode": livemode,
            "amount": total,
            "currency": form.get("currency", "dzd"),
            "fees": 0,
            "fees_on_merchant": 0,
            "fees_on_customer": 0,
            "pass_fees_to_customer": None,
            "chargily_pay_fees_allocation": form.get("chargily_pay_fees_allocation", "customer"),
            "status": "pending",
            "locale": form.get("locale", "ar"),
            "description": form.get("description"),
            "metadata": form.get("metadata"),
            "success_url": form["success_url"],
            "failure_url": form.get("failure_url"),
            "webhook_endpoint": form.get("webhook_endpoint"),
            "payment_method": form.get("payment_method"),
            "invoice_id": None,
            "customer_id": form.get("customer_id"),
            "payment_link_id": None,
            "created_at": now,
            "updated_at": now,
            "shipping_address": None,
            "collect_shipping_address": int(bool(form.get("collect_shipping_address", 0))),
            "discount": discount,
            "amount_without_discount": before,
            # http, as the real one: whoever sends a browser there has to mend it.
            "checkout_url": f"{self.faults.page_address or self.address}{mode}/checkouts/{checkout_id}/pay",
        }
        with self.lock:
            self.checkouts[checkout_id] = checkout
            self._keep()
        return self.shown(checkout)

    def find(self, checkout_id: str) -> dict[str, Any] | None:
        """The checkout, closed by now if its time is over."""
        with self.lock:
            checkout = self.checkouts.get(checkout_id)
            if checkout and checkout["status"] == "pending" and time.time() >= checkout["created_at"] + OPEN_SECONDS:
                self._set(checkout, "expired")
            return checkout

    def change(self, checkout_id: str, status: str) -> dict[str, Any] | None:
        """From pending or processing alone; None if it is neither."""
        with self.lock:
            checkout = self.find(checkout_id)
            if checkout is None or checkout["status"] not in ("pending", "processing"):
                return None
            self._set(checkout, status)
            if status == "paid":
                checkout["payment_method"] = checkout["payment_method"] or "edahabia"
            self._keep()
            return checkout

    def shown(self, checkout: dict[str, Any]) -> dict[str, Any]:
        """As the API shows it, with whatever is switched on."""
        shown = {**checkout, "account": ACCOUNT}
        if self.faults.metadata_as_list and isinstance(checkout["metadata"], dict):
            shown["metadata"] = [{name: value} for name, value in checkout["metadata"].items()]
        if self.faults.amount is not None and checkout["status"] == "paid":
            shown["amount"] = self.faults.amount
        return shown

    def event(self, checkout: dict[str, Any], kind: str) -> bytes:
        """The body of a webhook, in the shape of the documentation: `livemode` is text, there is no currency."""
        now = int(time.time())
        hidden = {"currency", "livemode", "checkout_url", "webhook_endpoint"}
        data = {name: value for name, value in self.shown(checkout).items() if name not in hidden}
        data |= {"url": checkout["checkout_url"], "status": kind.removeprefix("checkout.")}
        event = {
            "id": new_ulid(time.time()),
            "entity": "event",
            "livemode": str(checkout["livemode"]).lower(),
            "type": kind,
            "data": data,
            "created_at": now,
            "updated_at": now,
        }
        return json.dumps(event, ensure_ascii=False, indent=1).encode()

    def signature(self, body: bytes) -> str:
        key = "not the merchant's key" if self.faults.forged else self.key
        return hmac.new(key.encode(), body, hashlib.sha256).hexdigest()

    def behaviour(self) -> dict[str, Any]:
        return asdict(self.faults)

    def _set(self, checkout: dict[str, Any], status: str) -> None:
        checkout["status"] = status
        checkout["updated_at"] = int(time.time())

    def _keep(self) -> None:
        if self.file is None:
            return
        draft = self.file.with_suffix(".draft")
        draft.write_text(json.dumps(self.checkouts))
        draft.replace(self.file)


def new_ulid(at: float) -> str:
    """Lower-case; the first ten letters are the milliseconds."""
    number = int(at * 1000) << 80 | secrets.randbits(80)
    return "".join(CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))


def discounted(form: dict[str, Any]) -> tuple[int | float, dict[str, Any] | None, int | float | None]:
    """The total, the discount, and the amount before it."""
    amount = form["amount"]
    if (percentage := form.get("percentage_discount")) is not None:
        return amount * (100 - percentage) / 100, {"type": "percentage", "value": percentage}, amount
    if (off := form.get("amount_discount")) is not None:
        return amount - off, {"type": "amount", "value": off}, amount
    return amount, None, None
