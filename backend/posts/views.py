"""Views of the frozen routes of posts and comments, below `fakeapi/v1/`."""

from functools import partial

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from backend.posts import actions, reads
from backend.posts.serializers import CommentSerializer, PostSerializer
from lockstep.rest import fastpath
from lockstep.rest.actors import actor_of
from lockstep.rest.concurrency import if_match, object_response
from lockstep.rest.paging import array_page, parse_page_params
from lockstep.rest.requests import ApiRequest
from lockstep.rest.responses import ApiResponse, etag
from lockstep.rest.schema import ARRAY_PAGE, CHANGES_VERSION, CREATES_VERSION, DELETES_VERSION, READS_VERSION
from lockstep.rest.serializers import validated
from lockstep.rest.views import View


class PostListView(View):
    """Lists all posts, by number."""

    @fastpath.bundles(lambda request: reads.posts(parse_page_params(request)))
    @extend_schema(operation_id="list_posts", parameters=ARRAY_PAGE, responses=PostSerializer(many=True))
    def get(self, request: ApiRequest) -> ApiResponse:
        params = parse_page_params(request)
        return array_page(request, params, fastpath.fetch(request, reads.posts(params)), reads.number_of_posts)


class PostCreateView(View):
    """Creates a post; its `userId` is 99999942."""

    @extend_schema(
        operation_id="create_post", parameters=CREATES_VERSION, request=PostSerializer, responses={201: PostSerializer}
    )
    def post(self, request: Request) -> ApiResponse:
        values = validated(PostSerializer, request.data)
        post = actions.create_post(actor=actor_of(request), **values)
        return ApiResponse(PostSerializer.represent(post), status=201, headers={"ETag": etag(post.version)})


class PostReadView(View):
    """Returns a post."""

    @fastpath.bundles(lambda _, number: reads.post(number))
    @extend_schema(operation_id="get_post", parameters=READS_VERSION, responses=PostSerializer)
    def get(self, request: ApiRequest, number: str) -> ApiResponse:
        return _post(request, number)


class PostUpdateView(View):
    """Replaces a post's title and body."""

    @extend_schema(
        operation_id="update_post", parameters=CHANGES_VERSION, request=PostSerializer, responses=PostSerializer
    )
    def put(self, request: Request, number: str) -> ApiResponse:
        values = validated(PostSerializer, request.data)
        actions.update_post(actor=actor_of(request), number=number, match=if_match(request), **values)
        return _post(request, number)


class PostDeleteView(View):
    """Deletes a post and its comments."""

    @extend_schema(operation_id="delete_post", parameters=DELETES_VERSION, responses={204: None})
    def delete(self, request: Request, number: str) -> ApiResponse:
        actions.delete_post(actor=actor_of(request), number=number, match=if_match(request))
        return ApiResponse(status=204)


class CommentListView(View):
    """Lists the comments on a post, by number."""

    @fastpath.bundles(lambda request, post_number: reads.comments(post_number, parse_page_params(request)))
    @extend_schema(operation_id="list_comments", parameters=ARRAY_PAGE, responses=CommentSerializer(many=True))
    def get(self, request: ApiRequest, post_number: str) -> ApiResponse:
        params = parse_page_params(request)
        row = fastpath.fetch(request, reads.comments(post_number, params))
        count = partial(reads.number_of_comments, post_number)
        return array_page(request, params, row, count, missing=f"There is no post {post_number}.")


class CommentCreateView(View):
    """Creates a comment on a post."""

    @extend_schema(
        operation_id="create_comment",
        parameters=CREATES_VERSION,
        request=CommentSerializer,
        responses={201: CommentSerializer},
    )
    def post(self, request: Request, post_number: str) -> ApiResponse:
        values = validated(CommentSerializer, request.data)
        comment = actions.create_comment(actor=actor_of(request), post_number=post_number, **values)
        return ApiResponse(CommentSerializer.represent(comment), status=201, headers={"ETag": etag(comment.version)})


class CommentReadView(View):
    """Returns a comment on a post."""

    @fastpath.bundles(lambda _, post_number, number: reads.comment(post_number, number))
    @extend_schema(operation_id="get_comment", parameters=READS_VERSION, responses=CommentSerializer)
    def get(self, request: ApiRequest, post_number: str, number: str) -> ApiResponse:
        return _comment(request, post_number, number)


class CommentUpdateView(View):
    """Replaces a comment's name, email and body."""

    @extend_schema(
        operation_id="update_comment",
        parameters=CHANGES_VERSION,
        request=CommentSerializer,
        responses=CommentSerializer,
    )
    def put(self, request: Request, post_number: str, number: str) -> ApiResponse:
        values = validated(CommentSerializer, request.data)
        actions.update_comment(
            actor=actor_of(request),
            post_number=post_number,
            number=number,
            match=if_match(request),
            **values,
        )
        return _comment(request, post_number, number)


class CommentDeleteView(View):
    """Deletes a comment."""

    @extend_schema(operation_id="delete_comment", parameters=DELETES_VERSION, responses={204: None})
    def delete(self, request: Request, post_number: str, number: str) -> ApiResponse:
        actions.delete_comment(actor=actor_of(request), post_number=post_number, number=number, match=if_match(request))
        return ApiResponse(status=204)


def _post(request: Request, number: str) -> ApiResponse:
    row = fastpath.fetch(request, reads.post(number))
    return object_response(request, row, f"There is no post {number}.")


def _comment(request: Request, post_number: str, number: str) -> ApiResponse:
    row = fastpath.fetch(request, reads.comment(post_number, number))
    return object_response(request, row, f"There is no comment {number} on post {post_number}.")
