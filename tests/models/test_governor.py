"""The limit of requests under way, against simulated servers."""

import heapq
import random
from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from athlos.models.governor import Governor


def drive(cap, workers, service, *, capacity=None, refuse_above=None, until=300.0, seed=0):
    """Runs workers against a server; its throughput, and the limits in the second half.

    Args:
        service: Seconds that a request takes, from the random numbers and how many are under way.
        capacity: How many are served at once; the others queue.
        refuse_above: How many may be there until the server answers 429.
    """
    rng, governor, now = random.Random(seed), Governor(cap), 0.0
    events, queue, count, serving, answers, limits = [], deque(), 0, 0, 0, []

    def serve(number, sent):
        nonlocal count
        count += 1
        seconds = service(rng, len(governor.under_way))
        heapq.heappush(events, (now + seconds, count, number, sent, True))

    def send():
        nonlocal count, serving
        while len(governor.under_way) < min(governor.limit, workers) and governor.held <= now:
            number = governor.begin()
            if refuse_above is not None and len(governor.under_way) > refuse_above:
                count += 1
                heapq.heappush(events, (now + 0.05, count, number, now, False))
            elif capacity is not None and serving >= capacity:
                queue.append((number, now))
            else:
                serving += 1
                serve(number, now)

    send()
    while events and now < until:
        now, _, number, sent, answered = heapq.heappop(events)
        if answered:
            answers += 1
            serving -= 1
            if queue:
                serving += 1
                serve(*queue.popleft())
            governor.succeeded(number, now - sent, now)
        else:
            governor.overloaded(number, now)
        if now > until / 2:
            limits.append(min(governor.limit, workers))
        send()
        assert 1 <= governor.limit <= cap
    return answers / now, limits


def constant(rng, busy):
    return 1.0


def exponential(rng, busy):
    return rng.expovariate(1.0)


def heavy_tailed(rng, busy):
    return rng.lognormvariate(0.0, 1.0)


@pytest.mark.parametrize("cap", [512, 4096])
@pytest.mark.parametrize("service", [constant, exponential])
def test_a_queue_is_found_and_throughput_stays(cap, service):
    throughput, limits = drive(cap, 512, service, capacity=64, until=600.0)
    assert throughput >= 0.8 * 64
    assert 32 <= sum(limits) / len(limits) <= 4 * 64


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([16, 32, 64]), st.sampled_from([8, 16]))
def test_throughput_stays_whatever_chance_says(seed, capacity, times):
    throughput, _ = drive(
        capacity * times, capacity * times, exponential, capacity=capacity, seed=seed
    )
    assert throughput >= 0.8 * capacity


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([16, 64]), st.sampled_from([256, 2048]))
def test_a_server_that_says_429_is_given_what_it_takes(seed, capacity, workers):
    throughput, limits = drive(4096, workers, constant, refuse_above=capacity, seed=seed)
    assert throughput >= 0.8 * capacity
    assert capacity / 2 <= sum(limits) / len(limits) <= 2 * capacity


@pytest.mark.parametrize("workers", [1, 7, 64, 512])
def test_constant_latency_keeps_the_cap(workers):
    _, limits = drive(512, workers, constant)
    assert min(limits) == workers


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_latency_that_grows_with_the_batch_keeps_the_cap(share):
    _, limits = drive(512, 512, lambda rng, busy: 1 - share + share * busy / 512)
    assert min(limits) == 512


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("service", [exponential, heavy_tailed])
def test_answers_of_all_lengths_keep_the_cap(service, seed):
    _, limits = drive(64, 64, service, seed=seed)
    assert min(limits) == 64


def test_a_server_that_becomes_slower_keeps_the_cap():
    slow = iter(range(1, 10_000_000))
    _, limits = drive(64, 64, lambda rng, busy: 1.0 + next(slow) / 2000)
    assert min(limits) == 64


def test_one_decrease_for_all_that_were_sent_together():
    governor = Governor(100)
    numbers = [governor.begin() for _ in range(100)]
    for number in numbers[1:]:
        governor.overloaded(number, 1.0, None, "HTTP 429")
    assert governor.limit == 70
    assert governor.reason == "HTTP 429"
    for _ in range(49):
        governor.begin()
    governor.overloaded(governor.begin(), 2.0)
    assert governor.limit == 35  # of those under way, which were 51


def test_nothing_but_refusals_is_asked_with_one_request_and_ever_less_often():
    governor, now = Governor(100), 0.0
    for number in [governor.begin() for _ in range(100)]:
        governor.overloaded(number, now, 0.5)
    holds = []
    for _ in range(6):
        assert governor.limit == 1
        holds.append(governor.held - now)
        now = governor.held
        governor.overloaded(governor.begin(), now, 0.5)
    assert holds == [1.0, 2.0, 4.0, 8.0, 15.0, 15.0]
    governor.succeeded(governor.begin(), 1.0, now)
    assert governor.limit >= 70


def test_one_more_for_a_limit_of_answers():
    governor = Governor(100)
    numbers = [governor.begin() for _ in range(15)]
    governor.overloaded(numbers[0], 0.0)
    assert governor.limit == 10
    for number in numbers[1:13]:
        governor.succeeded(number, 1.0, 1.0)
    assert governor.limit == 11


def test_the_way_back_to_a_big_cap_is_short():
    governor = Governor(4096)
    numbers = [governor.begin() for _ in range(4096)]
    governor.overloaded(numbers[0], 0.0)
    assert governor.limit == 2867
    for now in range(1, 8):
        for number in [governor.begin() for _ in range(governor.limit)]:
            governor.succeeded(number, 1.0, float(now))
    assert governor.limit == 4096
    assert governor.reason == ""


def test_retry_after_holds_the_replica():
    governor = Governor(8)
    governor.overloaded(governor.begin(), 10.0, 5.0)
    assert governor.held == 15.0
    governor.overloaded(governor.begin(), 11.0, 1.0)
    assert governor.held == 15.0


def test_answers_that_are_quicker_than_the_clock_say_nothing():
    governor = Governor(64)
    for _ in range(200):
        governor.succeeded(governor.begin(), 0.0, 1.0)
    assert governor.limit == 64


@given(st.lists(st.sampled_from(["begin", "ok", "429", "lost"]), max_size=400), st.integers(1, 40))
def test_counts_stay_right_whatever_happens(steps, cap):
    governor, now, rng = Governor(cap), 0.0, random.Random(0)
    begun = []
    for step in steps:
        now += rng.random()
        if step == "begin":
            begun.append(governor.begin())
        elif begun:
            number = begun.pop(rng.randrange(len(begun)))
            if step == "ok":
                governor.succeeded(number, rng.random(), now)
            elif step == "429":
                governor.overloaded(number, now, rng.choice([None, 1.0]))
            else:
                governor.ended(number, now)
        assert sorted(governor.under_way) == sorted(begun)
        assert 1 <= governor.limit <= cap
