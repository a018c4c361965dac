"""The feed: objects are named by their id or their number."""

from django.urls import re_path

from backend.entities.history import EntityHistoryView
from lockstep.feed.views import ChangeListView, history_of

MODEL = r"(?P<model>[a-z_]+\.[a-z_]+)"
OBJECT = r"(?P<object_id>[0-9]{1,18}|[0-9a-fA-F-]{36})"
SUMMARY = "Lists the changes of a {}, newest first: who, when, and the values before and after."

product_history = history_of(
    "shop.product", operation_id="list_product_history", summary=SUMMARY.format("product"), view=EntityHistoryView
)
defect_history = history_of(
    "defects.defect", operation_id="list_defect_history", summary=SUMMARY.format("defect"), view=EntityHistoryView
)

urlpatterns = [
    re_path(r"^changes/?$", ChangeListView.as_view()),
    re_path(rf"^products/{OBJECT}/history/?$", product_history),
    re_path(rf"^defects/{OBJECT}/history/?$", defect_history),
    re_path(rf"^history/{MODEL}/{OBJECT}/?$", EntityHistoryView.as_view()),
]
