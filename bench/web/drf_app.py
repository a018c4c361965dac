"""The routes as REST framework's tutorial has them: ModelSerializer, generic views, a token with its user."""

import os

import django
import jwt
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.urls import path

django.setup()

from rest_framework import generics, serializers  # noqa: E402 - Django comes first
from rest_framework.authentication import BaseAuthentication  # noqa: E402
from rest_framework.exceptions import AuthenticationFailed  # noqa: E402
from rest_framework.pagination import LimitOffsetPagination  # noqa: E402
from rest_framework.renderers import JSONRenderer  # noqa: E402
from rest_framework.request import Request  # noqa: E402

from backend.accounts.models import User  # noqa: E402
from backend.posts.models import Post  # noqa: E402
from backend.shop.models import Product  # noqa: E402


class Authentication(BaseAuthentication):
    """The user of a signed token, from the database."""

    def authenticate(self, request: Request) -> tuple[User, None]:
        """Raises AuthenticationFailed."""
        secret = request.headers.get("Authorization", "").removeprefix("Bearer ")
        try:
            claims = jwt.decode(secret, os.environ["BENCH_KEY"], ["HS256"])
        except jwt.InvalidTokenError as error:
            raise AuthenticationFailed from error
        return User.objects.get(pk=claims["sub"]), None


class PostSerializer(serializers.ModelSerializer[Post]):
    """A post."""

    class Meta:
        model = Post
        fields = ("user_id", "number", "title", "body")


class Pages(LimitOffsetPagination):
    """With a count, as it comes."""

    default_limit = 50


class PostList(generics.ListAPIView[Post]):
    """A page of posts."""

    authentication_classes = (Authentication,)
    renderer_classes = (JSONRenderer,)
    queryset = Post.objects.filter(deleted=None).order_by("number")
    serializer_class = PostSerializer
    pagination_class = Pages


class PostDetail(generics.RetrieveAPIView[Post]):
    """One post."""

    authentication_classes = (Authentication,)
    renderer_classes = (JSONRenderer,)
    queryset = Post.objects.filter(deleted=None)
    serializer_class = PostSerializer
    lookup_field = "number"


class ProductSerializer(serializers.ModelSerializer[Product]):
    """A product with the names of its tags."""

    tags = serializers.SerializerMethodField()

    class Meta:
        model = Product
        fields = (
            *("id", "number", "owner", "name", "description", "price", "stock", "state", "created", "updated"),
            "tags",
        )

    def get_tags(self, product: Product) -> list[str]:
        """From what was prefetched."""
        return [link.tag.name for link in product.links.all()]


class ProductList(generics.ListAPIView[Product]):
    """The newest products."""

    authentication_classes = (Authentication,)
    renderer_classes = (JSONRenderer,)
    queryset = Product.objects.filter(deleted=None).prefetch_related("links__tag").order_by("-id")
    serializer_class = ProductSerializer
    pagination_class = Pages


class ProductDetail(generics.RetrieveAPIView[Product]):
    """One product."""

    authentication_classes = (Authentication,)
    renderer_classes = (JSONRenderer,)
    queryset = Product.objects.filter(deleted=None).prefetch_related("links__tag")
    serializer_class = ProductSerializer
    lookup_field = "number"


urlpatterns = [
    path("posts", PostList.as_view()),
    path("posts/<int:number>", PostDetail.as_view()),
    path("products", ProductList.as_view()),
    path("products/<int:number>", ProductDetail.as_view()),
]

settings.ROOT_URLCONF = __name__
settings.MIDDLEWARE = [
    f"django.{name}"
    for name in (
        "middleware.security.SecurityMiddleware",
        "contrib.sessions.middleware.SessionMiddleware",
        "middleware.common.CommonMiddleware",
        "middleware.csrf.CsrfViewMiddleware",
        "contrib.auth.middleware.AuthenticationMiddleware",
        "contrib.messages.middleware.MessageMiddleware",
        "middleware.clickjacking.XFrameOptionsMiddleware",
    )
]
application = get_wsgi_application()
