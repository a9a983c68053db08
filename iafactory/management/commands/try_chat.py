from typing import Any
from uuid import uuid4

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.authentication import Caller
from accounts.models import User
from billing.money import dollars
from llmrouter.chat import complete
from llmrouter.errors import RouterError
from llmrouter.journey import Origin
from llmrouter.replies import to_json
from llmrouter.serializers import DEFAULT_MODEL, parse_v2
from usage.errors import UsageError
from usage.process import this_process


class Command(BaseCommand):
    help = "One chat through the whole path, as a user of your choice."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("prompt")
        parser.add_argument("--model", default=DEFAULT_MODEL, help="public name (default: %(default)s)")
        parser.add_argument("--user", help="e-mail of the user who pays for it (default: the first account)")

    def handle(self, *args: Any, **options: Any) -> None:
        users = User.objects.filter(is_active=True).order_by("pk")
        user = users.filter(email=options["user"]).first() if options["user"] else users.first()
        if user is None:
            raise CommandError("There is no such account. Register one first, or start `make run` once.")
        chat = parse_v2(to_json({"prompt": options["prompt"], "model": options["model"]}))
        origin = Origin(Caller(user.pk, user.email, user.is_staff), "try_chat", str(uuid4()))
        try:
            served = complete(origin, chat)
        except (RouterError, UsageError) as error:
            raise CommandError(f"Not answered: {type(error).__name__} {error}") from error
        finally:
            this_process().leave()
        self.stdout.write(served.reply.text)
        usage, route = served.usage, served.way.route
        tokens = f"{usage.tokens_input} + {usage.tokens_output} tokens"
        self.stdout.write(f"[{route.provider}/{route.serves}, {tokens}, {dollars(usage.cost):.6f} USD]")
