"""Messages as they are written and edited: files kept, added and shown, rules held."""

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.loopback.body import Body
from tests.loopback.model import Channel, Clock, Message, Snowflakes, StoredFile, User
from tests.loopback.problems import invalid, unknown_message
from tests.loopback.rules import (
    COMPONENTS_V2,
    EPHEMERAL,
    LOADING,
    Json,
    check_message,
    media_of,
    walk,
)

KEPT_FLAGS = EPHEMERAL | COMPONENTS_V2


@dataclass(eq=False)
class Messages:
    """All messages, and every file there ever was. `base` is where the CDN answers."""

    clock: Clock
    ids: Snowflakes
    base: Callable[[], str]
    all: dict[int, Message] = field(default_factory=dict)
    cdn: dict[int, StoredFile] = field(default_factory=dict)

    def get(self, message_id: int, channel_id: int | None = None) -> Message:
        """A message that stands. Raises 10008."""
        message = self.all.get(message_id)
        if message is None or message.deleted or channel_id not in (None, message.channel.id):
            raise unknown_message()
        return message

    def upload(
        self, channel_id: int, name: str, data: bytes, claimed: int | None = None
    ) -> StoredFile:
        """Put a file on the CDN."""
        file_id = self.ids.new()
        url = f"{self.base()}/attachments/{channel_id}/{file_id}/{name}"
        self.cdn[file_id] = file = StoredFile(file_id, name, url, data, claimed)
        return file

    def thinking(self, channel: Channel, author: User, *, ephemeral: bool) -> Message:
        """What a deferred answer shows until it is edited."""
        flags = LOADING | (EPHEMERAL if ephemeral else 0)
        return self._keep(Message(self.ids.new(), channel, author, flags=flags))

    def sent(self, channel: Channel, author: User, files: list[StoredFile]) -> Message:
        """What a member posted."""
        return self._keep(Message(self.ids.new(), channel, author, files=files))

    def write(
        self, channel: Channel, author: User, body: Body, *, ephemeral: bool = False
    ) -> Message:
        """A new message, or the one that the same nonce already wrote."""
        nonce = body.payload.get("nonce")
        if nonce is not None and body.payload.get("enforce_nonce"):
            if len(str(nonce)) > 25:
                raise invalid("nonce", "NONCE_TYPE_TOO_LONG", "25 or fewer")
            for old in self.all.values():
                if old.nonce == nonce and old.author == author and old.channel is channel:
                    return old
        message = Message(self.ids.new(), channel, author, nonce=nonce)
        reference = body.payload.get("message_reference")
        if reference is not None:
            message.reply_to = self._reference(channel, reference)
        self._apply(message, body, body.payload.get("flags", 0) | (EPHEMERAL if ephemeral else 0))
        return self._keep(message)

    def edit(self, message: Message, body: Body) -> Message:
        """Change what the body names, and leave the rest."""
        flags = message.flags & KEPT_FLAGS | body.payload.get("flags", 0) & COMPONENTS_V2
        self._apply(message, body, flags)
        message.edited_at = self.clock.now()
        message.keep_version(message.edited_at)
        return message

    def delete(self, message: Message) -> None:
        message.deleted = True

    def _reference(self, channel: Channel, reference: Json) -> int | None:
        target = self.all.get(int(reference["message_id"]))
        if target is not None and not target.deleted and target.channel is channel:
            return target.id
        if reference.get("fail_if_not_exists", True):
            raise invalid(
                "message_reference", "MESSAGE_REFERENCE_UNKNOWN_MESSAGE", "Unknown message"
            )
        return None

    def _apply(self, message: Message, body: Body, flags: int) -> None:
        """Set what `body` says on `message`, or raise and leave it as it was."""
        payload = body.payload
        content = payload.get("content", message.content) or ""
        embeds = payload.get("embeds", message.embeds) or []
        components = payload.get("components", message.components) or []
        files = self._files(message, body)
        names = {f.filename for f in files}
        check_message(
            content=content, embeds=embeds, components=components, flags=flags, files=names
        )
        message.content, message.embeds, message.components = content, embeds, components
        message.files, message.flags = files, flags
        message.allowed_mentions = payload.get("allowed_mentions", message.allowed_mentions)
        self._resolve(message)

    def _files(self, message: Message, body: Body) -> list[StoredFile]:
        """The files a message has after this: those that `attachments` lists, kept and new."""
        if len(body.files) > 10:
            raise invalid("files", "BASE_TYPE_MAX_LENGTH", "10 or fewer")
        listed = body.payload.get("attachments")
        if listed is None:
            listed = [f.payload() for f in message.files] + [{"id": n} for n in body.files]
        kept = {f.id: f for f in message.files}
        files = []
        for number, entry in enumerate(listed):
            file_id = int(entry["id"])
            if file_id in kept:
                files.append(kept[file_id])
            elif file_id in body.files:
                sent = body.files[file_id]
                name = entry.get("filename") or sent.filename
                files.append(self.upload(message.channel.id, name, sent.data))
            else:
                raise invalid(f"attachments[{number}].id", "ATTACHMENT_NOT_FOUND", str(file_id))
        return files

    def _resolve(self, message: Message) -> None:
        """Number the components, and give every `attachment://` the file's address."""
        for number, component in enumerate(walk(message.components), start=1):
            component.setdefault("id", number)
        for media in media_of(message.components):
            name = media["url"].removeprefix("attachment://")
            file = message.file(name) if name != media["url"] else None
            if file is not None:
                media.update(url=file.url, proxy_url=file.url, attachment_id=str(file.id))

    def _keep(self, message: Message) -> Message:
        message.created_at = self.clock.now()
        message.keep_version(message.created_at)
        self.all[message.id] = message
        return message
