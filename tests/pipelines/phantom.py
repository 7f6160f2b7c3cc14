"""A CUDA card that is not there: its memory is RAM, and what it computes the processor computes.

    with card(monkeypatch) as bus:
        runner = Runner(catalog, device="cuda:0")

Tensors on it say that they are on `cuda:0`, and refuse to be computed with those that are not. What
crosses the bus is counted, and so is whatever has the processor wait for the card. So the way of a
picture over a card can be followed without one; how quick it is, and what kernels do, cannot.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch
from diffusers import EulerDiscreteScheduler
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from pipelines import adapting, shelf
from pipelines.plan import GIB
from pipelines.weights import Weights

CPU, META = torch.device("cpu"), torch.device("meta")
CARD = torch.device("cuda", 0)
_aten = torch.ops.aten
_of_c: Any = torch._C.TensorBase.data


class Placed(Tensor):
    """A tensor that knows where it is; `content` is what it holds, in RAM in any case.

    To C++ it is on `meta`, so that no operation passes by the bus.
    """

    content: Tensor
    place: torch.device
    bus: ClassVar["Bus"]

    @staticmethod
    def __new__(cls, content: Tensor, place: torch.device, inference: bool = False) -> "Placed":
        with torch.inference_mode(inference or content.is_inference()):
            held: Placed = Tensor._make_wrapper_subclass(
                cls,
                content.size(),
                strides=content.stride(),
                storage_offset=content.storage_offset(),
                dtype=content.dtype,
                layout=content.layout,
                device=META,
            )
        held.content, held.place = content, place
        return held

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        raise AssertionError(f"{func} of a tensor whose card is gone")

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return self.place

    @property
    def is_cuda(self) -> bool:  # type: ignore[override]
        return self.place.type == "cuda"

    def __getitem__(self, index: Any) -> Tensor:
        parts = index if isinstance(index, tuple) else (index,)
        if self.is_cuda and any(map(_is_gathered, parts)):
            self.bus.waits.append("indexing")
        return Placed(self.content[_contents(index)], self.place)

    def __setitem__(self, index: Any, value: Any) -> None:
        self.content[_contents(index)] = _contents(value)

    def tolist(self) -> Any:
        return self.cpu().tolist()

    @property
    def data(self) -> Tensor:
        return Placed(self.content, self.place)

    @data.setter
    def data(self, value: Tensor) -> None:
        new = Placed(_content(value), value.device, self.is_inference())  # or C++ refuses it
        _of_c.__set__(self, new)
        self.content, self.place = new.content, new.place


class Bus(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Between RAM and the card, while it is entered.

    `sent` are the bytes of each copy to the card, `fetched` of each from it; `waits` names what had
    the processor wait until the card had done all that it was given.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.sent: list[int] = []
        self.fetched: list[int] = []
        self.waits: list[str] = []
        self.paces = 0  # waits for an event
        self._pinned: set[int] = set()

    def clear(self) -> None:
        """Count from here."""
        self.sent.clear()
        self.fetched.clear()
        self.waits.clear()
        self.paces = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func.overloadpacket in _WHOLE:
            with self:
                return func.decompose(*args, **kwargs)
        tensors = list(_tensors((*args, *kwargs.values())))
        if func is _aten.record_stream.default:
            return None
        if func is _aten._has_compatible_shallow_copy_type.default:
            return True  # memory on the card may take the place of memory in RAM
        if func in (_aten.is_pinned.default, _aten._pin_memory.default):
            return self._pin(func, _content(tensors[0]))
        asked = kwargs.get("device")
        pinned = kwargs.pop("pin_memory", None)
        where = self._where(func, tensors, asked, not _asynchronous(func, args, kwargs))
        if where == CARD and asked is not None:
            kwargs["device"] = CPU
        made = func(*_contents(args), **{name: _contents(given) for name, given in kwargs.items()})
        if pinned:
            self._pinned.add(made.untyped_storage().data_ptr())
        owners = {id(_content(tensor)): tensor for tensor in tensors}
        stays = func in (_aten.detach.default, _aten.alias.default)  # a parameter is made by these
        held = where == CARD or (stays and isinstance(tensors[0], Placed))

        def back(tensor: Tensor) -> Tensor:
            if id(tensor) in owners:
                return owners[id(tensor)]
            return Placed(tensor, where) if held else tensor

        return _each(back, made)

    def _pin(self, func: Any, tensor: Tensor) -> Any:
        if func is _aten.is_pinned.default:
            return tensor.untyped_storage().data_ptr() in self._pinned
        copy = tensor.clone()
        self._pinned.add(copy.untyped_storage().data_ptr())
        return copy

    def _where(
        self, func: Any, tensors: list[Tensor], asked: torch.device | None, blocking: bool
    ) -> torch.device:
        """Where the outcome is. Raises as CUDA does where tensors are in different places."""
        if func is _aten.copy_.default:
            target, source = tensors
            self._cross(func, source, target.device, blocking)
            return target.device
        if func is _aten._to_copy.default:
            target_device = asked or tensors[0].device
            self._cross(func, tensors[0], target_device, blocking)
            return CARD if target_device.type == "cuda" else target_device
        if asked is not None:
            return CARD if asked.type == "cuda" else asked
        places = {tensor.device for tensor in tensors}
        if CARD not in places:
            return next(iter(places), CPU)
        strangers = [tensor for tensor in tensors if tensor.device != CARD and tensor.ndim]
        if strangers and func not in _INDEXING:
            raise RuntimeError(
                f"Expected all tensors to be on the same device, but {func} was given "
                f"{', '.join(f'{tuple(t.shape)} on {t.device}' for t in tensors)}"
            )
        masked = any(tensor.dtype is torch.bool for tensor in tensors[1:])
        if func in _WAITING or (func in _INDEXING and (strangers or masked)):
            self.waits.append(str(func))
        return CARD

    def _cross(self, func: Any, source: Tensor, target: torch.device, blocking: bool) -> None:
        """Count a copy, if it is one over the bus."""
        if (source.device == CARD) == (target.type == "cuda"):
            return
        size = source.numel() * source.element_size()
        (self.fetched if source.device == CARD else self.sent).append(size)
        into_what_is_there = source.device == CARD and func is _aten.copy_.default
        if into_what_is_there or (blocking and (source.device == CARD or source.ndim)):
            self.waits.append(f"{func} of {tuple(source.shape)} to {target}")


_WHOLE = (_aten.to, _aten.item, _aten.is_nonzero, _aten.pin_memory, _aten.type_as)
"""In inference mode these come as a whole; what they are made of crosses the bus."""
_INDEXING = (_aten.index.Tensor, _aten.index_put_.default, _aten._index_put_impl_.default)
_WAITING = (
    _aten._local_scalar_dense.default,
    _aten.equal.default,
    _aten.masked_select.default,
    _aten.nonzero.default,
    _aten.repeat_interleave.Tensor,
)


def _asynchronous(func: Any, args: Any, kwargs: Any) -> bool:
    if func is _aten.copy_.default:
        return bool(args[2] if len(args) > 2 else kwargs.get("non_blocking", False))
    return bool(kwargs.get("non_blocking", False))


def _content(tensor: Tensor) -> Tensor:
    return tensor.content if isinstance(tensor, Placed) else tensor


def _is_gathered(index: Any) -> bool:
    """Whether the card has to be told, or to tell, which elements are meant."""
    if isinstance(index, Tensor):
        return index.dtype is torch.bool or index.device != CARD
    return isinstance(index, list)


def _tensors(given: Iterable[Any]) -> Iterator[Tensor]:
    """Those in what an operation is given. torch's own pytree would take longer than models do."""
    for each in given:
        if isinstance(each, Tensor):
            yield each
        elif isinstance(each, list | tuple):
            yield from _tensors(each)


def _each(do: Callable[[Tensor], Tensor], given: Any) -> Any:
    """What an operation is given or makes, with something done to its tensors."""
    if isinstance(given, Tensor):
        return do(given)
    return type(given)(_each(do, e) for e in given) if isinstance(given, list | tuple) else given


def _contents(given: Any) -> Any:
    return _each(_content, given)


class _Weights(Weights):
    """Weights that can go to the card."""

    def __init__(
        self,
        modules: Iterable[nn.Module],
        device: torch.device,
        *,
        streamed: Iterable[nn.Module] = (),
    ) -> None:
        visiting, staying = list(modules), list(streamed)
        for module in visiting + staying:
            hold(module)
        super().__init__(visiting, device, streamed=staying)


def hold(module: nn.Module) -> None:
    """Let the weights of a module be tensors that know where they are."""
    known: dict[int, Tensor] = {}
    for part in module.modules():
        for tensors in (part._parameters, part._buffers):
            for name, tensor in tensors.items():
                if tensor is None:
                    continue
                if id(tensor) not in known:
                    held: Tensor = Placed(tensor.data, CPU)
                    if isinstance(tensor, nn.Parameter):
                        held = nn.Parameter(held, requires_grad=False)
                    known[id(tensor)] = held
                tensors[name] = known[id(tensor)]  # type: ignore[assignment]


_set = EulerDiscreteScheduler.set_timesteps


def _set_timesteps(scheduler: Any, *args: Any, device: Any = None, **kwargs: Any) -> None:
    """C++ would read a list of numbers that are on the card, and pass by the bus."""
    _set(scheduler, *args, device="cpu", **kwargs)
    scheduler.timesteps = scheduler.timesteps.to(device)


class _Event:
    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def record(self, stream: Any = None) -> None:
        pass

    def wait(self, stream: Any = None) -> None:
        pass

    def query(self) -> bool:
        return True

    def synchronize(self) -> None:
        self._bus.paces += 1


class _Stream:
    """All that it is given is done at once, in order."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.device = CARD

    def wait_stream(self, stream: Any) -> None:
        pass

    def wait_event(self, event: Any) -> None:
        pass

    def synchronize(self) -> None:
        pass

    def __enter__(self) -> "_Stream":
        return self

    def __exit__(self, *_: object) -> None:
        pass


@contextmanager
def card(patch: pytest.MonkeyPatch, gib: float = 80) -> Iterator[Bus]:
    """A card of so much memory is the only one of this machine until the block ends."""
    bus = Bus()
    stream = _Stream()
    said: dict[str, Any] = {
        "_lazy_init": lambda: None,
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "set_device": lambda device: None,
        "device": lambda device: nullcontext(),
        "get_arch_list": lambda: ["sm_90"],
        "get_device_name": lambda device=None: "a phantom card",
        "get_device_capability": lambda device=None: (9, 0),
        "get_device_properties": lambda device=None: SimpleNamespace(total_memory=gib * GIB),
        "empty_cache": lambda: None,
        "synchronize": lambda device=None: bus.waits.append("synchronize"),
        "current_stream": lambda device=None: stream,
        "default_stream": lambda device=None: stream,
        "stream": lambda stream: nullcontext(),
        "Stream": _Stream,
        "Event": lambda **_: _Event(bus),
    }
    for name, value in said.items():
        patch.setattr(torch.cuda, name, value)
    patch.setattr(torch.version, "cuda", "13.0")
    patch.setattr(torch.accelerator, "current_accelerator", lambda *_, **__: torch.device("cuda"))
    patch.setattr(torch.accelerator, "empty_host_cache", lambda: None, raising=False)
    patch.setattr(Placed, "bus", bus, raising=False)
    for room in (shelf, adapting):
        patch.setattr(room, "Weights", _Weights)
    patch.setattr(EulerDiscreteScheduler, "set_timesteps", _set_timesteps)
    torch._C._ensureCUDADeviceGuardSet()  # a build without CUDA may speak of its devices
    lifts = torch._C._only_lift_cpu_tensors()
    torch._C._set_only_lift_cpu_tensors(True)  # else torch.tensor(…, device=…) passes by the bus
    try:
        with bus:
            yield bus
    finally:
        torch._C._set_only_lift_cpu_tensors(lifts)
