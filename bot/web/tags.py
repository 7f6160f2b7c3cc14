"""Answers that a reader may have already."""

from aiohttp import ETag, web


def is_known(request: web.Request, answer: web.Response, tag: str) -> bool:
    """Give `answer` its tag; to who has it already it says so (304), and needs no body.

    A proxy that compresses what passes it makes weak tags of ours: W/"…" is known as well.
    """
    answer.etag = ETag(tag)
    if all(known.value != tag for known in request.if_none_match or ()):
        return False
    answer.set_status(304)
    return True
