"""django_app.py - Django in one file: SECURE_PROXY_SSL_HEADER for the scheme, a middleware for the address."""

import hashlib
import os
import time

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import path, re_path
from django.views.decorators.csrf import csrf_exempt

settings.configure(
    ROOT_URLCONF=__name__, SECRET_KEY="of tests only", ALLOWED_HOSTS=["www.example.com", "127.0.0.1", "localhost"],
    MIDDLEWARE=[__name__ + ".behind_sluice"], SECURE_PROXY_SSL_HEADER=("HTTP_X_FORWARDED_PROTO", "https"))


def behind_sluice(get_response):
    """Only sluice can connect: the last address is the one that it saw."""
    def middleware(request):
        if "HTTP_X_FORWARDED_FOR" in request.META:
            request.META["REMOTE_ADDR"] = request.META["HTTP_X_FORWARDED_FOR"].split(",")[-1].strip()
        response = get_response(request)
        response["X-Instance"] = os.environ.get("APP_NAME", "")
        return response
    return middleware


def who(request):
    return HttpResponse("client=%s\nscheme=%s\nhost=%s\n" % (request.META["REMOTE_ADDR"], request.scheme, request.get_host()))


@csrf_exempt
def upload(request):
    n, digest = 0, hashlib.md5()
    while data := request.read(65536):
        n += len(data)
        digest.update(data)
    return HttpResponse("bytes=%d\nmd5=%s\n" % (n, digest.hexdigest()))


def big(request):
    return StreamingHttpResponse(bytes([97 + i % 26]) * 65536 for i in range(int(request.GET["n"])))


def events(request):
    gate = request.GET["gate"]

    def produce():
        for i in (1, 2, 3):
            yield "id: %d\ndata: event %d\n\n" % (i, i)
            while i < 3 and not os.path.exists("%s.%d" % (gate, i)):
                time.sleep(0.01)
    return StreamingHttpResponse(produce(), content_type="text/event-stream")


def healthz(request):
    return HttpResponse("healthy")


urlpatterns = [path("upload", upload), path("big", big), path("events", events), path("healthz", healthz), re_path("", who)]
django.setup()
application = get_wsgi_application()
