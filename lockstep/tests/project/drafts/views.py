"""A project's own views, with the conventions of lockstep.rest."""

from django.db.models import F
from project.drafts.models import Draft
from rest_framework.permissions import IsAuthenticated

from lockstep.changes.attribution import attributed_transaction
from lockstep.rest import fields
from lockstep.rest.actors import actor_of
from lockstep.rest.concurrency import answer, if_match, lock
from lockstep.rest.errors import NotFound
from lockstep.rest.responses import ApiResponse, etag
from lockstep.rest.serializers import StrictSerializer, validated
from lockstep.rest.views import View


class DraftSerializer(StrictSerializer):
    text = fields.Text(max_length=200)


def represent(draft: Draft) -> dict[str, object]:
    return {"id": draft.pk, "text": draft.text, "state": draft.state}


class DraftListView(View):
    permission_classes = (IsAuthenticated,)

    def post(self, request):
        values = validated(DraftSerializer, request.data)
        with attributed_transaction(actor=actor_of(request)):
            draft = Draft.objects.create(owner=request.user, **values)
        return ApiResponse(represent(draft), status=201, headers={"ETag": etag(draft.version)})


class DraftView(View):
    permission_classes = (IsAuthenticated,)

    def get(self, request, pk):
        draft = Draft.objects.filter(pk=pk, owner=request.user).first()
        if draft is None:
            raise NotFound("You have no such draft.")
        return answer(request, represent(draft), draft.version)

    def put(self, request, pk):
        values = validated(DraftSerializer, request.data)
        with attributed_transaction(actor=actor_of(request)):
            draft = lock(Draft.objects.filter(owner=request.user), if_match(request), pk=pk)
            Draft.objects.filter(pk=pk).update(version=F("version") + 1, **values)
            draft.refresh_from_db()
        return answer(request, represent(draft), draft.version)
