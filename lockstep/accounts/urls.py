from django.urls import re_path

from lockstep.accounts.views import AuthView

urlpatterns = [re_path(r"^auth/?$", AuthView.as_view(), name="auth")]
