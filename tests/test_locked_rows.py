"""Rows and tables locked under the running product: only what needs them waits, and PostgreSQL counts as there."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
import requests

from accounts.models import ApiKey, User
from accounts.tokens import issue_tokens
from conftest import address_of_the_test_database, key_of, person
from tests.product import Customer, Product

pytestmark = pytest.mark.live


@contextmanager
def locked(statement: str) -> Iterator[None]:
    with psycopg.connect(address_of_the_test_database()) as session:
        session.execute(statement)
        yield
        session.rollback()


def newcomer(product: Product, name: str) -> Customer:
    return Customer(product, key_of(person(f"{name}@example.dz", "student")))


def test_locked_key_row_does_not_keep_its_owner_or_newcomers_out(product: Product) -> None:
    alice = newcomer(product, "alice")
    with locked("SELECT 1 FROM api_keys FOR UPDATE"):
        assert alice.chat().status_code == 200
        for number in range(6):
            assert newcomer(product, f"bob{number}").chat().status_code == 200
        assert requests.get(f"{product.url}/health", timeout=30).status_code == 200
    assert ApiKey.objects.get(user__email="alice@example.dz").last_used_at is None


def test_locked_table_of_keys_does_not_keep_out_who_has_a_token(product: Product) -> None:
    stranger = Customer(product, "iaf_" + "x" * 40)
    tokens = [issue_tokens(person(f"user{number}@example.dz", "student")).access for number in range(4)]
    assert User.objects.count() == 4
    with locked("LOCK TABLE api_keys IN ACCESS EXCLUSIVE MODE"):
        assert stranger.chat().status_code == 503
        assert {Customer(product, token).chat().status_code for token in tokens} == {200}
        assert requests.get(f"{product.url}/health", timeout=30).status_code == 200
