"""What Temporal stores is encrypted with the newest key, opened with any, and told apart from what is not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.exceptions import ApplicationError

from towpath.core.errors import UnavailableError
from towpath.runtime.codec import EncryptionCodec, make_codec
from towpath.runtime.plugin import towpath_plugin
from towpath.runtime.settings import Settings

MARK = b"the question of a tenant"
PLAIN = Payload(metadata={"encoding": b"json/plain"}, data=MARK)


async def test_a_payload_is_not_readable_and_comes_back_whole() -> None:
    codec = EncryptionCodec(["one"])

    (sealed,) = await codec.encode([PLAIN])

    assert MARK not in sealed.SerializeToString()
    assert b"json/plain" not in sealed.SerializeToString()
    assert await codec.decode([sealed]) == [PLAIN]


async def test_equal_payloads_are_not_seen_to_be_equal() -> None:
    first, second = await EncryptionCodec(["one"]).encode([PLAIN, PLAIN])

    assert first.data != second.data


async def test_the_newest_key_encrypts_and_every_key_decrypts() -> None:
    (old,) = await EncryptionCodec(["old"]).encode([PLAIN])
    (new,) = await EncryptionCodec(["new", "old"]).encode([PLAIN])

    assert await EncryptionCodec(["new", "old"]).decode([old, new]) == [PLAIN, PLAIN]
    assert await EncryptionCodec(["new"]).decode([new]) == [PLAIN]
    with pytest.raises(UnavailableError, match="TOWPATH_ENCRYPTION_KEYS"):
        await EncryptionCodec(["new"]).decode([old])


async def test_what_is_not_encrypted_passes() -> None:
    assert await EncryptionCodec(["one"]).decode([PLAIN]) == [PLAIN]


async def test_what_is_encrypted_is_not_encrypted_again() -> None:
    codec = EncryptionCodec(["one"])
    sealed = await codec.encode([PLAIN])

    assert await codec.encode(sealed) == sealed


@pytest.mark.parametrize(
    "change", [lambda data: data[:-1] + bytes([data[-1] ^ 1]), lambda _: b"", lambda data: data[:9]]
)
async def test_a_changed_payload_is_refused(change: Callable[[bytes], bytes]) -> None:
    codec = EncryptionCodec(["one"])
    (sealed,) = await codec.encode([PLAIN])

    with pytest.raises(UnavailableError, match="changed"):
        await codec.decode([Payload(metadata=sealed.metadata, data=change(sealed.data))])


async def test_a_process_that_does_not_encrypt_still_decrypts() -> None:
    (sealed,) = await EncryptionCodec(["one"]).encode([PLAIN])
    codec = EncryptionCodec(["one"], encrypts=False)

    assert await codec.encode([PLAIN]) == [PLAIN]
    assert await codec.decode([sealed]) == [PLAIN]


@pytest.mark.parametrize(
    ("wanted", "keys", "encrypts"),
    [(None, None, False), (None, "k", True), (True, "k", True), (False, "k", False), (False, None, False)],
)
def test_it_encrypts_where_there_are_keys_unless_the_setting_says_otherwise(
    wanted: bool | None, keys: str | None, encrypts: bool
) -> None:
    assert make_codec(Settings(payload_encryption=wanted, encryption_keys=keys)).encrypts is encrypts


def test_encryption_without_a_key_is_refused() -> None:
    with pytest.raises(ValueError, match="TOWPATH_PAYLOAD_ENCRYPTION needs TOWPATH_ENCRYPTION_KEYS"):
        towpath_plugin(Settings(payload_encryption=True, encryption_keys=None))


async def test_a_failure_shows_its_code_alone() -> None:
    converter = towpath_plugin(Settings(encryption_keys="one")).data_converter
    assert converter is not None and not callable(converter)
    failure = Failure()

    await converter.encode_failure(ApplicationError(MARK.decode(), type="SOURCE_FAILED"), failure)

    assert MARK not in failure.SerializeToString()
    assert failure.application_failure_info.type == "SOURCE_FAILED"
    told = await converter.decode_failure(failure)
    assert isinstance(told, ApplicationError) and told.message == MARK.decode()
