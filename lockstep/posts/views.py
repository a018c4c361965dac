"""The frozen routes of posts and comments, below `fakeapi/v1/`. Views parse, call one action, respond."""

from functools import partial

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from lockstep.api.answers import Answer
from lockstep.api.concurrency import Shown, answer, if_match
from lockstep.api.paging import Stretch, array_page, stretch_of
from lockstep.api.requests import Asking, actor_of
from lockstep.api.schema import ARRAY_PAGE, CHANGES_VERSION, CREATES_VERSION, DELETES_VERSION, READS_VERSION
from lockstep.api.statements import Reading
from lockstep.api.views import View
from lockstep.posts import actions, reads
from lockstep.posts.serializers import CommentSerializer, PostSerializer


class PostListView(View):
    """Lists all posts, by number."""

    _stretch: Stretch

    def reading(self, request: Asking) -> Reading:
        self._stretch = stretch_of(request)
        return reads.posts(self._stretch)

    @extend_schema(operation_id="list_posts", parameters=ARRAY_PAGE, responses=PostSerializer(many=True))
    def get(self, request: Asking) -> Answer:
        return array_page(request, self._stretch, reads.number_of_posts)


class PostCreateView(View):
    """Creates a post; its `userId` is 99999942."""

    @extend_schema(
        operation_id="create_post", parameters=CREATES_VERSION, request=PostSerializer, responses={201: PostSerializer}
    )
    def post(self, request: Request) -> Answer:
        given = PostSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        post = actions.create_post(actor=actor_of(request), **given.validated_data)
        return _shown(request, reads.shown(reads.post(post.number)), status=201)


class PostReadView(View):
    """Returns a post."""

    def reading(self, request: Asking) -> Reading:
        return reads.post(self.kwargs["number"])

    @extend_schema(operation_id="get_post", parameters=READS_VERSION, responses=PostSerializer)
    def get(self, request: Asking, number: int) -> Answer:
        return _shown(request, reads.as_shown(request.found, reads.post(number)))


class PostUpdateView(View):
    """Replaces a post's title and body."""

    @extend_schema(
        operation_id="update_post", parameters=CHANGES_VERSION, request=PostSerializer, responses=PostSerializer
    )
    def put(self, request: Request, number: int) -> Answer:
        given = PostSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        actions.update_post(actor=actor_of(request), number=number, match=if_match(request), **given.validated_data)
        return _shown(request, reads.shown(reads.post(number)))


class PostDeleteView(View):
    """Deletes a post and its comments."""

    @extend_schema(operation_id="delete_post", parameters=DELETES_VERSION, responses={204: None})
    def delete(self, request: Request, number: int) -> Answer:
        actions.delete_post(actor=actor_of(request), number=number, match=if_match(request))
        return Answer(status=204)


class CommentListView(View):
    """Lists the comments on a post, by number."""

    _stretch: Stretch

    def reading(self, request: Asking) -> Reading:
        self._stretch = stretch_of(request)
        return reads.comments(self.kwargs["post_number"], self._stretch)

    @extend_schema(operation_id="list_comments", parameters=ARRAY_PAGE, responses=CommentSerializer(many=True))
    def get(self, request: Asking, post_number: int) -> Answer:
        count = partial(reads.number_of_comments, post_number)
        return array_page(request, self._stretch, count, f"There is no post {post_number}.")


class CommentCreateView(View):
    """Creates a comment on a post."""

    @extend_schema(
        operation_id="create_comment",
        parameters=CREATES_VERSION,
        request=CommentSerializer,
        responses={201: CommentSerializer},
    )
    def post(self, request: Request, post_number: int) -> Answer:
        given = CommentSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        comment = actions.create_comment(actor=actor_of(request), post_number=post_number, **given.validated_data)
        return _shown(request, reads.shown(reads.comment(post_number, comment.number)), status=201)


class CommentReadView(View):
    """Returns a comment on a post."""

    def reading(self, request: Asking) -> Reading:
        return reads.comment(self.kwargs["post_number"], self.kwargs["number"])

    @extend_schema(operation_id="get_comment", parameters=READS_VERSION, responses=CommentSerializer)
    def get(self, request: Asking, post_number: int, number: int) -> Answer:
        return _shown(request, reads.as_shown(request.found, reads.comment(post_number, number)))


class CommentUpdateView(View):
    """Replaces a comment's name, email and body."""

    @extend_schema(
        operation_id="update_comment",
        parameters=CHANGES_VERSION,
        request=CommentSerializer,
        responses=CommentSerializer,
    )
    def put(self, request: Request, post_number: int, number: int) -> Answer:
        given = CommentSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        actions.update_comment(
            actor=actor_of(request),
            post_number=post_number,
            number=number,
            match=if_match(request),
            **given.validated_data,
        )
        return _shown(request, reads.shown(reads.comment(post_number, number)))


class CommentDeleteView(View):
    """Deletes a comment."""

    @extend_schema(operation_id="delete_comment", parameters=DELETES_VERSION, responses={204: None})
    def delete(self, request: Request, post_number: int, number: int) -> Answer:
        actions.delete_comment(actor=actor_of(request), post_number=post_number, number=number, match=if_match(request))
        return Answer(status=204)


def _shown(request: Request, one: Shown, status: int = 200) -> Answer:
    return answer(request, one.body, one.version, status=status)
