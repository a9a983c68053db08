"""Run as a program inside the product's environment: the people of the fault suite, as JSON (`id`, `tier`, `key`)."""

import json
import os

TIERS = ("pro", "pro", "student", "student", "enterprise", "free", "free", "free")


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "iafactory.settings")
    import django

    django.setup()
    from django.core.management import call_command

    from accounts.models import ApiKey, User
    from billing.models import Tier, UserTier
    from llmrouter.models import Route

    for command in ("migrate", "load_tiers", "load_models"):
        call_command(command, verbosity=0, **({"skip_checks": True} if command == "migrate" else {}))
    # Limits that a minute of load reaches: of money, of messages; none per minute, or nobody would reach those.
    Tier.objects.exclude(name="free").update(requests_per_minute=6000, messages_per_day=100_000)
    Tier.objects.filter(name="student").update(messages_per_day=60, user_daily_budget_usd="0.05", groq_percent=50)
    Tier.objects.filter(name="pro").update(user_daily_budget_usd="0.12")
    Route.objects.update(timeout_seconds=4)
    people = []
    for number, tier in enumerate(TIERS):
        user = User(email=f"{tier}{number}@example.dz")
        user.set_unusable_password()
        user.save()
        if tier != "free":
            UserTier.objects.create(user=user, tier_id=tier)
        people.append({"id": user.pk, "tier": tier, "key": ApiKey.objects.issue(user_id=user.pk, name="fire")[1]})
    print(json.dumps(people))


if __name__ == "__main__":
    main()
