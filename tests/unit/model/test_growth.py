"""The sizes of a job's runners."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.service import spec
from offload.model.growth import MOST_TIMES, can_grow, resources_of, sizes_of
from offload.model.resources import Resources
from offload.model.spec import LEAST_GROWTH, MOST_GROWTH

MIB = 1 << 20


def wanting(memory, growth=1.5, limit=None, **more):
    resources = Resources(cpus=2, memory=memory, gpus=1)
    return spec(resources=resources, memory_growth=growth, memory_limit=limit, **more)


@pytest.mark.parametrize(
    ("asked", "growth", "limit", "sizes"),
    [
        (256, 1.5, 1024, [256, 384, 576, 864, 1024]),
        (1000, 2, 1050, [1000]),
        (1000, 2, 1100, [1000, 1100]),
        (900, 1.2, 1000, [900, 1000]),
        (1024, 1.5, 512, [1024]),
        (100, 10, None, [100, 800]),
        (100, 1, 1000, []),
        (None, 1.5, 1000, []),
    ],
)
def test_each_size_is_so_many_times_the_one_before_up_to_the_limit(asked, growth, limit, sizes):
    job = wanting(asked and asked * MIB, growth, limit and limit * MIB)
    assert [size // MIB for size in sizes_of(job)] == sizes
    assert can_grow(job) == (len(sizes) > 1)


def test_a_runner_of_a_larger_size_has_more_memory_and_the_same_of_all_else():
    job = wanting(256 * MIB)
    assert resources_of(job, 0) == job.resources
    assert resources_of(job, 1) == Resources(cpus=2, memory=384 * MIB, gpus=1)


@given(
    asked=st.integers(1, 1 << 45),
    growth=st.floats(LEAST_GROWTH, MOST_GROWTH),
    limit=st.none() | st.integers(1, 1 << 50),
)
def test_sizes_only_grow_are_worth_it_and_stay_within_the_limit(asked, growth, limit):
    sizes = sizes_of(wanting(asked, growth, limit))
    assert sizes[0] == asked
    for smaller, larger in pairwise(sizes):
        assert larger >= smaller * LEAST_GROWTH * 0.999
    assert all(size <= (limit or asked * MOST_TIMES) for size in sizes[1:])
    assert len(sizes) < 1000
