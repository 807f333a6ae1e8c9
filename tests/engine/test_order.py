import random
from collections import Counter

import pytest

from athlos.engine.order import Curriculum, CurriculumOrder, Order
from athlos.errors import ConfigError


def take(order, count):
    return [order.next() for _ in range(count)]


def test_tasks_come_in_order_as_often_as_asked():
    assert take(Order(3, 2), 7) == [0, 1, 2, 0, 1, 2, None]


def test_without_epochs_there_is_no_end():
    assert take(Order(2, None), 5) == [0, 1, 0, 1, 0]


def test_no_tasks_have_an_end():
    assert Order(0, None).next() is None


def test_a_task_whose_group_was_in_vain_comes_first():
    order = Order(3)
    assert take(order, 2) == [0, 1]
    order.again(0)
    assert take(order, 3) == [0, 2, None]


def curriculum(seed=0, epochs=None, **settings):
    return CurriculumOrder(Curriculum(**settings), 30, epochs, random.Random(seed))


def learn(order, rates, groups):
    """Groups of eight of tasks that are passed at these rates."""
    rng = random.Random(1)
    taken: Counter[int] = Counter()
    for _ in range(groups):
        number = order.next()
        taken[number] += 1
        order.told(number, sum(rng.random() < rates[number] for _ in range(8)), 8)
    return taken


def test_a_curriculum_prefers_what_is_sometimes_solved():
    rates = [0.0] * 10 + [0.5] * 10 + [1.0] * 10
    taken = learn(curriculum(), rates, 1000)
    useful = sum(taken[number] for number in range(10, 20))
    assert useful > 700


def test_a_curriculum_still_looks_at_everything():
    taken = learn(curriculum(), [0.0] * 15 + [0.5] * 15, 2000)
    assert len(taken) == 30


def test_a_curriculum_notices_that_a_task_has_become_useful():
    order = curriculum(explore=0.3)
    learn(order, [0.0] * 29 + [1.0], 500)
    taken = learn(order, [0.0] * 29 + [0.5], 500)
    assert taken[29] > 100


def test_a_curriculum_repeats_itself_from_its_seed():
    rates = [number / 30 for number in range(30)]
    assert learn(curriculum(seed=5), rates, 100) == learn(curriculum(seed=5), rates, 100)


def test_a_curriculum_ends_after_its_epochs():
    order = curriculum(epochs=2)
    assert None not in take(order, 60)
    assert order.next() is None


@pytest.mark.parametrize("settings", [{"explore": 1.5}, {"drawn": 0}, {"memory": 0}])
def test_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(ConfigError, match="curriculum"):
        Curriculum(**settings)
