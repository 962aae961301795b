"""Packs carry blobs of any size through streams that are cut anywhere."""

from __future__ import annotations

import os
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offload.errors import BlobCorruptError, ManifestInvalidError, ProtocolError
from offload.model.blobs import Blob, Codec
from offload.model.manifest import HEADER, digest_of
from offload.wire.encoding import (
    compressed,
    decode_difference,
    decoded,
    encode_bytes,
    encode_difference,
    pays,
)
from offload.wire.packs import MAX_PIECE, PackReader, decode_pack, encode_pack


def blob_of(data: bytes) -> Blob:
    return encode_bytes(digest_of(data), data)


def contents(chunks) -> list[bytes]:
    return [b"".join(decoded(blob)) for blob in decode_pack(chunks)]


@given(
    st.lists(st.one_of(st.binary(max_size=2000), st.binary(min_size=1, max_size=9).map(lambda b: b * 5000))),
    st.integers(1, 5000),
)
def test_what_was_packed_comes_out_however_the_stream_is_cut(blobs, cut):
    stream = b"".join(encode_pack(map(blob_of, blobs)))
    chunks = [stream[at : at + cut] for at in range(0, len(stream), cut)]
    assert contents(chunks) == blobs


def test_many_small_blobs_are_a_few_large_sends():
    blobs = [blob_of(b"%d" % number * 200) for number in range(5000)]
    chunks = list(encode_pack(blobs))
    assert len(chunks) <= 1 + sum(map(len, chunks)) // MAX_PIECE


def test_a_large_blob_travels_without_being_in_memory():
    total = 64
    block = bytes(range(256)) * 4096

    def pieces():
        yield from [block] * total

    digest = digest_of(block * total)
    tracemalloc.start()
    blob = compressed(Blob(digest, Codec.RAW, pieces()))
    size = sum(len(part) for received in decode_pack(encode_pack([blob])) for part in decoded(received))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size == total * len(block)
    assert peak < 16 << 20


def test_a_reader_skips_what_was_not_read():
    large = b"".join(b"%d " % number for number in range(1_000_000))
    stream = encode_pack([Blob(digest_of(large), Codec.RAW, (large,)), blob_of(b"next")])
    first, second = [], []
    for blob in decode_pack(stream):
        (first if not first else second).append(blob)
    assert b"".join(second[0].chunks) == b"next"


def test_a_pack_cut_short_is_refused():
    stream = b"".join(encode_pack([blob_of(b"one"), blob_of(b"two")]))
    for end in range(len(stream)):
        reader = PackReader()
        reader.feed(stream[:end])
        if end in (0, len(stream) // 2):
            reader.close()
        else:
            with pytest.raises(ProtocolError):
                reader.close()


def test_a_pack_that_leaves_a_blob_unfinished_is_refused():
    large = bytes(3 * MAX_PIECE)
    whole = b"".join(encode_pack([Blob(digest_of(large), Codec.RAW, (large,))]))
    with pytest.raises(ProtocolError, match="in the middle"):
        list(decode_pack([whole[: MAX_PIECE + 38], b"".join(encode_pack([blob_of(b"other")]))]))


@pytest.mark.parametrize(
    "head", [b"\0" * 32 + b"\7\1\0\0\0\0", b"\0" * 32 + b"\0\2\0\0\0\0", b"\0" * 32 + b"\0\1\xff\xff\xff\xff"]
)
def test_what_is_no_pack_is_refused_before_it_is_buffered(head):
    with pytest.raises(ProtocolError):
        PackReader().feed(head)


@pytest.mark.parametrize("codec", list(Codec))
def test_bytes_that_are_not_what_the_digest_names_are_corrupt(codec):
    wrong = Blob(digest_of(b"right"), codec, encode_bytes("", b"wrong" * 200).chunks)
    with pytest.raises(BlobCorruptError) as caught:
        list(decoded(wrong))
    assert caught.value.details == {"digests": [digest_of(b"right")]}


def test_a_truncated_or_prolonged_zstd_frame_is_corrupt():
    data = b"abc" * 10_000
    blob = encode_bytes(digest_of(data), data)
    (frame,) = blob.chunks
    for bad in (frame[:-1], frame + b"x", b""):
        with pytest.raises(BlobCorruptError):
            list(decoded(Blob(blob.digest, Codec.ZSTD, (bad,))))
    with pytest.raises(BlobCorruptError):
        list(decoded(Blob(blob.digest, Codec.ZSTD, (frame, b"x"))))


def test_a_small_frame_of_a_huge_file_is_decoded_in_small_parts():
    data = bytes(64 << 20)
    blob = encode_bytes(digest_of(data), data)
    assert blob.codec is Codec.ZSTD
    assert max(map(len, decoded(blob))) <= 1 << 20


def test_for_a_network_a_blob_is_compressed_if_that_pays_and_it_is_not_yet():
    text, noise = b"a,b\n" * 100_000, os.urandom(100_000)
    for data, codec in ((text, Codec.ZSTD), (noise, Codec.RAW), (b"", Codec.RAW)):
        raw = Blob(digest_of(data), Codec.RAW, [data[at : at + 999] for at in range(0, len(data), 999)])
        blob = compressed(raw)
        assert blob.codec is codec
        assert b"".join(decoded(blob)) == data
    done = encode_bytes(digest_of(text), text)
    assert compressed(done) is done


def test_only_what_shrinks_is_compressed():
    assert pays(b"a,b,c\n" * 1000)
    assert not pays(b"tiny")
    assert not pays(b"".join(bytes.fromhex(digest_of(b"%d" % n)[7:]) for n in range(200)))


@given(st.binary(max_size=3000), st.binary(max_size=3000))
def test_a_difference_gives_the_manifest_again(base, data):
    base, data = HEADER + base, HEADER + data
    assert decode_difference(encode_difference(data, base), base, digest_of(data)) == data


def test_a_difference_to_another_manifest_is_refused():
    base, data = HEADER + b"x" * 500, HEADER + b"x" * 500 + b"y"
    difference = encode_difference(data, base)
    for wrong in (difference[:-3], b"nonsense", encode_difference(base, base)):
        with pytest.raises(ManifestInvalidError):
            decode_difference(wrong, base, digest_of(data))
