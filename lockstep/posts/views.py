"""The frozen routes of posts and comments, below `fakeapi/v1/`. Views parse, call one action, respond."""

from functools import partial

from rest_framework.request import Request
from rest_framework.response import Response

from lockstep.api.concurrency import answer, if_match
from lockstep.api.paging import array_page
from lockstep.api.requests import actor_of
from lockstep.api.views import View
from lockstep.posts import actions, reads
from lockstep.posts.serializers import CommentSerializer, PostSerializer


class PostListView(View):
    """`GET posts/` → a bare array of {id, userId, title, body}."""

    def get(self, request: Request) -> Response:
        return array_page(request, reads.posts, reads.number_of_posts)


class PostCreateView(View):
    """`POST posts/create/` {title, body} → 201 with the post."""

    def post(self, request: Request) -> Response:
        given = PostSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        post = actions.create_post(actor=actor_of(request), **given.validated_data)
        return _shown(request, reads.post(post.number), status=201)


class PostReadView(View):
    """`GET posts/<id>/` → the post."""

    def get(self, request: Request, number: int) -> Response:
        return _shown(request, reads.post(number))


class PostUpdateView(View):
    """`PUT posts/update/<id>/` {title, body} → the post."""

    def put(self, request: Request, number: int) -> Response:
        given = PostSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        actions.update_post(actor=actor_of(request), number=number, match=if_match(request), **given.validated_data)
        return _shown(request, reads.post(number))


class PostDeleteView(View):
    """`DELETE posts/delete/<id>/` → 204; its comments go with it."""

    def delete(self, request: Request, number: int) -> Response:
        actions.delete_post(actor=actor_of(request), number=number, match=if_match(request))
        return Response(status=204)


class CommentListView(View):
    """`GET posts/<id>/comments/` → a bare array of {id, postId, name, email, body}."""

    def get(self, request: Request, post_number: int) -> Response:
        read = partial(reads.comments, post_number)
        return array_page(request, read, partial(reads.number_of_comments, post_number))


class CommentCreateView(View):
    """`POST posts/<id>/comments/create/` {name, email, body} → 201 with the comment."""

    def post(self, request: Request, post_number: int) -> Response:
        given = CommentSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        comment = actions.create_comment(actor=actor_of(request), post_number=post_number, **given.validated_data)
        return _shown(request, reads.comment(post_number, comment.number), status=201)


class CommentReadView(View):
    """`GET posts/<id>/comments/<id>/` → the comment."""

    def get(self, request: Request, post_number: int, number: int) -> Response:
        return _shown(request, reads.comment(post_number, number))


class CommentUpdateView(View):
    """`PUT posts/<id>/comments/update/<id>/` {name, email, body} → the comment."""

    def put(self, request: Request, post_number: int, number: int) -> Response:
        given = CommentSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        actions.update_comment(
            actor=actor_of(request),
            post_number=post_number,
            number=number,
            match=if_match(request),
            **given.validated_data,
        )
        return _shown(request, reads.comment(post_number, number))


class CommentDeleteView(View):
    """`DELETE posts/<id>/comments/delete/<id>/` → 204."""

    def delete(self, request: Request, post_number: int, number: int) -> Response:
        actions.delete_comment(actor=actor_of(request), post_number=post_number, number=number, match=if_match(request))
        return Response(status=204)


def _shown(request: Request, one: reads.Shown, status: int = 200) -> Response:
    return answer(request, one.fields, one.version, status=status)
