from django.http import HttpResponse
from django.urls import path
from project.blog.models import Article


def create(request):
    return HttpResponse(Article.objects.create(title="by a request").pk)


async def acreate(request):
    article = await Article.objects.acreate(title="by an asynchronous request")
    return HttpResponse(article.pk)


urlpatterns = [path("create/", create), path("acreate/", acreate)]
