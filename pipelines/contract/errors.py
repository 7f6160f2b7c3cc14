"""Every error a person can meet, as one tree.

    AtelierError            a code for programs, a sentence for people
    ├── BadInput            the request cannot be done as asked; nothing was run
    ├── Cancelled           a person pressed Cancel; raised between two denoising steps
    ├── ModelUnavailable    a checkpoint cannot be used
    │   ├── ModelMissing    it is not on this machine
    │   ├── ModelGated      its licence has not been accepted, or the Hub token is missing
    │   └── UnsafeModel     it holds pickles or code of its own, which are never run
    ├── DeviceMissing       the configuration names a device that this machine lacks
    ├── CardLost            the card answers this process no more; only another process helps
    ├── OutOfMemory         the card cannot hold this job
    ├── Withheld            a picture shows what is not allowed
    ├── RenderFailed        a pipeline raised something unexpected, or made no picture; the log says
    └── TooLarge            no version of the result is small enough to be sent

`bot.errors` continues the tree for configuration, limits and delivery.
"""

from collections.abc import Iterator
from typing import Any, ClassVar, Self

from pipelines.contract.text import Text


class AtelierError(Exception):
    """An error that a person may read: `code` never changes, `text` says what to do.

    It is given as a Text, or as a sentence with names in braces and their values.
    """

    code: ClassVar[str] = "error"

    def __init__(self, sentence: str | Text, /, **values: Any) -> None:
        self.text = sentence if isinstance(sentence, Text) else Text(sentence, **values)
        super().__init__(self.sentence)

    @property
    def sentence(self) -> str:
        """What `text` says, in English."""
        return str(self.text)


class BadInput(AtelierError):
    """The request cannot be done as asked. Raised before any GPU time is spent."""

    code = "bad_input"


class Cancelled(AtelierError):
    """A person cancelled the job. Raised by `RunContext.step` on the GPU thread."""

    code = "cancelled"

    def __init__(self) -> None:
        super().__init__(Text("This job was cancelled."))


class ModelUnavailable(AtelierError):
    """A checkpoint that the catalogue names cannot be used."""

    code = "model_unavailable"


class ModelMissing(ModelUnavailable):
    """The checkpoint is not on this machine."""

    code = "model_missing"


class ModelGated(ModelUnavailable):
    """The Hub refuses the checkpoint until its licence is accepted."""

    code = "model_gated"


class UnsafeModel(ModelUnavailable):
    """The checkpoint has no safetensors, or wants to run code of its own."""

    code = "unsafe_model"


class DeviceMissing(AtelierError):
    """The configuration names a device that this machine lacks."""

    code = "device_missing"


class CardLost(AtelierError):
    """An error on the card, or of its driver, after which it refuses all that this process asks."""

    code = "card_lost"

    @classmethod
    def named(cls, card: str) -> Self:
        """For the terminal, and so in English: no member is told, for their job is run again."""
        return cls(
            "{card} stopped working for this process, which has to be started again. The log has "
            "the error; the system's (`journalctl --dmesg`, lines with NVRM or Xid) may say why.",
            card=card,
        )


class OutOfMemory(AtelierError):
    """The card ran out of memory for this job."""

    code = "out_of_memory"


class Withheld(AtelierError):
    """A picture shows what is not allowed here."""

    code = "withheld"


class RenderFailed(AtelierError):
    """A pipeline raised something that nobody foresaw, or what it made is no picture."""

    code = "render_failed"


class TooLarge(AtelierError):
    """No version of the result, however reduced, fits what the channel takes."""

    code = "too_large"


def causes(error: BaseException) -> Iterator[BaseException]:
    """An error, what it came from, what that came from, and so on."""
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__ or link.__context__
