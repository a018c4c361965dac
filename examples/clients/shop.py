"""A small program on the generated Python client: it signs in, posts, lists, orders, and reads a problem.

make clients
pip install ./clients/python
python examples/clients/shop.py http://127.0.0.1:8000 user 1234
"""

import sys
from collections.abc import Iterator
from typing import TypeVar
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

from lockstep_client import AuthenticatedClient, Client
from lockstep_client.api.posts import create_post
from lockstep_client.api.shop import create_order, create_product, list_products
from lockstep_client.api.signing_in import create_token_pair
from lockstep_client.models import (
    AskedLineRequest,
    AskedOrderRequest,
    NameOrEmailRequest,
    NewProductRequest,
    Order,
    Pair,
    Post,
    PostRequest,
    Problem,
    Product,
    ProductPage,
)
from lockstep_client.types import UNSET

T = TypeVar("T")


def main(url: str, username: str, password: str) -> None:
    """Prints what each step got."""
    credentials = NameOrEmailRequest(username=username, password=password)
    pair = expect(Pair, create_token_pair.sync(client=Client(base_url=url), body=credentials))
    client = AuthenticatedClient(base_url=url, token=pair.access)

    post = expect(Post, create_post.sync(client=client, body=PostRequest(title="Hello", body="In step.")))
    print(f"post: {post.title}")

    for name in ("bell", "bicycle", "pump"):
        body = NewProductRequest(name=name, price="2.50", stock=10)
        product = expect(Product, create_product.sync(client=client, body=body))
    names = [product.name for product in products(client)]
    print(f"products: {', '.join(names[:3])}")

    # However often it is sent, a request with this key is carried out once.
    key, order = str(uuid4()), AskedOrderRequest(lines=[AskedLineRequest(product=product.id, quantity=2)])
    first, again = (expect(Order, create_order.sync(client=client, body=order, idempotency_key=key)) for _ in range(2))
    print(f"order: {first.state.value} {first.total}, the same: {first.id == again.id}")

    refused = create_post.sync(client=client, body=PostRequest(title="", body="In step."))
    if isinstance(refused, Problem):
        print(f"problem: {refused.type_} {refused.status}, {refused.errors[0].field}: {refused.errors[0].detail}")


def products(client: AuthenticatedClient) -> Iterator[Product]:
    """All products, newest first, page by page."""
    page = expect(ProductPage, list_products.sync(client=client, limit=2))
    yield from page.results
    while page.next_:
        [cursor] = parse_qs(urlsplit(page.next_).query)["cursor"]
        page = expect(ProductPage, list_products.sync(client=client, limit=2, cursor=cursor or UNSET))
        yield from page.results


def expect(kind: type[T], answer: object) -> T:
    """The answer, if it is of this kind; a problem ends the program."""
    if isinstance(answer, kind):
        return answer
    sys.exit(f"{answer.title}: {answer.detail}" if isinstance(answer, Problem) else f"unexpected: {answer!r}")


if __name__ == "__main__":
    main(*sys.argv[1:])
