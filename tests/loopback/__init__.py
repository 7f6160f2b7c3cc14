"""A small Discord of our own on 127.0.0.1: gateway, REST, multipart and CDN.

An unmodified discord.py talks to it over real sockets. It keeps the rules that Discord keeps and
discord.py does not, and breaks where a test tells it to.
"""

from tests.loopback.faults import ALWAYS, Cut, Gate
from tests.loopback.member import Member, Upload
from tests.loopback.model import ORDINARY, Channel, Interaction, Message
from tests.loopback.pointing import point_discord_at
from tests.loopback.server import TOKEN, LoopbackDiscord

__all__ = [
    "ALWAYS",
    "ORDINARY",
    "TOKEN",
    "Channel",
    "Cut",
    "Gate",
    "Interaction",
    "LoopbackDiscord",
    "Member",
    "Message",
    "Upload",
    "point_discord_at",
]
