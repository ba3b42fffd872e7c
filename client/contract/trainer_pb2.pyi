from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    KIND_UNSPECIFIED: _ClassVar[Kind]
    KIND_DESCRIBE: _ClassVar[Kind]
    KIND_TRAIN: _ClassVar[Kind]
    KIND_EVALUATE: _ClassVar[Kind]
KIND_UNSPECIFIED: Kind
KIND_DESCRIBE: Kind
KIND_TRAIN: Kind
KIND_EVALUATE: Kind

class Chunk(_message.Message):
    __slots__ = ("request", "reply", "part")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    REPLY_FIELD_NUMBER: _ClassVar[int]
    PART_FIELD_NUMBER: _ClassVar[int]
    request: RequestHead
    reply: ReplyHead
    part: bytes
    def __init__(self, request: _Optional[_Union[RequestHead, _Mapping]] = ..., reply: _Optional[_Union[ReplyHead, _Mapping]] = ..., part: _Optional[bytes] = ...) -> None: ...

class Scalar(_message.Message):
    __slots__ = ("whole", "number", "text", "truth")
    WHOLE_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TRUTH_FIELD_NUMBER: _ClassVar[int]
    whole: int
    number: float
    text: str
    truth: bool
    def __init__(self, whole: _Optional[int] = ..., number: _Optional[float] = ..., text: _Optional[str] = ..., truth: _Optional[bool] = ...) -> None: ...

class Group(_message.Message):
    __slots__ = ("name", "bytes")
    NAME_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    name: str
    bytes: int
    def __init__(self, name: _Optional[str] = ..., bytes: _Optional[int] = ...) -> None: ...

class RequestHead(_message.Message):
    __slots__ = ("kind", "study", "round", "weights_sha256", "settings", "groups")
    class SettingsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Scalar
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Scalar, _Mapping]] = ...) -> None: ...
    KIND_FIELD_NUMBER: _ClassVar[int]
    STUDY_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_SHA256_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    kind: Kind
    study: str
    round: int
    weights_sha256: str
    settings: _containers.MessageMap[str, Scalar]
    groups: _containers.RepeatedCompositeFieldContainer[Group]
    def __init__(self, kind: _Optional[_Union[Kind, str]] = ..., study: _Optional[str] = ..., round: _Optional[int] = ..., weights_sha256: _Optional[str] = ..., settings: _Optional[_Mapping[str, Scalar]] = ..., groups: _Optional[_Iterable[_Union[Group, _Mapping]]] = ...) -> None: ...

class ReplyHead(_message.Message):
    __slots__ = ("site", "round", "weights_sha256", "examples", "figures", "facts", "refusal", "groups")
    class FiguresEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    class FactsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Scalar
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Scalar, _Mapping]] = ...) -> None: ...
    SITE_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_SHA256_FIELD_NUMBER: _ClassVar[int]
    EXAMPLES_FIELD_NUMBER: _ClassVar[int]
    FIGURES_FIELD_NUMBER: _ClassVar[int]
    FACTS_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    site: str
    round: int
    weights_sha256: str
    examples: int
    figures: _containers.ScalarMap[str, float]
    facts: _containers.MessageMap[str, Scalar]
    refusal: str
    groups: _containers.RepeatedCompositeFieldContainer[Group]
    def __init__(self, site: _Optional[str] = ..., round: _Optional[int] = ..., weights_sha256: _Optional[str] = ..., examples: _Optional[int] = ..., figures: _Optional[_Mapping[str, float]] = ..., facts: _Optional[_Mapping[str, Scalar]] = ..., refusal: _Optional[str] = ..., groups: _Optional[_Iterable[_Union[Group, _Mapping]]] = ...) -> None: ...

class CancelRequest(_message.Message):
    __slots__ = ("study_sha256",)
    STUDY_SHA256_FIELD_NUMBER: _ClassVar[int]
    study_sha256: str
    def __init__(self, study_sha256: _Optional[str] = ...) -> None: ...

class CancelReply(_message.Message):
    __slots__ = ("stopped",)
    STOPPED_FIELD_NUMBER: _ClassVar[int]
    stopped: bool
    def __init__(self, stopped: _Optional[bool] = ...) -> None: ...

class HealthRequest(_message.Message):
    __slots__ = ("link",)
    LINK_FIELD_NUMBER: _ClassVar[int]
    link: LinkState
    def __init__(self, link: _Optional[_Union[LinkState, _Mapping]] = ...) -> None: ...

class LinkState(_message.Message):
    __slots__ = ("connected", "problem", "certificate_until")
    CONNECTED_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_UNTIL_FIELD_NUMBER: _ClassVar[int]
    connected: bool
    problem: str
    certificate_until: str
    def __init__(self, connected: _Optional[bool] = ..., problem: _Optional[str] = ..., certificate_until: _Optional[str] = ...) -> None: ...

class HealthReply(_message.Message):
    __slots__ = ("site", "release", "working", "study", "round", "waiting", "busy_s")
    SITE_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    WORKING_FIELD_NUMBER: _ClassVar[int]
    STUDY_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    BUSY_S_FIELD_NUMBER: _ClassVar[int]
    site: str
    release: str
    working: bool
    study: str
    round: int
    waiting: int
    busy_s: float
    def __init__(self, site: _Optional[str] = ..., release: _Optional[str] = ..., working: _Optional[bool] = ..., study: _Optional[str] = ..., round: _Optional[int] = ..., waiting: _Optional[int] = ..., busy_s: _Optional[float] = ...) -> None: ...
